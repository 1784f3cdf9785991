"""Time the harmonic oscillators against a bank of sines with autograd.

    python benchmarks/oscillators.py
    python benchmarks/oscillators.py --threads 1 --csv > oscillators.csv

Both run in turns in one process, so that a busy machine disturbs both: read the ratios rather than the milliseconds.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import torch
import zoo_kernels
from torch import Tensor
from zoo_kernels import reference

RATE = 16000


def sine_bank(phase: Tensor, amplitudes: Tensor, hop: int) -> Tensor:
    """The textbook version: every harmonic of every sample at once."""
    numbers = torch.arange(1, amplitudes.shape[-1] + 1, dtype=phase.dtype)
    return (amplitudes.repeat_interleave(hop, dim=1) * torch.sin(phase[..., None] * numbers)).sum(dim=-1)


def timed(run: Callable[[], object]) -> float:
    """Milliseconds of one run."""
    start = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - start)


def measure(bank: Callable[[Tensor, Tensor], Tensor], phase: Tensor, amplitudes: Tensor) -> tuple[float, float]:
    """Milliseconds of the forward pass (of a training step: the graph is built) and of the backward pass."""
    phase, amplitudes = phase.clone().requires_grad_(), amplitudes.clone().requires_grad_()
    out: list[Tensor] = []
    forward = timed(lambda: out.append(bank(phase, amplitudes)))
    gradient = torch.ones_like(out[0])
    backward = timed(lambda: torch.autograd.grad(out[0], (phase, amplitudes), gradient))
    return forward, backward


def error_db(found: Tensor, expected: Tensor) -> float:
    """Signal-to-error ratio in dB."""
    return float(10 * torch.log10(expected.square().sum() / (expected - found.double()).square().sum()))


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table, or CSV."""
    parser = argparse.ArgumentParser(description="Time the harmonic oscillators against a bank of sines with autograd.")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--hop", type=int, default=64)
    parser.add_argument("--harmonics", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--csv", action="store_true", help="comma-separated values instead of a table")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    hop, frames = options.hop, int(options.seconds * RATE) // options.hop
    f0_hz = (200 + 300 * torch.rand(options.batch, 1, dtype=torch.float64)).expand(-1, frames * hop)
    running = torch.cumsum(2 * math.pi * f0_hz / RATE, dim=1)
    phase = torch.remainder(running + math.pi, 2 * math.pi) - math.pi
    every = torch.rand(options.batch, frames, options.harmonics)
    active = (RATE / 2 / f0_hz[:, ::hop]).ceil().long() - 1
    below = every * (torch.arange(1, options.harmonics + 1) <= active[..., None])

    def kernel(backend: str, limit: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda p, a: zoo_kernels.harmonic_oscillators(p, a, hop=hop, active=limit, backend=backend)

    cases: list[tuple[str, Callable[[Tensor, Tensor], Tensor], Tensor, Tensor]] = [
        ("sine bank, float32", lambda p, a: sine_bank(p, a, hop), running.float(), below)
    ]
    for backend, state in zoo_kernels.backends()["harmonic_oscillators"].items():
        if state != "ok":
            print(f"{backend} does not work here: {state}", file=sys.stderr)
            continue
        cases.append((f"{backend}, zeros above Nyquist", kernel(backend, None), phase, below))
        cases.append((f"{backend}, active given", kernel(backend, active), phase, below))
        cases.append((f"{backend}, all harmonics", kernel(backend, None), phase, every))

    times: dict[str, list[tuple[float, float]]] = {name: [] for name, *_ in cases}
    for _ in range(options.repeats + 1):
        for name, bank, angles, amplitudes in cases:
            times[name].append(measure(bank, angles, amplitudes))
    expected = {id(below): reference.harmonic_oscillators(phase[:2], below[:2], hop=hop)}
    expected[id(every)] = reference.harmonic_oscillators(phase[:2], every[:2], hop=hop)

    plain: tuple[float, float] | None = None
    header = ("version", "forward_ms", "backward_ms", "forward_ratio", "backward_ratio", "signal_to_error_db")
    print(",".join(header) if options.csv else f"{header[0]:32}" + "".join(f"{name:>20}" for name in header[1:]))
    for name, bank, angles, amplitudes in cases:
        forward, backward = (statistics.median(column) for column in zip(*times[name][1:], strict=True))
        plain = plain or (forward, backward)
        accuracy = error_db(bank(angles[:2], amplitudes[:2]) if "active" not in name else
                            zoo_kernels.harmonic_oscillators(angles[:2], amplitudes[:2], hop=hop, active=active[:2]),
                            expected[id(amplitudes)])  # fmt: skip
        row = (forward, backward, plain[0] / forward, plain[1] / backward, accuracy)
        if options.csv:
            print(f'"{name}",' + ",".join(f"{value:.2f}" for value in row))
        else:
            print(f"{name:32}" + "".join(f"{value:20.1f}" for value in row))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
