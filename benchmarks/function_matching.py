"""What the loss `function_matching` does to students: how they play what no recording of theirs holds.

    python benchmarks/function_matching.py runs/s4-S-trumpet runs/s4-S-trumpet-matched --phrases recordings

For each distilled run, phrases of other instruments (see `instruments.py`; all of them unless --count is given) are
played on it and on its teacher:

held-out       the multi-scale spectral distance to held-out recordings of its own instrument, from metrics.json
following      how far the result's loudness is from what was asked for, on average over a phrase, and in how many
               phrases by 6 dB or more
likeness       the multi-scale spectral distance between what student and teacher make of the same phrase, both dry,
               so that rooms do not count

Runs that differ in nothing but their seed are one line, with the spread over seeds.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from instrument_phrases import Asked, Phrases, range_of
from instruments import EVERY, MAX_LOUDNESS_DB, MIN_FRAMES, find_data
from zoo_kernels.bench.tables import machine

from zoo import metrics, resolve
from zoo.errors import ConfigError, ZooError
from zoo.features import measure_loudness
from zoo.metrics.transfer import QUIET_DB
from zoo.models.loading import load_folder
from zoo.models.model import Model
from zoo.storage import MAIN_METRIC, markdown_table, read_metrics
from zoo.storage.files import write_atomically
from zoo.storage.lineage import teacher_reference
from zoo.training.checkpoints import read_history


@dataclass(frozen=True)
class Found:
    """What was found of one run.

    Attributes:
        held_out: Distance to its own instrument's recordings.
        away_db: For each phrase, how far the loudness is from what was asked for.
        likeness: For each phrase, the distance between student and teacher.
    """

    held_out: float
    away_db: list[float]
    likeness: list[float]


@dataclass
class Line:
    """Runs that differ in their seed.

    Attributes:
        student: What they are.
        weight: Of the loss; 0 without it.
        runs: What was found of each.
    """

    student: str
    weight: float
    runs: list[Found] = field(default_factory=list)

    def cells(self) -> tuple[str, ...]:
        """A line of the table."""
        over = [sum(away >= MAX_LOUDNESS_DB for away in run.away_db) for run in self.runs]
        return (
            self.student,
            f"{self.weight:g}" if self.weight else "no",
            str(len(self.runs)),
            _over_seeds([run.held_out for run in self.runs], 3),
            str(len(self.runs[0].away_db)),
            _over_seeds([statistics.mean(run.away_db) for run in self.runs], 1),
            ", ".join(f"{max(run.away_db):.1f}" for run in self.runs),
            ", ".join(map(str, over)),
            _over_seeds([statistics.mean(run.likeness) for run in self.runs], 2),
        )


def _over_seeds(values: Sequence[float], digits: int) -> str:
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


@torch.no_grad()
def dry(model: Model, asked: Asked) -> torch.Tensor:
    """What a model makes of a phrase before its reverb, `[1, samples]`; the noise is always the same."""
    noise = torch.rand(1, len(asked.features.f0_hz) * model.hop, generator=torch.Generator().manual_seed(0)) * 2 - 1
    made: torch.Tensor = model(asked.features.f0_hz[None], asked.features.loudness_db[None], noise).dry
    return made


def away_db(model: Model, asked: Asked) -> float:
    """How far a model's loudness is from what a phrase asks for, on average but for pauses."""
    audio = model.render(asked.features, level="normalised")[None]
    found = measure_loudness(audio, sample_rate=model.sample_rate, hop=model.hop, settings=model.feature_settings())
    wanted = asked.features.loudness_db
    heard = wanted > wanted.max() - QUIET_DB
    return float((found[0] - wanted)[heard].abs().mean())


def examine(run: Path, phrases: Phrases, data: str) -> tuple[str, float, Found]:
    """Play the phrases on a run's student and on its teacher."""
    student = load_folder(run)
    reference = teacher_reference(student.config)
    if reference is None:
        raise ConfigError(f"{run} was not distilled: it has no teacher to be compared with.")
    teacher = resolve.load(reference)
    span = range_of(find_data(student, data))
    away, likeness = [], []
    for asked in phrases.for_model(student, span):
        away.append(away_db(student, asked))
        distance = metrics.multi_scale_spectral_distance(dry(student, asked), dry(teacher, asked))
        likeness.append(float(distance[0]))
    found = Found(float(read_metrics(run / "metrics.json")["student"][MAIN_METRIC]["mean"]), away, likeness)
    return student.name, weight_of(run), found


def weight_of(run: Path) -> float:
    """The weight of the loss in a run; 0 where it was not taken, 1 where nothing else was said."""
    if "function_matching" not in read_history(run / "history.csv")[0]:
        return 0.0
    recipe = run / "config.gin"  # a run that was begun from Python has none
    text = recipe.read_text() if recipe.is_file() else ""
    said = re.findall(r"^function_matching\.weight = ([\d.]+)$", text, re.MULTILINE)
    return float(said[-1]) if said else 1.0


def page(lines: Sequence[Line], options: argparse.Namespace) -> str:
    """The whole page."""
    head = (
        "student", "weight", "seeds", "held out", "phrases", "loudness, dB", "worst", "6 dB or more",
        "from the teacher",
    )  # fmt: skip
    text = f"""
        Students that were distilled with and without the loss `function_matching` play phrases of other instruments, at
        most {options.seconds:g} s of each. "Weight" is that of the loss; everything else is the same. "Held out" is the
        multi-scale spectral distance to held-out recordings of the student's own instrument. "Loudness" is the error of
        the result's loudness, as a mean over phrases and over frames that are no pauses in the phrase; the worst
        phrase, and the number of phrases with an error of {MAX_LOUDNESS_DB:g} dB or more, are given for each seed.
        "From the teacher" is the multi-scale spectral distance between the student's and the teacher's result for the
        same phrase, before the reverb, as a mean over phrases. Lower is better; ± is the spread over seeds.
    """
    parts = [
        "# Function matching",
        "`python benchmarks/function_matching.py RUNS --phrases PHRASES --data DATA` wrote this page.",
        f"Machine: {machine()}.",
        textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False),
        markdown_table([head, *(line.cells() for line in lines)]),
    ]
    return "\n\n".join(parts) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a line a run, write the page."""
    parser = argparse.ArgumentParser(description="What the loss function_matching does to students.")
    parser.add_argument("runs", nargs="+", type=Path, help="folders of distilled runs")
    parser.add_argument("--phrases", type=Path, required=True, help="recordings of phrases, by instrument")
    parser.add_argument("--data", default="data/{instrument}", help="prepared data, as for instruments.py")
    parser.add_argument("--count", type=int, default=1000, help="phrases of each other instrument at most")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a phrase, from its beginning (default 6)")
    parser.add_argument("--out", type=Path, default=Path("docs/results/function-matching.md"), help="the page to write")
    options = parser.parse_args(argv)
    lines: dict[tuple[str, float], Line] = {}
    try:
        phrases = Phrases(
            options.phrases, count=options.count, seconds=options.seconds, least=2 * MIN_FRAMES, every=EVERY
        )
        for run in options.runs:
            student, weight, found = examine(run, phrases, options.data)
            lines.setdefault((student, weight), Line(student, weight)).runs.append(found)
            print(
                f"{run}: held out {found.held_out:.3f}; loudness {statistics.mean(found.away_db):.1f} dB off, at most "
                f"{max(found.away_db):.1f}; {statistics.mean(found.likeness):.2f} from the teacher",
                flush=True,
            )
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    write_atomically(options.out, page([lines[key] for key in sorted(lines)], options))
    print(f"{options.out} is written.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
