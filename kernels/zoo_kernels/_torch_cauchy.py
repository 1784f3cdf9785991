"""The Cauchy sum in plain torch, for any device: one batched product of real matrices.

With p = 1 / (z - w) and q = 1 / (z - conj(w)) a term is `Re(v) A + Im(v) B`, where A = p + q and B = i (p - q): linear
in the real numbers Re(v) and Im(v). So all terms of a channel are one real product `[M, 2N] x [2N, 2F]`, whose right
side all M numerators share. The backward pass forms that side again rather than keep it: it is the large one, and is
made for a few channels at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo_kernels._threads import over_blocks

# Real numbers in one array of a block: on a CPU what its caches hold, elsewhere 64 MB for the four arrays of float32.
_BLOCK_CPU, _BLOCK = 1 << 15, 1 << 22


def _over_channels(block: Callable[[slice, slice], None], channels: int, poles: int, nodes: int, on_cpu: bool) -> None:
    """Call `block` for ranges of channels, and of nodes where one channel is too large by itself."""
    limit = _BLOCK_CPU if on_cpu else _BLOCK
    step = max(1, limit // (poles * nodes))
    width = nodes if step > 1 else max(1, min(nodes, limit // poles))

    def all_nodes(part: slice) -> None:
        for node in range(0, nodes, width):
            block(part, slice(node, min(node + width, nodes)))

    over_blocks(all_nodes, channels, step=step, on_cpu=on_cpu)


def _reciprocal(z: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Re(z - w), `[h, N, F]` or `[h, N, 1]`; and real and imaginary part of 1 / ((z - w)(z - conj(w))), `[h, N, F]`.

    The product is formed from differences: its expanded form z^2 - 2 Re(w) z + |w|^2 loses 2e-5 in float32.
    """
    a, b, y = w.real[..., None], w.imag[..., None], z.imag
    # On a GPU the answer would have to be waited for.
    imaginary = z.device.type == "cpu" and bool((z.real == 0).all())
    x = -a if imaginary else z.real - a
    real = x * x - (y - b) * (y + b)
    imag = 2 * x * y
    # Divided by the larger part before they are squared: neither overflows nor vanishes for |z| from 1e-18 to 1e18.
    largest = torch.maximum(real.abs(), imag.abs())
    real, imag = real / largest, imag / largest
    scale = (real * real).addcmul_(imag, imag).mul_(largest).reciprocal_()
    return x, real.mul_(scale), imag.mul_(scale).neg_()


def _terms(z: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A above B, each as real parts beside imaginary parts: `[h, 2N, 2F]`; and the reciprocal's two parts."""
    x, real, imag = _reciprocal(z, w)
    poles, nodes = real.shape[1:]
    terms = real.new_empty(real.shape[0], 2 * poles, 2 * nodes)
    y, minus_twice_b = z.imag, -2 * w.imag[..., None]
    torch.mul(x * real - y * imag, 2, out=terms[:, :poles, :nodes])
    torch.mul(x * imag + y * real, 2, out=terms[:, :poles, nodes:])
    torch.mul(real, minus_twice_b, out=terms[:, poles:, :nodes])
    torch.mul(imag, minus_twice_b, out=terms[:, poles:, nodes:])
    return terms, real, imag


def _slopes(terms: Tensor, real: Tensor, imag: Tensor) -> Tensor:
    """p^2 + q^2 = A^2 - 2 p q and i (p^2 - q^2) = A B, laid out like the terms."""
    poles, nodes = real.shape[1:]
    a_real, a_imag = terms[:, :poles, :nodes], terms[:, :poles, nodes:]
    b_real, b_imag = terms[:, poles:, :nodes], terms[:, poles:, nodes:]
    slopes = torch.empty_like(terms)
    torch.sub(a_real * a_real - a_imag * a_imag, real, alpha=2, out=slopes[:, :poles, :nodes])
    torch.sub(2 * a_real * a_imag, imag, alpha=2, out=slopes[:, :poles, nodes:])
    torch.sub(a_real * b_real, a_imag * b_imag, out=slopes[:, poles:, :nodes])
    torch.add(a_real * b_imag, a_imag * b_real, out=slopes[:, poles:, nodes:])
    return slopes


def _side_by_side(x: Tensor) -> Tensor:
    """Complex `[M, h, K]` to real `[h, M, 2K]`."""
    return torch.cat([x.real, x.imag], dim=-1).transpose(0, 1)


def forward(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """Add up the fractions.

    Args:
        v: `[M, H, N]` complex.
        z: `[F]` complex.
        w: `[H, N]` complex.

    Returns:
        `[M, H, F]` complex.
    """
    out = v.new_empty(*v.shape[:2], z.shape[0])

    def block(channels: slice, nodes: slice) -> None:
        terms, _, _ = _terms(z[nodes], w[channels])
        half = terms.shape[-1] // 2
        sums = torch.bmm(_side_by_side(v[:, channels]), terms).transpose(0, 1)
        out[:, channels, nodes] = torch.complex(sums[..., :half], sums[..., half:])

    _over_channels(block, w.shape[0], w.shape[1], z.shape[0], v.device.type == "cpu")
    return out


def backward(
    v: Tensor, z: Tensor, w: Tensor, grad: Tensor, need_v: bool, need_z: bool, need_w: bool
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of a real loss for the three arguments; `grad` is `[M, H, F]`, the others as in `forward`."""
    poles = w.shape[1]
    grad_v, grad_w = torch.zeros_like(v), torch.zeros_like(w)
    partial: list[tuple[slice, Tensor]] = []

    def block(channels: slice, nodes: slice) -> None:
        terms, real, imag = _terms(z[nodes], w[channels])
        incoming = _side_by_side(grad[:, channels, nodes])
        if need_v:
            sums = torch.bmm(incoming, terms.transpose(1, 2)).transpose(0, 1)
            grad_v[:, channels] += torch.complex(sums[..., :poles], sums[..., poles:])
        if not (need_w or need_z):
            return
        slopes = _slopes(terms, real, imag)
        numerators = v[:, channels]
        if need_w:
            sums = torch.bmm(incoming, slopes.transpose(1, 2)).transpose(0, 1)
            # Real and imaginary part of w move a term by Re(v) A' + Im(v) B' and by Re(v) B' - Im(v) A'.
            along_a, along_b = sums[..., :poles], sums[..., poles:]
            grad_w[channels] += torch.complex(
                (numerators.real * along_a + numerators.imag * along_b).sum(dim=0),
                (numerators.real * along_b - numerators.imag * along_a).sum(dim=0),
            )
        if need_z:
            half = slopes.shape[-1] // 2
            moved = torch.bmm(_side_by_side(numerators), slopes)
            moved = torch.complex(moved[..., :half], moved[..., half:])
            partial.append((nodes, (grad[:, channels, nodes].transpose(0, 1) * moved.conj()).sum(dim=(0, 1))))

    _over_channels(block, w.shape[0], w.shape[1], z.shape[0], v.device.type == "cpu")
    grad_z = None
    if need_z:
        grad_z = torch.zeros_like(z)
        for nodes, part in partial:
            grad_z[nodes] -= part
    return grad_v if need_v else None, grad_z, grad_w if need_w else None
