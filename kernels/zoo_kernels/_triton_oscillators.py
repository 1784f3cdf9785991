"""Harmonic oscillators on a GPU, written in Triton.

Requirements it meets:

- no recurrence over the harmonics: a GPU has the arithmetic for one sine a harmonic, nothing has to wait for the
  harmonic before it, and no digits are lost near multiples of pi, where a recurrence in float32 loses them;
- float64 only where it is needed, as consumer GPUs have one float64 unit for 64 of float32: the phase of a sample is
  turned once into a 32-bit fraction of a turn (five float64 operations, exact to 7e-10 rad). Integers wrap as angles
  do, so k times this fraction is the k-th harmonic's angle, exact to k * 7e-10 rad without any range reduction, and
  everything after it is float32. float64 amplitudes ask for more: for them everything is float64;
- a program takes one frame (several where frames are short), the loops stop at its last active harmonic, and nothing
  waits for the device, so that calls can be captured in a CUDA graph;
- NaN in a captured graph, where nobody can look for it, stays NaN.

Triton is imported with this module, when the first call on a GPU needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_TURNS_PER_RADIAN = tl.constexpr(0.15915494309189535)
_WHOLE_TURN = tl.constexpr(4294967296.0)  # 2**32
_HALF_TURN = tl.constexpr(-2147483648)  # plus or minus: the same angle, and the same 32 bits
_QUARTER_TURN = tl.constexpr(1073741824)
_PER_QUARTER_TURN = tl.constexpr(9.313225746154785e-10)  # 2**-30
# The odd polynomial nearest to sin(pi / 2 * y) on [-1, 1]: its relative error is 5e-9, a tenth of float32's.
_S1 = tl.constexpr(1.5707963184305354)
_S3 = tl.constexpr(-0.6459637103858868)
_S5 = tl.constexpr(0.07968967821140636)
_S7 = tl.constexpr(-0.004673765661723837)
_S9 = tl.constexpr(0.00015148471837798244)

_TILE = 128  # samples in a program of the sums over harmonics: four for each thread of one warp
_CHUNK, _GROUP = 64, 16  # samples at a time, and harmonics in a program, of the sums over samples


_jit: Callable[[Callable[..., Any]], Any] = triton.jit  # Triton ships no types


@_jit
def _fraction_of_turn(phase: tl.tensor) -> tl.tensor:
    """Radians to an int32, where 2**32 is a whole turn."""
    turns = phase.to(tl.float64) * _TURNS_PER_RADIAN
    turns -= tl.floor(turns)
    return (turns * _WHOLE_TURN + 0.5).to(tl.int64).to(tl.int32)


@_jit
def _sine(fraction: tl.tensor) -> tl.tensor:
    """The sine of an int32 fraction of a turn, in float32."""
    outer = (fraction ^ (fraction << 1)) < 0  # in the second or third quarter: mirrored at a quarter turn
    y = tl.where(outer, _HALF_TURN - fraction, fraction).to(tl.float32) * _PER_QUARTER_TURN
    z = y * y
    return y * (_S1 + z * (_S3 + z * (_S5 + z * (_S7 + z * _S9))))


# Loops are written with `while`: the interpreter of Triton 3.6, in which the tests run, cannot count with numpy 2.4.


@_jit
def _sum_harmonics(
    phase_pointer: tl.tensor,
    amplitude_pointer: tl.tensor,
    active_pointer: tl.tensor,
    grad_pointer: tl.tensor,
    out_pointer: tl.tensor,
    frames: tl.tensor,
    hop: tl.tensor,
    harmonics: tl.tensor,
    slope: tl.constexpr,
    limited: tl.constexpr,
    double: tl.constexpr,
    rows: tl.constexpr,
    samples: tl.constexpr,
) -> None:
    """The sum over harmonics of each sample; with `slope` its derivative by the phase, times the incoming gradient."""
    row = tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows)
    sample = tl.program_id(1) * samples + tl.arange(0, samples)
    real = row < frames
    inside = real[:, None] & (sample < hop)[None, :]
    at = row[:, None] * hop + sample[None, :]
    phase = tl.load(phase_pointer + at, mask=inside, other=0.0)
    count = tl.full([rows], harmonics, tl.int64)
    if limited:
        count = tl.minimum(count, tl.load(active_pointer + row, mask=real, other=0))
    last = tl.max(count, axis=0).to(tl.int32)
    angle = phase.to(tl.float64) if double else _fraction_of_turn(phase)
    total = phase.to(tl.float64 if double else tl.float32) * 0.0  # zeros; NaN where the phase is not finite
    k = 1
    while k <= last:
        used = tl.load(amplitude_pointer + row * harmonics + (k - 1), mask=real & (k <= count), other=0.0)[:, None]
        if slope:
            wave = tl.cos(angle * k) if double else _sine(angle * k + _QUARTER_TURN)
            total += used * k * wave
        else:
            wave = tl.sin(angle * k) if double else _sine(angle * k)
            total += used * wave
        k += 1
    if slope:
        total *= tl.load(grad_pointer + at, mask=inside, other=0.0)
    tl.store(out_pointer + at, total.to(out_pointer.dtype.element_ty), mask=inside)


@_jit
def _sum_samples(
    phase_pointer: tl.tensor,
    active_pointer: tl.tensor,
    grad_pointer: tl.tensor,
    out_pointer: tl.tensor,
    hop: tl.tensor,
    harmonics: tl.tensor,
    limited: tl.constexpr,
    double: tl.constexpr,
    samples: tl.constexpr,
    group: tl.constexpr,
) -> None:
    """The gradient of a frame's amplitudes: sums over its samples of the incoming gradient times each sine."""
    row = tl.program_id(0).to(tl.int64)
    before = tl.program_id(1) * group  # harmonics of other programs
    k = before + 1 + tl.arange(0, group)
    count = harmonics
    if limited:
        count = tl.minimum(tl.load(active_pointer + row), harmonics).to(tl.int32)
    work = tl.float64 if double else tl.float32
    total = tl.zeros([group], work)
    length = tl.where(before < count, hop, 0)  # with inactive harmonics alone there is nothing to add up
    first = 0
    while first < length:
        sample = first + tl.arange(0, samples)
        inside = sample < hop
        phase = tl.load(phase_pointer + row * hop + sample, mask=inside, other=0.0)
        grad = tl.load(grad_pointer + row * hop + sample, mask=inside, other=0.0)
        grad += phase.to(work) * 0.0  # NaN where the phase is not finite
        angle = phase.to(tl.float64) if double else _fraction_of_turn(phase)
        angles = angle[None, :] * k[:, None]
        wave = tl.sin(angles) if double else _sine(angles)
        total += tl.sum(grad[None, :] * wave, axis=1)
        first += samples
    total = tl.where(k <= count, total, 0.0)
    tl.store(out_pointer + row * harmonics + k - 1, total.to(out_pointer.dtype.element_ty), mask=k <= harmonics)


def _run_sum_harmonics(phase: Tensor, amplitudes: Tensor, active: Tensor | None, grad: Tensor | None) -> Tensor:
    frames, hop = phase.shape
    out = torch.empty(phase.shape, dtype=amplitudes.dtype if grad is None else phase.dtype, device=phase.device)
    samples = min(_TILE, triton.next_power_of_2(hop))
    rows = _TILE // samples
    with torch.cuda.device_of(phase):  # type: ignore[no-untyped-call] # torch does not annotate it
        _sum_harmonics[(triton.cdiv(frames, rows), triton.cdiv(hop, samples))](
            phase.contiguous(),
            amplitudes.contiguous(),
            # What is not there is never read: any pointer will do.
            amplitudes if active is None else active.contiguous(),
            phase if grad is None else grad.contiguous(),
            out,
            frames,
            hop,
            amplitudes.shape[1],
            slope=grad is not None,
            limited=active is not None,
            double=amplitudes.dtype == torch.float64,
            rows=rows,
            samples=samples,
            num_warps=1,
        )
    return out


def _run_sum_samples(phase: Tensor, amplitudes: Tensor, active: Tensor | None, grad: Tensor) -> Tensor:
    frames, hop = phase.shape
    harmonics = amplitudes.shape[1]
    out = torch.empty_like(amplitudes, memory_format=torch.contiguous_format)
    with torch.cuda.device_of(phase):  # type: ignore[no-untyped-call] # torch does not annotate it
        _sum_samples[(frames, triton.cdiv(harmonics, _GROUP))](
            phase.contiguous(),
            phase if active is None else active.contiguous(),
            grad.contiguous(),
            out,
            hop,
            harmonics,
            limited=active is not None,
            double=amplitudes.dtype == torch.float64,
            samples=min(_CHUNK, triton.next_power_of_2(hop)),
            group=_GROUP,
            num_warps=2,
        )
    return out


def forward(phase: Tensor, amplitudes: Tensor, active: Tensor | None) -> Tensor:
    """Sum the harmonics; arguments and result as in `_torch_oscillators.forward`."""
    return _run_sum_harmonics(phase, amplitudes, active, None)


def backward(
    phase: Tensor, amplitudes: Tensor, active: Tensor | None, grad: Tensor, need_phase: bool, need_amplitudes: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of the sum; arguments and result as in `_torch_oscillators.backward`."""
    return (
        _run_sum_harmonics(phase, amplitudes, active, grad) if need_phase else None,
        _run_sum_samples(phase, amplitudes, active, grad) if need_amplitudes else None,
    )
