"""The Vandermonde product of S4D's kernel: sums of damped oscillations."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from zoo_kernels._arguments import check_complex, plain
from zoo_kernels._backends import choose


def vandermonde(v: Tensor, w: Tensor, length: int, *, backend: str = "auto") -> Tensor:
    """Sum exponentials that come in conjugate pairs: `2 Re sum over n of v[n] exp(w[n] l)`, l = 0..length-1.

    No backend makes a tensor of channels x exponents x steps. The powers are formed in float64: in float32 the phase of
    `w * l` alone would cost three digits at 1,000 steps.

    Example:
        >>> v = torch.randn(512, 32, dtype=torch.complex64)
        >>> w = torch.complex(-0.01 * torch.rand(512, 32), 3 * torch.rand(512, 32))
        >>> vandermonde(v, w, 1000).shape
        torch.Size([512, 1000])

    Args:
        v: `[..., H, N]`, complex64 or complex128: factors of H channels.
        w: `[H, N]`, exponents of one step, same dtype.
        length: Number of steps, L.
        backend: "auto", "numba" (CPU), "keops" or "torch".

    Returns:
        `[..., H, L]`, float32 for complex64 and float64 for complex128, with gradients for `v` and `w`.

    Raises:
        ValueError: Shapes, dtypes or devices that do not fit, a negative length; an unknown backend, or one that does
            not serve the inputs' device.
        RuntimeError: The backend asked for does not work here.

    Source: Gu et al., "On the Parameterization and Initialization of Diagonal State Space Models" (2022), section 3.2.
    """
    check_complex({"v": v, "w": w})
    if v.ndim < 2 or w.ndim != 2 or v.shape[-2:] != w.shape:
        raise ValueError(
            f"v must be [..., H, N] and w [H, N] of the same H and N; v is {list(v.shape)} and w is {list(w.shape)}."
        )
    if length < 0:
        raise ValueError(f"length must be 0 or more, and is {length}.")
    module = choose("vandermonde", backend, v.device)
    shape = (*v.shape[:-1], length)
    if v.numel() == 0 or length == 0:
        return (v.sum() + w.sum()).real * v.real.new_zeros(shape)
    out: Tensor = _Vandermonde.apply(v.reshape(-1, *w.shape), w, length, module)
    return out.reshape(shape)


class _Vandermonde(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, w: Tensor, length: int, module: ModuleType) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.save_for_backward(v, w)
        ctx.module = module
        out: Tensor = module.forward(plain(v), plain(w), length)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # noqa: ANN401 - torch's context
        v, w = (plain(tensor) for tensor in ctx.saved_tensors)
        grad_v, grad_w = ctx.module.backward(v, w, plain(grad), *ctx.needs_input_grad[:2])
        return grad_v, grad_w, None, None
