"""The discrete Fourier transform as real matrices, for short blocks in graphs that know no complex numbers.

A spectrum of `size` samples is here `[..., 2 * bins]` with `bins = size // 2 + 1`: all real parts, then all imaginary
ones. A product with such a matrix is, up to some hundred samples, as fast as an FFT.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def to_spectrum(samples: int, *, size: int, device: torch.device) -> Tensor:
    """The matrix from the first `samples` of `size` samples, the others being 0, to their spectrum.

    Returns:
        `[samples, 2 * bins]` float64.
    """
    angle = _angles(torch.arange(samples, device=device), size)
    return torch.cat([torch.cos(angle), -torch.sin(angle)], 1)


def from_spectrum(positions: Tensor, *, size: int) -> Tensor:
    """The matrix from a spectrum to samples.

    Args:
        positions: Which samples, whole numbers `[samples]`; counted modulo `size`.
        size: Of the transform, even.

    Returns:
        `[2 * bins, samples]` float64.
    """
    angle = _angles(positions, size).T
    twice = torch.full((len(angle), 1), 2 / size, dtype=torch.float64, device=angle.device)
    twice[0] = twice[-1] = 1 / size  # 0 Hz and Nyquist have no twin of negative frequency
    return torch.cat([twice * torch.cos(angle), -twice * torch.sin(angle)])


def _angles(positions: Tensor, size: int) -> Tensor:
    bins = torch.arange(size // 2 + 1, device=positions.device)
    turns = torch.remainder(positions[:, None] * bins, size)  # whole numbers: large multiples lose no digits
    return turns.double() * (2 * math.pi / size)


def product(a: Tensor, b: Tensor) -> Tensor:
    """The product of two spectra, frequency by frequency."""
    (a_real, a_imag), (b_real, b_imag) = (part.chunk(2, -1) for part in (a, b))
    return torch.cat([a_real * b_real - a_imag * b_imag, a_real * b_imag + a_imag * b_real], -1)
