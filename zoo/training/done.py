"""checkpoints/done.json: whether a run came to its end, so that a chain or a grid need not look at it again."""

from __future__ import annotations

import json
from pathlib import Path

from zoo.checks.text_files import read_json
from zoo.errors import CheckpointError
from zoo.storage.files import write_atomically

_DONE = "checkpoints/done.json"


def mark_done(folder: Path, *, asked: int, steps: int) -> None:
    """Write that a run is over, the last thing that it does.

    Args:
        folder: The run.
        asked: Steps that it was to take at most.
        steps: Steps that it took.
    """
    write_atomically(folder / _DONE, json.dumps({"asked": asked, "steps": steps}) + "\n")


def clear_done(folder: Path) -> None:
    """Take that back: the run goes on."""
    (folder / _DONE).unlink(missing_ok=True)


def is_done(folder: Path, *, steps: int = 0) -> bool:
    """Whether a run came to its end.

    Args:
        folder: The run; it may be missing.
        steps: It must have been asked for that many at least.
    """
    try:
        known = read_json(folder / _DONE, error=CheckpointError, remedy="")
        return isinstance(known, dict) and int(known["asked"]) >= steps
    except (CheckpointError, ValueError, TypeError, KeyError):
        return False
