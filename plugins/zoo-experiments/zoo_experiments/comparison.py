"""Does distillation help? The teacher, a student distilled from it, and the baseline: the same student without it.

Student and baseline are trained with several seeds each, so that their difference can be held against the spread.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo.cards import write_card
from zoo.errors import ConfigError, TrainingError, ZooError
from zoo.executors import ExecutorConfig
from zoo.storage import (
    SPEED,
    MeasuredResults,
    SeedResults,
    hold,
    markdown_table,
    read_metrics,
    seed_rows,
    summarize_seeds,
    write_atomically,
    write_metrics,
    write_seeds,
)
from zoo.training import DistillConfig, Finished, Records, TrainConfig, distill, train
from zoo_experiments.run_table import write_csv
from zoo_experiments.runs import Run, Show, failures, run_all

PARTS = ("distilled", "baseline")
"""What is trained, of each seed."""

_FORMERLY = {"baseline": "alone"}
_SYSTEMS = ("teacher", "baseline", "student", "noise_floor")

Row = dict[str, Any]


def part_folder(out: Path, part: str, seed: int) -> Path:
    """Where a part is trained with a seed; a folder of an earlier version keeps its name."""
    former = out / f"{_FORMERLY.get(part, part)}-seed{seed}"
    return former if former.is_dir() else out / f"{part}-seed{seed}"


def run_part(
    part: str, config: DistillConfig, *, seed: int, out: Path, resume: bool, records: Records | None = None
) -> Finished:
    """Train the student with one seed, with its teacher or without.

    Args:
        part: One of `PARTS`.
        config: Of the distillation.
        seed: Of everything that is drawn.
        out: The comparison's folder.
        resume: Go on with a run that was begun.
        records: See `zoo.training.train`.
    """
    own, folder = _own(part, config, seed), part_folder(out, part, seed)
    if isinstance(own, DistillConfig):
        return distill(own, out=folder, resume=resume, records=records)
    return train(own, out=folder, resume=resume, records=records)


def _own(part: str, config: DistillConfig, seed: int) -> DistillConfig | TrainConfig:
    config = replace(config, seed=seed, evaluate=True)
    return config if part == "distilled" else config.baseline()


@dataclass(frozen=True)
class Comparison:
    """What the systems reached.

    Attributes:
        rows: One per seed, system and metric: with the mean over segments, its spread and their number.
        held_out: Whether these segments are held out.
    """

    rows: Sequence[Row]
    held_out: bool = True

    def summary(self) -> dict[str, SeedResults]:
        """By metric: each system over the seeds, and the fraction of the gap that is closed."""
        values: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        for row in self.rows:
            values[row["metric"]][row["system"]][row["seed"]] = row["mean"]
        return summarize_seeds(values)

    def markdown(self) -> str:
        """A table, one metric per line."""
        seeds = len({row["seed"] for row in self.rows})
        segments = max((row["n"] for row in self.rows), default=0)
        kind = "held-out" if self.held_out else "training"
        return (
            f"Distances to {segments} {kind} segments; means ± standard deviations over {seeds} "
            f"seed{'' if seeds == 1 else 's'}; lower is better.\n"
            "The baseline is the same student, trained without its teacher. The gap is that between baseline and "
            "teacher; it is within the noise where it is no larger than the spread over seeds.\n\n"
            f"{markdown_table(seed_rows(self.summary()))}\n"
        )


def compare(
    *,
    out: str | Path,
    seeds: Sequence[int],
    config: DistillConfig,
    arguments: Callable[[str, int], Sequence[str | Path]],
    execution: ExecutorConfig | None = None,
    retries: int = 2,
    show: Show = lambda _: None,
) -> Comparison:
    """Train student and baseline, each seed of each a run of its own, and compare what they reach.

    The baseline also enters the distilled runs' metrics.json and cards.

    Args:
        out: The folder of all of it; `compare.csv`, `compare.md` and `compare.json` are written there.
        seeds: As many different numbers.
        config: Of the distillation.
        arguments: Gives the arguments of Python that run a part (one of `PARTS`) with a seed.
        execution: What makes the runs, how many at a time.
        retries: How often a run that failed is started again.
        show: Called now and then with where all runs are.

    Raises:
        ConfigError: There are no seeds, or one is there twice.
        InUseError: Another grid or comparison runs in the same folder.
        TrainingError: A run failed.
        KeyboardInterrupt: Ctrl-C was pressed; the same call goes on.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError(f"There must be at least one seed, and each once; found {list(seeds)}.")
    out = Path(out)
    with hold(out, doing="a comparison", advice="take another --out"):
        todo = [
            Run(
                f"{part}-seed{seed}",
                part_folder(out, part, seed),
                tuple(arguments(part, seed)),
                out / "logs" / f"{part}-seed{seed}.log",
                config.steps,
                config,
                _own(part, config, seed),
            )
            for seed in seeds
            for part in PARTS
        ]
        if failed := failures(run_all(todo, execution, retries=retries, show=show)):
            raise TrainingError(f"Some runs failed; the same command tries them again.\n{failed}")
        return collect(out, seeds)


def collect(out: Path, seeds: Sequence[int]) -> Comparison:
    """Compare runs that are done, and write what came of it."""
    rows: list[Row] = []
    held_out = True
    for seed in seeds:
        distilled, baseline = (part_folder(out, part, seed) for part in PARTS)
        results = _measured(distilled)
        held_out &= results.held_out
        results["baseline"] = {k: v for k, v in _measured(baseline).get("student", {}).items() if k != SPEED}
        write_metrics(results, distilled / "metrics.json")
        write_card(distilled)
        rows += [
            {"seed": seed, "system": system, "metric": name, **value}
            for system in _SYSTEMS
            for name, value in results.get(system, {}).items()
            if name != SPEED
        ]
    found = Comparison(rows, held_out)
    write_csv(rows, out / "compare.csv")
    write_atomically(out / "compare.md", found.markdown())
    write_seeds(found.summary(), out / "compare.json")
    return found


def _measured(run: Path) -> MeasuredResults:
    try:
        return read_metrics(run / "metrics.json")
    except ZooError:
        return MeasuredResults()
