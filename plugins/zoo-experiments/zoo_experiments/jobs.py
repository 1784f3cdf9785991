"""Runs as separate processes, some at a time: each resumable, started again where it failed.

Requirements it meets:

- a run that is done is not started again, and one that was begun goes on: the same command continues whatever stopped;
- one whose folder another process still has is waited for;
- one that fails by itself is started again some times; one that asks for what cannot be is not;
- Ctrl-C and SIGTERM stop all of them after the step that they are computing, SIGTERM at most 2 s later;
- they end when this process is killed.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from zoo.errors import ConfigError, ZooError
from zoo.executors import PATIENCE, ends_with_parent
from zoo.storage import holder_of
from zoo.training import StopRequest, can_resume, has_begun, is_done, read_history

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_USER_ERROR = 2  # exit code: trying again cannot help


class JobState(str, Enum):
    """Where a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Job:
    """A run to make.

    Attributes:
        name: What tables call it.
        arguments: Of Python, but for `--resume`: `-m zoo distill --gin ... --out FOLDER`.
        folder: Where it writes.
        steps: How many it is to take.
    """

    name: str
    arguments: tuple[str, ...]
    folder: Path
    steps: int


@dataclass
class Status:
    """Where a job is.

    Attributes:
        job: Which.
        state: Where it is.
        tries: How often it was started here.
        seconds: How long it ran here.
        reason: The last line that it said before it failed.
        waiting_for: The process that has its folder; empty for none.
        log: Where it writes all that it says.
    """

    job: Job
    log: Path
    state: JobState = JobState.WAITING
    tries: int = 0
    seconds: float = 0.0
    reason: str = ""
    waiting_for: str = ""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _began: float = 0.0

    def progress(self) -> tuple[int, float | None]:
        """Steps at its last validation, and the loss there."""
        try:
            row = read_history(self.job.folder / "history.csv")[-1]
        except (OSError, ZooError, IndexError):
            return 0, None
        return int(row.get("step") or 0), row.get("val_loss")


def run_jobs(
    jobs: Sequence[Job],
    *,
    logs: Path,
    at_once: int = 1,
    retries: int = 2,
    show: Callable[[Sequence[Status]], None] = lambda _: None,
) -> list[Status]:
    """Make all runs, and say how each ended.

    Args:
        jobs: In the order in which they start.
        logs: Folder for what they say.
        at_once: How many run at the same time; the processor's cores are shared out among them.
        retries: How often a run that failed is started again.
        show: Called now and then with where all are.

    Raises:
        KeyboardInterrupt: Ctrl-C (or SIGTERM); the runs have stopped, and go on when this is called again.
    """
    if at_once < 1 or retries < 0:
        raise ConfigError(f"--jobs must be at least 1 and --retries 0 or more, found {at_once} and {retries}.")
    logs.mkdir(parents=True, exist_ok=True)
    statuses = [Status(job, logs / f"{job.name}.log") for job in jobs]
    for status in statuses:
        if is_done(status.job.folder, steps=status.job.steps):
            status.state = JobState.DONE
    stop = StopRequest()
    try:
        with stop:
            while any(status.state in (JobState.WAITING, JobState.RUNNING) for status in statuses):
                for status in _in_state(JobState.RUNNING, statuses):
                    _poll(status, retries)
                free = at_once - len(_in_state(JobState.RUNNING, statuses))
                for status in [s for s in _in_state(JobState.WAITING, statuses) if not _waits_for_others(s)][:free]:
                    _start(status, at_once)
                show(statuses)
                time.sleep(_POLL_SECONDS)
                if stop.asked:
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        _stop(_in_state(JobState.RUNNING, statuses), patience=PATIENCE if stop.urgent else None)
        show(statuses)
        raise
    show(statuses)
    return statuses


def _in_state(state: JobState, statuses: Sequence[Status]) -> list[Status]:
    return [status for status in statuses if status.state is state]


def _waits_for_others(status: Status) -> bool:
    """Whether its folder is not to be had: a process of an earlier call may have outlived that call."""
    holder = holder_of(status.job.folder)
    if holder is not None:
        if not status.waiting_for:
            status.waiting_for = str(holder)
            _log.warning("%s waits for %s", status.job.name, holder)
        return True
    if is_done(status.job.folder, steps=status.job.steps):
        status.state = JobState.DONE  # that process has made it
        return True
    return False


def _start(status: Status, at_once: int) -> None:
    folder = status.job.folder
    arguments = list(status.job.arguments)
    if can_resume(folder):
        arguments.append("--resume")
    elif folder.is_dir() and not has_begun(folder, ours=True):
        shutil.rmtree(folder)  # it failed before there was anything to resume
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    environment = ends_with_parent({"OMP_NUM_THREADS": str(max(1, cores // at_once)), **os.environ})
    status.state, status.waiting_for = JobState.RUNNING, ""
    status.tries += 1
    status._began = time.monotonic()
    with status.log.open("ab") as log:
        status._process = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment
        )


def _poll(status: Status, retries: int) -> None:
    code = status._process.poll() if status._process is not None else None
    if code is None:
        return
    status.seconds += time.monotonic() - status._began
    if code == 0:
        status.state = JobState.DONE
        return
    status.reason = _last_line(status.log)
    again = code != _USER_ERROR and status.tries <= retries
    status.state = JobState.WAITING if again else JobState.FAILED
    if again:
        _log.warning("%s ended with code %d and is started again: %s", status.job.name, code, status.reason)


def _stop(running: Sequence[Status], *, patience: float | None) -> None:
    for status in running:
        if status._process is not None:
            status._process.terminate()  # they end after the step that they are computing, and can be resumed
    until = None if patience is None else time.monotonic() + patience
    for status in running:
        if status._process is not None:
            try:
                with suppress(KeyboardInterrupt):
                    status._process.wait(None if until is None else max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                status._process.kill()  # it goes on from its last checkpoint
                status._process.wait()
        status.seconds += time.monotonic() - status._began
        status.state = JobState.STOPPED


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:500] if lines else ""
