"""A step of distillation, cached, against the same step computed plainly (`plain_step.py`).

    python benchmarks/distill_step.py
    python benchmarks/distill_step.py gru-L:gru-S tcn-L:tcn-S --threads 1 --csv
    python benchmarks/distill_step.py gru-L:ddx7-flute --precision auto

Both take their steps in turns in one process, on segments of 4 s of phrases that zoo makes by rule, with random
weights, half by the recordings and half by the teacher's audio. zoo's step reads the teacher from its cache on disk, as
a run does; making the cache is timed apart. Wall-clock time is what counts; on a busy machine compare the processor's
time with one thread instead.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from plain_step import PlainStep
from torch import Tensor

from zoo import resolve
from zoo.datasets import Preparation, open_dataset, prepare_dataset
from zoo.datasets.segments import Dataset
from zoo.datasets.tones import tones
from zoo.features import FeatureSettings
from zoo.losses.distillation import Loss, OutputAudio, Reconstruction, bind_losses
from zoo.models.creating import create
from zoo.models.loading import load_folder
from zoo.storage import checkpoint
from zoo.training.batches import Stream
from zoo.training.config import OptimizerConfig, resolve_precision
from zoo.training.fit import keep_freed_memory
from zoo.training.task import Task
from zoo.training.teacher import Teacher
from zoo.training.teacher_cache import Part

PAIRS = ("gru-L:gru-S", "tcn-L:tcn-S", "s4-L:s4-S", "gru-L:ddx7-flute")


def make_data(folder: Path) -> Dataset:
    """Forty segments of 4 s."""
    preparation = Preparation(min_seconds=4.0, silence_db=200.0, features=FeatureSettings(tracker="yin"))
    prepare_dataset(tones(phrases=24, seconds=8.0), folder, preparation, dataset="tones", name="tones")
    return open_dataset(folder)


class ZooStep:
    """A step as a run takes it.

    Args:
        teacher: An architecture.
        student: An architecture.
        data: What is trained on.
        batch_size: Segments a step.
        folder: For the teacher's weights.
        precision: As `distill.precision`.
    """

    def __init__(
        self, teacher: str, student: str, data: Dataset, *, batch_size: int, folder: Path, precision: str = "32-true"
    ) -> None:
        torch.manual_seed(0)
        checkpoint.save(create(teacher, instrument="tones"), folder)
        found = resolve.find(str(folder))
        self.teacher = Teacher(load_folder(folder), found=found)
        model = create(student, instrument="tones")
        losses: list[Loss] = [Reconstruction(weight=0.5), OutputAudio(weight=0.5)]
        bind_losses(losses, model, self.teacher.model)
        segments = data.split("train")
        self.stream = Stream(len(segments), batch_size=batch_size, seed=0, start=0, stop=1000)
        begin = time.perf_counter()
        needs = frozenset(need for loss in losses for need in loss.needs)
        parts = [Part("train", segments, range(len(segments)), needs, self.teacher.noise_seeds)]
        self.teacher.use_cache(data, parts, visits=10**9)
        self.filling = (time.perf_counter() - begin) / len(segments)
        self.bfloat16 = resolve_precision(precision, "cpu", model.num_parameters) == "bf16-mixed"
        self.task = Task(model.train(), losses, self.teacher, epoch_of=self.stream.epoch)
        self.optimizer = self.task.optimizer(OptimizerConfig())

    def __call__(self, batch: Mapping[str, Tensor]) -> float:
        """Take the step."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):  # as Lightning does it
            loss, value = self.task(dict(batch))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.task.parameters(), 3.0)
        self.optimizer.step()
        self.task.step += 1
        return value


def measure(pair: str, data: Dataset, *, batch_size: int, steps: int, folder: Path, precision: str) -> dict[str, float]:
    """Median seconds of a step in both forms."""
    teacher, _, student = pair.partition(":")
    own = ZooStep(teacher, student, data, batch_size=batch_size, folder=folder, precision=precision)
    plain = PlainStep(load_folder(folder), create(student, instrument="tones"))
    segments = data.split("train")
    wall: dict[str, list[float]] = {"plain": [], "zoo": []}
    busy: dict[str, list[float]] = {"plain": [], "zoo": []}
    forms: list[tuple[str, Callable[[Mapping[str, Tensor]], float], int]] = [("plain", plain, 1), ("zoo", own, 3)]
    batches = iter(own.stream)
    # The first epochs of a run, in which every rendering of the teacher is new and its spectra are kept.
    for _ in range(-(-own.teacher.noise_seeds * len(segments) // batch_size)):
        own(torch.utils.data.default_collate([segments[i] for i in next(batches)]))
    for _ in range(steps + 1):
        for name, step, times in forms:
            for _ in range(times):
                batch = torch.utils.data.default_collate([segments[i] for i in next(batches)])
                begin, worked = time.perf_counter(), time.process_time()
                step(batch)
                wall[name].append(time.perf_counter() - begin)
                busy[name].append(time.process_time() - worked)
    found = {f"{name} wall": statistics.median(values[1:]) for name, values in wall.items()}
    found |= {f"{name} processor": statistics.median(values[1:]) for name, values in busy.items()}
    return {**found, "cache, a segment": own.filling}


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table, or CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "pairs",
        nargs="*",
        default=PAIRS,
        help="TEACHER:STUDENT, architectures (default: four, of which one needs plugins/zoo-ddx7)",
    )
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument(
        "--steps", type=int, default=3, help="plain ones to take the median of; of zoo's three times so many"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--precision",
        choices=("32-true", "auto", "bf16-mixed"),
        default="32-true",
        help="of zoo's own step; the plain one is float32 as it was written",
    )
    parser.add_argument("--csv", action="store_true", help="comma-separated values instead of a table")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as training does; both forms have it
    columns = ("pair", "plain, s", "zoo, s", "ratio", "plain, CPU s", "zoo, CPU s", "ratio", "cache, s a segment")
    print(",".join(columns) if options.csv else "".join(f"{c:>20}" for c in columns))
    with tempfile.TemporaryDirectory() as home:
        os.environ["ZOO_HOME"] = home
        data = make_data(Path(home) / "data")
        for pair in options.pairs:
            found = measure(
                pair,
                data,
                batch_size=options.batch_size,
                steps=options.steps,
                folder=Path(home) / pair.replace(":", "-"),
                precision=options.precision,
            )
            cells = [pair]
            for clock in ("wall", "processor"):
                plain, own = found[f"plain {clock}"], found[f"zoo {clock}"]
                cells += [f"{plain:.2f}", f"{own:.3f}", f"{plain / own:.1f}"]
            cells.append(f"{found['cache, a segment']:.2f}")
            print(",".join(cells) if options.csv else "".join(f"{c:>20}" for c in cells), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
