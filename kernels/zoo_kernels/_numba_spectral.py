"""Spectral distances on the CPU: torch's FFT between loops compiled by numba. float32 only.

Requirements it meets:

- no whole spectrogram is ever stored: a few rows at a time are framed, transformed, compared, transformed back and
  overlap-added, in buffers made once a call that stay in the processor's cache;
- everything between two FFTs is one pass: magnitudes, distances and the gradient's spectrum;
- one logarithm a bin: the distance needs |log(x) - log(y)|, which is the logarithm of the larger over the smaller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zoo_kernels._numba import Array, jit
from zoo_kernels._spectral import Plan
from zoo_kernels._threads import over_ranges

# numba would take plain Python numbers for float64, and the loops would lose half their width.
_ZERO, _HALF, _ONE, _TWO = (np.float32(x) for x in (0.0, 0.5, 1.0, 2.0))
_THIRD, _FIFTH, _SEVENTH, _NINTH = (np.float32(1.0 / n) for n in (3, 5, 7, 9))
_LOG_TWO, _ROOT_TWO = np.float32(math.log(2.0)), np.float32(math.sqrt(2.0))


_FAST = {"contract", "reassoc", "nsz"}  # sums in any order; NaN and infinity keep their meaning


@jit(fastmath=_FAST)
def _frame(signal: Array, window: Array, hop: int, counts: Array, frames: Array, start: int, stop: int) -> None:
    length, size = signal.shape[1], window.shape[0]
    half = size // 2
    for i in range(start, stop):
        row, t = i // frames.shape[1], i % frames.shape[1]
        out, source, origin = frames[row, t], signal[row], t * hop - half
        if t >= counts[row]:
            out[:] = _ZERO
        elif origin >= 0 and origin + size <= length:
            inside = source[origin : origin + size]
            for j in range(size):
                out[j] = inside[j] * window[j]
        else:
            for j in range(size):
                n = abs(origin + j)
                n = 2 * (length - 1) - n if n >= length else n
                out[j] = source[n] * window[j]


@jit(fastmath=_FAST)
def _magnitude(spectra: Array, out: Array, start: int, stop: int) -> None:
    for i in range(start, stop):
        row, t = i // spectra.shape[1], i % spectra.shape[1]
        source, target = spectra[row, t], out[row, t]
        for k in range(target.shape[0]):
            target[k] = np.sqrt(source[2 * k] * source[2 * k] + source[2 * k + 1] * source[2 * k + 1])


@jit(fastmath=_FAST)
def _weighted_logarithms(
    ratio: Array, bits: Array, mantissa: Array, mantissa_bits: Array, weights: Array
) -> np.float32:
    # `bits` and `mantissa_bits` are the same memory as `ratio` and `mantissa`, seen as integers.
    for k in range(bits.shape[0]):
        mantissa_bits[k] = (bits[k] & 0x7FFFFF) | 0x3F800000
    total = _ZERO
    for k in range(ratio.shape[0]):
        exponent = np.float32(np.int32(bits[k] >> 23) - np.int32(127))
        m = mantissa[k]
        large = m > _ROOT_TWO
        m = m * _HALF if large else m
        exponent = exponent + _ONE if large else exponent
        s = (m - _ONE) / (m + _ONE)  # log m = 2 atanh s; |s| < 0.172, so the next term is under 1e-9
        z = s * s
        log_m = _TWO * s * (_ONE + z * (_THIRD + z * (_FIFTH + z * (_SEVENTH + z * _NINTH))))
        total += abs(weights[k]) * (exponent * _LOG_TWO + log_m)
    return total


@jit(fastmath=_FAST)
def _compare(
    spectra: Array,
    targets: tuple[Array, ...],
    counts: Array,
    scales: Array,
    mix: Array,
    alpha: float,
    beta: float,
    floor: float,
    gradients: Array,
    sums: Array,
    start: int,
    stop: int,
) -> None:
    bins, outputs = spectra.shape[2] // 2, gradients.shape[0]
    size, ratio, mantissa = np.empty(bins, np.float32), np.empty(bins, np.float32), np.empty(bins, np.float32)
    weights, slopes = np.empty(bins, np.float32), np.empty((outputs, bins), np.float32)
    bits, mantissa_bits = ratio.view(np.int32), mantissa.view(np.int32)
    rise, fall, least = np.float32(alpha), np.float32(-beta), np.float32(floor)
    for i in range(start, stop):
        row, t = i // spectra.shape[1], i % spectra.shape[1]
        if t >= counts[row]:
            sums[:, row, t] = 0.0
            gradients[:, row, t] = _ZERO
            continue
        source = spectra[row, t]
        for k in range(bins):
            size[k] = np.sqrt(source[2 * k] * source[2 * k] + source[2 * k + 1] * source[2 * k + 1])
        slopes[:] = _ZERO
        for m in range(len(targets)):
            target = targets[m][row, t]
            linear = _ZERO
            for k in range(bins):
                x, y = size[k], target[k]
                difference = x - y
                w = rise if difference > _ZERO else (fall if difference < _ZERO else _ZERO)
                weights[k] = w
                linear += w * difference if w != _ZERO else abs(difference) * _ZERO
                larger, smaller = (x, y) if difference > _ZERO else (y, x)
                ratio[k] = (larger + least) / (smaller + least)
            sums[m, row, t] = linear + _weighted_logarithms(ratio, bits, mantissa, mantissa_bits, weights)
            for o in range(outputs):
                share, slope = np.float32(mix[o, m] * scales[row]), slopes[o]
                for k in range(bins):
                    slope[k] += share * weights[k]
        for o in range(outputs):
            slope, out = slopes[o], gradients[o, row, t]
            for k in range(bins):
                x = size[k]
                # Half, as the inverse FFT counts these bins twice. A magnitude of 0 has no direction: 0.
                safe = x if x > _ZERO else _ONE
                g = _HALF * slope[k] * (_ONE + safe + least) / (safe * (safe + least))
                slope[k] = g if x > _ZERO else _ZERO
            for k in range(bins):
                out[2 * k] = slope[k] * source[2 * k]
                out[2 * k + 1] = slope[k] * source[2 * k + 1]
            for k in (0, bins - 1):
                out[2 * k] *= _TWO
                out[2 * k + 1] *= _TWO


@jit(fastmath=_FAST)
def _overlap_add(frames: Array, window: Array, hop: int, counts: Array, out: Array, start: int, stop: int) -> None:
    # frames [outputs, rows, frames, size] -> added to out [outputs, rows, samples]
    size, length = window.shape[0], out.shape[2]
    half = size // 2
    padded = np.empty(length + size, np.float32)
    for i in range(start, stop):
        o, row = i // out.shape[1], i % out.shape[1]
        padded[:] = _ZERO
        for t in range(counts[row]):
            source, target = frames[o, row, t], padded[t * hop : t * hop + size]
            for j in range(size):
                target[j] += source[j] * window[j]
        result = out[o, row]
        for n in range(length):
            result[n] += padded[half + n]
        for n in range(1, half + 1):  # what the reflection at either end took from here
            result[n] += padded[half - n]
            if half + length - 1 + n < padded.shape[0]:
                result[length - 1 - n] += padded[half + length - 1 + n]


_ROWS = 2  # at once in each thread: measured, two rows of some seconds stay in a core's cache


class _Transform:
    """Frames, window and spectra of a few rows, in buffers that one thread uses again and again."""

    def __init__(self, plan: Plan, samples: int, outputs: int = 0) -> None:
        longest = max(plan.frame_count(i, samples) * (size + 2) for i, size in enumerate(plan.fft_sizes))
        self.plan = plan
        self._real = torch.empty(_ROWS * longest)
        self._changes = torch.empty(outputs * _ROWS * longest)

    def __call__(self, i: int, signal: Array, counts: Array) -> tuple[Array, Array]:
        """Transform `[rows, samples]` at size number `i`.

        Returns:
            The window; and the spectra `[rows, frames, bins * 2]`, real and imaginary parts in turn (numba sees that
            layout, and makes vector instructions of it, only where the pairs are no dimension of their own).
        """
        rows, samples = signal.shape
        size, hop, total = self.plan.fft_sizes[i], self.plan.hops[i], self.plan.frame_count(i, samples)
        window = self.plan.window(i, torch.float32, torch.device("cpu")).numpy()
        frames = self._real[: rows * total * size].view(rows, total, size)
        _frame(signal, window, hop, counts, frames.numpy(), 0, rows * total)
        # not into a buffer: torch would make a tensor of its own all the same, and copy it
        spectra = torch.view_as_real(torch.fft.rfft(frames))
        return window, spectra.view(rows, total, size + 2).numpy()

    def changes(self, i: int, outputs: int, rows: int, total: int) -> Tensor:
        """Room for the gradients of spectra, `[outputs, rows, frames, bins * 2]`."""
        shape = (outputs, rows, total, self.plan.fft_sizes[i] + 2)
        return self._changes[: math.prod(shape)].view(shape)


def magnitudes(signal: Tensor, plan: Plan) -> list[Tensor]:
    """Magnitudes of every size, each `[batch, frames, bins]`."""
    source = signal.contiguous().numpy()
    batch, samples = source.shape
    totals = [plan.frame_count(i, samples) for i in range(len(plan.fft_sizes))]
    found = [torch.empty(batch, total, size // 2 + 1) for total, size in zip(totals, plan.fft_sizes, strict=True)]
    arrays = [result.numpy() for result in found]

    def work(start: int, stop: int) -> None:
        transform = _Transform(plan, samples)
        for row in range(start, stop):  # each by itself: the FFT may round otherwise with other rows beside it
            rows = slice(row, row + 1)
            for i, total in enumerate(totals):
                _, spectra = transform(i, source[rows], np.full(1, total))
                _magnitude(spectra, arrays[i][rows], 0, total)

    over_ranges(work, batch, calls_torch=True)
    return found


def distances(
    signal: Tensor,
    targets: Sequence[Sequence[Tensor]],
    plan: Plan,
    counts: Tensor,
    scales: Tensor,
    mix: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """Distances of a signal to several targets, and gradients; arguments and result as in `_torch_spectral`."""
    source = signal.contiguous().numpy()
    batch, samples = source.shape
    outputs = 0 if mix is None else mix.shape[0]
    weights = np.zeros((0, len(targets))) if mix is None else mix.double().numpy()
    counted, scaled = counts.contiguous().numpy(), scales.double().contiguous().numpy()
    compared = [[magnitude.contiguous().numpy() for magnitude in target] for target in targets]
    found = torch.zeros(len(targets), batch, dtype=torch.float64)
    gradients = torch.zeros(outputs, batch, samples)
    # The threads see arrays alone: whether gradients are on, and torch's inference mode, are each thread's own.
    found_array, gradient_array = found.numpy(), gradients.numpy()

    def work(start: int, stop: int) -> None:
        transform = _Transform(plan, samples, outputs)
        for first in range(start, stop, _ROWS):
            rows = slice(first, min(first + _ROWS, stop))
            number = rows.stop - rows.start
            for i, size in enumerate(plan.fft_sizes):
                total, count = plan.frame_count(i, samples), counted[i, rows]
                window, spectra = transform(i, source[rows], count)
                changes = transform.changes(i, outputs, number, total)
                sums = np.empty((len(targets), number, total))
                _compare(
                    spectra,
                    tuple(target[i][rows] for target in compared),
                    count,
                    scaled[i, rows],
                    weights,
                    plan.alpha,
                    plan.beta,
                    plan.floor,
                    changes.numpy(),
                    sums,
                    0,
                    number * total,
                )
                found_array[:, rows] += sums.sum(axis=2) * scaled[i, rows]
                for o in range(outputs):
                    change = torch.view_as_complex(changes[o].view(number, total, size // 2 + 1, 2))
                    pieces = torch.fft.irfft(change, n=size, norm="forward")
                    gradient = gradient_array[o : o + 1, rows]
                    _overlap_add(pieces[None].numpy(), window, plan.hops[i], count, gradient, 0, number)

    over_ranges(work, batch, calls_torch=True)
    return found, None if mix is None else gradients
