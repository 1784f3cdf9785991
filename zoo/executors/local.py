"""The executor `local`: processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path

from zoo.errors import WorkerLostError
from zoo.executors.base import Ended, Executor, ExecutorConfig, Running, refuse_cluster
from zoo.executors.parent_watch import ends_with_parent, start_worker, starting_workers
from zoo.executors.tasks import Call, Program, Task

USER_ERROR = 2
"""The exit code of a program that trying again cannot help."""


class Local(Executor):
    """Processes of this machine that end with this one.

    A program is a process of its own. Functions share as many workers as there are jobs; with one job, this process
    does them itself, with all of its threads.
    """

    def __init__(self, config: ExecutorConfig) -> None:
        super().__init__(config)
        refuse_cluster(config, "local")
        self._pool: futures.ProcessPoolExecutor | None = None

    def start(self, task: Task) -> Running:
        """See `Executor.start`."""
        if isinstance(task, Program):
            return _Process(task, self.config.cpus_per_task)
        if not isinstance(task, Call):
            raise TypeError(f"{task} is neither a Call nor a Program")
        if (self.config.jobs or 1) == 1:
            return _Here(task)
        with starting_workers():
            return _InPool(self._workers().submit(task.function, *task.arguments))

    def _workers(self) -> futures.ProcessPoolExecutor:
        if self._pool is None:
            # Spawned, not forked: torch's threads do not survive a fork.
            self._pool = futures.ProcessPoolExecutor(
                self.config.jobs,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=start_worker,
                initargs=(self.config.cpus_per_task,),
            )
        return self._pool

    def wait(self, running: Sequence[Running], seconds: float) -> None:
        """See `Executor.wait`."""
        if any(isinstance(one, _Here) for one in running):
            return
        waiting = [one.future for one in running if isinstance(one, _InPool)]
        if waiting:
            futures.wait(waiting, seconds, futures.FIRST_COMPLETED)
        else:
            time.sleep(seconds)

    def stop(self, running: Sequence[Running], *, patience: float | None = None) -> None:
        """See `Executor.stop`."""
        processes = [one.process for one in running if isinstance(one, _Process)]
        for process in processes:
            process.terminate()  # they end after the step that they are computing, and can be resumed
        until = None if patience is None else time.monotonic() + patience
        for process in processes:
            try:
                with suppress(KeyboardInterrupt):
                    process.wait(None if until is None else max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()  # it goes on from its last checkpoint
                process.wait()
        if self._pool is not None:
            workers = list(getattr(self._pool, "_processes", {}).values())
            self._pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.terminate()
            self._pool = None

    def close(self) -> None:
        """See `Executor.close`."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


class _Here(Running):
    """A function's work, done by this process before anything else."""

    def __init__(self, task: Call) -> None:
        self._ended = Ended()
        try:
            task.function(*task.arguments)
        except Exception as error:  # noqa: BLE001 - whatever it raises is for the caller
            self._ended = ended_by(error)

    def poll(self) -> Ended:
        return self._ended


class _InPool(Running):
    """A function's work, done by a worker."""

    def __init__(self, future: futures.Future[None]) -> None:
        self.future = future

    def poll(self) -> Ended | None:
        if not self.future.done():
            return None
        error = self.future.exception()
        if isinstance(error, BrokenProcessPool):
            lost = WorkerLostError(
                "A process that did a part of the work died, perhaps for lack of memory. What is done is kept: "
                "run the same command again with fewer --jobs."
            )
            lost.__cause__ = error
            return ended_by(lost)
        return Ended() if error is None else ended_by(error)


class _Process(Running):
    """A program."""

    def __init__(self, task: Program, threads: int) -> None:
        self._log = task.log
        self.process = start_program([str(word) for word in task.command()], log=task.log, threads=threads)

    def poll(self) -> Ended | None:
        code = self.process.poll()
        return None if code is None else ended_with(code, self._log)


def start_program(arguments: Sequence[str], *, log: Path, threads: int) -> subprocess.Popen[bytes]:
    """Start Python as a process that ends with this one.

    Args:
        arguments: Its arguments.
        log: What it says is added to this file.
        threads: That it computes with.
    """
    own = {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            env=ends_with_parent({**os.environ, **own}),
        )


def ended_by(error: BaseException) -> Ended:
    """How a function ended that raised an error."""
    if not isinstance(error, Exception):
        raise error
    return Ended(problem=str(error) or type(error).__name__, again=False, error=error)


def ended_with(code: int, log: Path) -> Ended:
    """How a program ended, by its exit code and the last line that it said."""
    if code == 0:
        return Ended()
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return Ended(problem=lines[-1][:500] if lines else f"it ended with code {code}", again=code != USER_ERROR)
