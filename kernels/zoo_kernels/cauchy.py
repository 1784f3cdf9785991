"""The Cauchy sum of S4's kernel, over poles that come in conjugate pairs."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from zoo_kernels._arguments import check_complex, plain
from zoo_kernels._backends import choose


def cauchy(v: Tensor, z: Tensor, w: Tensor, *, backend: str = "auto") -> Tensor:
    """Sum fractions over poles and their conjugates: `sum over n of v / (z - w) + conj(v) / (z - conj(w))`.

    Only one pole of each pair is given. All numerators of a channel share its denominators, so several cost little
    more than one. No backend makes a tensor of channels x poles x nodes.

    Example:
        >>> v = torch.randn(4, 512, 32, dtype=torch.complex64)
        >>> w = torch.complex(-torch.rand(512, 32), 10 * torch.rand(512, 32))
        >>> z = 1j * torch.linspace(0, 100, 1000)
        >>> cauchy(v, z, w).shape
        torch.Size([4, 512, 1000])

    Args:
        v: `[..., H, N]`, complex64 or complex128: numerators of H channels.
        z: `[F]`, nodes of the same dtype; any complex numbers but the poles.
        w: `[H, N]`, poles of the same dtype.
        backend: "auto", "numba" (CPU), "keops" or "torch".

    Returns:
        `[..., H, F]` in the dtype of `v`, with gradients for all three arguments.

    Raises:
        ValueError: Shapes, dtypes or devices that do not fit; an unknown backend, or one that does not serve the
            inputs' device.
        RuntimeError: The backend asked for does not work here.

    Source: Gu, Goel, Ré, "Efficiently Modeling Long Sequences with Structured State Spaces" (2022), section 3 and
    appendix C.3.
    """
    check_complex({"v": v, "z": z, "w": w})
    if v.ndim < 2 or w.ndim != 2 or z.ndim != 1 or v.shape[-2:] != w.shape:
        raise ValueError(
            "v must be [..., H, N], w [H, N] of the same H and N, and z [F]; "
            f"v is {list(v.shape)}, w is {list(w.shape)} and z is {list(z.shape)}."
        )
    shape = (*v.shape[:-1], z.shape[0])
    module = choose("cauchy", backend, v.device)
    if v.numel() == 0 or z.numel() == 0:
        return (v.sum() + z.sum() + w.sum()) * v.new_zeros(shape)
    out: Tensor = _Cauchy.apply(v.reshape(-1, *w.shape), z, w, module)
    return out.reshape(shape)


class _Cauchy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, z: Tensor, w: Tensor, module: ModuleType) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.save_for_backward(v, z, w)
        ctx.module = module
        out: Tensor = module.forward(plain(v), plain(z), plain(w))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:  # noqa: ANN401 - torch's context
        v, z, w = (plain(tensor) for tensor in ctx.saved_tensors)
        grad_v, grad_z, grad_w = ctx.module.backward(v, z, w, plain(grad), *ctx.needs_input_grad[:3])
        return grad_v, grad_z, grad_w, None
