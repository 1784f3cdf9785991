"""A-weighted level: how loud people hear a sound, in dB of full scale.

Unlike the thesis's `loudness_db`, which is a mean of dB over all bins and counts noise between harmonics as much as
the harmonics themselves, this is the power of the frame's A-weighted spectrum: two sounds of one level are equally
loud, to the accuracy of the A curve, whatever their spectra are.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.features.framing import check_audio, concatenate, frame_count, windows
from zoo.features.loudness import FLOOR_DB, a_response

QUIET_DB = 30.0
"""A frame that is this much under the loudest one counts as a pause: there a room's reverb goes on."""

WINDOW_SECONDS = 0.064
"""Length of the Hann window: over three periods of the lowest pitch, 50 Hz, so that a steady tone's level is steady."""

_HOP_SECONDS = 0.004
# Under the floor, so that frames near the floor can still be told apart where a quiet sound is measured as a whole.
_TINY_POWER = 1e-14
_FLOOR_POWER = 10.0 ** (FLOOR_DB / 10.0)
# Frames analysed at once.
_CHUNK = 2048


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

    chunk = max(1, _CHUNK // audio.shape[0])
    pieces = map(power, windows(audio, frames=frames, hop=hop, size=size, chunk=chunk, center=center))
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
