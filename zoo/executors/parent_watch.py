"""Processes that end with the one that started them, however that ends.

A process that is killed cannot tell its children. Here each child waits, in a thread, for the end of a pipe whose other
end its parent alone has open: the operating system closes that when the parent is gone, on every system. What the child
was doing is then lost up to what it had saved, as if it had been killed itself.

A worker of a pool learns of that pipe only after it has imported what its parent's program imports, which takes
seconds. Until then it looks every quarter of a second whether its parent is the one that it began with. For that this
module imports nothing large, and `import zoo` comes here first in such a process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import connection

VARIABLE = "ZOO_ENDS_WITH_STDIN"
"""Set for a child whose standard input is a pipe from its parent, and nothing else."""

WORKER_OF = "ZOO_WORKER_OF"
"""The id of the process that a worker is to end with."""

_LOOK_EVERY = 0.25
PATIENCE = 2.0
"""Seconds that a training has to save its state once its parent is gone, or has been asked to end at once."""


def start_worker(threads: int) -> None:
    """Prepare a worker of a pool: it ends when its parent is gone, and leaves Ctrl-C to it.

    Args:
        threads: That torch may use.
    """
    # Ctrl-C reaches every process of the terminal: the parent alone answers it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel
        _in_background(lambda: connection.wait([sentinel]), _end)
    import torch

    torch.set_num_threads(threads)


@contextmanager
def starting_workers() -> Iterator[None]:
    """Let the workers that are started in the block watch this process from their first import on."""
    os.environ[WORKER_OF] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.pop(WORKER_OF, None)


def watch_from_the_beginning() -> None:
    """Watch, in a worker, before anything large is imported; see `starting_workers`."""
    parent = os.environ.pop(WORKER_OF, "")
    if os.name == "nt" or not parent.isdigit():
        return  # Windows goes on naming a parent that is gone
    if os.getppid() != int(parent):
        _end()
    _in_background(lambda: _wait_for_other_parent(int(parent)), _end)


def _wait_for_other_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)


def ends_with_parent(environment: dict[str, str]) -> dict[str, str]:
    """Give the environment of a child that is to end with this process.

    Start it with `stdin=subprocess.PIPE`, and keep that pipe as long as the child may run. A child that is no program
    of zoo's ignores it.

    Args:
        environment: Of the child, otherwise.
    """
    return {**environment, VARIABLE: "1"}


def watch_parent() -> None:
    """End this process when its parent is gone, if that started it so (see `ends_with_parent`).

    A training that saves its state when it is asked to stop is asked first, and has 2 s.
    """
    # taken away, so that what this process starts in turn does not wait for an input that is not its own
    if os.environ.pop(VARIABLE, None) and sys.stdin is not None:
        stream = sys.stdin.fileno()
        _in_background(lambda: _wait_for_end(stream), _stop_then_end)


def _wait_for_end(stream: int) -> None:
    while os.read(stream, 1024):
        pass


def _in_background(wait: Callable[[], object], then: Callable[[], None]) -> None:
    def watch() -> None:
        try:
            wait()
        except OSError:
            return  # it was closed by ourselves
        then()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _stop_then_end() -> None:
    timer = threading.Timer(PATIENCE, _end)
    timer.daemon = True
    timer.start()
    if os.name == "nt":
        return  # there SIGTERM ends a process at once
    os.kill(os.getpid(), signal.SIGTERM)


def _end() -> None:
    # not sys.exit, which would end this thread alone; nobody is there to see more than that it ended
    os._exit(1)
