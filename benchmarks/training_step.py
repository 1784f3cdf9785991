"""How long a training step takes, and which part of it.

    python benchmarks/training_step.py gru-S tcn-S
    python benchmarks/training_step.py s4-L --direct-cauchy --steps 3

Medians over a few steps, on random features, for 16 segments of 4 s at 16 kHz unless told otherwise. With `--teacher`
the step is a distillation step: the teacher's stored controls are played, and its audio is a second target. With
`--direct-cauchy` each step is also taken with S4's Cauchy sums written out over all poles and their conjugates, in
turns with the other, and the ratio is given.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from zoo_kernels import cauchy

from zoo.decoders import s4
from zoo.losses.distillation import Loss, OutputAudio, Reconstruction, compute
from zoo.model import Rendering, create
from zoo.training.memory import keep_freed_memory


def direct_cauchy(v: torch.Tensor, z: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """The textbook sum: every pole and its conjugate at every node, in complex64, with autograd."""
    v, w = torch.cat([v, v.conj()], dim=-1), torch.cat([w, w.conj()], dim=-1)
    return (v[..., None] / (z - w[..., None])).sum(dim=-2)


def measure(
    name: str, *, teacher: str | None, batch_size: int, seconds: float, steps: int, direct: bool = False
) -> dict[str, float]:
    """Median seconds of each part of a step; with `direct` also of a step with S4's sums written out."""
    torch.manual_seed(0)
    student = create(name)
    master = create(teacher).eval().requires_grad_(False) if teacher else None
    frames = round(seconds * student.sample_rate / student.hop)
    # A melody of long notes: what an oscillator bank costs depends on how many harmonics lie below Nyquist.
    notes = 200 + 300 * torch.rand(batch_size, -(-frames // 125))
    batch = {
        "f0_hz": notes.repeat_interleave(125, dim=1)[:, :frames],
        "loudness_db": -60 + 50 * torch.rand(batch_size, frames),
        "audio": 0.2 * torch.randn(batch_size, frames * student.hop),
        "valid_frames": torch.full((batch_size,), frames),
    }
    losses: list[Loss] = [Reconstruction()] if master is None else [Reconstruction(weight=0.5), OutputAudio(weight=0.5)]
    for loss in losses:
        loss.bind(student, master)
    optimizer = torch.optim.AdamW(
        [*student.decoder.param_groups(), {"params": list(student.synth.parameters())}], lr=1e-3
    )
    controls = None
    if master is not None:
        with torch.no_grad():
            controls = master(batch["f0_hz"], batch["loudness_db"]).controls
    times: dict[str, list[float]] = {}

    def clock(part: str, since: float) -> float:
        now = time.perf_counter()
        times.setdefault(part, []).append(now - since)
        return now

    for turn in range((steps + 2) * (2 if direct else 1)):
        plain = direct and turn % 2 == 1
        s4.cauchy = direct_cauchy if plain else cauchy  # type: ignore[assignment] # backend= is not needed here
        began = since = time.perf_counter()
        target = None
        if master is not None and controls is not None:
            with torch.no_grad():
                played = master.synth(batch["f0_hz"], controls)
            target = Rendering(played.audio, played.dry, None, None, controls, played.audio)
            since = clock("teacher", since)
        rendering = student(batch["f0_hz"], batch["loudness_db"])
        since = clock("forward with direct sums" if plain else "forward", since)
        total = compute(losses, rendering, target, batch).total
        since = clock("loss", since)
        total.backward()
        since = clock("backward with direct sums" if plain else "backward", since)
        torch.nn.utils.clip_grad_norm_(student.parameters(), 3.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        clock("optimizer", since)
        clock("step with direct sums" if plain else "step", began)
    return {part: statistics.median(values[2:]) for part, values in times.items()}  # two steps warm up


def main() -> None:
    """Measure the models that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["gru-S", "tcn-S"], help="architectures (default: gru-S tcn-S)")
    parser.add_argument("--teacher", help="an architecture to distil from, e.g. gru-L")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a segment")
    parser.add_argument("--direct-cauchy", action="store_true", help="also with S4's Cauchy sums written out, in turns")
    parser.add_argument("--steps", type=int, default=7, help="to take the median of")
    options = parser.parse_args()
    keep_freed_memory()  # as training does
    print(
        f"{torch.get_num_threads()} threads, {options.batch_size} x {options.seconds:g} s, medians of {options.steps}"
    )
    for name in options.models:
        parts = measure(
            name,
            teacher=options.teacher,
            batch_size=options.batch_size,
            seconds=options.seconds,
            steps=options.steps,
            direct=options.direct_cauchy,
        )
        print(f"{name}: " + ", ".join(f"{part} {1000 * value:.0f} ms" for part, value in parts.items()))
        if options.direct_cauchy:
            print(f"{name}: {parts['step with direct sums'] / parts['step']:.2f} times the speed with direct sums")


if __name__ == "__main__":
    main()
