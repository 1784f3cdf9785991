"""Frequency modulation on the CPU, compiled by numba: a frame's samples of all operators at a time. float32 levels.

Requirements it meets:

- the loops over a frame's samples are vector instructions: sine and cosine are polynomials of float32, after the phase
  has been wrapped in float64;
- frames are independent of each other, but for the levels of their neighbours, so threads share them out;
- the way back computes the sines anew from phases and levels, a frame at a time, in memory that stays in the cache.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zoo_kernels._numba import Array, jit
from zoo_kernels._threads import over_ranges

if TYPE_CHECKING:
    from zoo_kernels.modulation import OperatorGraph

_PER_RADIAN = 0.15915494309189535  # turns
_HALF, _ONE, _TWO, _ZERO = (np.float32(x) for x in (0.5, 1.0, 2.0, 0.0))
_TURN = np.float32(6.283185307179586)
# Taylor series for angles of up to a quarter turn: the next terms are under 6e-8 and 6e-9.
_S3, _S5, _S7, _S9, _S11 = (np.float32(s / f) for s, f in ((-1, 6), (1, 120), (-1, 5040), (1, 362880), (-1, 39916800)))
_C2, _C4, _C6, _C8, _C10, _C12 = (
    np.float32(s / f) for s, f in ((-1, 2), (1, 24), (-1, 720), (1, 40320), (-1, 3628800), (1, 479001600))
)

_SMALLEST = 1 << 13  # samples for which a second thread is worth waking


@jit(fastmath={"contract"})
def _wrapped(phase: Array, multiple: float, turns: Array) -> None:
    per_radian = multiple * _PER_RADIAN
    for n in range(phase.shape[0]):
        x = phase[n] * per_radian
        turns[n] = np.float32(x - np.floor(x + 0.5))


@jit(fastmath={"contract"})
def _sines(turns: Array, sine: Array) -> None:
    for n in range(turns.shape[0]):
        x = turns[n]
        half = np.floor(x * _TWO + _HALF)  # half turns to the nearest zero of the sine
        sign = _ONE - _TWO * (half - _TWO * np.floor(half * _HALF))
        r = (x - half * _HALF) * _TURN
        z = r * r
        sine[n] = sign * (r + r * z * (_S3 + z * (_S5 + z * (_S7 + z * (_S9 + z * _S11)))))


@jit(fastmath={"contract"})
def _sines_and_cosines(turns: Array, sine: Array, cosine: Array) -> None:
    for n in range(turns.shape[0]):
        x = turns[n]
        half = np.floor(x * _TWO + _HALF)
        sign = _ONE - _TWO * (half - _TWO * np.floor(half * _HALF))
        r = (x - half * _HALF) * _TURN
        z = r * r
        sine[n] = sign * (r + r * z * (_S3 + z * (_S5 + z * (_S7 + z * (_S9 + z * _S11)))))
        cosine[n] = sign * (_ONE + z * (_C2 + z * (_C4 + z * (_C6 + z * (_C8 + z * (_C10 + z * _C12))))))


@jit(fastmath={"contract"})
def _interpolate(levels: Array, frame: int, operator: int, weights: Array, out: Array) -> None:
    last = levels.shape[0] - 1
    before, now, after = (
        levels[max(frame - 1, 0), operator],
        levels[frame, operator],
        levels[min(frame + 1, last), operator],
    )
    for n in range(out.shape[0]):
        out[n] = weights[0, n] * before + weights[1, n] * now + weights[2, n] * after


@jit(fastmath={"contract"})
def _set_turns(
    phases: Array, frame: int, number: int, tones: Array, multiples: Array, edges: Array, outputs: Array, turns: Array
) -> None:
    hop = turns.shape[0]
    _wrapped(phases[tones[number], frame * hop : (frame + 1) * hop], multiples[number], turns)
    for modulator in range(edges.shape[1]):
        if edges[number, modulator] != 0:
            times, added = np.float32(edges[number, modulator]), outputs[modulator]
            for n in range(hop):
                turns[n] += times * added[n]


@jit(fastmath={"contract"})
def _forward(
    phases: Array,
    levels: Array,
    weights: Array,
    order: Array,
    tones: Array,
    multiples: Array,
    edges: Array,
    heard: Array,
    audio: Array,
    start: int,
    stop: int,
) -> None:
    frames, operators, hop = levels.shape[1], levels.shape[2], weights.shape[1]
    outputs, turns = np.empty((operators, hop), np.float32), np.empty(hop, np.float32)
    level, sine = np.empty(hop, np.float32), np.empty(hop, np.float32)
    for i in range(start, stop):
        row, frame = i // frames, i % frames
        total = audio[row, frame * hop : (frame + 1) * hop]
        total[:] = _ZERO
        for number in order:
            _set_turns(phases[row], frame, number, tones, multiples, edges, outputs, turns)
            _sines(turns, sine)
            _interpolate(levels[row], frame, number, weights, level)
            times, output = np.float32(heard[number]), outputs[number]
            for n in range(hop):
                output[n] = level[n] * sine[n]
                total[n] += times * output[n]


@jit(fastmath={"contract", "reassoc", "nsz"})
def _shares(grad: Array, weights: Array, out: Array) -> None:
    before, now, after = _ZERO, _ZERO, _ZERO
    for n in range(grad.shape[0]):
        before += weights[0, n] * grad[n]
        now += weights[1, n] * grad[n]
        after += weights[2, n] * grad[n]
    out[0], out[1], out[2] = before, now, after


@jit(fastmath={"contract"})
def _backward(
    phases: Array,
    levels: Array,
    weights: Array,
    order: Array,
    tones: Array,
    multiples: Array,
    edges: Array,
    heard: Array,
    grad: Array,
    grad_phases: Array,
    shares: Array,
    start: int,
    stop: int,
) -> None:
    frames, operators, hop = levels.shape[1], levels.shape[2], weights.shape[1]
    shape = (operators, hop)
    outputs, sines, cosines = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)
    at_samples, incoming = np.empty(shape, np.float32), np.empty(shape, np.float32)
    turns, of_turns, of_level = np.empty(hop, np.float32), np.empty(hop, np.float32), np.empty(hop, np.float32)
    with_phases = grad_phases.shape[0] > 0
    for i in range(start, stop):
        row, frame = i // frames, i % frames
        total = grad[row, frame * hop : (frame + 1) * hop]
        if with_phases:
            grad_phases[row, :, frame * hop : (frame + 1) * hop] = 0.0
        for number in order:
            _set_turns(phases[row], frame, number, tones, multiples, edges, outputs, turns)
            _sines_and_cosines(turns, sines[number], cosines[number])
            _interpolate(levels[row], frame, number, weights, at_samples[number])
            times = np.float32(heard[number])
            for n in range(hop):
                outputs[number, n] = at_samples[number, n] * sines[number, n]
                incoming[number, n] = times * total[n]
        for place in range(operators - 1, -1, -1):
            number = order[place]
            for n in range(hop):
                of_level[n] = incoming[number, n] * sines[number, n]
                of_turns[n] = incoming[number, n] * at_samples[number, n] * cosines[number, n] * _TURN
            _shares(of_level, weights, shares[row, frame, number])
            for modulator in range(operators):
                if edges[number, modulator] != 0:
                    times, before = np.float32(edges[number, modulator]), incoming[modulator]
                    for n in range(hop):
                        before[n] += times * of_turns[n]
            if with_phases:
                into, factor = grad_phases[row, tones[number]], multiples[number] * _PER_RADIAN
                for n in range(hop):
                    into[frame * hop + n] += of_turns[n] * factor


def _tables(graph: OperatorGraph) -> tuple[Array, ...]:
    operators = len(graph.modulators)
    edges, heard = np.zeros((operators, operators), np.int64), np.zeros(operators, np.int64)
    for number, modulators in enumerate(graph.modulators):
        for modulator in modulators:
            edges[number, modulator] += 1
    for number in graph.carriers:
        heard[number] += 1
    order, tones = np.array(graph.order, np.int64), np.array(graph.phases, np.int64)
    return order, tones, np.array(graph.multiples, np.float64), edges, heard


def _inputs(phases: Tensor, levels: Tensor, graph: OperatorGraph, hop: int) -> list[Any]:
    from zoo_kernels.modulation import interpolation

    arrays = (phases.double(), levels, interpolation(hop, like=levels))
    return [*(array.contiguous().numpy() for array in arrays), *_tables(graph)]


def forward(phases: Tensor, levels: Tensor, graph: OperatorGraph, hop: int) -> Tensor:
    """Sum the carriers; arguments and result as in `_torch_modulation.forward`, levels in float32."""
    batch, frames, _ = levels.shape
    audio = torch.empty(batch, frames * hop)
    arrays = [*_inputs(phases, levels, graph, hop), audio.numpy()]
    over_ranges(partial(_forward, *arrays), batch * frames, smallest=max(1, _SMALLEST // hop))
    return audio


def backward(
    phases: Tensor, levels: Tensor, graph: OperatorGraph, hop: int, grad: Tensor, need_phases: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients; arguments and result as in `_torch_modulation.backward`, levels in float32."""
    batch, frames, operators = levels.shape
    grad_phases = torch.empty(phases.shape if need_phases else (0, 1, 1), dtype=torch.float64)
    shares = torch.empty(batch, frames, operators, 3)
    arrays = [*_inputs(phases, levels, graph, hop), grad.contiguous().numpy(), grad_phases.numpy(), shares.numpy()]
    over_ranges(partial(_backward, *arrays), batch * frames, smallest=max(1, _SMALLEST // hop))
    before, now, after = shares.unbind(dim=-1)
    # A frame's share in its neighbours goes to them; at the ends a frame is its own neighbour.
    grad_levels = now.clone()
    grad_levels[:, :-1] += before[:, 1:]
    grad_levels[:, 0] += before[:, 0]
    grad_levels[:, 1:] += after[:, :-1]
    grad_levels[:, -1] += after[:, -1]
    return grad_phases.to(phases.dtype) if need_phases else None, grad_levels
