"""How the versions of a kernel are timed against each other, and held to the reference."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoo_kernels._backends import OK, TABLE, backends, state
from zoo_kernels.bench.memory import cuda_peak_mb
from zoo_kernels.bench.problem import Problem, Truth, Work
from zoo_kernels.bench.problems import TEXTBOOK, Version, problem, problem_class


@dataclass(frozen=True)
class Row:
    """One line of the result; None where there is nothing to tell.

    Attributes:
        kernel: E.g. "cauchy".
        case: Sizes, or what distinguishes one call of the kernel from another.
        backend: Its name, or "textbook".
        device: "cpu" or "cuda".
        threads: That torch and the compiled loops use.
        forward_ms: Median of the runs, as in training: with the graph that the backward pass needs.
        backward_ms: Likewise; where a kernel gives value and gradient in one pass, what the gradient adds.
        total_ratio: The textbook version's time for both over this one's.
        forward_ratio: Of the forward pass.
        backward_ratio: Of the backward pass.
        peak_mb: What both passes add to the memory at their highest point.
        error: The value's largest error against float64, over the largest value.
        gradient_error: Likewise, of the gradient that is worst.
        db_4s: Signal-to-error ratio of 4 s of audio.
        db_10min: That of the last seconds of ten minutes.
        note: Why there are no figures.
    """

    kernel: str
    case: str
    backend: str
    device: str
    threads: int
    forward_ms: float | None = None
    backward_ms: float | None = None
    total_ratio: float | None = None
    forward_ratio: float | None = None
    backward_ratio: float | None = None
    peak_mb: float | None = None
    error: float | None = None
    gradient_error: float | None = None
    db_4s: float | None = None
    db_10min: float | None = None
    note: str = ""


def versions(kernel: str, device: str, *, quick: bool) -> list[Version]:
    """What is measured of a kernel on a device: the textbook version first, then each backend that works there."""
    cases = problem_class(kernel).cases(quick=quick)
    return [
        (kernel, TEXTBOOK, cases[0]),
        *((kernel, backend, case) for case in cases for backend in _working(kernel, device)),
    ]


def measure(
    kernel: str,
    device: str,
    *,
    threads: int,
    repeats: int,
    quick: bool,
    peaks: Mapping[Version, float | None],
    progress: Callable[[str], None],
) -> Iterator[Row]:
    """Measure all versions of a kernel on a device.

    Args:
        kernel: A key of `zoo_kernels.backends()`.
        device: "cpu" or "cuda".
        threads: For torch and the compiled loops.
        repeats: Runs of each version, in turns; one more before them does not count.
        quick: Small sizes.
        peaks: On the CPU, what `memory.cpu_peaks_mb` found.
        progress: Is told what happens now.

    Yields:
        A row for each of `versions(kernel, device)`.
    """
    torch.set_num_threads(threads)
    asked = problem(kernel, torch.device(device), quick=quick)
    works = {
        (_, backend, case): asked.textbook() if backend == TEXTBOOK else asked.work(backend, case)
        for _, backend, case in versions(kernel, device, quick=quick)
    }
    times = _times(
        works, repeats, lambda i, version: progress(f"{kernel} on {device}: run {i} of {repeats}, {version[1]}")
    )
    truths: dict[str, Truth] = {}
    plain: Row | None = None
    for version, work in works.items():
        _, backend, case = version
        progress(f"{kernel} on {device}: accuracy of {backend}")
        if case not in truths:
            truths[case] = asked.truth(case)
        peak = peaks[version] if device == "cpu" else cuda_peak_mb(work)
        row = _with_times(Row(kernel, case, backend, device, threads, peak_mb=peak), *times[version], plain)
        plain = plain or row
        yield _with_checks(row, asked, work, truths[case])


def not_measured(kernel: str, devices: list[str], threads: int) -> list[Row]:
    """A row with the reason for each backend that works on none of the devices."""
    rows = []
    for backend, found in backends()[kernel].items():
        served = [device for device in devices if backend in _working(kernel, device)]
        if not served:
            serves = TABLE[kernel][backend].devices or ("any device",)
            note = f"serves {' and '.join(serves)}" if found == OK else found
            rows.append(Row(kernel, "", backend, "", threads, note=note))
    return rows


def _working(kernel: str, device: str) -> list[str]:
    table = TABLE[kernel].items()
    serving = [name for name, backend in table if backend.devices is None or device in backend.devices]
    return [name for name in serving if state(kernel, name, device) == OK]


def _times(
    works: dict[Version, Work], repeats: int, progress: Callable[[int, Version], None]
) -> dict[Version, tuple[float, float]]:
    """Medians in milliseconds of forward and backward passes; every run takes all versions in turn."""
    found: dict[Version, list[tuple[float, float]]] = {version: [] for version in works}
    for i in range(repeats + 1):
        for version, work in works.items():
            progress(i, version)
            forward, value = _timed(work.forward)
            backward, gradients = _timed(lambda work=work, value=value: work.backward(value))  # type: ignore[misc] # the default arguments bind the loop's
            del value, gradients
            found[version].append((forward, max(0.0, backward - forward) if work.at_once else backward))
    return {
        version: (statistics.median(run[0] for run in runs[1:]), statistics.median(run[1] for run in runs[1:]))
        for version, runs in found.items()
    }


def _timed(call: Callable[[], object]) -> tuple[float, object]:
    _wait()
    start = time.perf_counter()
    result = call()
    _wait()
    return 1000 * (time.perf_counter() - start), result


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _with_times(row: Row, forward: float, backward: float, plain: Row | None) -> Row:
    row = replace(row, forward_ms=forward, backward_ms=backward)
    plain = plain or row
    return replace(
        row,
        total_ratio=_ratio((plain.forward_ms or 0.0) + (plain.backward_ms or 0.0), forward + backward),
        forward_ratio=_ratio(plain.forward_ms, forward),
        backward_ratio=_ratio(plain.backward_ms, backward),
    )


def _ratio(textbook: float | None, own: float) -> float | None:
    return textbook / own if textbook is not None and own > 0 else None


def _with_checks(row: Row, asked: Problem, work: Work, truth: Truth) -> Row:
    value = work.forward()
    gradients = work.backward(value)
    error = _error(value, truth.value)
    gradient_error = max(_error(*pair) for pair in zip(gradients, truth.gradients, strict=True))
    del value, gradients
    db_4s, db_10min = asked.signal_to_error_db(row.backend, row.case)
    return replace(row, error=error, gradient_error=gradient_error, db_4s=db_4s, db_10min=db_10min)


def _error(found: Tensor, exact: Tensor) -> float:
    """The largest error over the largest value, where there is a truth to compare with."""
    part = found.detach()[tuple(slice(size) for size in exact.shape)].cpu().to(exact.dtype)
    return float((part - exact).abs().max() / exact.abs().max())
