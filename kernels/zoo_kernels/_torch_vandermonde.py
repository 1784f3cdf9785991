"""The Vandermonde product in plain torch, for any device: two short tables of powers and one batched real product.

With l = J i + j a power is exp(w J i) exp(w j): of L powers, about 2 sqrt(L) are formed, and the sum over exponents
becomes `[M I, 2N] x [2N, J]` for each channel. The tables are formed in complex128 by doubling, so that the phase of
w l keeps its digits however long the kernel is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _split(length: int) -> tuple[int, int]:
    """How many blocks, and steps in one (J): a power of two near the square root."""
    size = 1 << max(0, math.ceil(math.log2(length) / 2))
    return -(-length // size), size


def _powers(base: Tensor, count: int) -> Tensor:
    """1, base, base^2, ...: `[H, N]` -> `[H, N, count]`; each is made of two known ones, so errors do not add up."""
    table = base.new_empty(*base.shape, count)
    table[..., 0] = 1
    known, factor = 1, base
    while known < count:
        new = min(known, count - known)
        torch.mul(table[..., :new], factor[..., None], out=table[..., known : known + new])
        known += new
        factor = factor * factor
    return table


def _tables(w: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """exp(w J i) as `[H, N, I]` and exp(w j) as `[H, N, J]`, in the dtype of w."""
    blocks, size = _split(length)
    precise = w.to(torch.complex64 if w.device.type == "mps" else torch.complex128)  # Apple's GPUs have no float64
    return _powers(torch.exp(precise * size), blocks).to(w.dtype), _powers(torch.exp(precise), size).to(w.dtype)


def forward(v: Tensor, w: Tensor, length: int) -> Tensor:
    """Add up the exponentials.

    Args:
        v: `[M, H, N]` complex.
        w: `[H, N]` complex.
        length: L.

    Returns:
        `[M, H, L]` real.
    """
    count, channels, _ = v.shape
    coarse, fine = _tables(w, length)
    weights = (2 * v)[..., None] * coarse  # [M, H, N, I]
    left = torch.cat([weights.real, -weights.imag], dim=2).permute(1, 0, 3, 2)  # [H, M, I, 2N]
    right = torch.cat([fine.real, fine.imag], dim=1)  # [H, 2N, J]
    out = torch.bmm(left.flatten(1, 2), right).reshape(channels, count, -1)
    return out[..., :length].transpose(0, 1)


def backward(v: Tensor, w: Tensor, grad: Tensor, need_v: bool, need_w: bool) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of a real loss for both arguments; `grad` is `[M, H, L]`, the others as in `forward`."""
    count, channels, poles = v.shape
    length = grad.shape[-1]
    blocks, size = _split(length)
    coarse, fine = _tables(w, length)
    padded = torch.nn.functional.pad(grad, (0, blocks * size - length)).transpose(0, 1)
    steps = torch.arange(size, dtype=grad.dtype, device=grad.device)
    columns = [fine.real, fine.imag] + ([fine.real * steps, fine.imag * steps] if need_w else [])
    sums = torch.bmm(padded.reshape(channels, count * blocks, size), torch.cat(columns, dim=1).transpose(1, 2))
    sums = sums.reshape(channels, count, blocks, -1, poles)
    # Over the steps of a block: grad * exp(w j), then grad * j * exp(w j).
    plain = torch.complex(sums[..., 0, :], sums[..., 1, :])
    back = coarse.transpose(1, 2)[:, None]  # [H, 1, I, N]
    grad_v = (2 * (plain * back).sum(dim=2)).conj().transpose(0, 1).resolve_conj() if need_v else None
    grad_w = None
    if need_w:
        starts = size * torch.arange(blocks, dtype=grad.dtype, device=grad.device)[:, None]
        stepped = torch.complex(sums[..., 2, :], sums[..., 3, :]) + starts * plain
        grad_w = (2 * v.transpose(0, 1) * (stepped * back).sum(dim=2)).sum(dim=1).conj().resolve_conj()
    return grad_v, grad_w
