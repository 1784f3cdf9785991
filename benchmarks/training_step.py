"""How long a training step takes, and which part of it.

    python benchmarks/training_step.py gru-S tcn-S
    python benchmarks/training_step.py s4-L --compare --steps 3

Medians over a few steps, on random features, for 16 segments of 4 s at 16 kHz unless told otherwise. With `--teacher`
the step is a distillation step: the teacher's stored controls are played, and its audio is a second target. With
`--compare` the step is also taken in two other forms, each in a process of its own, in turns, three times:

direct sums     S4's Cauchy sums written out over all poles and their conjugates, with autograd; all else as in zoo
textbook        the same; convolution as one FFT with autograd, torch's dropout and linear layers, the system's memory
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.decoders import blocks, s4, state_space
from zoo.losses.distillation import Loss, OutputAudio, Reconstruction, compute
from zoo.models.creating import create
from zoo.models.rendering import Rendering
from zoo.training.fit import keep_freed_memory

FORMS = ("zoo", "direct sums", "textbook")


def direct_cauchy(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """The textbook sum: every pole and its conjugate at every node, in complex64, with autograd."""
    v, w = torch.cat([v, v.conj()], dim=-1), torch.cat([w, w.conj()], dim=-1)
    return (v[..., None] / (z - w[..., None])).sum(dim=-2)


def plain_convolution(u: Tensor, kernel: Tensor) -> Tensor:
    """The textbook convolution: all channels at once, with autograd."""
    size = 2 * u.shape[-1]
    return torch.fft.irfft(torch.fft.rfft(u, size) * torch.fft.rfft(kernel, size), size)[..., : u.shape[-1]]


def take_form(form: str) -> None:
    """Put the parts of a form in the place of zoo's own, in this process."""
    if form != "textbook":
        keep_freed_memory()  # as training does
    if form != "zoo":
        s4.cauchy = direct_cauchy  # type: ignore[assignment] # no backend to choose
    if form == "textbook":
        state_space.causal_convolution = plain_convolution
        # The same but for their speed.
        state_space.Dropout = torch.nn.Dropout  # type: ignore[assignment,misc]
        state_space.Linear = blocks.Linear = torch.nn.Linear  # type: ignore[assignment,misc]


def measure(name: str, *, teacher: str | None, batch_size: int, seconds: float, steps: int) -> dict[str, float]:
    """Median seconds of each part of a step."""
    torch.manual_seed(0)
    student = create(name)
    teacher_model = create(teacher).eval().requires_grad_(False) if teacher else None
    frames = round(seconds * student.sample_rate / student.hop)
    # A melody of long notes: what an oscillator bank costs depends on how many harmonics lie below Nyquist.
    notes = 200 + 300 * torch.rand(batch_size, -(-frames // 125))
    batch = {
        "f0_hz": notes.repeat_interleave(125, dim=1)[:, :frames],
        "loudness_db": -60 + 50 * torch.rand(batch_size, frames),
        "audio": 0.2 * torch.randn(batch_size, frames * student.hop),
        "valid_frames": torch.full((batch_size,), frames),
    }
    losses: list[Loss] = (
        [Reconstruction()] if teacher_model is None else [Reconstruction(weight=0.5), OutputAudio(weight=0.5)]
    )
    for loss in losses:
        loss.bind(student, teacher_model)
    optimizer = torch.optim.AdamW(
        [*student.decoder.param_groups(), {"params": list(student.synth.parameters())}], lr=1e-3
    )
    controls = None
    if teacher_model is not None:
        with torch.no_grad():
            controls = teacher_model(batch["f0_hz"], batch["loudness_db"]).controls
    times: dict[str, list[float]] = {}

    def clock(part: str, since: float) -> float:
        now = time.perf_counter()
        times.setdefault(part, []).append(now - since)
        return now

    for _ in range(steps + 2):
        began = since = time.perf_counter()
        target = None
        if teacher_model is not None and controls is not None:
            with torch.no_grad():
                played = teacher_model.synth(batch["f0_hz"], controls)
            target = Rendering(played.audio, played.dry, None, None, controls, played.audio)
            since = clock("teacher", since)
        rendering = student(batch["f0_hz"], batch["loudness_db"])
        since = clock("forward", since)
        total = compute(losses, rendering, target, batch).total
        since = clock("loss", since)
        total.backward()
        since = clock("backward", since)
        torch.nn.utils.clip_grad_norm_(student.parameters(), 3.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        clock("optimizer", since)
        clock("step", began)
    return {part: statistics.median(values[2:]) for part, values in times.items()}  # two steps warm up


def compare(arguments: Sequence[str], name: str, rounds: int = 3) -> None:
    """Take a model's step in each form, in turns; print medians and ratios."""
    found: dict[str, list[float]] = {form: [] for form in FORMS}
    for _ in range(rounds):
        for form in FORMS:
            command = [sys.executable, __file__, name, "--form", form, "--json", *arguments]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[form].append(json.loads(done.stdout)["step"])
    own = statistics.median(found["zoo"])
    for form, values in found.items():
        middle = statistics.median(values)
        each = " ".join(f"{value:.2f}" for value in values)
        print(f"{name}, {form}: {middle:.2f} s ({each}), {middle / own:.2f} times zoo's")


def main() -> None:
    """Measure the models that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["gru-S", "tcn-S"], help="architectures (default: gru-S tcn-S)")
    parser.add_argument("--teacher", help="an architecture to distil from, e.g. gru-L")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a segment")
    parser.add_argument("--steps", type=int, default=7, help="to take the median of")
    parser.add_argument("--form", choices=FORMS, default="zoo", help="how a step is taken")
    parser.add_argument("--compare", action="store_true", help="take it in every form, in turns")
    parser.add_argument("--json", action="store_true", help="the last model's seconds, for programs")
    options = parser.parse_args()
    sizes = ["--batch-size", str(options.batch_size), "--seconds", str(options.seconds), "--steps", str(options.steps)]
    if not options.json:
        print(
            f"{torch.get_num_threads()} threads, {options.batch_size} x {options.seconds:g} s, "
            f"medians of {options.steps}"
        )
    if options.compare:
        for name in options.models:
            compare(sizes + (["--teacher", options.teacher] if options.teacher else []), name)
        return
    take_form(options.form)
    for name in options.models:
        parts = measure(
            name,
            teacher=options.teacher,
            batch_size=options.batch_size,
            seconds=options.seconds,
            steps=options.steps,
        )
        if options.json:
            print(json.dumps(parts))
        else:
            print(f"{name}: " + ", ".join(f"{part} {1000 * value:.0f} ms" for part, value in parts.items()))


if __name__ == "__main__":
    main()
