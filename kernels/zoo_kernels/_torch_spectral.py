"""Spectral distances in plain torch, for any device, float32 and float64: the whole batch at once, no waiting."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo_kernels._spectral import Plan


def _spectra(plan: Plan, i: int, signal: Tensor) -> Tensor:
    size = plan.fft_sizes[i]
    padded = F.pad(signal[None], (size // 2, size // 2), mode="reflect")[0]
    frames = padded.unfold(1, size, plan.hops[i])
    spectra: Tensor = torch.fft.rfft(frames * plan.window(i, signal.dtype, signal.device))
    return spectra


def _signal_gradient(plan: Plan, i: int, gradient: Tensor, samples: int) -> Tensor:
    """Adjoint of `_spectra`: from `[batch, frames, bins]` back to `[batch, samples]`."""
    size, hop = plan.fft_sizes[i], plan.hops[i]
    half = size // 2
    gradient[..., 1:half] *= 0.5  # the inverse FFT counts these bins twice
    frames = torch.fft.irfft(gradient, n=size, norm="forward") * plan.window(i, gradient.real.dtype, gradient.device)
    batch, total, _ = frames.shape
    pieces = -(-size // hop)
    parts = F.pad(frames, (0, pieces * hop - size)).view(batch, total, pieces, hop)
    added = frames.new_zeros(batch, max(total + pieces, -(-(samples + size) // hop)), hop)
    for j in range(pieces):
        added[:, j : j + total] += parts[:, :, j]
    padded = added.view(batch, -1)[:, : samples + size]
    out: Tensor = padded[:, half : half + samples].clone()
    out[:, 1 : half + 1] += padded[:, :half].flip(1)  # what the reflection at either end took from here
    out[:, samples - 1 - half : samples - 1] += padded[:, half + samples :].flip(1)
    return out


def magnitudes(signal: Tensor, plan: Plan) -> list[Tensor]:
    """Magnitudes of every size, each `[batch, frames, bins]`."""
    return [_spectra(plan, i, signal).abs() for i in range(len(plan.fft_sizes))]


def distances(
    signal: Tensor,
    targets: Sequence[Sequence[Tensor]],
    plan: Plan,
    counts: Tensor,
    scales: Tensor,
    mix: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """Distances of a signal to several targets, and gradients of mixtures of them.

    Args:
        signal: `[batch, samples]`.
        targets: For each target, its magnitudes for each size, `[batch, frames, bins]`.
        plan: Sizes and weights.
        counts: `[sizes, batch]`, frames of each row that count.
        scales: `[sizes, batch]` float64: what the sum over a row's bins is multiplied by.
        mix: `[outputs, targets]`: each output's weights of the targets; None: no gradients.

    Returns:
        Distances `[targets, batch]` in float64, and gradients `[outputs, batch, samples]` of each output's weighted
        sum over targets and rows, or None.
    """
    batch, samples = signal.shape
    total = torch.zeros(len(targets), batch, dtype=torch.float64, device=signal.device)
    gradients = None if mix is None else signal.new_zeros(mix.shape[0], batch, samples)
    for i in range(len(plan.fft_sizes)):
        spectra = _spectra(plan, i, signal)
        size = spectra.abs()
        counted = torch.arange(spectra.shape[1], device=signal.device) < counts[i, :, None]
        slopes: list[Tensor] = []
        for m, target in enumerate(targets):
            difference = size - target[i]
            sign = difference.sign()
            weights = (sign.clamp(min=0) * plan.alpha + sign.clamp(max=0) * plan.beta) * counted[..., None]
            logarithms = torch.log((size + plan.floor) / (target[i] + plan.floor))
            total[m] += (weights * (difference + logarithms)).sum(dim=(1, 2)).double() * scales[i]
            slopes.append(weights)
        if mix is None or gradients is None:
            continue
        direction = torch.sgn(spectra) * (1 + 1 / (size + plan.floor)) * scales[i, :, None, None].to(size.dtype)
        for o in range(mix.shape[0]):
            slope = slopes[0] * mix[o, 0]
            for m in range(1, len(slopes)):
                slope += slopes[m] * mix[o, m]
            gradients[o] += _signal_gradient(plan, i, direction * slope.to(size.dtype), samples)
    return total, gradients
