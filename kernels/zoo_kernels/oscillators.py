"""A bank of harmonic oscillators that never makes a `[batch, samples, harmonics]` tensor."""

from __future__ import annotations

import operator
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from zoo_kernels._backends import choose
from zoo_kernels._exporting import exporting
from zoo_kernels._torch_oscillators import recorded


def harmonic_oscillators(
    phase: Tensor, amplitudes: Tensor, *, hop: int, active: Tensor | None = None, backend: str = "auto"
) -> Tensor:
    """Sum the harmonics of a fundamental: `sum over k = 1..K of amplitudes[k] * sin(k * phase)`.

    Exact, with gradients for both arguments, zero amplitudes included. Harmonics at the top of a frame whose
    amplitude is exactly 0 cost nothing in the sum; `active` lets the gradient of the amplitudes stop there too. In a
    graph that is exported it is a few plain torch operations.

    Example:
        >>> phase = torch.zeros(2, 640)
        >>> harmonic_oscillators(phase, torch.ones(2, 10, 100), hop=64).shape
        torch.Size([2, 640])

    Args:
        phase: `[batch, samples]`, float32 or float64: radians of the fundamental, wrapped or not. Wrapped float64 is
            the precise form: float32 keeps only seven digits of a phase that grows.
        amplitudes: `[batch, frames, harmonics]`, float32 or float64, held over each frame; frames * hop = samples.
        hop: Samples in a frame.
        active: `[batch, frames]`, integers: how many harmonics count in a frame. The others are zero by definition,
            whatever their amplitude, and so are their gradients. None: all count.
        backend: "auto", "numba" (CPU), "triton" (CUDA) or "torch".

    Returns:
        `[batch, samples]` in the dtype of `amplitudes`.

    Raises:
        TypeError: An argument is no tensor, or the hop no whole number.
        ValueError: Shapes or dtypes that do not fit, NaN or infinity in the input (while a CUDA graph is captured
            nobody can look: there NaN in the input becomes NaN in the output), an unknown backend or one that does not
            serve the inputs' device.
        RuntimeError: The backend asked for does not work here.

    Source: Clenshaw, "A note on the summation of Chebyshev series", MTAC 9 (1955).
    """
    if exporting():
        return recorded(phase, amplitudes, hop, active)
    hop = _whole(hop)
    for name, value in {"phase": phase, "amplitudes": amplitudes, "active": active}.items():
        if not isinstance(value, Tensor) and (name != "active" or value is not None):
            raise TypeError(f"{name} must be a torch.Tensor, and is of {type(value)}.")
    if amplitudes.dtype in (torch.float16, torch.bfloat16):  # autocast made them; the phase is never that coarse
        amplitudes = amplitudes.float()
    _check(phase, amplitudes, hop, active)
    if amplitudes.numel() == 0 or phase.numel() == 0:  # silence, with the graph that a caller may go back through
        return phase.to(amplitudes.dtype) * 0 + amplitudes.sum()
    module = choose("harmonic_oscillators", backend, phase.device)
    if active is not None:
        active = active.reshape(-1).to(torch.int64)
    # A frame a row: what the backends work on.
    rows = amplitudes.reshape(-1, amplitudes.shape[-1])
    out: Tensor = _Oscillators.apply(phase.reshape(-1, hop), rows, active, module)
    return out.reshape(phase.shape)


class _Oscillators(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, phase: Tensor, amplitudes: Tensor, active: Tensor | None, module: ModuleType) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.save_for_backward(phase, amplitudes, active)
        ctx.module = module
        out: Tensor = module.forward(phase, amplitudes, active)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # noqa: ANN401 - torch's context
        phase, amplitudes, active = ctx.saved_tensors
        need_phase, need_amplitudes = ctx.needs_input_grad[:2]
        gradients = ctx.module.backward(phase, amplitudes, active, grad, need_phase, need_amplitudes)
        return gradients[0], gradients[1], None, None


def _whole(hop: int) -> int:
    try:
        return operator.index(hop)
    except TypeError:
        raise TypeError(f"hop must be a whole number of samples, and is {hop!r}.") from None


def _check(phase: Tensor, amplitudes: Tensor, hop: int, active: Tensor | None) -> None:
    if phase.ndim != 2 or amplitudes.ndim != 3:
        raise ValueError(
            "phase must be [batch, samples] and amplitudes [batch, frames, harmonics]; "
            f"they are {list(phase.shape)} and {list(amplitudes.shape)}."
        )
    for name, tensor in (("phase", phase), ("amplitudes", amplitudes)):
        if tensor.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"{name} must be float32 or float64, and is {tensor.dtype}.")
    if phase.device != amplitudes.device:
        raise ValueError(f"phase is on {phase.device} and amplitudes on {amplitudes.device}: move one of them.")
    if hop < 1 or phase.shape[1] % hop:
        raise ValueError(f"A hop of {hop} does not divide the {phase.shape[1]} samples of phase {list(phase.shape)}.")
    if phase.shape[0] != amplitudes.shape[0] or phase.shape[1] != amplitudes.shape[1] * hop:
        raise ValueError(
            f"phase {list(phase.shape)} and amplitudes {list(amplitudes.shape)} do not agree: with a hop of {hop} "
            f"such amplitudes need phase {[amplitudes.shape[0], amplitudes.shape[1] * hop]}."
        )
    if active is not None:
        if active.shape != amplitudes.shape[:2]:
            raise ValueError(
                f"active {list(active.shape)} must be [batch, frames] of amplitudes {list(amplitudes.shape)}."
            )
        if active.is_floating_point() or active.is_complex() or active.dtype == torch.bool:
            raise ValueError(f"active must hold integers (numbers of harmonics), and is {active.dtype}.")
        if active.device != phase.device:
            raise ValueError(f"active is on {active.device} and phase on {phase.device}: move one of them.")
    if phase.is_cuda and torch.cuda.is_current_stream_capturing():
        return  # a graph cannot wait for the device's answer
    for name, tensor in (("phase", phase), ("amplitudes", amplitudes)):
        # One sum finds nearly always that all is well; a sum may overflow where no value is infinite, so look again.
        if not _finite_sum(tensor.detach()) and not torch.isfinite(tensor).all():
            raise ValueError(f"{name} holds NaN or infinity.")


def _finite_sum(tensor: Tensor) -> bool:
    if tensor.device.type == "cpu":  # numpy adds in one thread: torch's would cost more to wake than they save
        with np.errstate(all="ignore"):
            return bool(np.isfinite(tensor.numpy().sum()))
    return bool(torch.isfinite(tensor.sum()))
