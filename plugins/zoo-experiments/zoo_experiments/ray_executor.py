"""The executor `ray`: tasks on the nodes of a Ray cluster, an existing one or one that is started here.

Requirements it meets:

- no shared file system is needed: what tasks read and write travels through Ray's object store;
- a run that has a checkpoint goes on from the last one that came here, wherever it is started again;
- the driver may be killed: Ray ends what it ran, and the same command goes on;
- a task has the cores that it is given, and computes with so many threads, as with `local`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from zoo.errors import ConfigError, PluginError, ZooError
from zoo.executors import Call, Ended, Executor, ExecutorConfig, Program, Running, Task
from zoo_experiments import parcels
from zoo_experiments.ray_worker import Order, readable, work

_log = logging.getLogger(__name__)
_AHEAD = 2  # tasks in Ray's queue for each that there is room for: a cluster that grows sees that it should


class Ray(Executor):
    """Tasks on a Ray cluster; without an address, on one that is started on this machine."""

    def __init__(self, config: ExecutorConfig) -> None:
        super().__init__(config)
        # A helper process that Ray starts reads these; no figures of use are sent anywhere.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError as error:
            raise PluginError(
                f"The executor ray needs Ray ({error}). Type: pip install 'ddsp-zoo-experiments[ray]'"
            ) from error
        self._ray: Any = ray  # its types know no generators
        self._own = not ray.is_initialized()
        if self._own:
            address = config.address or os.environ.get("RAY_ADDRESS") or "local"
            try:
                ray.init(
                    address=address,
                    include_dashboard=False if address == "local" else None,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
                raise ConfigError(
                    f"No Ray cluster was found at {address!r} ({str(error)[:200]}). Start one (ray start "
                    "--head), or leave --address out to start Ray on this machine."
                ) from error
        self._work = ray.remote(work)
        self._sources = parcels.Sources(ray.put)

    def room(self, running: int) -> int:
        """See `Executor.room`."""
        if self.config.jobs is not None:
            return self.config.jobs - running
        whole = self._ray.cluster_resources()
        fits = whole.get("CPU", 0.0) / self.config.cpus_per_task
        if self.config.gpus_per_task:
            fits = min(fits, whole.get("GPU", 0.0) / self.config.gpus_per_task)
        return max(1, int(fits)) * _AHEAD - running

    def start(self, task: Task) -> Running:
        """See `Executor.start`."""
        try:
            return _OnNode(self, task)
        except (ZooError, OSError) as error:  # a file that it is to read is missing, or its teacher
            return _Refused(Ended(str(error), again=False, error=error))

    def submit(self, order: Order) -> Any:  # noqa: ANN401 - a generator of Ray's references
        """Hand a task to Ray."""
        options = {"num_cpus": self.config.cpus_per_task, "num_gpus": self.config.gpus_per_task, "max_retries": 0}
        return self._work.options(num_returns="streaming", **options).remote(order)

    def next_of(self, stream: Any) -> tuple[Any, ...] | None:  # noqa: ANN401 - see submit
        """What a task has told next; None where that is not there yet.

        Raises:
            RayError: What ran it is lost.
            StopIteration: It has told all.
        """
        ready, _ = self._ray.wait([stream], timeout=0, fetch_local=False)
        return self._ray.get(next(stream)) if ready else None

    def content(self, described: parcels.Described) -> Any:  # noqa: ANN401 - a reference of Ray's
        """What finds a path's content on any node."""
        return self._sources.content(described)

    def wait(self, running: Sequence[Running], seconds: float) -> None:
        """See `Executor.wait`."""
        streams = [one.stream for one in running if isinstance(one, _OnNode)]
        if len(streams) == len(running) > 0:
            self._ray.wait(streams, num_returns=1, timeout=seconds, fetch_local=False)
        elif not running:
            time.sleep(seconds)

    def stop(self, running: Sequence[Running], *, patience: float | None = None) -> None:
        """See `Executor.stop`; what a run had sent is here, and it goes on from that."""
        for one in running:
            if isinstance(one, _OnNode):
                with suppress(Exception):  # whatever Ray says of a task that has just ended
                    self._ray.cancel(one.stream)
        until = time.monotonic() + 2 * (patience or 2.0)
        streams = [one.stream for one in running if isinstance(one, _OnNode)]
        while streams and time.monotonic() < until:
            ready, streams = self._ray.wait(streams, timeout=0.2, fetch_local=False)
            for stream in ready:
                try:
                    self._ray.get(next(stream))
                    streams.append(stream)
                except Exception:  # noqa: BLE001 - it has ended, which is all that is waited for
                    pass

    def close(self) -> None:
        """See `Executor.close`."""
        if self._own:
            self._ray.shutdown()


class _Refused(Running):
    """A task that could not be started."""

    def __init__(self, ended: Ended) -> None:
        self._ended = ended

    def poll(self) -> Ended:
        return self._ended


class _OnNode(Running):
    """A task that Ray has."""

    def __init__(self, executor: Ray, task: Task) -> None:
        self._executor = executor
        self._task = task
        self._order = _order(task, executor.config.cpus_per_task)
        self._log = task.log if isinstance(task, Program) else None
        self.began = False
        self.stream = executor.submit(self._order)

    def poll(self) -> Ended | None:
        from ray.exceptions import RayError, RayTaskError

        try:
            while (told := self._executor.next_of(self.stream)) is not None:
                if (ended := self._hear(*told)) is not None:
                    return ended
        except StopIteration:
            return Ended("it ended without a word", lost=True)
        except RayTaskError as error:
            return Ended(str(error).strip().splitlines()[-1][:500], error=error)
        except RayError as error:
            reason = (str(error).strip().splitlines() or [""])[0][:300]
            return Ended(f"what ran it is lost ({type(error).__name__}: {reason})", lost=True)
        return None

    def _hear(self, kind: str, *told: Any) -> Ended | None:  # noqa: ANN401 - see ray_worker
        if kind == "needs":
            for number in told[0]:
                self._order.sent[number] = self._executor.content(self._order.described[number][1])
            self.stream = self._executor.submit(self._order)
        elif kind == "began":
            self.began = True
        elif kind == "files":
            parcels.write_files(self._task.writes, told[0])
        elif kind == "log" and self._log is not None:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("ab") as file:
                file.write(told[0])
        elif kind == "ended":
            problem, again, error = told
            return Ended(problem, again=again, error=error)
        return None


def _order(task: Task, threads: int) -> Order:
    """A task, with what it reads described, and what there is of it already."""
    if isinstance(task, Program):
        words = task.command()
        named = list(task.reads())
        reads = [*(path for _, path in named), *readable(words)]
        call = b""
    elif isinstance(task, Call):
        words, named = [], []
        call = parcels.pack((task.function, task.arguments))
        reads = [path for path in parcels.paths_in(task.arguments) if path != task.writes and path.exists()]
    else:
        raise TypeError(f"{task} is neither a Call nor a Program")
    reads = list(dict.fromkeys(reads))
    described = [(str(path), parcels.describe(path)) for path in reads]
    begun = {} if call else parcels.read_files(task.writes, list(parcels.files_in(task.writes)))
    return Order(
        writes=str(task.writes),
        described=described,
        settings={name: reads.index(path) for name, path in named},
        threads=threads,
        call=call,
        words=parcels.pack(words),
        begun=begun,
    )
