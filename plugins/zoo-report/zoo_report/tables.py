"""What runs are and what they reached, as rows of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.storage import (
    SPEED,
    SYSTEMS,
    ComponentConfig,
    Measure,
    metric,
    metrics_in,
    public_reference,
    seed_rows,
    spread,
    systems_in,
    teachers_of,
)
from zoo.training import duration
from zoo_report.runs import Comparison, Run


@dataclass(frozen=True)
class Cell:
    """A measure: its text (empty where there is none), and whether no other run's is better."""

    text: str = ""
    best: bool = False


@dataclass(frozen=True)
class SystemRow:
    """A system of a run: what it is called, and its cells."""

    system: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Measures:
    """The table of measures.

    Attributes:
        titles: Of the columns.
        groups: The rows of each run that is measured, with its place among the runs.
        counts: How many segments the numbers are of, in words.
        held_out: Whether all of these segments are held out.
    """

    titles: Sequence[str]
    groups: Sequence[tuple[int, Sequence[SystemRow]]]
    counts: str
    held_out: bool


@dataclass(frozen=True)
class SeedTable:
    """What `zoo compare` found: the head, and a row per metric."""

    label: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    seeds: int


def facts(run: Run) -> list[tuple[str, str]]:
    """What a run is, as terms and values."""
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
        rows.append(("Real-time factor", spread(speed)))
    rows += [("Decoder", _component(config.decoder)), ("Synth", _component(config.synth))]
    rows.append(("Audio", f"{config.sample_rate:,} Hz, {config.hop} samples per frame"))
    rows += [("Training", text) for text in [_training(run)] if text]
    if start := _mapping(config.lineage.get("start")):
        rows.append(("Began with", _teacher(start)))
    if room := _mapping(config.lineage.get("reverb")):
        rows.append(("Reverb began as", _teacher(room)))
    if origin := config.lineage.get("imported_from"):
        rows.append(("Imported from", str(origin)))
    rows.append(("Found", run.where))
    return rows


def measures(runs: Sequence[Run]) -> Measures | None:
    """The measures of all runs; None where no run is measured."""
    measured = [(place, run) for place, run in enumerate(runs) if run.known.metrics]
    if not measured:
        return None
    names = metrics_in(
        {f"{place} {system}": own for place, run in measured for system, own in run.known.metrics.items()}
    )
    # distances to other recordings are no ranking
    same_data = len({_hash(run) for _, run in measured}) == 1 and len(measured) > 1
    best = {name: _best(measured, name) if same_data else None for name in names}
    groups = []
    counts = set()
    for place, run in measured:
        rows = []
        for system in systems_in(run.known.metrics):
            found = run.known.metrics[system]
            cells = [_cell(found.get(name), name, best[name] if system == "student" else None) for name in names]
            counts |= {int(found[name]["n"]) for name in names if name in found}
            rows.append(SystemRow(_system(system, run), cells))
        groups.append((place, rows))
    held_out = all(run.known.metrics.held_out for _, run in measured)
    return Measures([metric(name).title for name in names], groups, _range(counts), held_out)


def seed_table(comparison: Comparison) -> SeedTable:
    """What a comparison over seeds found."""
    head, *rows = seed_rows(comparison.summary)
    seeds = [int(value["n"]) for found in comparison.summary.values() for value in found.systems.values()]
    return SeedTable(comparison.label, head, rows, max(seeds, default=0))


def data_names(runs: Iterable[Run]) -> list[str]:
    """The data of runs, each once."""
    return list(dict.fromkeys(_data(run.known.config.lineage) for run in runs))


def _system(name: str, run: Run) -> str:
    if name == "teacher" and run.teacher:
        return f"teacher: {run.teacher}"
    return {**SYSTEMS, "student": run.kind}.get(name, name)


def _cell(value: Measure | None, name: str, best: float | None) -> Cell:
    return Cell(spread(value, name), value is not None and value["mean"] == best)


def _best(measured: Iterable[tuple[int, Run]], name: str) -> float | None:
    values = [run.known.metrics.get("student", {}).get(name, {}).get("mean") for _, run in measured]
    choose = max if metric(name).higher_is_better else min
    return choose((value for value in values if value is not None), default=None)


def _range(numbers: set[int]) -> str:
    if not numbers:
        return "0"
    return str(min(numbers)) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"


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
    for key, title in (
        ("best_step", "best step"),
        ("minutes", "minutes of recordings"),
        ("batch_size", "batch size"),
        ("seed", "seed"),
    ):
        if key in training:
            words.append(f"{title} {training[key]}")
    return ", ".join(words)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
