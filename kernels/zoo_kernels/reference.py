"""What each kernel computes, in plain float64 torch: slow, and obviously right. The tests hold every backend to it."""

from __future__ import annotations

import torch
from torch import Tensor


def harmonic_oscillators(phase: Tensor, amplitudes: Tensor, *, hop: int, active: Tensor | None = None) -> Tensor:
    """Sum the harmonics one by one, in float64, differentiable by autograd.

    Args:
        phase: `[batch, samples]`, radians of the fundamental.
        amplitudes: `[batch, frames, harmonics]`, held over each frame.
        hop: Samples in a frame.
        active: `[batch, frames]`, number of harmonics that count; None: all.

    Returns:
        float64 `[batch, samples]`.
    """
    phase, amplitudes = phase.double(), amplitudes.double()
    total = torch.zeros_like(phase)
    for k in range(1, amplitudes.shape[-1] + 1):
        amplitude = amplitudes[:, :, k - 1]
        if active is not None:
            amplitude = torch.where(active >= k, amplitude, torch.zeros_like(amplitude))
        total = total + amplitude.repeat_interleave(hop, dim=1) * torch.sin(k * phase)
    return total
