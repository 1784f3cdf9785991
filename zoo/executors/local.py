"""The executor `local`: processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from zoo.errors import WorkerLostError
from zoo.executors.parent_watch import start_worker, starting_workers


def local(
    function: Callable[..., None], tasks: Sequence[tuple[Any, ...]], *, jobs: int = 1
) -> Generator[int, None, None]:
    """Call a function for each task, some at a time.

    What every executor does: tasks are independent of each other and may be done again, so that one that was lost costs
    no more than its own time. The function, its arguments and its errors must be picklable.

    Args:
        function: What to call; it keeps its result itself, in a file.
        tasks: Its arguments, a tuple per task.
        jobs: How many at a time; with 1, or one task, this process does it.

    Yields:
        The place of each task as it is done.

    Raises:
        WorkerLostError: A process died.
        Exception: What the function raises; tasks that are under way are stopped.
    """
    if jobs == 1 or len(tasks) < 2:
        for place, arguments in enumerate(tasks):
            function(*arguments)
            yield place
        return
    others = set(multiprocessing.active_children())
    # Spawned, not forked: torch's threads do not survive a fork.
    pool = ProcessPoolExecutor(
        min(jobs, len(tasks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=start_worker,
        initargs=(max(1, (os.cpu_count() or 1) // jobs),),
    )
    try:
        with starting_workers():
            running = {pool.submit(function, *arguments): place for place, arguments in enumerate(tasks)}
        for future in as_completed(running):
            future.result()
            yield running[future]
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise WorkerLostError(
                "A process that did a part of the work died, perhaps for lack of memory. What is done is kept: "
                "run the same command again with fewer --jobs."
            ) from error
        raise
    pool.shutdown()
