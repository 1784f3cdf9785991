"""Lists of tasks, run by an executor: what is done stays, what fails is tried again, what stops goes on next time.

Requirements it meets:

- a task that is done is not started again, so the same command continues whatever stopped;
- one whose folder another process still has is waited for;
- one that fails by itself is started again some times; one that asks for what cannot be is not; one whose machine is
  lost is, many times;
- Ctrl-C and SIGTERM stop what runs; a program has as long as its step takes after Ctrl-C, and 2 s after SIGTERM.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from zoo.executors.base import Ended, Executor, Running
from zoo.executors.parent_watch import PATIENCE
from zoo.executors.stopping import StopRequest

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
MOST_LOST = 20
"""How often a task is started again since the machine that ran it is gone."""


@dataclass(frozen=True)
class Task:
    """An independent piece of work that can be done again.

    Attributes:
        name: What tables call it.
        writes: The file or folder that it makes. It may be run where this machine's files are not seen: then that comes
            here, and what is there already goes along, for it to go on from.
    """

    name: str
    writes: Path

    def is_done(self) -> bool:
        """Whether there is nothing left to do."""
        return False

    def waits_for(self) -> str:
        """Which other process does it, or has its folder; empty for none."""
        return ""


@dataclass(frozen=True)
class Call(Task):
    """A task that is a function's work.

    Attributes:
        function: It keeps its result itself, in `writes`. It, its arguments and its errors must be picklable.
        arguments: Its arguments. A `Path` among them, at any depth, is `writes`, or what it reads.
    """

    function: Callable[..., None]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Program(Task):
    """A task that is a program of its own: a training.

    It ends with 0, or with 2 where trying again cannot help, and saves its state when it gets SIGTERM.

    Attributes:
        arguments: Of Python: `-m zoo distill --gin ...`. A `Path` among them is `writes`, its parent, or a file.
        log: Where it writes all that it says.
    """

    arguments: tuple[str | Path, ...]
    log: Path

    def command(self) -> list[str | Path]:
        """Its arguments, for a start now."""
        return list(self.arguments)

    def reads(self) -> Sequence[tuple[str, Path]]:
        """Gin settings that name folders to read, with the folder.

        They are in force already. Where this machine's files are not seen, they are set anew (`--set`), to where the
        folders are then.
        """
        return ()


class State(str, Enum):
    """Where a task is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass
class Status:
    """Where a task is.

    Attributes:
        task: Which.
        state: Where it is.
        tries: How often it was started here.
        lost: How often what ran it was lost.
        seconds: How long it ran here.
        reason: The last line that it said before it failed.
        waiting_for: The process that has its folder; empty for none.
        error: What its function raised.
    """

    task: Task
    state: State = State.WAITING
    tries: int = 0
    lost: int = 0
    seconds: float = 0.0
    reason: str = ""
    waiting_for: str = ""
    error: Exception | None = None


def run_tasks(
    tasks: Sequence[Task],
    executor: Executor,
    *,
    retries: int = 0,
    stop: StopRequest | None = None,
    show: Callable[[Sequence[Status]], None] = lambda _: None,
) -> Generator[Status, None, None]:
    """Run all tasks; when this is closed, those that run are stopped.

    Example:
        >>> from zoo.executors import Call, ExecutorConfig
        >>> with ExecutorConfig().open() as executor:
        ...     tasks = [Call("greeting", Path(), print, ("hello",))]
        ...     print([status.state.value for status in run_tasks(tasks, executor)])
        hello
        ['done']

    Args:
        tasks: In the order in which they start.
        executor: What runs them.
        retries: How often one that failed is started again.
        stop: A wish to stop, entered by the caller; without one, signals do what they do.
        show: Called now and then with where all are, in their order.

    Yields:
        Each task once, as it is done or has failed for good.

    Raises:
        KeyboardInterrupt: `stop` was asked for; what ran has stopped, and goes on when this is called again.
    """
    statuses = [Status(task) for task in tasks]
    waiting, running = deque(statuses), deque[tuple[Status, Running, float]]()
    try:
        while waiting or running:
            for _ in range(len(running)):
                status, started, began = running.popleft()
                status.state = State.RUNNING if started.began else State.WAITING
                if (ended := started.poll()) is None:
                    running.append((status, started, began))
                    continue
                status.seconds += time.monotonic() - began
                if ended.problem and stop is not None and stop.asked:  # it got the same signal: that is no failure
                    status.state = State.STOPPED
                    continue
                _settle(status, ended, retries)
                if status.state is State.WAITING:
                    waiting.append(status)
                else:
                    show(statuses)
                    yield status
            if stop is not None and stop.asked:
                raise KeyboardInterrupt
            for status in _startable(waiting, lambda: executor.room(len(running))):
                if status.state is State.DONE:
                    yield status
                    continue
                status.tries += 1
                status.state, status.waiting_for = State.RUNNING, ""
                began = time.monotonic()
                running.append((status, executor.start(status.task), began))
            show(statuses)
            if running or waiting:
                executor.wait([started for _, started, _ in running], _POLL_SECONDS)
    finally:
        if running:
            patience = PATIENCE if stop is None or stop.urgent else None
            executor.stop([started for _, started, _ in running], patience=patience)
            for status, _, began in running:
                status.state = State.STOPPED
                status.seconds += time.monotonic() - began
            show(statuses)


def _startable(waiting: deque[Status], room: Callable[[], int]) -> Generator[Status, None, None]:
    """Take from those that wait what can be started now, or is done, while there is room."""
    for _ in range(len(waiting)):
        if room() < 1:
            return
        status = waiting.popleft()
        if status.task.is_done():  # from an earlier call, or made by the process that it waited for
            status.state = State.DONE
        elif holder := status.task.waits_for():
            if not status.waiting_for:
                _log.warning("%s waits for %s", status.task.name, holder)
            status.waiting_for = holder
            waiting.append(status)
            continue
        yield status


def _settle(status: Status, ended: Ended, retries: int) -> None:
    status.reason, status.error = ended.problem, ended.error
    if not ended.problem:
        status.state = State.DONE
        return
    status.lost += ended.lost
    again = ended.again and (status.lost <= MOST_LOST if ended.lost else status.tries - status.lost <= retries)
    status.state = State.WAITING if again else State.FAILED
    if again:
        _log.warning("%s failed and is started again: %s", status.task.name, ended.problem)
