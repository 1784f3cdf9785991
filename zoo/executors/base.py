"""What an executor is: it starts tasks somewhere, says how each ended, and stops them.

Who asks for what (how many at a time, on how many cores) is `ExecutorConfig`; what is started again, and when, is up to
`zoo.executors.tasks.run_tasks`. So an executor knows nothing of trainings or recordings.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from zoo.checks.settings import TEXT, Check, Config, number, or_none, setting, whole
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.executors.tasks import Task

MOST_JOBS = 1024


def _option(check: Check) -> Check:
    # every command spells them so
    return lambda name, value: check(f"--{name.replace('_', '-')}", value)


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig(Config):
    """What runs tasks, and how many at a time on what.

    Args:
        executor: Its name: a component of the kind `executors`.
        jobs: How many tasks at a time; None for one on this machine, and for as many as there is room for elsewhere.
        cpus_per_task: Cores of a task, and threads that it computes with.
        gpus_per_task: GPUs of a task; a fraction where several share one.
        address: Of the cluster that the executor is to use; None for what it finds or starts by itself.
    """

    executor: str = setting("local", _option(TEXT))
    jobs: int | None = setting(None, _option(or_none(whole(least=1, most=MOST_JOBS))))
    cpus_per_task: int = setting(1, _option(whole(least=1, most=MOST_JOBS)))
    gpus_per_task: float = setting(0.0, _option(number(least=0)))
    address: str | None = setting(None, _option(or_none(TEXT)))

    def open(self) -> Executor:
        """The executor, ready for tasks; to be closed (`with`).

        Raises:
            ConfigError: Nothing has that name, or it does not go with the other settings.
            PluginError: It cannot be imported, or what it needs is not installed.
        """
        from zoo import registry

        self.check()
        made: Executor = registry.executors.get(self.executor)(self)
        return made


@dataclass(frozen=True)
class Ended:
    """How a task ended.

    Attributes:
        problem: Why it failed, in a line; empty where it is done.
        lost: Whether what ran it is gone, a machine for one: then it is no fault of the task's.
        again: Whether trying again can help.
        error: What its function raised.
    """

    problem: str = ""
    lost: bool = False
    again: bool = True
    error: Exception | None = None


class Running(ABC):
    """A task that was started."""

    began = True
    """Whether it runs; False while it waits for room on a cluster."""

    @abstractmethod
    def poll(self) -> Ended | None:
        """How it ended; None while it runs. What it has made meanwhile is brought here."""


class Executor(ABC):
    """Runs tasks. They are independent, and may be done again, so one that is lost costs no more than its own time.

    Args:
        config: See `ExecutorConfig`.
    """

    def __init__(self, config: ExecutorConfig) -> None:
        self.config = config

    def room(self, running: int) -> int:
        """How many tasks may be started now.

        Args:
            running: How many of those that were started have not ended.
        """
        return (self.config.jobs or 1) - running

    @abstractmethod
    def start(self, task: Task) -> Running:
        """Start a task; both kinds of `zoo.executors.tasks` must be understood."""

    @abstractmethod
    def stop(self, running: Sequence[Running], *, patience: float | None = None) -> None:
        """Stop tasks, and return when they have ended.

        Args:
            running: Which.
            patience: Seconds that they have to save their state; None for as long as they need.
        """

    def wait(self, running: Sequence[Running], seconds: float) -> None:
        """Wait for one of them to end, at most so long."""
        time.sleep(seconds)

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Let go of what it holds."""

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def refuse_cluster(config: ExecutorConfig, name: str) -> None:
    """Refuse settings that are for a cluster alone.

    Args:
        config: What was asked for.
        name: Of the executor that has none.

    Raises:
        ConfigError: One of them is set.
    """
    if config.address is not None or config.gpus_per_task:
        raise ConfigError(
            f"--address and --gpus-per-task do not go with the executor {name}, which leaves the GPU to every task. "
            "Type: --executor ray"
        )
