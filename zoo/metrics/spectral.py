"""Measures of how two sounds' spectra differ."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.losses.spectral import multi_scale_spectral_each_row
from zoo.losses.spectral_targets import FFT_SIZES
from zoo.metrics.rows import checked_pair, over_rows
from zoo.registry.requirements import library

HELD_OUT_SIZES = (1536, 768, 384)
"""FFT sizes in samples that no loss uses by default."""


def multi_scale_spectral_distance(
    a: Tensor, b: Tensor, *, fft_sizes: Sequence[int] = FFT_SIZES, valid_samples: Tensor | None = None
) -> Tensor:
    """Measure what the models are trained with, `zoo.losses.multi_scale_spectral`, for each row alone.

    Args:
        a: Audio `[batch, samples]`.
        b: Audio `[batch, samples]`.
        fft_sizes: FFT sizes in samples.
        valid_samples: int64 `[batch]`: only frames whose centre lies at or before it count. None: all.

    Returns:
        `[batch]`; NaN for a row that is all padding.

    Raises:
        ConfigError: The signals do not agree, or are too short for the largest size.
    """
    a, b = checked_pair(a, b)
    if a.shape[0] == 0:
        return a.new_zeros(0)
    found = multi_scale_spectral_each_row(a, b, fft_sizes=fft_sizes, valid_samples=valid_samples)
    return found if valid_samples is None else found.masked_fill(valid_samples.to(a.device) <= 0, float("nan"))


def multi_scale_spectral_held_out(a: Tensor, b: Tensor, *, valid_samples: Tensor | None = None) -> Tensor:
    """Measure the multi-scale spectral distance at windows that models are not trained with: 1536, 768 and 384.

    A model may learn to please the windows of its loss. What is gained here too is gained in the sound.

    Args:
        a: Audio `[batch, samples]`.
        b: Audio `[batch, samples]`.
        valid_samples: int64 `[batch]`: only frames whose centre lies at or before it count. None: all.

    Returns:
        `[batch]`; NaN for a row that is all padding.

    Raises:
        ConfigError: The signals do not agree, or are too short for the largest size.
    """
    return multi_scale_spectral_distance(a, b, fft_sizes=HELD_OUT_SIZES, valid_samples=valid_samples)


def log_spectral_distance(
    a: Tensor,
    b: Tensor,
    *,
    n_fft: int = 1024,
    hop: int = 256,
    floor_db: float = -80.0,
    valid_samples: Tensor | None = None,
) -> Tensor:
    """Measure the log-spectral distance frame by frame: root mean square over frequency, mean over the frames.

    Levels are in dB of a full-scale sine, by a Hann window, and floored: what is under the floor in both sounds is
    equal. Frames are centred, with silence beyond the ends.

    Args:
        a: Audio `[batch, samples]`.
        b: Audio `[batch, samples]`.
        n_fft: Samples in a window.
        hop: Samples from frame to frame.
        floor_db: Lowest level in dB.
        valid_samples: int64 `[batch]`: a row ends there. None: all are whole.

    Returns:
        `[batch]` in dB; NaN for a row that is all padding.

    Raises:
        ConfigError: The signals do not agree.

    Source: Gray and Markel, "Distance measures for speech processing", IEEE Trans. ASSP 24 (1976).
    """
    a, b = checked_pair(a, b)
    window = torch.hann_window(n_fft, dtype=a.dtype, device=a.device)
    full_scale = window.sum() / 2  # the magnitude of a sine of amplitude 1 at its bin
    floor = 10.0 ** (floor_db / 20)

    def levels(signal: Tensor) -> Tensor:
        spectrum = torch.stft(signal, n_fft, hop, window=window, center=True, pad_mode="constant", return_complex=True)
        return 20 * torch.log10((spectrum.abs() / full_scale).clamp(min=floor))

    def measure(x: Tensor, y: Tensor) -> Tensor:
        return (levels(x) - levels(y)).square().mean(dim=1).sqrt().mean(dim=1)

    return over_rows(measure, a, b, valid_samples)


def clip_log_spectral_distance(a: Tensor, b: Tensor, *, valid_samples: Tensor | None = None) -> Tensor:
    """Measure the mean absolute difference of natural-log magnitudes of one FFT over the whole clip.

    It compares whole clips bin by bin and knows nothing of time: kept to compare with published numbers. For new work
    take `log_spectral_distance`.

    Args:
        a: Audio `[batch, samples]`.
        b: Audio `[batch, samples]`.
        valid_samples: int64 `[batch]`: a row ends there. None: all are whole.

    Returns:
        `[batch]`; NaN for a row that is all padding.

    Raises:
        ConfigError: The signals do not agree.
    """
    a, b = checked_pair(a, b)

    def magnitude(signal: Tensor) -> Tensor:
        return torch.fft.fft(signal).abs() + 1e-7

    def measure(x: Tensor, y: Tensor) -> Tensor:
        return torch.log(magnitude(x) / magnitude(y)).abs().mean(dim=1)

    return over_rows(measure, a, b, valid_samples)


def onset_flux_distance(a: Tensor, b: Tensor, *, sample_rate: int, valid_samples: Tensor | None = None) -> Tensor:
    """Measure the mean absolute difference of onset strengths (spectral flux of a mel spectrogram, hop 512).

    Args:
        a: Audio `[batch, samples]`.
        b: Audio `[batch, samples]`.
        sample_rate: In Hz.
        valid_samples: int64 `[batch]`: a row ends there. None: all are whole.

    Returns:
        `[batch]`; NaN for a row that is all padding.

    Raises:
        ConfigError: The signals do not agree.
        PluginError: librosa cannot be imported.

    Source: Böck and Widmer, "Maximum filter vibrato suppression for onset detection", DAFx 2013, as `librosa.onset`
    computes it by default.
    """
    a, b = checked_pair(a, b)
    import numpy as np

    onset = library("librosa.onset", purpose="The metric onset_flux_distance")

    def strength(row: Tensor) -> Tensor:
        samples = row.cpu().numpy()
        if len(samples) < 2048:  # one window: librosa would warn of it
            samples = np.pad(samples, (0, 2048 - len(samples)))
        return torch.as_tensor(onset.onset_strength(y=samples, sr=sample_rate))

    def measure(x: Tensor, y: Tensor) -> Tensor:
        rows = [(strength(p) - strength(q)).abs().mean() for p, q in zip(x, y, strict=True)]
        return torch.stack(rows).to(x)

    return over_rows(measure, a, b, valid_samples)
