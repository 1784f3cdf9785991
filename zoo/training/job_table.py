"""Where many runs are, for a person to see: a table that is drawn anew on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from zoo.checks.plain_text import one_line, write_controls
from zoo.training.jobs import Status
from zoo.training.progress import duration

_DRAW_EVERY = 2.0
_SAY_EVERY = 60.0


class JobTable:
    """Shows jobs; to be called with where they are."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._drawn = 0
        self._states: list[str] = []
        self._last = 0.0

    def __call__(self, statuses: Sequence[Status]) -> None:
        """Show what has changed."""
        states = [status.state for status in statuses]
        changed = states != self._states
        now = time.monotonic()
        if not changed and now - self._last < (_DRAW_EVERY if self._terminal else _SAY_EVERY):
            return
        self._last = now
        if self._terminal:
            lines = table_lines(statuses)
            # up to where the table began, and clear from there
            write_controls(sys.stderr, f"\x1b[{self._drawn}A\x1b[J" if self._drawn else "")
            sys.stderr.write("\n".join(lines) + "\n")
            self._drawn = len(lines)
        else:
            before = self._states or [""] * len(states)
            for status, old in zip(statuses, before, strict=True):
                if status.state != old or status.state == "running":
                    sys.stderr.write(f"{_line(status)}\n")
        sys.stderr.flush()
        self._states = states


def table_lines(statuses: Sequence[Status]) -> list[str]:
    """The table, a job a line."""
    rows = [("run", "state", "step", "validation loss", "time", ""), *(_cells(status) for status in statuses)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cells(status: Status) -> tuple[str, ...]:
    step, loss = status.progress()
    return (
        status.job.name,
        status.state,
        f"{step} of {status.job.steps}",
        "" if loss is None else f"{loss:.4f}",
        duration(status.seconds) if status.seconds else "",
        f"{one_line(status.reason)} (all of it: {status.log})" if status.state == "failed" else "",
    )


def _line(status: Status) -> str:
    name, state, step, loss, _, reason = _cells(status)
    return f"{name}: {state}, step {step}{f', validation loss {loss}' if loss else ''}{f': {reason}' if reason else ''}"
