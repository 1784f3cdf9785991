"""Splits a compiled loop over threads of our own.

Requirements it meets, which numba's own threading layers leave open:

- a process that has used it may fork (a DataLoader's workers do): GNU OpenMP kills such a child;
- two threads may call at the same time: numba's "workqueue" layer aborts then;
- as many threads as torch uses (`torch.set_num_threads`), so that one setting governs both.

The compiled functions release the interpreter's lock, so plain threads are enough.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

_lock = threading.Lock()
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}  # by process and size: a forked child must not use its parent's


def _pool(workers: int) -> ThreadPoolExecutor:
    _watch_for_forks()
    key = (os.getpid(), workers)
    with _lock:
        if key not in _pools:
            for other in [k for k in _pools if k[0] != key[0]]:
                del _pools[other]  # its threads live in the parent only
            _pools[key] = ThreadPoolExecutor(workers, thread_name_prefix="zoo_kernels")
        return _pools[key]


def _forget_after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it
    _pools.clear()


@functools.cache
def _watch_for_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget_after_fork)


def over_ranges(run: Callable[[int, int], None], total: int, *, smallest: int = 1) -> None:
    """Call `run(start, stop)` for parts that make up `range(total)`, one part a thread; returns when all are done.

    Args:
        run: Does the work for one part; must release the interpreter's lock to gain anything.
        total: Number of items.
        smallest: No part is smaller than this; with little work everything runs in the calling thread.
    """
    parts = max(1, min(torch.get_num_threads(), total // max(1, smallest)))
    if parts == 1:
        run(0, total)
        return
    edges = [total * i // parts for i in range(parts + 1)]
    futures: list[Future[None]] = []
    first_here = 1
    try:
        pool = _pool(parts - 1)
        for i in range(1, parts):
            futures.append(pool.submit(run, edges[i], edges[i + 1]))
            first_here += 1
    except RuntimeError:  # the interpreter is shutting down, or no more threads can be had: do the rest here
        run(edges[first_here], total)
    try:
        run(edges[0], edges[1])
    finally:
        for future in futures:
            future.result()  # also raises what the part raised
