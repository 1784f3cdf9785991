"""What a run keeps while it goes on.

`checkpoints/last.ckpt` holds all that it needs to go on exactly where it was, as plain types and tensors; `history.csv`
has one row per validation, the first at step 0.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from zoo.checks.text_files import read_text
from zoo.errors import CheckpointError, ConfigError
from zoo.storage.files import write_atomically

LAST = "checkpoints/last.ckpt"

COLUMNS = ("step", "epoch", "train_loss", "val_loss", "lr", "seconds")

Row = dict[str, float | None]

_MOST_BYTES = 100 * 2**20
_MOST_COLUMNS = 1000
_MOST_STEPS = 2**53

_FORMAT = "ddsp-zoo-training-1"
_RENAMED = {"teacher_draws": "teacher_noise_seeds", "start": "init_from"}  # in what runs from before 2026-12 keep
_TYPES: dict[str, Any] = {"int": int, "float": (int, float), "list": list, "dict": dict}


@dataclass
class RunState:
    """Where a run is.

    Attributes:
        step: Steps done.
        seconds: Time spent training.
        loss_sum: Of the training losses since the last validation.
        loss_count: How many they are.
        best_loss: Lowest validation loss so far.
        best_step: Where that was.
        stale: Validations since then.
        history: Rows so far.
        identity: What must be the same for the run to go on.
        model: Weights of the student.
        losses: Weights and parameters of the losses.
        optimizer: Its state.
        average: The average of the weights over steps, where there is one.
        scheduler: Its state.
        precision: The gradient scaler's state, where there is one.
        rng: States of torch's generators by device.
    """

    step: int
    seconds: float
    loss_sum: float
    loss_count: int
    best_loss: float
    best_step: int
    stale: int
    history: list[Row]
    identity: dict[str, Any]
    model: dict[str, Any]
    losses: dict[str, Any]
    optimizer: dict[str, Any]
    average: dict[str, Any]
    scheduler: dict[str, Any]
    precision: dict[str, Any]
    rng: dict[str, Any]


def save_state(state: RunState, run: Path) -> None:
    """Write a run's last.ckpt, whole or not at all.

    Raises:
        OSError: The disk is full, or the folder cannot be written to.
    """
    content = {"format": _FORMAT, **{f.name: getattr(state, f.name) for f in fields(state)}}
    written = io.BytesIO()  # torch's own writer reports a full disk as a RuntimeError of its zip file
    torch.save(content, written)
    write_atomically(run / LAST, written.getvalue())


def load_state(run: Path) -> RunState:
    """Read a run's last.ckpt; plain types and tensors only, never code.

    Raises:
        CheckpointError: It is missing, damaged, or not ours.
    """
    path = run / LAST
    if not path.is_file():
        raise CheckpointError(f"{run} has no {LAST}, so it cannot be resumed. Start it anew.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader raises whatever the bytes lead it to
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise CheckpointError(
            f"{path} is damaged or no checkpoint ({reason}). Start anew, with another --out; "
            "the best weights so far are in model.safetensors."
        ) from error
    if isinstance(content, dict):
        content.setdefault("average", {})  # runs from before there was one
    names = {f.name for f in fields(RunState)}
    if not isinstance(content, dict) or content.get("format") != _FORMAT or set(content) != {*names, "format"}:
        raise CheckpointError(f"{path} is not of this version of zoo, or of another program. Start anew.")
    for f in fields(RunState):
        expected = _TYPES[str(f.type).partition("[")[0]]
        if not isinstance(content[f.name], expected) or isinstance(content[f.name], bool):
            raise CheckpointError(
                f"{path} is damaged: {f.name} is {type(content[f.name]).__name__}. Start anew, with another --out."
            )
    return RunState(**{name: content[name] for name in names})


def check_identity(state: RunState, identity: dict[str, Any], run: Path) -> None:
    """Make sure that a run goes on with what it began with.

    Raises:
        ConfigError: Something differs; it says what.
    """
    begun = {_RENAMED.get(name, name): value for name, value in state.identity.items()}
    differing = [
        f"{name} was {begun.get(name)!r} and is now {identity.get(name)!r}"
        for name in sorted({*begun, *identity})
        if _known(begun.get(name)) != _known(identity.get(name))
    ]
    if differing:
        raise ConfigError(
            f"{run} began with other settings: {'; '.join(differing)}. "
            "Go on with those it began with (only STEPS may grow), or start anew with another --out."
        )


def _known(value: object) -> object:
    return None if value is False else value  # what a run from before there was a setting does not know is off


def rng_states() -> dict[str, Any]:
    """The states of torch's generators."""
    states: dict[str, Any] = {"cpu": torch.random.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore_rng(states: dict[str, Any]) -> None:
    """Put torch's generators back; a GPU's state is left out where there is none now."""
    torch.random.set_rng_state(states["cpu"])
    if torch.cuda.is_available() and len(states.get("cuda", [])) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


class History:
    """The rows of a run's history.csv so far.

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
    fix = "Copy the run again, or take that file out: it is only shown."
    try:
        if path.is_dir():
            raise CheckpointError(f"{path} is a folder, where a table belongs. {fix}")
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise CheckpointError(f"{path} has {size:,} bytes; a history never has over {_MOST_BYTES:,}. {fix}")
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read(file, most_rows)
    except UnicodeDecodeError:
        read_text(path, error=CheckpointError)  # says what it is instead
        raise
    except (ValueError, csv.Error) as error:
        raise CheckpointError(f"{path} is damaged ({str(error)[:200]}). {fix}") from None


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
