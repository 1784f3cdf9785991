"""Measures on mel spectrograms: levels in bands as wide as the ear's, and their shape without the overall level.

Levels are in dB of a full-scale sine at a band's centre, and floored: what is under the floor in both sounds is equal.
Frames are centred, with silence beyond the ends.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.metrics.rows import checked_pair, over_rows

MELS, N_FFT, HOP, FLOOR_DB = 64, 1024, 256, -80.0

# Slaney's mel scale: linear up to 1 kHz, then 27 steps for each factor of 6.4.
_HZ_PER_MEL = 200.0 / 3.0
_LINEAR_HZ = 1000.0
_LOG_STEP = math.log(6.4) / 27.0


def log_mel(
    audio: Tensor,
    *,
    sample_rate: int,
    mels: int = MELS,
    n_fft: int = N_FFT,
    hop: int = HOP,
    floor_db: float = FLOOR_DB,
) -> Tensor:
    """Give levels in mel bands: triangles of height 1 on the power spectrum, by Slaney's scale, up to half the rate.

    Args:
        audio: `[batch, samples]`.
        sample_rate: In Hz.
        mels: How many bands.
        n_fft: Samples in a window (Hann).
        hop: Samples from frame to frame.
        floor_db: Lowest level in dB.

    Returns:
        Levels in dB, `[batch, mels, 1 + samples // hop]`.

    Raises:
        ConfigError: The bands are too narrow for the window.
    """
    window = torch.hann_window(n_fft, dtype=audio.dtype, device=audio.device)
    spectrum = torch.stft(audio, n_fft, hop, window=window, center=True, pad_mode="constant", return_complex=True)
    power = (spectrum.abs() / (window.sum() / 2)).square()
    filters = _filters(sample_rate, n_fft, mels).to(power)
    return 10.0 * torch.log10((filters @ power).clamp(min=10.0 ** (floor_db / 10.0)))


def log_mel_distance(
    a: Tensor,
    b: Tensor,
    *,
    sample_rate: int,
    mels: int = MELS,
    n_fft: int = N_FFT,
    hop: int = HOP,
    floor_db: float = FLOOR_DB,
    valid_samples: Tensor | None = None,
) -> Tensor:
    """Measure the mean absolute difference (L1) of log-mel levels, over bands and frames.

    Args:
        a: Audio `[batch, samples]`.
        b: Audio `[batch, samples]`.
        sample_rate: In Hz.
        mels: How many bands.
        n_fft: Samples in a window.
        hop: Samples from frame to frame.
        floor_db: Lowest level in dB.
        valid_samples: int64 `[batch]`: a row ends there. None: all are whole.

    Returns:
        `[batch]` in dB; NaN for a row that is all padding.

    Raises:
        ConfigError: The signals do not agree, or the bands are too narrow for the window.
    """
    a, b = checked_pair(a, b)

    def levels(signal: Tensor) -> Tensor:
        return log_mel(signal, sample_rate=sample_rate, mels=mels, n_fft=n_fft, hop=hop, floor_db=floor_db)

    def measure(x: Tensor, y: Tensor) -> Tensor:
        return (levels(x) - levels(y)).abs().mean(dim=(1, 2))

    return over_rows(measure, a, b, valid_samples)


def mfcc_distance(
    a: Tensor,
    b: Tensor,
    *,
    sample_rate: int,
    coefficients: int = 12,
    mels: int = MELS,
    n_fft: int = N_FFT,
    hop: int = HOP,
    floor_db: float = FLOOR_DB,
    valid_samples: Tensor | None = None,
) -> Tensor:
    """Measure how far mel-frequency cepstral coefficients are apart, without the first: timbre whatever the level.

    The coefficients are those of an orthonormal cosine transform (DCT-II) of the log-mel levels in dB. The first, c0,
    is the frame's overall level, and is left out; of c1 and those that follow, the Euclidean distance is taken in each
    frame, and the mean over the frames.

    Args:
        a: Audio `[batch, samples]`.
        b: Audio `[batch, samples]`.
        sample_rate: In Hz.
        coefficients: How many, from c1 on.
        mels: How many bands.
        n_fft: Samples in a window.
        hop: Samples from frame to frame.
        floor_db: Lowest level in dB.
        valid_samples: int64 `[batch]`: a row ends there. None: all are whole.

    Returns:
        `[batch]`; NaN for a row that is all padding.

    Raises:
        ConfigError: The signals do not agree, there are not so many coefficients, or the bands are too narrow.

    Source: Davis, Mermelstein, "Comparison of parametric representations for monosyllabic word recognition in
    continuously spoken sentences", IEEE Trans. ASSP 28 (1980).
    """
    a, b = checked_pair(a, b)
    if not 1 <= coefficients < mels:
        raise ConfigError(f"Of {mels} bands there are 1 to {mels - 1} coefficients without c0, not {coefficients}.")
    cosines = _cosines(mels)[1 : coefficients + 1].to(a)

    def cepstra(signal: Tensor) -> Tensor:
        levels = log_mel(signal, sample_rate=sample_rate, mels=mels, n_fft=n_fft, hop=hop, floor_db=floor_db)
        return cosines @ levels

    def measure(x: Tensor, y: Tensor) -> Tensor:
        return (cepstra(x) - cepstra(y)).square().sum(dim=1).sqrt().mean(dim=1)

    return over_rows(measure, a, b, valid_samples)


@functools.lru_cache(maxsize=8)
def _filters(sample_rate: int, n_fft: int, mels: int) -> Tensor:
    """Triangles of height 1, `[mels, n_fft // 2 + 1]`, float64."""
    edges = _hz(torch.linspace(0.0, _mel(sample_rate / 2), mels + 2, dtype=torch.float64))[:, None]
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = torch.minimum(rising, falling).clamp(min=0.0)
    if not bool((triangles > 0).any(dim=1).all()):
        raise ConfigError(
            f"{mels} mel bands at {sample_rate} Hz are too narrow for windows of {n_fft} samples: some hold no bin of "
            f"the spectrum. Pass fewer mels, or a longer window (n_fft={2 * n_fft})."
        )
    return triangles


@functools.lru_cache(maxsize=8)
def _cosines(size: int) -> Tensor:
    """The orthonormal DCT-II, `[coefficient, band]`, float64."""
    band = torch.arange(size, dtype=torch.float64) + 0.5
    found = torch.cos(torch.pi * torch.arange(size, dtype=torch.float64)[:, None] * band / size) * math.sqrt(2 / size)
    found[0] /= math.sqrt(2)
    return found


def _mel(hz: float) -> float:
    if hz < _LINEAR_HZ:
        return hz / _HZ_PER_MEL
    return _LINEAR_HZ / _HZ_PER_MEL + math.log(hz / _LINEAR_HZ) / _LOG_STEP


def _hz(mel: Tensor) -> Tensor:
    start = _LINEAR_HZ / _HZ_PER_MEL
    return torch.where(mel < start, mel * _HZ_PER_MEL, _LINEAR_HZ * torch.exp(_LOG_STEP * (mel - start)))
