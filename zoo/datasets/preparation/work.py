"""Analysing many recordings, in this process or in several, so that stopping loses at most those in progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from zoo import registry
from zoo.datasets.preparation.analysis import Preparation, analyse_to_file, read_analysis
from zoo.datasets.recordings import Recording
from zoo.errors import DatasetError

_ROUNDS = 3


def analyse_all(
    todo: Mapping[Path, Recording],
    preparation: Preparation,
    *,
    jobs: int,
    executor: str,
    starting: Callable[[Sequence[Recording]], None] | None,
    progress: Callable[[int, int, str], None] | None,
) -> None:
    """Write the work file of every recording that has none yet, and again where one does not stay.

    Args:
        todo: Recordings by their work file.
        preparation: The settings.
        jobs: How many at a time.
        executor: What runs them, by its name.
        starting: Called with the recordings that are yet to be analysed, if there are any.
        progress: Called after each recording with how many are done, how many there are, and its id.

    Raises:
        ConfigError: The settings do not fit each other.
        WorkerLostError: A process died.
        DatasetError: Something else takes the work files away.
    """
    for _ in range(_ROUNDS):
        _analyse_missing(todo, preparation, jobs=jobs, executor=executor, starting=starting, progress=progress)
        if not (lost := [path for path in todo if read_analysis(path) is None]):
            return
    raise DatasetError(
        f"{len(lost)} of {len(todo)} analyses of recordings do not stay in {lost[0].parent}: something else removes or "
        "changes them. Nothing was prepared. Give another folder to make."
    )


def _analyse_missing(
    todo: Mapping[Path, Recording],
    preparation: Preparation,
    *,
    jobs: int,
    executor: str,
    starting: Callable[[Sequence[Recording]], None] | None,
    progress: Callable[[int, int, str], None] | None,
) -> None:
    missing = {path: recording for path, recording in todo.items() if read_analysis(path) is None}
    done = len(todo) - len(missing)
    if missing and starting:
        starting(list(missing.values()))
    if done and progress:
        progress(done, len(todo), "")
    run = registry.executors.get(executor)
    recordings = list(missing.values())
    tasks = [(recording, preparation, path) for path, recording in missing.items()]
    with closing(run(analyse_to_file, tasks, jobs=jobs)) as finished:  # whatever stops this, stops them
        for place in finished:
            done += 1
            if progress:
                progress(done, len(todo), recordings[place].id)
