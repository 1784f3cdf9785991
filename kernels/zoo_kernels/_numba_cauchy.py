"""The Cauchy sum compiled by numba for the CPU: a channel and a block of nodes at a time.

Requirements it meets:

- a pole's fractions at a block of nodes are formed once, in buffers that stay in the first-level cache, and serve all
  numerators: nothing of the size channels x poles x nodes is ever written;
- everything between input and output is float64, so that the result is as good as its input and output allow, and
  neither large nor small nodes overflow when the denominator is squared;
- one formula for all nodes: with the real form below, imaginary ones would save nothing.

The algebra is that of `_torch_cauchy`: a term is `Re(v) A + Im(v) B` with A = p + q, B = i (p - q), p = 1 / (z - w) and
q = 1 / (z - conj(w)).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo_kernels._numba import Array, jit
from zoo_kernels._threads import over_ranges

_BLOCK = 256  # nodes: with four numerators the buffers of a block take 32 kB
_SMALLEST = 1 << 14  # fractions for which a second thread is worth waking


@jit(fastmath={"contract"})
def _fractions(zr: Array, zi: Array, a: float, b: float, size: int, terms: Array) -> None:
    """A and B (rows 0..3: real, imaginary), and 1 / ((z - w)(z - conj(w))) (rows 4, 5), at a block of nodes."""
    for f in range(size):
        x, y = zr[f] - a, zi[f]
        real = x * x - (y - b) * (y + b)
        imag = 2.0 * x * y
        scale = 1.0 / (real * real + imag * imag)
        er, ei = real * scale, -imag * scale
        terms[0, f] = 2.0 * (x * er - y * ei)
        terms[1, f] = 2.0 * (x * ei + y * er)
        terms[2, f] = -2.0 * b * er
        terms[3, f] = -2.0 * b * ei
        terms[4, f] = er
        terms[5, f] = ei


@jit(fastmath={"contract"})
def _add(vr: float, vi: float, terms: Array, size: int, real: Array, imag: Array) -> None:
    for f in range(size):
        real[f] += vr * terms[0, f] + vi * terms[2, f]
        imag[f] += vr * terms[1, f] + vi * terms[3, f]


@jit(fastmath={"contract"})
def _slopes(terms: Array, size: int, slopes: Array) -> None:
    """p^2 + q^2 = A^2 - 2 p q, and i (p^2 - q^2) = A B."""
    for f in range(size):
        ar, ai, br, bi = terms[0, f], terms[1, f], terms[2, f], terms[3, f]
        slopes[0, f] = ar * ar - ai * ai - 2.0 * terms[4, f]
        slopes[1, f] = 2.0 * ar * ai - 2.0 * terms[5, f]
        slopes[2, f] = ar * br - ai * bi
        slopes[3, f] = ar * bi + ai * br


# A sum over nodes may be taken in any order: that makes it vector instructions.
@jit(fastmath={"contract", "reassoc", "nsz"})
def _project(real: Array, imag: Array, terms: Array, size: int, sums: Array) -> None:
    first, second = 0.0, 0.0
    for f in range(size):
        first += real[f] * terms[0, f] + imag[f] * terms[1, f]
        second += real[f] * terms[2, f] + imag[f] * terms[3, f]
    sums[0], sums[1] = first, second


@jit()
def _forward(v: Array, zr: Array, zi: Array, w: Array, out: Array, width: int, start: int, stop: int) -> None:
    count, _, poles = v.shape
    nodes = zr.shape[0]
    blocks = (nodes + width - 1) // width
    terms, total = np.empty((6, width)), np.empty((count, 2, width))
    for item in range(start, stop):
        h, first = item // blocks, (item % blocks) * width
        size = min(width, nodes - first)
        total[:] = 0.0
        for n in range(poles):
            _fractions(zr[first:], zi[first:], w[h, n].real, w[h, n].imag, size, terms)
            for m in range(count):
                _add(v[m, h, n].real, v[m, h, n].imag, terms, size, total[m, 0], total[m, 1])
        for m in range(count):
            for f in range(size):
                out[m, h, first + f] = complex(total[m, 0, f], total[m, 1, f])


@jit()
def _backward(
    v: Array,
    zr: Array,
    zi: Array,
    w: Array,
    grad: Array,
    grad_v: Array,
    grad_z: Array,
    grad_w: Array,
    width: int,
    start: int,
    stop: int,
) -> None:
    count, _, poles = v.shape
    nodes = zr.shape[0]
    need_v, need_z, need_w = grad_v.shape[0] > 0, grad_z.shape[0] > 0, grad_w.shape[0] > 0
    terms, slopes = np.empty((6, width)), np.empty((4, width))
    incoming, moved, sums = np.empty((count, 2, width)), np.empty((count, 2, width)), np.empty(2)
    sum_v, sum_w = np.empty((count, poles, 2)), np.empty((poles, 2))
    for h in range(start, stop):
        sum_v[:] = 0.0
        sum_w[:] = 0.0
        for first in range(0, nodes, width):
            size = min(width, nodes - first)
            for m in range(count):
                for f in range(size):
                    incoming[m, 0, f] = grad[m, h, first + f].real
                    incoming[m, 1, f] = grad[m, h, first + f].imag
            moved[:] = 0.0
            for n in range(poles):
                _fractions(zr[first:], zi[first:], w[h, n].real, w[h, n].imag, size, terms)
                if need_v:
                    for m in range(count):
                        _project(incoming[m, 0], incoming[m, 1], terms, size, sums)
                        sum_v[m, n, 0] += sums[0]
                        sum_v[m, n, 1] += sums[1]
                if need_z or need_w:
                    _slopes(terms, size, slopes)
                if need_w:
                    for m in range(count):
                        _project(incoming[m, 0], incoming[m, 1], slopes, size, sums)
                        vr, vi = v[m, h, n].real, v[m, h, n].imag
                        sum_w[n, 0] += vr * sums[0] + vi * sums[1]
                        sum_w[n, 1] += vr * sums[1] - vi * sums[0]
                if need_z:
                    for m in range(count):
                        vr, vi = v[m, h, n].real, v[m, h, n].imag
                        _add(vr, vi, slopes, size, moved[m, 0], moved[m, 1])
            if need_z:
                for m in range(count):
                    for f in range(size):
                        grad_z[first + f] -= complex(incoming[m, 0, f], incoming[m, 1, f]) * complex(
                            moved[m, 0, f], -moved[m, 1, f]
                        )
        if need_v:
            for m in range(count):
                for n in range(poles):
                    grad_v[m, h, n] = complex(sum_v[m, n, 0], sum_v[m, n, 1])
        if need_w:
            for n in range(poles):
                grad_w[h, n] = complex(sum_w[n, 0], sum_w[n, 1])


def _parts(z: Tensor) -> tuple[Array, Array]:
    nodes = z.numpy().astype(np.complex128)
    return np.ascontiguousarray(nodes.real), np.ascontiguousarray(nodes.imag)


def forward(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """Add up the fractions; arguments and result as in `_torch_cauchy.forward`."""
    channels, poles = w.shape
    out = v.new_empty(v.shape[0], channels, z.shape[0])
    width = min(_BLOCK, z.shape[0])
    arrays = (v.numpy(), *_parts(z), w.numpy(), out.numpy(), width)
    items = channels * -(-z.shape[0] // width)
    over_ranges(
        lambda start, stop: _forward(*arrays, start, stop), items, smallest=max(1, _SMALLEST // (poles * width))
    )
    return out


def backward(
    v: Tensor, z: Tensor, w: Tensor, grad: Tensor, need_v: bool, need_z: bool, need_w: bool
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of a real loss; arguments and results as in `_torch_cauchy.backward`."""
    nodes = z.shape[0]
    grad_v = v.new_empty(v.shape if need_v else (0, *v.shape[1:]))
    grad_w = w.new_empty(w.shape if need_w else (0, w.shape[1]))
    arrays = (v.numpy(), *_parts(z), w.numpy(), grad.numpy(), grad_v.numpy())
    partial: list[Array] = []

    def run(start: int, stop: int) -> None:
        grad_z = np.zeros(nodes if need_z else 0, dtype=np.complex128)
        _backward(*arrays, grad_z, grad_w.numpy(), min(_BLOCK, nodes), start, stop)
        partial.append(grad_z)

    over_ranges(run, w.shape[0], smallest=max(1, _SMALLEST // (w.shape[1] * nodes)))
    grad_z = torch.from_numpy(sum(partial)).to(z.dtype) if need_z else None
    return grad_v if need_v else None, grad_z, grad_w if need_w else None
