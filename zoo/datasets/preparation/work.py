"""Analysing many recordings, in this process or in several, so that stopping loses at most those in progress."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from zoo.datasets.preparation.analysis import Preparation, analyse_to_file, read_analysis
from zoo.datasets.recordings import Recording
from zoo.errors import DatasetError
from zoo.executors.parent_watch import start_worker, starting_workers

_ROUNDS = 3


def analyse_all(
    todo: Mapping[Path, Recording],
    preparation: Preparation,
    *,
    jobs: int,
    starting: Callable[[Sequence[Recording]], None] | None,
    progress: Callable[[int, int, str], None] | None,
) -> None:
    """Write the work file of every recording that has none yet, and again where one does not stay.

    Args:
        todo: Recordings by their work file.
        preparation: The settings.
        jobs: How many processes; with 1 this process does it.
        starting: Called with the recordings that are yet to be analysed, if there are any.
        progress: Called after each recording with how many are done, how many there are, and its id.

    Raises:
        ConfigError: The settings do not fit each other.
        DatasetError: A process died, or something else takes the work files away.
    """
    for _ in range(_ROUNDS):
        _analyse_missing(todo, preparation, jobs=jobs, starting=starting, progress=progress)
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
    starting: Callable[[Sequence[Recording]], None] | None,
    progress: Callable[[int, int, str], None] | None,
) -> None:
    missing = {path: recording for path, recording in todo.items() if read_analysis(path) is None}
    done = len(todo) - len(missing)
    if missing and starting:
        starting(list(missing.values()))
    if done and progress:
        progress(done, len(todo), "")
    if jobs == 1 or len(missing) < 2:
        for path, recording in missing.items():
            analyse_to_file(recording, preparation, path)
            done += 1
            if progress:
                progress(done, len(todo), recording.id)
        return
    others = set(multiprocessing.active_children())
    # Spawned, not forked: torch's threads do not survive a fork.
    executor = ProcessPoolExecutor(
        min(jobs, len(missing)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=start_worker,
        initargs=(max(1, (os.cpu_count() or 1) // jobs),),
    )
    try:
        with starting_workers():
            running: dict[Future[None], Recording] = {
                executor.submit(analyse_to_file, recording, preparation, path): recording
                for path, recording in missing.items()
            }
        for future in as_completed(running):
            future.result()
            done += 1
            if progress:
                progress(done, len(todo), running[future].id)
    except BaseException as error:
        executor.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise DatasetError(
                "A process that analysed recordings died, perhaps for lack of memory. What is done is kept: "
                "run the same command again with fewer --jobs."
            ) from error
        raise
    executor.shutdown()
