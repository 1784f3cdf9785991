"""Multi-scale spectral distances with their gradients, in one pass over the signal.

What is compared is the magnitude of the short-time spectrum: windowed by a periodic Hann window over the root of its
size, centred, reflected at both ends. A distance is the weighted sum over bins of `|x - y| + |log(x + floor) -
log(y + floor)|`. These functions take checked arguments and build no autograd graph: `zoo.losses.spectral` does both.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

from zoo_kernels._backends import choose
from zoo_kernels._spectral import Plan

SpectralPlan = Plan

_KERNEL = "spectral_distances"


def _module(signal: Tensor, backend: str) -> ModuleType:
    if signal.dtype == torch.float64:  # the compiled loops are float32
        if backend == "numba":
            raise ValueError("The backend 'numba' of spectral_distances takes float32, and the signal is float64.")
        return choose(_KERNEL, "torch", signal.device)
    return choose(_KERNEL, backend, signal.device)


def spectral_magnitudes(signal: Tensor, plan: Plan, *, backend: str = "auto") -> list[Tensor]:
    """Magnitudes of a signal's spectra, to be a target of `spectral_distances`.

    Args:
        signal: `[batch, samples]`, float32 or float64, longer than half of the largest FFT size.
        plan: FFT sizes and hops.
        backend: "auto", "numba" (CPU, float32) or "torch".

    Returns:
        For each FFT size `[batch, frames, size // 2 + 1]`.
    """
    with torch.no_grad():
        found: list[Tensor] = _module(signal, backend).magnitudes(signal.detach(), plan)
        return found


def spectral_distances(
    signal: Tensor,
    targets: Sequence[Sequence[Tensor]],
    plan: Plan,
    *,
    counts: Tensor,
    scales: Tensor,
    mix: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor | None]:
    """Compare a signal with several targets, and return distances and gradients together.

    Args:
        signal: `[batch, samples]`, float32 or float64.
        targets: For each target what `spectral_magnitudes` returned for it.
        plan: FFT sizes, hops, the weights of positive and negative differences, and the logarithms' floor.
        counts: int64 `[sizes, batch]`: how many frames of each row count, from the first.
        scales: float64 `[sizes, batch]`: what the sum over a row's bins is multiplied by (one over their number for
            a mean).
        mix: `[outputs, targets]`: a gradient is made for each row of it, of the targets' distances weighted by that
            row; None: no gradient.
        backend: "auto", "numba" (CPU, float32) or "torch".

    Returns:
        Distances `[targets, batch]` in float64, and gradients `[outputs, batch, samples]` of the sum over the batch
        (None without `mix`).
    """
    with torch.no_grad():
        module = _module(signal, backend)
        found: tuple[Tensor, Tensor | None] = module.distances(signal.detach(), targets, plan, counts, scales, mix)
        return found
