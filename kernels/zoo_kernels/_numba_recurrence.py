"""The recurrence on the CPU, compiled by numba: a row's steps in one loop, its matrix in the cache. float32 only.

Requirements it meets:

- rows are independent, so that threads share them out and wait for nobody;
- products run over contiguous memory, four columns at a time, so that the sums are read and written a quarter as often;
- exponentials are polynomials over whole vectors: the system's, one number at a time, would take as long as all else.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo_kernels._numba import Array, jit
from zoo_kernels._threads import over_ranges

_WIDTH = 8  # sizes are padded to whole vectors

# numba would take plain Python numbers for float64, and the loops would lose half their width.
_ONE, _TWO, _HALF, _ZERO = (np.float32(x) for x in (1.0, 2.0, 0.5, 0.0))
_LOW, _HIGH = np.float32(-87.0), np.float32(87.0)
_LOG2_E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_C2, _C3, _C4, _C5, _C6 = (np.float32(1 / x) for x in (2, 6, 24, 120, 720))

_FAST = {"contract", "reassoc", "nsz"}


@jit(fastmath=_FAST)
def _exponential(values: Array, scale: Array, bits: Array, count: int) -> None:
    # In place; `bits` is the memory of `scale`, seen as integers. Error under 2e-7 of the result.
    for j in range(count):
        x = min(max(values[j], _LOW), _HIGH)
        whole = np.floor(x * _LOG2_E + _HALF)
        f = (x - whole * _LN2_HIGH) - whole * _LN2_LOW
        values[j] = _ONE + f * (_ONE + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
        bits[j] = (np.int32(whole) + np.int32(127)) << np.int32(23)
    for j in range(count):
        values[j] *= scale[j]


@jit(fastmath=_FAST)
def _add_products(columns: Array, factors: Array, out: Array) -> None:
    # out += factors @ columns, four rows of `columns` at a time; their number is a multiple of four
    for k in range(0, columns.shape[0], 4):
        a, b, c, d = factors[k], factors[k + 1], factors[k + 2], factors[k + 3]
        first, second, third, fourth = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
        for j in range(out.shape[0]):
            out[j] += a * first[j] + b * second[j] + c * third[j] + d * fourth[j]


@jit(fastmath=_FAST)
def _forward(inputs: Array, columns: Array, bias: Array, states: Array, gates: Array, start: int, stop: int) -> None:
    steps, size = states.shape[1], states.shape[2]
    padded = columns.shape[0]
    keep = gates.shape[1] > 0
    state, products = np.zeros(padded, np.float32), np.empty(3 * padded, np.float32)
    both, new = np.zeros(2 * padded, np.float32), np.zeros(padded, np.float32)
    scale = np.empty(2 * padded, np.float32)
    bits = scale.view(np.int32)
    for i in range(start, stop):
        state[:] = _ZERO
        for t in range(steps):
            a = inputs[i, t]
            products[:] = bias
            _add_products(columns, state, products)
            for j in range(size):
                both[j] = -(a[j] + products[j])
                both[padded + j] = -(a[size + j] + products[padded + j])
            _exponential(both, scale, bits, 2 * padded)
            for j in range(2 * padded):
                both[j] = _ONE / (_ONE + both[j])
            for j in range(size):
                new[j] = -_TWO * (a[2 * size + j] + both[j] * products[2 * padded + j])
            _exponential(new, scale, bits, padded)
            for j in range(size):
                n = _TWO / (_ONE + new[j]) - _ONE
                z = both[padded + j]
                new[j] = n
                state[j] = n + z * (state[j] - n)
                states[i, t, j] = state[j]
            if keep:
                kept = gates[i, t]
                for j in range(size):
                    kept[j] = both[j]
                    kept[size + j] = both[padded + j]
                    kept[2 * size + j] = new[j]
                    kept[3 * size + j] = products[2 * padded + j]


@jit(fastmath=_FAST)
def _backward(
    rows: Array,
    states: Array,
    gates: Array,
    grad: Array,
    grad_inputs: Array,
    grad_products: Array,
    start: int,
    stop: int,
) -> None:
    steps, size = states.shape[1], states.shape[2]
    padded = rows.shape[1]
    carried, factors = np.zeros(padded, np.float32), np.zeros(rows.shape[0], np.float32)
    nothing = np.zeros(size, np.float32)
    for i in range(start, stop):
        carried[:] = _ZERO
        for t in range(steps - 1, -1, -1):
            kept, incoming = gates[i, t], grad[i, t]
            before = states[i, t - 1] if t > 0 else nothing
            of_inputs, of_products = grad_inputs[i, t], grad_products[i, t]
            for j in range(size):
                r, z, n, product = kept[j], kept[size + j], kept[2 * size + j], kept[3 * size + j]
                total = incoming[j] + carried[j]
                of_new = total * (_ONE - z) * (_ONE - n * n)
                of_r = of_new * product * r * (_ONE - r)
                of_z = total * (before[j] - n) * z * (_ONE - z)
                of_inputs[j] = of_r
                of_inputs[size + j] = of_z
                of_inputs[2 * size + j] = of_new
                factors[j] = of_r
                factors[size + j] = of_z
                factors[2 * size + j] = of_new * r
                carried[j] = total * z
            for j in range(3 * size):
                of_products[j] = factors[j]
            _add_products(rows, factors, carried)


def _rounded(size: int) -> int:
    return -(-size // _WIDTH) * _WIDTH


def forward(inputs: Tensor, weight: Tensor, bias: Tensor, keep: bool) -> tuple[Tensor, Tensor]:
    """Run the steps; arguments and result as in `_torch_recurrence.forward`, but for the gates' layout."""
    batch, steps, _ = inputs.shape
    size = weight.shape[1]
    padded = _rounded(size)
    columns, biases = torch.zeros(padded, 3, padded), torch.zeros(3, padded)
    columns[:size, :, :size] = weight.view(3, size, size).permute(2, 0, 1)
    biases[:, :size] = bias.view(3, size)
    states = torch.empty(batch, steps, size)
    gates = torch.empty(batch, steps if keep else 0, 4 * size)
    arrays = (
        inputs.contiguous().numpy(),
        columns.view(padded, 3 * padded).numpy(),
        biases.view(-1).numpy(),
        states.numpy(),
        gates.numpy(),
    )
    over_ranges(lambda start, stop: _forward(*arrays, start, stop), batch)
    return states, gates


def backward(weight: Tensor, states: Tensor, gates: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients; arguments and result as in `_torch_recurrence.backward`."""
    batch, steps, size = states.shape
    rows = torch.zeros(-(-3 * size // 4) * 4, _rounded(size))
    rows[: 3 * size, :size] = weight
    grad_inputs, grad_products = torch.empty(batch, steps, 3 * size), torch.empty(batch, steps, 3 * size)
    arrays = (
        rows.numpy(),
        states.contiguous().numpy(),
        gates.numpy(),
        grad.contiguous().numpy(),
        grad_inputs.numpy(),
        grad_products.numpy(),
    )
    over_ranges(lambda start, stop: _backward(*arrays, start, stop), batch)
    return grad_inputs, grad_products
