"""YIN: pitch from the difference function, with the depth of its trough as confidence.

Requirements that other implementations leave open: a confidence value; windows centred on the frame whatever the
pitch is; many frames at once.

Source: de Cheveigné, Kawahara, "YIN, a fundamental frequency estimator for speech and music" (JASA 111, 2002).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.features.framing import concatenate, frame_count, windows

# A trough of the normalised difference under this is taken as the period (the paper: 0.1).
THRESHOLD = 0.1
# Under this mean square a window counts as silence, in which there is no pitch: -100 dB of full scale.
SILENCE = 1e-10
# Frames analysed at once.
_CHUNK = 2048


def yin_pitch(
    audio: Tensor, *, sample_rate: int, hop: int, fmin: float, fmax: float, center: bool, threshold: float
) -> tuple[Tensor, Tensor]:
    """Track pitch by the first deep trough of the normalised difference function.

    The squared difference at lag L is averaged over all pairs of samples at distance L inside the window, so every
    lag's measure is centred on the window's middle, where the paper's is centred L / 2 after a fixed beginning.

    Args:
        audio: `[batch, samples]`.
        sample_rate: In Hz.
        hop: Samples per frame.
        fmin: Lowest pitch in Hz.
        fmax: Highest pitch in Hz.
        center: Centre frame t's window on sample `t * hop`; otherwise it starts there.
        threshold: Depth at which a trough is taken at once, rather than the deepest of all.

    Returns:
        Pitch in Hz and its confidence, one minus the trough (0 to 1), each `[batch, samples // hop]`. Silence has
        confidence 0, and so have notes over fmax, which repeat themselves after two of their periods too.

    Raises:
        ConfigError: The sample rate is too low for the pitches asked for.
    """
    shortest, longest = lag_range(sample_rate, fmin, fmax)
    frames = frame_count(audio.shape[-1], hop)
    # written piece by piece: small pieces that stay between large ones that go leave holes in memory that add up
    pitch, confidence = audio.new_empty(2, audio.shape[0], frames)
    at = 0
    for window in _windows(audio, sample_rate=sample_rate, hop=hop, fmin=fmin, center=center):
        difference = _difference(window, longest + 1)
        normalised = _normalise(difference)
        trough, inner = _troughs(normalised)  # index i stands for lag i + 1
        over = _too_high(trough, inner, shortest)
        allowed = torch.arange(1, longest + 1, device=audio.device)
        trough &= (allowed >= shortest) & (allowed <= longest)
        deep = trough & (inner < threshold)
        # argmax of booleans is the first that is true.
        first = deep.to(torch.uint8).argmax(dim=-1)
        lowest = torch.where(trough, inner, math.inf).argmin(dim=-1)
        lag = torch.where(deep.any(dim=-1), first, lowest) + 1
        depth = inner.gather(-1, lag[..., None] - 1)[..., 0]
        period = _refine(difference, lag)
        voiced = trough.any(dim=-1) & ~over & (window.square().mean(dim=-1) > SILENCE)
        here = slice(at, at + window.shape[1])
        pitch[:, here] = (sample_rate / period).clamp(fmin, fmax)
        confidence[:, here] = torch.where(voiced, 1.0 - depth, 0.0).clamp(0.0, 1.0)
        at = here.stop
    return pitch, confidence


def refine_pitch(
    f0_hz: Tensor, audio: Tensor, *, sample_rate: int, hop: int, fmin: float, fmax: float, center: bool, cents: float
) -> tuple[Tensor, Tensor]:
    """Move a coarse pitch to the trough of the difference function beside it.

    Args:
        f0_hz: Coarse pitch, `[batch, frames]`, positive.
        audio: `[batch, samples]`.
        sample_rate: In Hz.
        hop: Samples per frame.
        fmin: Lowest pitch in Hz.
        fmax: Highest pitch in Hz.
        center: As the coarse pitch was tracked.
        cents: How far at most to move.

    Returns:
        The finer pitch, and where a note over fmax sounds in its place, bool; each `[batch, frames]`.
    """
    shortest, longest = lag_range(sample_rate, fmin, fmax)
    bound = 2.0 ** (cents / 1200.0)
    pieces, over, at = [], [], 0
    for window in _windows(audio, sample_rate=sample_rate, hop=hop, fmin=fmin, center=center):
        coarse = f0_hz[:, at : at + window.shape[1]].to(window.dtype)
        at += window.shape[1]
        lag = (sample_rate / coarse).round().long().clamp(1, longest)
        difference = _difference(window, longest + 1)
        fine = sample_rate / _refine(difference, lag)
        pieces.append(torch.minimum(torch.maximum(fine, coarse / bound), coarse * bound))
        over.append(_too_high(*_troughs(_normalise(difference)), shortest))
    return concatenate(pieces, audio).to(f0_hz.dtype), concatenate(over, audio).bool()


def difference_near(windows: Tensor, periods: Tensor) -> Tensor:
    """The lowest normalised difference near each of many periods.

    A bright sound's troughs are narrower than the periods are apart, so each trough counts for the period next to it,
    wherever it lies between two.

    Args:
        windows: Frames of sound, `[frames, samples]`.
        periods: In samples, from long to short, each near the next, 2 to less than the windows' length, `[periods]`.

    Returns:
        `[frames, periods]`, in float64: near 0 where a frame repeats itself after that time, about 1 where it does not.
    """
    nearest = periods.round().long()
    normalised = _normalise(_difference(windows.double(), int(nearest.max()) + 1))
    value = _between(normalised, nearest.expand(len(windows), -1), periods).clamp(min=0.0)
    trough, depth = _troughs(normalised)  # index i stands for lag i + 1
    lags = torch.arange(1, normalised.shape[-1] - 1, device=windows.device)
    lows = _refine(normalised, lags.expand(len(windows), -1))
    ascending = periods.flip(0)
    between = torch.sqrt(ascending[1:] * ascending[:-1])
    place = len(periods) - 1 - torch.bucketize(lows.contiguous(), between)
    inside = trough & (lows > ascending[0] - 0.5) & (lows < ascending[-1] + 0.5)
    return value.scatter_reduce(-1, place, torch.where(inside, depth, math.inf), "amin")


def trough_near(windows: Tensor, periods: Tensor, *, cents: float) -> tuple[Tensor, Tensor]:
    """The lowest point of the difference function beside a period.

    Args:
        windows: Frames of sound, `[frames, samples]`.
        periods: One for each frame, in samples, `[frames]`.
        cents: How far from it to look; by a sample at least.

    Returns:
        Where it is, in samples, and the normalised difference there; each `[frames]`.
    """
    reach = (periods * (2.0 ** (cents / 1200.0) - 1.0)).ceil().clamp(min=1.0)
    furthest = int(reach.max())
    difference = _difference(windows.double(), int(periods.max()) + furthest + 3)
    away = torch.arange(-furthest, furthest + 1, device=windows.device)
    lags = (periods.round().long()[:, None] + away).clamp(min=1)
    values = torch.where(away.abs() <= reach[:, None], difference.gather(-1, lags), math.inf)
    period = _refine(difference, lags.gather(-1, values.argmin(dim=-1)[:, None])[:, 0]).clamp(min=1.0)
    depth = _between(_normalise(difference), period.round().long()[:, None], period[:, None])
    return period, depth[:, 0].clamp(min=0.0)


def lag_range(sample_rate: int, fmin: float, fmax: float) -> tuple[int, int]:
    """Shortest and longest period in samples.

    Raises:
        ConfigError: There is none: the sample rate is too low for these pitches.
    """
    shortest = max(2, math.floor(sample_rate / fmax))
    longest = math.ceil(sample_rate / fmin)
    if longest <= shortest + 1:
        raise ConfigError(
            f"At {sample_rate} Hz, pitches from {fmin} to {fmax} Hz cannot be told apart. "
            "Use a higher sample rate or a wider range of pitch."
        )
    return shortest, longest


def window_size(sample_rate: int, fmin: float) -> int:
    """Samples of the analysis window: 3.2 periods of the lowest pitch, 1,024 for 50 Hz at 16 kHz."""
    return 2 * math.ceil(1.6 * sample_rate / fmin)


def _windows(audio: Tensor, *, sample_rate: int, hop: int, fmin: float, center: bool) -> Iterator[Tensor]:
    size = window_size(sample_rate, fmin)
    frames = frame_count(audio.shape[-1], hop)
    # The difference is one of large, nearly equal sums: float64 keeps a trough's depth.
    for piece in windows(audio, frames=frames, hop=hop, size=size, most=_CHUNK, center=center):
        yield piece.double()


def _difference(window: Tensor, longest: int) -> Tensor:
    # Mean over j of (x[j] - x[j + lag])^2, for lags 0..longest: energies from running sums, products from an FFT.
    size = window.shape[-1]
    spectrum = torch.fft.rfft(window, n=size + longest)
    products = torch.fft.irfft(spectrum.abs().square(), n=size + longest)[..., : longest + 1]
    energy = torch.nn.functional.pad(window.square().cumsum(dim=-1), (1, 0))
    lags = torch.arange(longest + 1, device=window.device)
    head = energy[..., size - lags]
    tail = energy[..., -1:] - energy[..., lags]
    mean: Tensor = (head + tail - 2.0 * products) / (size - lags)
    return mean.clamp(min=0.0)


def _normalise(difference: Tensor) -> Tensor:
    # The paper's eq. 8: each value over the mean of all before it; 1 at lag 0.
    lags = torch.arange(1, difference.shape[-1], device=difference.device)
    mean = difference[..., 1:].cumsum(dim=-1) / lags
    ratio = difference[..., 1:] / mean.clamp(min=1e-30)
    return torch.cat([torch.ones_like(ratio[..., :1]), torch.where(mean > 0.0, ratio, 1.0)], dim=-1)


def _troughs(normalised: Tensor) -> tuple[Tensor, Tensor]:
    # Where the troughs are, and how deep: at the lowest point of a parabola, since between two lags of a high pitch a
    # trough is far deeper than at either, and an octave below would win.
    before, at, after = normalised[..., :-2], normalised[..., 1:-1], normalised[..., 2:]
    trough = (at <= before) & (at < after)
    curvature = (before - 2.0 * at + after).clamp(min=1e-30)
    depth = (at - 0.125 * (before - after).square() / curvature).clamp(min=0.0)
    return trough, torch.where(trough, depth, at)


def _too_high(trough: Tensor, depth: Tensor, shortest: int) -> Tensor:
    # Whether a frame repeats itself after less than the shortest period, [batch, frames]: then it does so after twice
    # that time too, which is no pitch of its. A shallower trough may be a strong harmonic's, as of a bassoon.
    return (trough & (depth < THRESHOLD))[..., : shortest - 1].any(dim=-1)


def _between(values: Tensor, nearest: Tensor, lags: Tensor) -> Tensor:
    # What `values` have at lags between whole ones: on the parabola through the nearest one and its neighbours.
    before, at, after = (values.gather(-1, nearest + step) for step in (-1, 0, 1))
    away = (lags - nearest).to(values)
    return at + 0.5 * away * (after - before) + 0.5 * away.square() * (before - 2.0 * at + after)


def _refine(difference: Tensor, lag: Tensor) -> Tensor:
    # The lowest point of the parabola through a value and its neighbours; of the plain difference, which unlike the
    # normalised one is not tilted. Lags [frames] or [frames, lags].
    index = lag[..., None] + torch.arange(-1, 2, device=lag.device)
    before, at, after = difference.gather(-1, index.flatten(difference.ndim - 1)).view(index.shape).unbind(dim=-1)
    curvature = before - 2.0 * at + after
    shift = torch.where(curvature > 0.0, 0.5 * (before - after) / curvature.clamp(min=1e-30), 0.0)
    return lag + shift.clamp(-1.0, 1.0)
