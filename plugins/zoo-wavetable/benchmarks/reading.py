"""What reading the wavetables costs, forward and backward, against two plain ways of writing it.

    python plugins/zoo-wavetable/benchmarks/reading.py
    python plugins/zoo-wavetable/benchmarks/reading.py --batch 4 --repeats 3

"lookup" is the formula of the paper as it stands: each table is read at each sample, with linear interpolation, and
then the tables are mixed; it aliases. "sines" is the exact wave as plain torch: the harmonics under Nyquist of each
frame's mixture, a sine and a cosine each. "harmonic_noise" is not the same wave: it is zoo's other synth's pitched
part, 100 harmonics, for comparison. Times are medians, taken in turns; each one's memory is what a process of its own
needed above its inputs. The alias is the strongest of what should not be there in a saw of 1907 Hz, at constant
controls and relative to its fundamental.
"""

from __future__ import annotations

import argparse
import math
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from zoo_kernels import harmonic_oscillators
from zoo_wavetable.reading import read_tables, sounding_harmonics
from zoo_wavetable.tables import initial_tables, table_harmonics

from zoo.synths import fundamental_phase

RATE, HOP, TABLES, SIZE = 16000, 64, 20, 512


def ours(f0_hz: Tensor, tables: Tensor, weights: Tensor) -> Tensor:
    """As the synth does it."""
    harmonics = table_harmonics(tables)
    active = sounding_harmonics(f0_hz, harmonics=harmonics.shape[-1], sample_rate=RATE)
    phase = fundamental_phase(f0_hz, sample_rate=RATE, hop=HOP)
    return read_tables(phase, harmonics[..., : int(active.max())], weights, hop=HOP, active=active)


def lookup(f0_hz: Tensor, tables: Tensor, weights: Tensor) -> Tensor:
    """Each table at each sample, with linear interpolation; then the mixture."""
    place = (fundamental_phase(f0_hz, sample_rate=RATE, hop=HOP) / (2 * math.pi) % 1) * SIZE
    left = place.floor().long() % SIZE
    share = (place - place.floor()).float()[..., None]
    rows = tables.T
    read = rows[left] * (1 - share) + rows[(left + 1) % SIZE] * share
    return (read * weights.repeat_interleave(HOP, dim=1)).sum(-1)


def sines(f0_hz: Tensor, tables: Tensor, weights: Tensor) -> Tensor:
    """Each harmonic under Nyquist at each sample, in plain torch."""
    harmonics = table_harmonics(tables)
    active = sounding_harmonics(f0_hz, harmonics=harmonics.shape[-1], sample_rate=RATE)
    harmonics = harmonics[..., : int(active.max())]
    number = torch.arange(1, harmonics.shape[-1] + 1)
    sounding = number <= active[..., None]
    sines, cosines = (weights @ part * sounding for part in harmonics)
    angle = (fundamental_phase(f0_hz, sample_rate=RATE, hop=HOP)[..., None] * number).float()
    waves = cosines.repeat_interleave(HOP, 1) * angle.cos() + sines.repeat_interleave(HOP, 1) * angle.sin()
    return waves.sum(-1)


def harmonic_noise(f0_hz: Tensor, tables: Tensor, weights: Tensor) -> Tensor:
    """The harmonic oscillators, of zoo, driven by anything of the right shape."""
    amplitudes = weights.repeat(1, 1, 100 // TABLES) * tables.sum()
    active = sounding_harmonics(f0_hz, harmonics=100, sample_rate=RATE)
    phase = fundamental_phase(f0_hz, sample_rate=RATE, hop=HOP)
    return harmonic_oscillators(phase, amplitudes, hop=HOP, active=active)


WAYS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "ours": ours,
    "lookup": lookup,
    "sines": sines,
    "harmonic_noise": harmonic_noise,
}


def problem(batch: int, seconds: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """f0 of 200 to 500 Hz, tables, weights, and an incoming gradient."""
    torch.manual_seed(0)
    frames = round(seconds * RATE / HOP)
    f0_hz = 200 + 300 * torch.rand(batch, 1) + 5 * torch.rand(batch, frames)
    weights = torch.softmax(torch.randn(batch, frames, TABLES), -1).requires_grad_()
    return f0_hz, initial_tables(TABLES, SIZE).requires_grad_(), weights, torch.randn(batch, frames * HOP)


def clock(way: str, inputs: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[float, float]:
    """Milliseconds of forward and of backward."""
    f0_hz, tables, weights, incoming = inputs
    tables.grad = weights.grad = None
    start = time.perf_counter()
    audio = WAYS[way](f0_hz, tables, weights)
    middle = time.perf_counter()
    audio.backward(incoming)
    return 1e3 * (middle - start), 1e3 * (time.perf_counter() - middle)


def peak_mb() -> float:
    """The most memory that this process has held (Linux keeps that; a child's count begins anew)."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else math.nan


def memory_of(way: str, arguments: argparse.Namespace) -> float:
    """MB that a fresh process needs for forward and backward, above a tiny problem's."""
    found = []
    for batch, seconds in ((1, 0.1), (arguments.batch, arguments.seconds)):
        command = [sys.executable, __file__, "--batch", str(batch), "--seconds", str(seconds), "--only", way]
        command += ["--threads", str(arguments.threads)]
        found.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return found[1] - found[0]


def alias_db(way: str) -> float:
    """The strongest line that a saw does not have, relative to its fundamental."""
    f0_hz = torch.full((1, 250), 1907.0, dtype=torch.float64)
    saw = (1 - 2 * torch.arange(SIZE, dtype=torch.float64) / SIZE).float()
    audio = WAYS[way](f0_hz, saw.repeat(TABLES, 1), torch.full((1, 250, TABLES), 1 / TABLES))[0].double()
    window = torch.special.modified_bessel_i0(
        20 * (1 - torch.linspace(-1, 1, len(audio), dtype=torch.float64) ** 2).sqrt()
    )
    level = (torch.fft.rfft(audio * window).abs()).clamp(min=1e-30)
    bins = torch.arange(len(level))  # one a Hz: the clip is a second
    near = ((bins[:, None] - 1907 * torch.arange(1, 5)).abs() <= 20).any(-1)
    return 20 * math.log10(level[~near & (bins > 20)].max() / level.max())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", choices=WAYS, help="run this way once and print the process's peak memory in MB")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    inputs = problem(arguments.batch, arguments.seconds)
    if arguments.only:
        clock(arguments.only, inputs)
        print(peak_mb())
        return
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for repeat in range(arguments.repeats + 1):
        for way in WAYS:
            taken = clock(way, inputs)
            if repeat:
                times[way].append(taken)
    print("way             forward ms  backward ms  memory MB  alias dB")
    for way, taken in times.items():
        forward, backward = (statistics.median(part) for part in zip(*taken, strict=True))
        alias = "" if way == "harmonic_noise" else f"{alias_db(way):8.0f}"
        print(f"{way:14s}  {forward:10.0f}  {backward:11.0f}  {memory_of(way, arguments):9.0f}  {alias}")


if __name__ == "__main__":
    main()
