"""What a spectral distance is made of: sizes, hops, windows and weights, shared by its backends."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

FLOOR = 1e-7


@dataclass(frozen=True)
class Plan:
    """Sizes and weights of one multi-scale spectral distance.

    Attributes:
        fft_sizes: Even FFT sizes in samples.
        hops: Samples from frame to frame, one for each size.
        alpha: Weight of bins where the signal exceeds its target.
        beta: Weight of the others.
        floor: Added to a magnitude before its logarithm; over 0.
    """

    fft_sizes: tuple[int, ...]
    hops: tuple[int, ...]
    alpha: float = 1.0
    beta: float = 1.0
    floor: float = FLOOR

    def frame_count(self, i: int, samples: int) -> int:
        """Centred frames of size number `i` in so many samples."""
        return 1 + samples // self.hops[i]

    def window(self, i: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The periodic Hann window of size number `i` over the root of the size (`normalized=True` of torch.stft)."""
        return _window(self.fft_sizes[i], dtype, device)


@functools.lru_cache(maxsize=64)
def _window(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    window: Tensor = torch.hann_window(size, dtype=torch.float64) / float(size) ** 0.5
    return window.to(device=device, dtype=dtype)
