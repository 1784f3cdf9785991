"""Multi-scale spectral distances with their gradients, in one pass over the signal.

What is compared is the magnitude of the short-time spectrum: windowed by a periodic Hann window over the root of its
size, centred, reflected at both ends. A distance is the weighted sum over bins of `|x - y| + |log(x + floor) -
log(y + floor)|`. These functions build no autograd graph: `zoo.losses.spectral` does.
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


def _check_signal(signal: Tensor, plan: Plan) -> None:
    if signal.ndim != 2 or signal.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"signal must be [batch, samples] in float32 or float64, and is {list(signal.shape)}, {signal.dtype}."
        )
    needed = max(plan.fft_sizes) // 2 + 1
    if signal.shape[1] < needed:
        raise ValueError(
            f"signal has {signal.shape[1]} samples: an FFT of {max(plan.fft_sizes)} needs {needed} at least."
        )


def _check_rest(
    signal: Tensor, targets: Sequence[Sequence[Tensor]], plan: Plan, counts: Tensor, scales: Tensor, mix: Tensor | None
) -> None:
    sizes, (batch, samples) = range(len(plan.fft_sizes)), signal.shape
    shapes = [(batch, plan.frame_count(i, samples), plan.fft_sizes[i] // 2 + 1) for i in sizes]
    for number, target in enumerate(targets):
        if [tuple(each.shape) for each in target] != shapes or any(each.dtype != signal.dtype for each in target):
            found = ", ".join(f"{list(each.shape)} {each.dtype}" for each in target) or "nothing"
            wanted = f"{', '.join(str(list(shape)) for shape in shapes)} in {signal.dtype}"
            raise ValueError(f"target {number} must be spectra of such a signal, {wanted}; found {found}.")
    for name, tensor, dtype in (("counts", counts, torch.int64), ("scales", scales, torch.float64)):
        if tuple(tensor.shape) != (len(sizes), batch) or tensor.dtype != dtype:
            raise ValueError(
                f"{name} must be [{len(sizes)}, {batch}] in {dtype}, and is {list(tensor.shape)}, {tensor.dtype}."
            )
    if counts.device.type == "cpu":  # elsewhere it would wait for the device
        most = torch.tensor([[frames] for _, frames, _ in shapes])
        if bool(((counts < 0) | (counts > most)).any()):
            raise ValueError(
                f"counts must be from 0 to each size's frames, {most[:, 0].tolist()}; found {counts.tolist()}."
            )
    if mix is not None and (mix.ndim != 2 or mix.shape[1] != len(targets)):
        raise ValueError(f"mix must be [outputs, {len(targets)}], and is {list(mix.shape)}.")


def spectral_magnitudes(signal: Tensor, plan: Plan, *, backend: str = "auto") -> list[Tensor]:
    """Magnitudes of a signal's spectra, to be a target of `spectral_distances`.

    Args:
        signal: `[batch, samples]`, float32 or float64, longer than half of the largest FFT size.
        plan: FFT sizes and hops.
        backend: "auto", "numba" (CPU, float32) or "torch".

    Returns:
        For each FFT size `[batch, frames, size // 2 + 1]`.

    Raises:
        ValueError: The signal is of another shape or type, or too short.
    """
    _check_signal(signal, plan)
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

    Raises:
        ValueError: The arguments do not go together.
    """
    _check_signal(signal, plan)
    _check_rest(signal, targets, plan, counts, scales, mix)
    with torch.no_grad():
        module = _module(signal, backend)
        found: tuple[Tensor, Tensor | None] = module.distances(signal.detach(), targets, plan, counts, scales, mix)
        return found
