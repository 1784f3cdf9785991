"""Peak memory of one call, measured where nothing else can disturb it.

On a CPU the calls run in another process, and the system is asked for that process's resident memory: it counts what
torch, numpy and compiled loops take alike, and only what they really touch. For it to be exact, glibc is told to return
freed memory at once (a block that is kept for the next call would hide what that call takes). For each version the
process warms up at a small size, makes the inputs, notes its memory, resets the high-water mark (on Linux; elsewhere
the mark since the process's start must do), calls, and reads the mark. The figure holds everything that the call adds
at its highest point, its value and gradients included, and not its inputs.

On CUDA it is torch's own count.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from zoo_kernels.bench.problem import Work
from zoo_kernels.bench.problems import TEXTBOOK, Version, problem

MEGABYTE = 1e6
# glibc: blocks from this size on are mapped by themselves, and unmapped when they are freed.
_RETURN_AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
_MARK = "peak in MB: "  # before each figure, as libraries may print too


def cpu_peaks_mb(versions: Sequence[Version], *, threads: int, quick: bool) -> dict[Version, float | None]:
    """Megabytes that a forward and a backward pass add at their highest point, measured in another process.

    Args:
        versions: What to measure.
        threads: For torch and the compiled loops.
        quick: Small sizes.

    Returns:
        None for a version where it cannot be measured: on Windows, or where the process ran out of memory.
    """
    found: dict[Version, float | None] = {}
    while left := [version for version in versions if version not in found]:
        asked = {"versions": left, "threads": threads, "quick": quick}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "zoo_kernels.bench.memory", json.dumps(asked)],
            capture_output=True,
            text=True,
            env={**os.environ, **_RETURN_AT_ONCE, "OMP_NUM_THREADS": str(threads)},
            check=False,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
        found |= dict(zip(left, (json.loads(line.removeprefix(_MARK)) for line in lines), strict=False))
        if len(lines) < len(left):
            found[left[len(lines)]] = None  # the process died of this one; go on with the others
    return found


def cuda_peak_mb(work: Work) -> float:
    """Megabytes that a forward and a backward pass add at their highest point on the current CUDA device."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work.backward(work.forward())
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / MEGABYTE


def added_peak_mb(call: Callable[[], object]) -> float | None:
    """Megabytes that a call adds to this process at its highest point; None where the system does not tell.

    Trust it in a process started with the environment that `cpu_peak_mb` gives it.
    """
    gc.collect()
    status, refs = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    try:
        refs.write_text("5")  # the high-water mark begins anew
        before = _bytes_of(status, "VmRSS")
        result = call()
        peak = _bytes_of(status, "VmHWM")
    except OSError:
        lowest = _highest_so_far()
        if lowest is None:
            return None
        before, result = lowest, call()
        peak = _highest_so_far() or before
    del result
    return max(0, peak - before) / MEGABYTE


def _bytes_of(status: Path, name: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def _highest_so_far() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024


def _work(kernel: str, backend: str, case: str, *, quick: bool) -> Work:
    asked = problem(kernel, torch.device("cpu"), quick=quick)
    if backend == TEXTBOOK:
        return asked.textbook()
    return asked.work(backend, case if case in asked.cases(quick=quick) else asked.cases(quick=quick)[0])


def main(arguments: Sequence[str]) -> int:
    """What the other process does: measure one version after another."""
    asked = json.loads(arguments[0])
    torch.set_num_threads(asked["threads"])
    for version in asked["versions"]:
        small = _work(*version, quick=True)
        small.backward(small.forward())  # imports, compiles, starts threads
        work = _work(*version, quick=asked["quick"])

        def call(work: Work = work) -> object:
            value = work.forward()
            return value, work.backward(value)

        print(_MARK + json.dumps(added_peak_mb(call)), flush=True)
        del small, work, call
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
