"""Harmonic oscillators compiled by numba for the CPU, frame by frame.

Requirements it meets:

- inside a frame the amplitudes are constant, so the harmonics are summed by Clenshaw's recurrence: one multiplication
  and two additions a sample and harmonic, no sine but the fundamental's;
- sine and cosine are polynomials, so that the loops over samples become vector instructions everywhere;
- everything between input and output is float64: the recurrence loses digits near multiples of pi, and float32 has
  none to lose;
- the compiled functions stand at module level, as numba's disk cache forgets closures from process to process; this
  module, and numba with it, is imported when the first call needs it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo_kernels._numba import Array, jit
from zoo_kernels._threads import over_ranges

# pi / 2 in three parts: the first two have 30 bits each, so that a multiple of them is exact up to 2**23 quarter turns.
_HIGH, _MIDDLE, _LOW = 1.570796325802803, 9.920935791635221e-10, 5.170182981794105e-19
_PER_QUARTER = 0.6366197723675814
_FAR = 1.3e7  # a phase of 2**23 quarter turns
# Taylor series: on a quarter turn centred on 0 their next terms are under 1e-16.
_S3, _S5, _S7, _S9, _S11, _S13, _S15 = (s / f for s, f in (
    (-1.0, 6.0), (1.0, 120.0), (-1.0, 5040.0), (1.0, 362880.0),
    (-1.0, 39916800.0), (1.0, 6227020800.0), (-1.0, 1307674368000.0),
))  # fmt: skip
_C2, _C4, _C6, _C8, _C10, _C12, _C14, _C16 = (s / f for s, f in (
    (-1.0, 2.0), (1.0, 24.0), (-1.0, 720.0), (1.0, 40320.0), (-1.0, 3628800.0),
    (1.0, 479001600.0), (-1.0, 87178291200.0), (1.0, 20922789888000.0),
))  # fmt: skip

_SMALLEST = 1 << 14  # samples for which a second thread is worth waking


# "contract" lets a * b + c be one instruction and nothing more: reordering would undo the split of pi / 2.
@jit(fastmath={"contract"})
def _sine_cosine(phase: Array, sine: Array, twice_cosine: Array) -> None:
    far = 0
    for n in range(phase.shape[0]):
        x = phase[n]
        far |= np.int64(abs(x) > _FAR)
        quarter = np.floor(x * _PER_QUARTER + 0.5)
        r = ((x - quarter * _HIGH) - quarter * _MIDDLE) - quarter * _LOW
        z = r * r
        s = r + r * z * (_S3 + z * (_S5 + z * (_S7 + z * (_S9 + z * (_S11 + z * (_S13 + z * _S15))))))
        c = 1.0 + z * (_C2 + z * (_C4 + z * (_C6 + z * (_C8 + z * (_C10 + z * (_C12 + z * (_C14 + z * _C16)))))))
        turn = quarter - 4.0 * np.floor(quarter * 0.25)  # 0, 1, 2 or 3
        odd = (turn == 1.0) | (turn == 3.0)
        s, c = (c, s) if odd else (s, c)
        sine[n] = -s if turn >= 2.0 else s
        twice_cosine[n] = -2.0 * c if (turn == 1.0) | (turn == 2.0) else 2.0 * c
    if far:  # never wrapped, for hours: the slow functions take any number
        for n in range(phase.shape[0]):
            sine[n] = np.sin(phase[n])
            twice_cosine[n] = 2.0 * np.cos(phase[n])


@jit(fastmath={"contract"})
def _clenshaw(coefficients: Array, count: int, twice_cosine: Array, first: Array, second: Array) -> None:
    hop = twice_cosine.shape[0]
    for n in range(hop):
        first[n] = 0.0
        second[n] = 0.0
    k = count
    while k % 4 != 0:
        k -= 1
        a = coefficients[k]
        for n in range(hop):
            new = (a - second[n]) + twice_cosine[n] * first[n]
            second[n] = first[n]
            first[n] = new
    while k > 0:  # four harmonics at a time: the buffers are read and written a quarter as often
        k -= 4
        a0, a1, a2, a3 = coefficients[k], coefficients[k + 1], coefficients[k + 2], coefficients[k + 3]
        for n in range(hop):
            c = twice_cosine[n]
            f = first[n]
            t3 = (a3 - second[n]) + c * f
            t2 = (a2 - f) + c * t3
            t1 = (a1 - t3) + c * t2
            first[n] = (a0 - t2) + c * t1
            second[n] = t1


# The sums over a frame's samples may be taken in any order: that makes them vector instructions.
@jit(fastmath={"contract", "reassoc", "nsz"})
def _project(count: int, twice_cosine: Array, before: Array, now: Array, sums: Array) -> None:
    hop = twice_cosine.shape[0]
    k = 0
    while k + 4 <= count:
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for n in range(hop):
            c = twice_cosine[n]
            y0 = now[n]
            y1 = c * y0 - before[n]
            y2 = c * y1 - y0
            y3 = c * y2 - y1
            s0 += y0
            s1 += y1
            s2 += y2
            s3 += y3
            now[n] = c * y3 - y2
            before[n] = y3
        sums[k], sums[k + 1], sums[k + 2], sums[k + 3] = s0, s1, s2, s3
        k += 4
    while k < count:
        s0 = 0.0
        for n in range(hop):
            y0 = now[n]
            s0 += y0
            now[n] = twice_cosine[n] * y0 - before[n]
            before[n] = y0
        sums[k] = s0
        k += 1


@jit()
def _last_nonzero(row: Array, count: int) -> int:
    while count > 0 and row[count - 1] == 0:
        count -= 1
    return count


@jit()
def _forward(phase: Array, amplitudes: Array, active: Array, out: Array, start: int, stop: int) -> None:
    hop, harmonics = phase.shape[1], amplitudes.shape[1]
    sine, twice_cosine = np.empty(hop), np.empty(hop)
    first, second, coefficients = np.empty(hop), np.empty(hop), np.empty(harmonics)
    for i in range(start, stop):
        count = _last_nonzero(amplitudes[i], max(0, min(harmonics, active[i % active.shape[0]])))
        if count == 0:
            out[i, :] = 0
            continue
        _sine_cosine(phase[i], sine, twice_cosine)
        for k in range(count):
            coefficients[k] = amplitudes[i, k]
        _clenshaw(coefficients, count, twice_cosine, first, second)
        for n in range(hop):
            out[i, n] = first[n] * sine[n]


@jit()
def _backward(
    phase: Array,
    amplitudes: Array,
    active: Array,
    grad: Array,
    grad_phase: Array,
    grad_amplitudes: Array,
    start: int,
    stop: int,
) -> None:
    hop, harmonics = phase.shape[1], amplitudes.shape[1]
    sine, twice_cosine = np.empty(hop), np.empty(hop)
    first, second, slopes, sums = np.empty(hop), np.empty(hop), np.empty(harmonics), np.empty(harmonics)
    for i in range(start, stop):
        limit = max(0, min(harmonics, active[i % active.shape[0]]))
        _sine_cosine(phase[i], sine, twice_cosine)
        if grad_phase.shape[0] > 0:
            count = _last_nonzero(amplitudes[i], limit)
            for k in range(count):
                slopes[k] = amplitudes[i, k] * (k + 1.0)
            _clenshaw(slopes, count, twice_cosine, first, second)
            for n in range(hop):
                grad_phase[i, n] = grad[i, n] * (0.5 * twice_cosine[n] * first[n] - second[n])
        if grad_amplitudes.shape[0] > 0:
            # The recurrence is linear: started with grad * sin(phase) it gives grad * sin(k * phase).
            for n in range(hop):
                first[n] = 0.0
                second[n] = grad[i, n] * sine[n]
            _project(limit, twice_cosine, first, second, sums)
            for k in range(limit):
                grad_amplitudes[i, k] = sums[k]
            for k in range(limit, harmonics):
                grad_amplitudes[i, k] = 0


def _counts(active: Tensor | None, harmonics: int) -> Array:
    if active is None:  # one number for all frames: the kernels count their rows round and round
        return np.full(1, harmonics, dtype=np.int64)
    counts: Array = active.contiguous().numpy()
    return counts


def forward(phase: Tensor, amplitudes: Tensor, active: Tensor | None) -> Tensor:
    """Sum the harmonics; arguments and result as in `_torch_oscillators.forward`."""
    out = torch.empty(phase.shape, dtype=amplitudes.dtype)
    arrays = (
        phase.detach().double().contiguous().numpy(),
        amplitudes.detach().contiguous().numpy(),
        _counts(active, amplitudes.shape[1]),
        out.numpy(),
    )
    frames, hop = phase.shape
    over_ranges(lambda start, stop: _forward(*arrays, start, stop), frames, smallest=max(1, _SMALLEST // max(1, hop)))
    return out


def backward(
    phase: Tensor, amplitudes: Tensor, active: Tensor | None, grad: Tensor, need_phase: bool, need_amplitudes: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of the sum; arguments and result as in `_torch_oscillators.backward`."""
    frames, hop = phase.shape
    grad_phase = torch.empty(phase.shape if need_phase else (0, hop), dtype=torch.float64)
    grad_amplitudes = torch.empty(
        amplitudes.shape if need_amplitudes else (0, amplitudes.shape[1]), dtype=amplitudes.dtype
    )
    arrays = (
        phase.detach().double().contiguous().numpy(),
        amplitudes.detach().contiguous().numpy(),
        _counts(active, amplitudes.shape[1]),
        grad.detach().to(amplitudes.dtype).contiguous().numpy(),
        grad_phase.numpy(),
        grad_amplitudes.numpy(),
    )
    over_ranges(lambda start, stop: _backward(*arrays, start, stop), frames, smallest=max(1, _SMALLEST // max(1, hop)))
    return grad_phase.to(phase.dtype) if need_phase else None, grad_amplitudes if need_amplitudes else None
