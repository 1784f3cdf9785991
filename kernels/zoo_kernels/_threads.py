"""Splits a compiled loop over threads of our own.

Requirements it meets, which numba's own threading layers leave open:

- a process that has used it may fork (a DataLoader's workers do): GNU OpenMP kills such a child;
- two threads may call at the same time: numba's "workqueue" layer aborts then;
- as many threads as torch uses (`torch.set_num_threads`), so that one setting governs both;
- torch's own threads wait for each other by spinning, and on a busy machine lose whole time slices at every step of a
  chain of small operations: here a thread does its part of the whole chain and waits for nobody.

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
            _pools[key] = _new_pool(workers)
        return _pools[key]


def _new_pool(workers: int) -> ThreadPoolExecutor:
    """Threads in which torch itself uses one thread, so that theirs and its own do not fight for the cores."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="zoo_kernels")
    started = threading.Barrier(workers + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread's first question sets its number: ask before setting it
        torch.set_num_threads(1)  # holds for the calling thread, and for threads that have asked nothing yet
        started.wait()

    try:
        futures = [pool.submit(start) for _ in range(workers)]
        started.wait()
        for future in futures:
            future.result()
    except BaseException:
        started.abort()
        pool.shutdown(wait=False)
        raise
    finally:
        torch.set_num_threads(before)  # what threads that come later are to use
    return pool


def _forget_after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it
    _pools.clear()


@functools.cache
def _watch_for_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget_after_fork)


def over_ranges(run: Callable[[int, int], None], total: int, *, smallest: int = 1, calls_torch: bool = False) -> None:
    """Call `run(start, stop)` for parts that make up `range(total)`, one part a thread; returns when all are done.

    Args:
        run: Does the work for one part; must release the interpreter's lock to gain anything.
        total: Number of items.
        smallest: No part is smaller than this; with little work everything runs in the calling thread.
        calls_torch: `run` calls torch: then all parts run in threads where torch uses one thread. Otherwise the
            calling thread does its share.
    """
    parts = max(1, min(torch.get_num_threads(), total // max(1, smallest)))
    if parts == 1:
        run(0, total)
        return
    edges = [total * i // parts for i in range(parts + 1)]
    futures: list[Future[None]] = []
    here = 0 if calls_torch else 1  # parts that the calling thread does
    try:
        pool = _pool(parts - here)
        for i in range(here, parts):
            futures.append(pool.submit(run, edges[i], edges[i + 1]))
    except RuntimeError:  # the interpreter is shutting down, or no more threads can be had
        left = here + len(futures)
        if left < parts:
            run(edges[left], total)
    try:
        if here:
            run(edges[0], edges[1])
    finally:
        for future in futures:
            future.result()  # also raises what the part raised


def over_blocks(block: Callable[[slice], None], total: int, *, step: int, on_cpu: bool) -> None:
    """Call `block` for slices that make up `range(total)`: torch operations, no gradients, on a CPU in several threads.

    Args:
        block: Does the work for one slice with torch's operations.
        total: Number of items.
        step: Items in a slice; on a CPU as many as its caches hold.
        on_cpu: Whether the tensors are there; elsewhere one thread is enough.
    """
    inference = torch.is_inference_mode_enabled()

    def run(start: int, stop: int) -> None:
        with torch.inference_mode(inference), torch.no_grad():  # each thread has its own
            for first in range(start, stop, step):
                block(slice(first, min(first + step, stop)))

    if on_cpu:
        over_ranges(run, total, smallest=step, calls_torch=True)
    else:
        run(0, total)
