"""What finished runs reached, side by side: as CSV with everything, as Markdown with what one looks at first."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.storage.config import read_config
from zoo.storage.files import write_atomically
from zoo.storage.info import describe_folder
from zoo.storage.metrics_file import read_metrics
from zoo.training.checkpoints import read_history

ARMS = ("teacher", "alone", "student", "noise_floor")
METRIC = "multi_scale_spectral"
"""What Markdown tables show."""

Row = dict[str, Any]


def result_of(folder: Path, *, name: str) -> Row | None:
    """What a run reached; None when it has not come to its end.

    Args:
        folder: The run.
        name: What the table calls it.

    Returns:
        Plain values by column; `<arm>_<metric>` is a mean over segments and `<arm>_<metric>_std` its spread.
    """
    try:
        config = read_config(folder)
        known = describe_folder(folder)
        history = read_history(folder / "history.csv")
    except (OSError, ValueError, ZooError):
        return None
    if not history:
        return None
    training = config.lineage.get("training", {})
    row: Row = {
        "run": name,
        "student": config.architecture,
        "teacher": config.lineage.get("teacher", {}).get("name", ""),
        "instrument": config.instrument,
        "parameters": known.parameters,
        "steps": int(history[-1]["step"] or 0),
        "best_step": training.get("best_step"),
        "validation_loss": training.get("validation_loss"),
        "seconds": history[-1].get("seconds"),
    }
    for arm in ARMS:
        for metric, value in known.metrics.get(arm, {}).items():
            row[f"{arm}_{metric}"] = value["mean"]
            row[f"{arm}_{metric}_std"] = value["std"]
    return row


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write rows, with the columns of all of them."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({key: _short(value) for key, value in row.items()} for row in rows)
    write_atomically(path, text.getvalue())


def markdown(rows: Sequence[Row]) -> str:
    """A table of the distances to the recordings, a run a line."""
    arms = [arm for arm in ARMS if any(f"{arm}_{METRIC}" in row for row in rows)]
    lines: list[Sequence[str]] = [("run", "parameters", "steps", *(arm.replace("_", " ") for arm in arms))]
    for row in rows:
        cells = [spread(row.get(f"{arm}_{METRIC}"), row.get(f"{arm}_{METRIC}_std")) for arm in arms]
        lines.append((row["run"], f"{row['parameters']:,}", str(row["steps"]), *cells))
    return f"Multi-scale spectral distance to the recordings (lower is better).\n\n{table(lines)}\n"


def table(lines: Iterable[Sequence[str]]) -> str:
    """Lines of cells as Markdown, the first one the head."""
    head, *rest = lines
    rows = [head, ["---"] * len(head), *rest]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def spread(mean: float | None, std: float | None) -> str:
    """A mean with its spread, for a table."""
    if mean is None:
        return ""
    return f"{mean:.3f}" if std is None else f"{mean:.3f} ± {std:.3f}"


def metrics_of(folder: Path) -> Mapping[str, Any]:
    """A run's metrics.json; empty where there is none."""
    try:
        return read_metrics(folder / "metrics.json")
    except ZooError:
        return {}


def _short(value: object) -> object:
    return f"{value:.7g}" if isinstance(value, float) else value
