"""What finished runs reached, side by side: as CSV with everything, as Markdown with what one looks at first."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.storage import (
    MAIN_METRIC,
    SYSTEMS,
    ModelInfo,
    Results,
    describe_folder,
    markdown_table,
    metric,
    spread,
    write_atomically,
)
from zoo.training import read_history


@dataclass(frozen=True)
class RunResult:
    """What a run reached.

    Attributes:
        name: What tables call it.
        info: Its model.
        steps: How many it took.
        seconds: What they took; None where that is not recorded.
        values: Of settings that are swept over, by setting.
    """

    name: str
    info: ModelInfo
    steps: int
    seconds: float | None
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def training(self) -> Mapping[str, Any]:
        """What is recorded of its training."""
        training: Mapping[str, Any] = self.info.config.lineage.get("training", {})
        return training

    @property
    def results(self) -> Results:
        """By system and metric."""
        return self.info.metrics

    def columns(self) -> dict[str, object]:
        """Plain values by column; `<system>_<metric>` is a mean over segments, `<system>_<metric>_std` its spread."""
        config = self.info.config
        found: dict[str, object] = {
            "run": self.name,
            "student": config.architecture,
            "teacher": config.lineage.get("teacher", {}).get("name", ""),
            "instrument": config.instrument,
            **self.values,
            "parameters": self.info.parameters,
            "steps": self.steps,
            "best_step": self.training.get("best_step"),
            "validation_loss": self.training.get("validation_loss"),
            "seconds": self.seconds,
        }
        for system in SYSTEMS:
            for name, value in self.results.get(system, {}).items():
                found |= {f"{system}_{name}": value["mean"], f"{system}_{name}_std": value["std"]}
        return found


def result_of(folder: Path, *, name: str, values: Mapping[str, str] | None = None) -> RunResult | None:
    """What a run reached so far; None where there is none, or it has not validated yet.

    Args:
        folder: The run.
        name: What the table calls it.
        values: Of settings that are swept over, by setting.
    """
    try:
        info = describe_folder(folder)
        history = read_history(folder / "history.csv")
    except (OSError, ValueError, ZooError):
        return None
    if not history:
        return None
    return RunResult(name, info, int(history[-1]["step"] or 0), history[-1].get("seconds"), values or {})


def write_csv(rows: Sequence[Mapping[str, object]], path: Path) -> None:
    """Write rows, with the columns of all of them."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({key: f"{v:.7g}" if isinstance(v, float) else v for key, v in row.items()} for row in rows)
    write_atomically(path, text.getvalue())


def markdown(runs: Sequence[RunResult]) -> str:
    """A table of the distances to the recordings, one run per line."""
    systems = [system for system in SYSTEMS if any(MAIN_METRIC in run.results.get(system, {}) for run in runs)]
    lines: list[Sequence[str]] = [("run", "parameters", "steps", *(SYSTEMS[system] for system in systems))]
    for run in runs:
        cells = [spread(run.results.get(system, {}).get(MAIN_METRIC)) for system in systems]
        lines.append((run.name, f"{run.info.parameters or 0:,}", str(run.steps), *cells))
    title = metric(MAIN_METRIC).title
    return f"{title[0].upper()}{title[1:]} to the recordings (lower is better).\n\n{markdown_table(lines)}\n"
