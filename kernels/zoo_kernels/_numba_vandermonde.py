"""The Vandermonde product compiled by numba for the CPU: a channel and an exponent at a time.

Requirements it meets:

- two exponentials for each exponent: all further powers are products, each of two that are there, so that their errors
  do not add up; with l = J i + j the powers at hand are J + L / J, and the inner loop is two multiplications a step;
- everything between input and output is float64: no phase loses digits, however long the kernel is;
- nothing of the size channels x exponents x steps is ever written.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo_kernels._numba import Array, jit
from zoo_kernels._threads import over_ranges

_STEPS = 64  # J: its tables and sums stay in the first-level cache
_SMALLEST = 1 << 14  # powers for which a second thread is worth waking


@jit()
def _powers(base: complex, real: Array, imag: Array) -> None:
    """1, base, base^2, ... as real and imaginary parts."""
    count = real.shape[0]
    real[0], imag[0] = 1.0, 0.0
    known, factor = 1, base
    while known < count:
        for i in range(min(known, count - known)):
            product = complex(real[i], imag[i]) * factor
            real[known + i], imag[known + i] = product.real, product.imag
        known *= 2
        factor = factor * factor


@jit(fastmath={"contract"})
def _add_four(real: Array, imag: Array, n: int, fine_real: Array, fine_imag: Array, total: Array) -> None:
    """Add four exponents' steps at a time: the sums are read and written a quarter as often."""
    r0, r1, r2, r3 = real[n], real[n + 1], real[n + 2], real[n + 3]
    i0, i1, i2, i3 = imag[n], imag[n + 1], imag[n + 2], imag[n + 3]
    for j in range(total.shape[0]):
        even = (r0 * fine_real[n, j] - i0 * fine_imag[n, j]) + (r2 * fine_real[n + 2, j] - i2 * fine_imag[n + 2, j])
        odd = (r1 * fine_real[n + 1, j] - i1 * fine_imag[n + 1, j]) + (
            r3 * fine_real[n + 3, j] - i3 * fine_imag[n + 3, j]
        )
        total[j] += even + odd


# A sum over steps may be taken in any order: that makes it vector instructions.
@jit(fastmath={"contract", "reassoc", "nsz"})
def _project(grad: Array, fine_real: Array, fine_imag: Array, steps: Array, sums: Array) -> None:
    real, imag, later_real, later_imag = 0.0, 0.0, 0.0, 0.0
    for j in range(fine_real.shape[0]):
        along_real, along_imag = grad[j] * fine_real[j], grad[j] * fine_imag[j]
        real += along_real
        imag += along_imag
        later_real += along_real * steps[j]
        later_imag += along_imag * steps[j]
    sums[0], sums[1], sums[2], sums[3] = real, imag, later_real, later_imag


@jit()
def _forward(v: Array, w: Array, out: Array, size: int, start: int, stop: int) -> None:
    count, _, length = out.shape
    poles = w.shape[1]
    padded = (poles + 3) // 4 * 4  # those that are not there have factors of 0
    blocks = (length + size - 1) // size
    fine_real, fine_imag = np.zeros((padded, size)), np.zeros((padded, size))
    coarse_real, coarse_imag = np.empty((poles, blocks)), np.empty((poles, blocks))
    real, imag, total = np.zeros(padded), np.zeros(padded), np.empty(size)
    for h in range(start, stop):
        for n in range(poles):
            exponent = complex(w[h, n])
            _powers(np.exp(exponent), fine_real[n], fine_imag[n])
            _powers(np.exp(exponent * size), coarse_real[n], coarse_imag[n])
        for m in range(count):
            for i in range(blocks):
                for n in range(poles):
                    c = 2.0 * complex(v[m, h, n]) * complex(coarse_real[n, i], coarse_imag[n, i])
                    real[n], imag[n] = c.real, c.imag
                total[:] = 0.0
                for n in range(0, padded, 4):
                    _add_four(real, imag, n, fine_real, fine_imag, total)
                for j in range(min(size, length - i * size)):
                    out[m, h, i * size + j] = total[j]


@jit()
def _backward(v: Array, w: Array, grad: Array, grad_v: Array, grad_w: Array, size: int, start: int, stop: int) -> None:
    count, _, length = grad.shape
    blocks = (length + size - 1) // size
    need_v, need_w = grad_v.shape[0] > 0, grad_w.shape[0] > 0
    fine_real, fine_imag, steps = np.empty(size), np.empty(size), np.arange(size) * 1.0
    coarse_real, coarse_imag = np.empty(blocks), np.empty(blocks)
    incoming, sums = np.zeros((count, blocks, size)), np.empty(4)
    for h in range(start, stop):
        for m in range(count):
            for i in range(blocks):
                for j in range(min(size, length - i * size)):
                    incoming[m, i, j] = grad[m, h, i * size + j]
        for n in range(w.shape[1]):
            exponent = complex(w[h, n])
            _powers(np.exp(exponent), fine_real, fine_imag)
            _powers(np.exp(exponent * size), coarse_real, coarse_imag)
            moved = 0j
            for m in range(count):
                plain, stepped = 0j, 0j
                for i in range(blocks):
                    _project(incoming[m, i], fine_real, fine_imag, steps, sums)
                    c = complex(coarse_real[i], coarse_imag[i])
                    here = c * complex(sums[0], sums[1])
                    plain += here
                    stepped += c * complex(sums[2], sums[3]) + (i * size) * here
                if need_v:
                    grad_v[m, h, n] = (2.0 * plain).conjugate()
                moved += complex(v[m, h, n]) * stepped
            if need_w:
                grad_w[h, n] = (2.0 * moved).conjugate()


def forward(v: Tensor, w: Tensor, length: int) -> Tensor:
    """Add up the exponentials; arguments and result as in `_torch_vandermonde.forward`."""
    channels, poles = w.shape
    out = v.real.new_empty(v.shape[0], channels, length)
    arrays = (v.numpy(), w.numpy(), out.numpy(), min(_STEPS, length))
    smallest = max(1, _SMALLEST // (poles * length))
    over_ranges(lambda start, stop: _forward(*arrays, start, stop), channels, smallest=smallest)
    return out


def backward(v: Tensor, w: Tensor, grad: Tensor, need_v: bool, need_w: bool) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of a real loss; arguments and results as in `_torch_vandermonde.backward`."""
    length = grad.shape[-1]
    grad_v = torch.empty_like(v) if need_v else v.new_empty(0, *v.shape[1:])
    grad_w = torch.empty_like(w) if need_w else w.new_empty(0, w.shape[1])
    arrays = (v.numpy(), w.numpy(), grad.numpy(), grad_v.numpy(), grad_w.numpy(), min(_STEPS, length))
    smallest = max(1, _SMALLEST // (w.shape[1] * length))
    over_ranges(lambda start, stop: _backward(*arrays, start, stop), w.shape[0], smallest=smallest)
    return grad_v if need_v else None, grad_w if need_w else None
