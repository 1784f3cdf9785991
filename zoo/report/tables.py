"""What runs are and what they reached, as rows of text."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.cards.labels import METRICS, SPEED
from zoo.report.runs import Comparison, Run
from zoo.storage.config import ComponentConfig
from zoo.storage.lineage import public_reference, teachers_of
from zoo.training.progress import duration

_ARMS = ("teacher", "alone", "student", "noise_floor")


@dataclass(frozen=True)
class Cell:
    """A measure: its text (empty where there is none), and whether no other run's is lower."""

    text: str = ""
    lowest: bool = False


@dataclass(frozen=True)
class ArmRow:
    """An arm of a run: what it is called, and its cells."""

    arm: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Measures:
    """The table of measures.

    Attributes:
        titles: Of the columns.
        groups: The rows of each run that is measured, with its place among the runs.
        counts: How many segments the numbers are of, in words.
    """

    titles: Sequence[str]
    groups: Sequence[tuple[int, Sequence[ArmRow]]]
    counts: str


@dataclass(frozen=True)
class SeedTable:
    """What `zoo compare` found: the head, and a row a metric."""

    label: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    seeds: int


def facts(run: Run) -> list[tuple[str, str]]:
    """What a run is, as terms and what is to be said of them."""
    known, config = run.known, run.known.config
    rows = [("Model", config.name), ("Role", run.kind)]
    if run.distilled:
        rows.append(("Teacher", _teacher(teachers_of(config)[0])))
    rows += [(f"Its teacher ({step} steps back)", _teacher(above)) for step, above in _above(run)]
    rows.append(("Instrument", config.instrument or "none"))
    rows.append(("Data", _data(config.lineage)))
    for step, above in enumerate(teachers_of(config), start=1):
        if (data := _data(_mapping(above.get("lineage")))) not in ("not recorded", _data(config.lineage)):
            rows.append(("Teacher's data" if step == 1 else f"Data {step} steps back", data))
    if known.parameters is not None and known.size_bytes is not None:
        rows += [("Parameters", f"{known.parameters:,}"), ("Weights file", f"{known.size_bytes / 1e6:.2f} MB")]
    if speed := known.metrics.get("student", {}).get(SPEED):
        rows.append(("Real-time factor", _spread(speed)))
    rows += [("Decoder", _component(config.decoder)), ("Synth", _component(config.synth))]
    rows.append(("Audio", f"{config.sample_rate:,} Hz, {config.hop} samples a frame"))
    rows += [("Training", text) for text in [_training(run)] if text]
    if start := _mapping(config.lineage.get("start")):
        rows.append(("Began with", _teacher(start)))
    if origin := config.lineage.get("imported_from"):
        rows.append(("Imported from", str(origin)))
    rows.append(("Found", run.where))
    return rows


def measures(runs: Sequence[Run]) -> Measures | None:
    """The measures of all runs; None where no run is measured."""
    measured = [(place, run) for place, run in enumerate(runs) if run.known.metrics]
    if not measured:
        return None
    there = {name for _, run in measured for arm in run.known.metrics.values() for name in arm} - {SPEED}
    names = [*(name for name in METRICS if name in there), *sorted(there - set(METRICS))]
    # distances to other recordings are no ranking
    same_data = len({_hash(run) for _, run in measured}) == 1 and len(measured) > 1
    lowest = {name: _lowest(measured, name) if same_data else None for name in names}
    groups = []
    for place, run in measured:
        found = run.known.metrics
        rows = []
        for arm in [*(a for a in _ARMS if a in found), *sorted(set(found) - set(_ARMS))]:
            cells = [_cell(found[arm].get(name), lowest[name] if arm == "student" else None) for name in names]
            rows.append(ArmRow(_arm(arm, run), cells))
        groups.append((place, rows))
    arms_found = [arm for _, run in measured for arm in run.known.metrics.values()]
    numbers = {int(value["n"]) for arm in arms_found for name, value in arm.items() if name != SPEED}
    return Measures([METRICS.get(name, name) for name in names], groups, _range(numbers))


def seed_table(comparison: Comparison) -> SeedTable:
    """What a comparison over seeds found."""
    arms = ("teacher", "alone", "distilled", "noise_floor")
    head = ["distance to the recordings", "teacher", "alone", "distilled", "noise floor", "gap closed"]
    rows = []
    for metric, found in comparison.summary.items():
        cells = [_spread(found[arm]) if arm in found else "" for arm in arms]
        rows.append([METRICS.get(metric, metric), *cells, _closed(found)])
    seeds = [int(found[arm]["n"]) for found in comparison.summary.values() for arm in arms if arm in found]
    return SeedTable(comparison.label, head, rows, max(seeds, default=0))


def data_names(runs: Iterable[Run]) -> list[str]:
    """The data of runs, each once."""
    return list(dict.fromkeys(_data(run.known.config.lineage) for run in runs))


def _arm(arm: str, run: Run) -> str:
    words = {
        "teacher": f"teacher: {run.teacher}" if run.teacher else "teacher",
        "alone": "the same, trained alone",
        "student": run.kind,
        "noise_floor": "noise floor",
    }
    return words.get(arm, arm)


def _cell(value: Mapping[str, float] | None, lowest: float | None) -> Cell:
    return Cell() if value is None else Cell(_spread(value), value["mean"] == lowest)


def _lowest(measured: Iterable[tuple[int, Run]], metric: str) -> float | None:
    values = [run.known.metrics.get("student", {}).get(metric, {}).get("mean") for _, run in measured]
    return min((value for value in values if value is not None), default=None)


def _spread(value: Mapping[str, float]) -> str:
    mean, std = number(value["mean"], digits=3), number(value["std"], digits=2)
    return f"{mean} ± {std}" if value["n"] > 1 else mean


def number(value: float, *, digits: int) -> str:
    """A number with so many digits that count, without an exponent where it is large."""
    text = f"{value:.{digits}g}"
    return f"{float(text):,.0f}" if "e+" in text else text


def _range(numbers: set[int]) -> str:
    if not numbers:
        return "0"
    return str(min(numbers)) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"


def _closed(found: Mapping[str, Any]) -> str:
    if "teacher" not in found or "alone" not in found:
        return ""
    if found.get("closed") is None:
        return "there is none"
    shares = found.get("closed_by_seed", [])
    spread = f" ± {100 * statistics.stdev(shares):.0f}" if len(shares) > 1 else ""
    return f"{round(100 * found['closed'])}{spread} %"


def _teacher(teacher: Mapping[str, Any]) -> str:
    name, weights = str(teacher.get("name") or "unnamed"), str(teacher.get("weights") or "")
    reference = public_reference(teacher)
    known = [
        text for text in (reference if reference != name else "", f"weights {weights[:12]}" if weights else "") if text
    ]
    return f"{name} ({', '.join(known)})" if known else name


def _above(run: Run) -> list[tuple[int, Mapping[str, Any]]]:
    return list(enumerate(teachers_of(run.known.config)[1:], start=2))


def _data(lineage: Mapping[str, Any]) -> str:
    dataset = _mapping(lineage.get("dataset"))
    if not dataset.get("name"):
        return "not recorded"
    known = str(dataset.get("hash") or "")
    return f"{dataset['name']} (hash {known[:12]})" if known else str(dataset["name"])


def _hash(run: Run) -> object:
    return _mapping(run.known.config.lineage.get("dataset")).get("hash")


def _component(part: ComponentConfig) -> str:
    return " ".join([part.name, *(f"{name}={value}" for name, value in sorted(part.args.items()))])


def _training(run: Run) -> str:
    training = _mapping(run.known.config.lineage.get("training"))
    words = []
    if run.history and (step := run.history[-1].get("step")) is not None:
        seconds = run.history[-1].get("seconds")
        words.append(f"{step:,.10g} steps" + (f" in {duration(seconds)}" if seconds is not None else ""))
    for key, title in (("best_step", "best step"), ("batch_size", "batch size"), ("seed", "seed")):
        if key in training:
            words.append(f"{title} {training[key]}")
    return ", ".join(words)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
