"""Runs as tasks: each is done once it has come to its end, and goes on from its last checkpoint until then."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo import resolve
from zoo.datasets import open_dataset
from zoo.errors import ZooError
from zoo.executors import ExecutorConfig, Program, State, Status, StopRequest, run_tasks
from zoo.storage import holder_of
from zoo.training import DistillConfig, TrainConfig, can_resume, check_made_with, has_begun, is_done, read_history

Show = Callable[[Sequence[Status]], None]


@dataclass(frozen=True)
class Run(Program):
    """A training as a task; `writes` is its folder.

    Attributes:
        steps: How many it is to take.
        config: What it distils, or trains a baseline of.
        own: Its own configuration, which a run that is done already must have been made with.
    """

    steps: int = 0
    config: DistillConfig | None = None
    own: TrainConfig | DistillConfig | None = None

    def is_done(self) -> bool:
        """See `Task.is_done`."""
        # what a process still holds is not at its end, whatever an earlier end has left
        return is_done(self.writes, steps=self.steps) and not holder_of(self.writes)

    def waits_for(self) -> str:
        """See `Task.waits_for`: a process of an earlier call may have outlived that call."""
        return str(holder_of(self.writes) or "")

    def command(self) -> list[str | Path]:
        """See `Program.command`."""
        if can_resume(self.writes):
            return [*self.arguments, "--resume"]
        if self.writes.is_dir() and not has_begun(self.writes, ours=True):
            shutil.rmtree(self.writes)  # it failed before there was anything to resume
        return list(self.arguments)

    def reads(self) -> Sequence[tuple[str, Path]]:
        """See `Program.reads`: what another machine finds by its name too, shipped or on the Hub, is not among it.

        Raises:
            ModelNotFoundError: There is no such teacher, or none of the models that training begins with.
        """
        if self.config is None:
            return ()
        found = {"distill.dataset": Path(self.config.dataset)}
        for setting in ("teacher", "init_from", "reverb_from"):
            if (reference := getattr(self.config, setting)) is None:
                continue
            instrument = self.config.instrument or open_dataset(self.config.dataset, verify=False).instrument or ""
            model = resolve.find(str(reference).replace("{instrument}", instrument))
            if model.source in ("folder", "store"):
                found[f"distill.{setting}"] = model.folder
        return [(name, folder) for name, folder in found.items() if folder.is_dir()]

    def progress(self) -> tuple[int, float | None]:
        """Steps at its last validation, and the loss there."""
        try:
            row = read_history(self.writes / "history.csv")[-1]
        except (OSError, ZooError, IndexError):
            return 0, None
        return int(row.get("step") or 0), row.get("val_loss")


def check_done(runs: Sequence[Run]) -> None:
    """Make sure that those that are done already were made with the settings that are asked for now.

    Raises:
        ConfigError: One was not: its results are others.
    """
    for run in runs:
        if run.own is not None and run.is_done():
            check_made_with(run.own, run.writes)


def run_all(
    runs: Sequence[Run], execution: ExecutorConfig | None = None, *, retries: int = 2, show: Show = lambda _: None
) -> list[Status]:
    """Make all runs, and say how each ended, in their order.

    Args:
        runs: In the order in which they start.
        execution: What runs them, how many at a time.
        retries: How often a run that failed is started again.
        show: Called now and then with where all are.

    Raises:
        ConfigError: One that is done already was made with other settings: its results are not those asked for.
        KeyboardInterrupt: Ctrl-C (or SIGTERM); the runs have stopped, and go on when this is called again.
    """
    check_done(runs)
    with StopRequest() as stop, (execution or ExecutorConfig()).open() as executor:
        ended = {s.task.name: s for s in run_tasks(runs, executor, retries=retries, stop=stop, show=show)}
    return [ended[run.name] for run in runs]


def failures(statuses: Sequence[Status]) -> str:
    """The runs that failed, each a line with the reason and where its log is; empty where none has."""
    return "\n".join(
        f"  {status.task.name}: {status.reason} (log: {status.task.log})"
        for status in statuses
        if status.state is State.FAILED and isinstance(status.task, Program)
    )
