"""Three arms: the teacher, a student distilled from it, and the same student trained alone, over several seeds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo.cards import write_card
from zoo.errors import ConfigError, TrainingError
from zoo.storage.files import write_atomically
from zoo.storage.locks import hold
from zoo.training.config import DistillConfig
from zoo.training.evaluation import SPEED, write_metrics
from zoo.training.jobs import Job, Status, run_jobs
from zoo.training.loop import Finished, distill, train
from zoo.training.results import Row, metrics_of, table, write_csv
from zoo.training.setup import Records

PARTS = ("distilled", "alone")

_ARMS = ("teacher", "alone", "distilled", "noise_floor")


def part_folder(out: Path, part: str, seed: int) -> Path:
    """Where one arm of one seed is trained."""
    return out / f"{part}-seed{seed}"


def run_part(
    part: str, config: DistillConfig, *, seed: int, out: Path, resume: bool, records: Records | None = None
) -> Finished:
    """Train one arm with one seed.

    Args:
        part: "distilled" or "alone".
        config: Of the distillation.
        seed: Of everything that is drawn.
        out: The comparison's folder.
        resume: Go on with a run that was begun.
        records: See `zoo.training.train`.
    """
    config = replace(config, seed=seed, evaluate=True)
    folder = part_folder(out, part, seed)
    if part == "distilled":
        return distill(config, out=folder, resume=resume, records=records)
    return train(config.baseline(), out=folder, resume=resume, records=records)


def compare(
    *,
    out: str | Path,
    seeds: Sequence[int],
    steps: int,
    job_arguments: Callable[[str, int], Sequence[str]],
    jobs: int = 1,
    retries: int = 2,
    show: Callable[[Sequence[Status]], None] = lambda _: None,
) -> Comparison:
    """Train all arms, each seed of each in a process of its own, and compare what they reach.

    The arm `alone` also enters the distilled runs' metrics.json and cards.

    Args:
        out: The folder of all of it; `compare.csv` and `compare.md` are written there.
        seeds: As many different numbers.
        steps: That each run is asked for.
        job_arguments: Gives the arguments of Python that run a part ("distilled", "alone") with a seed.
        jobs: How many run at a time.
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
    wanted = [
        Job(f"{part}-seed{seed}", tuple(job_arguments(part, seed)), part_folder(out, part, seed), steps)
        for seed in seeds
        for part in PARTS
    ]
    with hold(out, doing="a comparison", advice="take another --out"):
        return _run(wanted, out, seeds, jobs, retries, show)


def _run(
    wanted: Sequence[Job],
    out: Path,
    seeds: Sequence[int],
    jobs: int,
    retries: int,
    show: Callable[[Sequence[Status]], None],
) -> Comparison:
    statuses = run_jobs(wanted, logs=out / "logs", at_once=jobs, retries=retries, show=show)
    if failed := [status for status in statuses if status.state == "failed"]:
        reasons = "\n".join(f"  {status.job.name}: {status.reason} (log: {status.log})" for status in failed)
        raise TrainingError(f"Some runs failed; the same command tries them again.\n{reasons}")
    return collect(out, seeds)


def collect(out: Path, seeds: Sequence[int]) -> Comparison:
    """Compare runs that are done, and write what came of it."""
    rows: list[Row] = []
    for seed in seeds:
        taught, alone = (part_folder(out, part, seed) for part in PARTS)
        known = dict(metrics_of(taught))
        known["alone"] = {k: v for k, v in metrics_of(alone).get("student", {}).items() if k != SPEED}
        write_metrics(known, taught / "metrics.json")
        write_card(taught)
        for arm in _ARMS:
            for metric, value in known.get("student" if arm == "distilled" else arm, {}).items():
                if metric != SPEED:
                    rows.append({"seed": seed, "arm": arm, "metric": metric, **value})
    found = Comparison(rows)
    write_csv(rows, out / "compare.csv")
    write_atomically(out / "compare.md", found.markdown())
    write_atomically(out / "compare.json", json.dumps(found.summary(), indent=2) + "\n")
    return found


@dataclass(frozen=True)
class Comparison:
    """What the arms reached.

    Attributes:
        rows: One a seed, arm and metric: with the mean over held-out segments, its spread and their number.
    """

    rows: Sequence[Row]

    def summary(self) -> dict[str, dict[str, Any]]:
        """By metric: each arm's mean and standard deviation over seeds, and the share of the gap that is closed.

        The share is (alone - distilled) / (alone - teacher): 0 where distillation helped nothing, 1 where the student
        is as near to the recordings as its teacher. None where the student alone is no farther from them.
        """
        found: dict[str, dict[str, Any]] = {}
        for metric in dict.fromkeys(row["metric"] for row in self.rows):
            arms = {arm: self._by_seed(metric, arm) for arm in _ARMS}
            known: dict[str, Any] = {arm: _over_seeds(list(values.values())) for arm, values in arms.items() if values}
            shares = [
                share
                for seed in arms["distilled"]
                if (share := _share(*(arms[arm].get(seed) for arm in ("teacher", "alone", "distilled")))) is not None
            ]
            means = [known[arm]["mean"] if arm in known else None for arm in ("teacher", "alone", "distilled")]
            known["closed"] = _share(*means)
            known["closed_by_seed"] = shares
            found[metric] = known
        return found

    def _by_seed(self, metric: str, arm: str) -> dict[int, float]:
        return {row["seed"]: row["mean"] for row in self.rows if (row["metric"], row["arm"]) == (metric, arm)}

    def markdown(self) -> str:
        """A table, a metric a line."""
        summary = self.summary()
        lines: list[Sequence[str]] = [("", *(arm.replace("_", " ") for arm in _ARMS), "gap closed")]
        for metric, known in summary.items():
            cells = [_cell(known.get(arm)) for arm in _ARMS]
            lines.append((metric.replace("_", " "), *cells, _percent(known)))
        seeds = len({row["seed"] for row in self.rows})
        segments = max((row["n"] for row in self.rows), default=0)
        return (
            f"Distances to {segments} held-out segments; means ± standard deviations over {seeds} "
            f"seed{'' if seeds == 1 else 's'}; lower is better.\n"
            "The gap is that between the student alone and its teacher; it is lost in the spread where it is no larger "
            "than that over seeds.\n\n"
            f"{table(lines)}\n"
        )


def _over_seeds(values: Sequence[float]) -> dict[str, float]:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.mean(values), "std": spread, "n": len(values)}


def _share(teacher: float | None, alone: float | None, distilled: float | None) -> float | None:
    if teacher is None or alone is None or distilled is None or alone <= teacher:
        return None
    return (alone - distilled) / (alone - teacher)


def _cell(value: Mapping[str, float] | None) -> str:
    if value is None:
        return ""
    return f"{value['mean']:.4g} ± {value['std']:.2g}" if value["n"] > 1 else f"{value['mean']:.4g}"


def _percent(known: Mapping[str, Any]) -> str:
    if "teacher" not in known or "alone" not in known:
        return ""
    if known["closed"] is None:
        return "there is none"
    if known["alone"]["mean"] - known["teacher"]["mean"] <= max(known[arm]["std"] for arm in ("alone", "distilled")):
        return "lost in the spread"  # a share of it would be a share of chance
    shares = known["closed_by_seed"]
    spread = f" ± {100 * statistics.stdev(shares):.0f}" if len(shares) > 1 else ""
    return f"{100 * known['closed']:.0f}{spread} %"
