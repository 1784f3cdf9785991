"""Loudness of each frame as the thesis defines it: the kind `mean_db` of the registry."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

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
        hop: Samples a frame.
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

    chunk = max(1, _CHUNK // audio.shape[0])
    pieces = map(level, windows(audio, frames=frames, hop=hop, size=n_fft, chunk=chunk, center=center))
    return concatenate(pieces, audio, frames=frames)


def rms_db(audio: Tensor, *, sample_rate: int, hop: int, n_fft: int = 2048, center: bool = False) -> Tensor:
    """Measure the frames' mean square level, under the name and with the definition of the thesis.

    It is `max(-80, 20 log10(mean of squares) - 20.7)`: twice the usual RMS level in dB, because the thesis squares
    twice. Kept as it is, so that its features can be made again.

    Args:
        audio: `[batch, samples]`.
        sample_rate: In Hz; the value does not depend on it.
        hop: Samples a frame.
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
    chunk = max(1, _CHUNK // audio.shape[0])
    for piece in windows(audio, frames=frames, hop=hop, size=n_fft, chunk=chunk, center=center):
        mean_square = piece.square().mean(dim=-1)
        level = 20.0 * torch.log10(mean_square.clamp(min=1e-20)) - REFERENCE_DB
        pieces.append(level.clamp(min=FLOOR_DB))
    return concatenate(pieces, audio)


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
