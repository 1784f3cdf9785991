"""Where many runs are, for a person to see: a table that is drawn anew on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from zoo.checks import one_line, write_controls
from zoo.storage import text_table
from zoo.training import duration
from zoo_experiments.jobs import JobState, Status

_REDRAW_SECONDS = 2.0
_LOG_SECONDS = 60.0


class JobTable:
    """Shows jobs; to be called with where they are."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._drawn = 0
        self._states: Sequence[JobState | None] = []
        self._last = 0.0

    def __call__(self, statuses: Sequence[Status]) -> None:
        """Show what has changed."""
        states = [status.state for status in statuses]
        changed = states != self._states
        now = time.monotonic()
        if not changed and now - self._last < (_REDRAW_SECONDS if self._terminal else _LOG_SECONDS):
            return
        self._last = now
        if self._terminal:
            table = job_table(statuses)
            # up to where the table began, and clear from there
            write_controls(sys.stderr, f"\x1b[{self._drawn}A\x1b[J" if self._drawn else "")
            sys.stderr.write(f"{table}\n")
            self._drawn = table.count("\n") + 1
        else:
            before = self._states or [None] * len(states)
            for status, old in zip(statuses, before, strict=True):
                if status.state != old or status.state is JobState.RUNNING:
                    sys.stderr.write(f"{_line(status)}\n")
        sys.stderr.flush()
        self._states = states


def job_table(statuses: Sequence[Status]) -> str:
    """The table, one job per line."""
    return text_table([("run", "state", "step", "validation loss", "time", ""), *map(_cells, statuses)])


def _cells(status: Status) -> tuple[str, ...]:
    step, loss = status.progress()
    return (
        status.job.name,
        status.state.value,
        f"{step} of {status.job.steps}",
        "" if loss is None else f"{loss:.4f}",
        duration(status.seconds) if status.seconds else "",
        f"{one_line(status.reason)} (all of it: {status.log})" if status.state is JobState.FAILED else "",
    )


def _line(status: Status) -> str:
    name, state, step, loss, _, reason = _cells(status)
    return f"{name}: {state}, step {step}{f', validation loss {loss}' if loss else ''}{f': {reason}' if reason else ''}"
