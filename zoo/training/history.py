"""history.csv: one row a validation, the first at step 0."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from zoo.checks.text_files import read_text
from zoo.errors import CheckpointError
from zoo.storage.files import write_atomically

COLUMNS = ("step", "epoch", "train_loss", "val_loss", "lr", "seconds")

Row = dict[str, float | None]

_MOST_BYTES = 100 * 2**20
_MOST_COLUMNS = 1000
_MOST_STEPS = 2**53


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


def read_history(path: Path, *, most_rows: int | None = None) -> list[Row]:
    """Read a history.csv, a line at a time.

    Args:
        path: The file.
        most_rows: Where there are many times more, rows between are left out, as evenly as they come; the first, the
            last and the one of the lowest validation loss stay. All are given by default.

    Raises:
        CheckpointError: It is damaged, or no history at all.
    """
    remedy = "Copy the run again, or take that file out: it is only shown."
    try:
        if path.is_dir():
            raise CheckpointError(f"{path} is a folder, where a table belongs. {remedy}")
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise CheckpointError(f"{path} has {size:,} bytes; a history never has over {_MOST_BYTES:,}. {remedy}")
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read(file, most_rows)
    except UnicodeDecodeError:
        read_text(path, error=CheckpointError)  # says what it is instead
        raise
    except (ValueError, csv.Error) as error:
        raise CheckpointError(f"{path} is damaged ({str(error)[:200]}). {remedy}") from None


def _read(file: Iterable[str], most_rows: int | None) -> list[Row]:
    reader = csv.reader(file)
    columns = next(reader, [])
    if "step" not in columns or len(set(columns)) != len(columns) or len(columns) > _MOST_COLUMNS:
        raise ValueError(f"its first line must name its columns, {', '.join(COLUMNS)} and the losses")
    rows: list[Row] = []
    stride, lowest, last = 1, None, None
    for number, cells in enumerate(filter(None, reader)):
        if len(cells) != len(columns):
            raise ValueError(f"line {reader.line_num} has {len(cells)} fields, and {len(columns)} are named")
        last = {name: _number(cell, name, reader.line_num) for name, cell in zip(columns, cells, strict=True)}
        loss = last.get("val_loss")
        if loss is not None and (lowest is None or loss < (lowest["val_loss"] or 0.0)):
            lowest = last
        if number % stride == 0:
            rows.append(last)
        if most_rows is not None and len(rows) > 2 * most_rows:
            rows, stride = rows[::2], 2 * stride
    if stride > 1:
        kept = {id(row) for row in rows}
        rows += [row for row in (lowest, last) if row is not None and id(row) not in kept]
        rows.sort(key=lambda row: row["step"] or 0.0)
    return rows


def _number(cell: str, column: str, line: int) -> float | None:
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"line {line}: {column} is no number but {cell[:40]!r}") from None
    if column == "step" and not 0 <= value < _MOST_STEPS:
        raise ValueError(f"line {line}: a step is {value:g}")
    return value


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.7g}"
