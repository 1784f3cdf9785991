"""Loudness and level: how loud people hear a sound, and the kinds of loudness that models are driven by.

A kind is a component of the registry's kind `loudness`: a function of audio `[batch, samples]` with the keywords
`sample_rate, hop, center` and options of its own, that gives dB `[batch, samples // hop]`, -80 for silence and about 0
for the loudest there is. `@loudness(...)` adds in words what it measures. `mean_db` is the thesis's: a mean of dB over
all bins, which counts noise between harmonics as much as the harmonics; the A-weighted level is what people hear.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from zoo import registry
from zoo.checks.limits import check_types
from zoo.errors import ConfigError, listing, near_matches
from zoo.features.framing import check_audio, concatenate, frame_count, windows

FLOOR_DB = -80.0
# The reference level: it brings a full-scale tone near 0 dB.
REFERENCE_DB = 20.7
# Frames analysed at once: 2,048 windows of 2,048 samples are 17 MB of audio and as much of spectrum.
_CHUNK = 2048


def loudness_db(audio: Tensor, *, sample_rate: int, hop: int, n_fft: int = 2048, center: bool = False) -> Tensor:
    """Measure A-weighted loudness as the thesis does.

    Every bin's level in dB is weighted by the A curve and floored at -80, and their mean over the bins is the frame's
    loudness. Silence is -80.

    >>> loudness_db(torch.zeros(2, 1000), sample_rate=16000, hop=64).shape
    torch.Size([2, 15])

    Args:
        audio: `[batch, samples]`.
        sample_rate: In Hz.
        hop: Samples per frame.
        n_fft: Samples of the (Hann) analysis window.
        center: Centre frame t's window on sample `t * hop`. Otherwise the window starts there, which places loudness
            `n_fft / 2` samples early. Either way there is silence beyond the ends.

    Returns:
        `[batch, samples // hop]` in dB, -80 at least; no frames for what is shorter than a hop.

    Raises:
        ConfigError: The audio is not `[batch, samples]`.

    Source: the A curve is that of IEC 61672-1, annex E.
    """
    check_audio(audio, sample_rate=sample_rate, hop=hop)
    frames = frame_count(audio.shape[-1], hop)
    window = torch.hann_window(n_fft, dtype=audio.dtype, device=audio.device)
    weights = torch.tensor(a_weighting_db(sample_rate, n_fft), dtype=audio.dtype, device=audio.device) - REFERENCE_DB

    def level(piece: Tensor) -> Tensor:
        magnitude = torch.fft.rfft(piece * window).abs()
        # 1e-20 in power is 1e-10 in magnitude, far under the floor, and a gradient that float32 can hold.
        bins = 10.0 * torch.log10(magnitude.square().clamp(min=1e-20)) + weights
        return bins.clamp(min=FLOOR_DB).mean(dim=-1)

    pieces = map(level, windows(audio, frames=frames, hop=hop, size=n_fft, most=_CHUNK, center=center))
    return concatenate(pieces, audio, frames=frames)


def rms_db(audio: Tensor, *, sample_rate: int, hop: int, n_fft: int = 2048, center: bool = False) -> Tensor:
    """Measure the frames' mean square level, under the name and with the definition of the thesis.

    It is `max(-80, 20 log10(mean of squares) - 20.7)`: twice the usual RMS level in dB, because the thesis squares
    twice. Kept as it is, so that its features can be made again.

    Args:
        audio: `[batch, samples]`.
        sample_rate: In Hz; the value does not depend on it.
        hop: Samples per frame.
        n_fft: Samples of the analysis window.
        center: As for `loudness_db`.

    Returns:
        `[batch, samples // hop]` in dB, -80 at least.

    Raises:
        ConfigError: The audio is not `[batch, samples]`.
    """
    check_audio(audio, sample_rate=sample_rate, hop=hop)
    frames = frame_count(audio.shape[-1], hop)
    pieces = []
    for piece in windows(audio, frames=frames, hop=hop, size=n_fft, most=_CHUNK, center=center):
        mean_square = piece.square().mean(dim=-1)
        level = 20.0 * torch.log10(mean_square.clamp(min=1e-20)) - REFERENCE_DB
        pieces.append(level.clamp(min=FLOOR_DB))
    return concatenate(pieces, audio, frames=frames)


@functools.lru_cache(maxsize=8)
def a_weighting_db(sample_rate: int, n_fft: int) -> tuple[float, ...]:
    """A-weighting in dB at each bin of an FFT, not under -80.

    Args:
        sample_rate: In Hz.
        n_fft: Size of the FFT.

    Returns:
        `n_fft // 2 + 1` values.
    """
    return tuple(_a_weighting(k * sample_rate / n_fft) for k in range(n_fft // 2 + 1))


def _a_weighting(frequency_hz: float) -> float:
    if frequency_hz <= 0.0:
        return FLOOR_DB
    return max(FLOOR_DB, 20.0 * math.log10(a_response(frequency_hz)) + 2.0)


def a_response(frequency_hz: float) -> float:
    """The A curve as a factor of amplitude, before its 2 dB: 0 at 0 Hz, 0.794 at 1 kHz.

    Source: IEC 61672-1, annex E.
    """
    f2 = frequency_hz**2
    return (12194.217**2 * f2**2) / (
        (f2 + 20.598997**2) * (f2 + 12194.217**2) * math.sqrt(f2 + 107.65265**2) * math.sqrt(f2 + 737.86223**2)
    )


QUIET_DB = 30.0
"""A frame that is this much under the loudest one counts as a pause: there a room's reverb goes on."""

WINDOW_SECONDS = 0.064
"""Length of the Hann window: over three periods of the lowest pitch, 50 Hz, so that a steady tone's level is steady."""

_HOP_SECONDS = 0.004
# Under the floor, so that frames near the floor can still be told apart where a quiet sound is measured as a whole.
_TINY_POWER = 1e-14
_FLOOR_POWER = 10.0 ** (FLOOR_DB / 10.0)


def window_size(sample_rate: int, seconds: float = WINDOW_SECONDS) -> int:
    """Samples of a window, an even number: of 64 ms 1,024 at 16 kHz, 3,072 at 48 kHz."""
    return max(2, 2 * round(seconds * sample_rate / 2))


def a_weighted_level_db(
    audio: Tensor, *, sample_rate: int, hop: int, n_fft: int | None = None, center: bool = True
) -> Tensor:
    """Measure the A-weighted level of each frame.

    It is 10 log10 of the A-weighted mean square of the Hann-windowed frame. A steady 1 kHz sine has its RMS level in dB
    of full scale: -3.01 for one of amplitude 1.

    >>> a_weighted_level_db(torch.zeros(2, 1000), sample_rate=16000, hop=64).shape
    torch.Size([2, 15])

    Args:
        audio: `[batch, samples]`.
        sample_rate: In Hz.
        hop: Samples per frame.
        n_fft: Samples of the window; 64 ms by default.
        center: Centre frame t's window on sample `t * hop`; otherwise it starts there. Beyond the ends is silence.

    Returns:
        `[batch, samples // hop]` in dB, -80 at least, over 0 only where the audio is about full scale or over it. Its
        gradient is finite everywhere, and 0 under the floor.

    Raises:
        ConfigError: The audio is not `[batch, samples]`, or the window has under 2 samples.

    Source: the A curve is that of IEC 61672-1, annex E.
    """
    power = _power(audio, sample_rate=sample_rate, hop=hop, n_fft=n_fft, center=center)
    return 10.0 * torch.log10(power.clamp(min=_FLOOR_POWER))


def sound_level_db(audio: Tensor, *, sample_rate: int, hop: int | None = None, quantile: float = 0.5) -> Tensor:
    """Measure the A-weighted level of a whole sound, as one number.

    It is the median (or another quantile) of the level over the frames within 30 dB of the loudest one: pauses,
    a long decay and padding with zeros hardly change it, and a gain of g dB adds g to it.

    >>> sound_level_db(torch.zeros(2, 16000), sample_rate=16000)
    tensor([-80., -80.])

    Args:
        audio: `[batch, samples]`.
        sample_rate: In Hz.
        hop: Samples per frame; 4 ms by default.
        quantile: From 0 to 1; 0.5 is the median.

    Returns:
        `[batch]` in dB. It is -80, the floor, for silence: what is quieter than -80 dB, or shorter than a frame.

    Raises:
        ConfigError: The audio is not `[batch, samples]`, or the quantile not from 0 to 1.
    """
    if not 0.0 <= quantile <= 1.0:
        raise ConfigError(f"A quantile is from 0 to 1, not {quantile}. The median is 0.5.")
    hop = max(1, round(_HOP_SECONDS * sample_rate)) if hop is None else hop
    power = _power(audio, sample_rate=sample_rate, hop=hop, n_fft=None, center=True)
    level = 10.0 * torch.log10(power.clamp(min=_TINY_POWER))
    rows = []
    for row in level:
        heard = row[heard_frames(row)]
        rows.append(heard.quantile(quantile) if len(heard) else row.new_tensor(FLOOR_DB))
    return torch.stack(rows).clamp(min=FLOOR_DB) if rows else level.new_zeros(0)


def heard_frames(level_db: Tensor) -> Tensor:
    """Find the frames that are no pause: those within 30 dB of their row's loudest one.

    Args:
        level_db: `[..., frames]` in dB, of `a_weighted_level_db` or of a loudness.

    Returns:
        bool `[..., frames]`; all False in a row without any frame over the floor of -80 dB.
    """
    if level_db.shape[-1] == 0:
        return torch.zeros_like(level_db, dtype=torch.bool)
    loudest = level_db.amax(dim=-1, keepdim=True)
    return (level_db > loudest - QUIET_DB) & (loudest > FLOOR_DB)


def _power(audio: Tensor, *, sample_rate: int, hop: int, n_fft: int | None, center: bool) -> Tensor:
    # The A-weighted mean square of each frame, [batch, frames].
    check_audio(audio, sample_rate=sample_rate, hop=hop)
    size = window_size(sample_rate) if n_fft is None else n_fft
    if size < 2:
        raise ConfigError(f"The window of a level must have at least 2 samples, not {size}.")
    frames = frame_count(audio.shape[-1], hop)
    window = torch.hann_window(size, dtype=audio.dtype, device=audio.device)
    weights = torch.tensor(_bin_weights(sample_rate, size), dtype=audio.dtype, device=audio.device)

    def power(piece: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(piece * window)
        return (spectrum.real.square() + spectrum.imag.square()) @ weights

    pieces = map(power, windows(audio, frames=frames, hop=hop, size=size, most=_CHUNK, center=center))
    return concatenate(pieces, audio, frames=frames)


@functools.lru_cache(maxsize=8)
def _bin_weights(sample_rate: int, n_fft: int) -> tuple[float, ...]:
    # What turns a bin's power into its share of the A-weighted mean square under the window: Parseval's theorem, with
    # both halves of the spectrum, over the window's own power (of a periodic Hann window: 3/8 of its length).
    scale = 1.0 / (n_fft * 0.375 * n_fft) if n_fft > 2 else 1.0 / n_fft
    weights = []
    for k in range(n_fft // 2 + 1):
        sides = 1.0 if k == 0 or 2 * k == n_fft else 2.0
        response = a_response(k * sample_rate / n_fft) / a_response(1000.0)
        weights.append(sides * scale * response**2)
    return tuple(weights)


_COMMON = ("sample_rate", "hop", "center")


class Loudness:
    """A loudness with its definition in words.

    Attributes:
        definition: What it measures, with its options in braces: "... of a Hann window of {n_fft} samples".
    """

    def __init__(self, measure: Callable[..., Tensor], *, definition: str) -> None:
        functools.update_wrapper(self, measure)
        self.measure = measure
        self.definition = definition

    def __call__(self, audio: Tensor, **options: Any) -> Tensor:  # noqa: ANN401 - the measure's own types
        """Measure loudness, `[batch, samples // hop]` in dB."""
        return self.measure(audio, **options)


def loudness(*, definition: str) -> Callable[[Callable[..., Tensor]], Loudness]:
    """Make a function a loudness with its definition in words.

    Args:
        definition: What it measures, with its options in braces; dataset.json says it.
    """
    return functools.partial(Loudness, definition=definition)


mean_db = loudness(
    definition="mean over the bins of the A-weighted level in dB, each bin floored at -80, of a Hann window of {n_fft} "
    "samples"
)(loudness_db)


@loudness(definition="A-weighted power in dB of full scale, -80 to 0, of a Hann window of {window_seconds:g} s")
def a_weighted(
    audio: Tensor, *, sample_rate: int, hop: int, center: bool = True, window_seconds: float = WINDOW_SECONDS
) -> Tensor:
    """Measure the A-weighted level as a loudness from -80 to 0.

    Args:
        audio: `[batch, samples]`.
        sample_rate: In Hz.
        hop: Samples per frame.
        center: As for `a_weighted_level_db`.
        window_seconds: Length of the window, so that it means the same at every rate.

    Returns:
        `[batch, samples // hop]` in dB, -80 to 0.

    Raises:
        ConfigError: The audio is not `[batch, samples]`, or the window is not of a positive length.
    """
    if not 0.0 < window_seconds < 10.0:
        raise ConfigError(f"window_seconds must be above 0 and under 10, not {window_seconds}.")
    n_fft = window_size(sample_rate, window_seconds)
    return a_weighted_level_db(audio, sample_rate=sample_rate, hop=hop, n_fft=n_fft, center=center).clamp(max=0.0)


def measure_by_name(
    audio: Tensor,
    *,
    sample_rate: int,
    hop: int,
    kind: str,
    center: bool,
    n_fft: int,
    options: Mapping[str, Any],
) -> Tensor:
    """Measure a loudness by its registered name.

    Args:
        audio: `[batch, samples]`.
        sample_rate: In Hz.
        hop: Samples per frame.
        kind: A name of the registry's kind `loudness`.
        center: Whether windows are centred on sample `frame * hop`.
        n_fft: For a loudness that takes its window in samples.
        options: Its own options.

    Returns:
        `[batch, samples // hop]` in dB.

    Raises:
        ConfigError: There is no such loudness or option, or the audio is not `[batch, samples]`.
        PluginError: What it needs is not installed, or it gives something else than a loudness per frame.
    """
    check_audio(audio, sample_rate=sample_rate, hop=hop)
    component = registry.loudness.get(kind)
    given = _given(component, kind, n_fft, options)
    # a loss measures under autocast, where a product of matrices would leave eight bits of a level
    with torch.autocast(audio.device.type, enabled=False):
        found: Tensor = component(audio, sample_rate=sample_rate, hop=hop, center=center, **given)
    shape = len(audio), frame_count(audio.shape[-1], hop)
    registry.loudness.check_shape(kind, found, shape, "the loudness [batch, samples // hop]")
    return found


def definition_of(kind: str, *, n_fft: int, options: Mapping[str, Any]) -> str:
    """Say in words what a loudness measures.

    Args:
        kind: Its registered name.
        n_fft: As for `measure_by_name`.
        options: Its own options.

    Raises:
        ConfigError: There is no such loudness or option.
        PluginError: It cannot be imported.
    """
    component = registry.loudness.get(kind)
    given = _given(component, kind, n_fft, options)
    parameters = inspect.signature(component).parameters
    values = {name: given.get(name, parameter.default) for name, parameter in parameters.items()}
    words = getattr(component, "definition", None)
    return str(words).format(**values) if words else f"the loudness {kind} with the options {given or 'of its own'}"


def _given(component: Callable[..., Tensor], kind: str, n_fft: int, options: Mapping[str, Any]) -> dict[str, Any]:
    takes = [name for name in inspect.signature(component).parameters if name not in _COMMON][1:]
    for name in options:
        if name not in takes:
            raise ConfigError(
                f"The loudness {kind!r} has no option {name!r}.{near_matches(name, takes)} "
                f"Its options: {listing(takes) or 'none'}."
            )
    check_types(component, options, part=f"loudness {kind!r}")
    return {**({"n_fft": n_fft} if "n_fft" in takes else {}), **options}
