"""history.csv: one row a validation, the first at step 0."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from zoo.errors import CheckpointError
from zoo.files import write_atomically
from zoo.text_files import read_text

COLUMNS = ("step", "epoch", "train_loss", "val_loss", "lr", "seconds")

Row = dict[str, float | None]


class History:
    """The rows of a run so far.

    `train_loss` is the mean since the row before (empty at step 0); `val_loss` the weighted sum on the validation
    split, and each loss's own column its value there before the weight; a weight that changes over the run has a column
    too; `seconds` counts training alone.

    Args:
        losses: Labels of the losses, and of weights that change, which become columns.
        rows: Rows of an earlier part of the run.
    """

    def __init__(self, losses: Sequence[str], rows: Sequence[Row] = ()) -> None:
        self.columns = (*COLUMNS, *losses)
        self.rows: list[Row] = list(rows)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows:
            writer.writerow([_text(row.get(column)) for column in self.columns])
        write_atomically(path, text.getvalue())


def read_history(path: Path) -> list[Row]:
    """Read a history.csv.

    Raises:
        CheckpointError: It is damaged.
    """
    try:
        return [
            {name: float(value) if value else None for name, value in row.items() if name}
            for row in csv.DictReader(io.StringIO(read_text(path, error=CheckpointError)))
        ]
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}).") from None


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.7g}"
