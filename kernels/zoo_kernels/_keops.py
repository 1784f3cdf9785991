"""How this package uses KeOps, which writes, compiles and loads a C++ module for each formula at its first use.

Requirements it meets, which KeOps leaves open:

- nothing on the user's stdout and stderr: KeOps prints when it is imported, while it compiles, and at exit;
- two threads may call at the same time: KeOps keeps a call's arguments in an object that all calls share;
- two processes may compile the same formula at the same time, into the same files;
- a process that has used it may fork: GNU OpenMP's threads do not live on in the child, which would wait for them;
- what stops KeOps is told in one line (`UnusableError`), and a file that it left half-written is made again.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from zoo_kernels._backends import UnusableError
from zoo_kernels._keops_trouble import (
    clear_away,
    explain,
    forget_index,
    listening,
    remove_truncated,
    tame_exit,
)

_PATIENCE_S = 120.0  # for another process that compiles; then both do
# KeOps goes through a batch one by one, and OpenMP's threads meet after each, spinning. Where another process keeps a
# core busy, such a meeting may take a time slice, some 4 ms: S4's sums of 0.15 ms a channel became 25 times slower with
# two threads than with one. So only what takes longer than this by itself is divided among threads.
_WORTH_DIVIDING_US = 1000.0

_lock = threading.RLock()
_forked = False


def _after_fork() -> None:
    global _lock, _forked
    _lock = threading.RLock()  # another thread of the parent may have held it
    _forked = True


@functools.cache
def _load() -> ModuleType:
    """Import pykeops; it finds out about compilers and CUDA, and makes its cache folder."""
    for attempt in range(4):  # one to wait, and one for each index
        with listening() as said:
            try:
                import pykeops
                import pykeops.torch
            except Exception as error:
                if isinstance(error, ModuleNotFoundError) and error.name == "pykeops":
                    raise
                # Another process may be writing what pykeops reads at import; one that was killed left half of it.
                if attempt < 3 and forget_index(error, remove=attempt > 0):
                    continue
                raise UnusableError(explain(error, said, importing=True)) from None
        break
    os.register_at_fork(after_in_child=_after_fork)
    tame_exit()
    folder = Path(pykeops.get_build_folder())
    with _alone(folder):
        remove_truncated(folder)
    loaded: ModuleType = pykeops
    return loaded


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes that use this package from writing into KeOps's folder meanwhile."""
    import fcntl  # KeOps itself needs it: there is none on Windows

    try:
        file = (folder / "zoo_kernels.lock").open("w")
    except OSError:  # nothing can be written: nobody compiles
        yield
        return
    with file:
        give_up = time.monotonic() + _PATIENCE_S
        while time.monotonic() < give_up:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:  # a file system without locks
                break
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)  # a child forked meanwhile holds the file open too


@functools.cache
def _openmp() -> ctypes.CDLL | None:
    """The OpenMP runtime that torch has loaded, which KeOps's modules then share."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "omp_set_num_threads") else None


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let OpenMP use so many threads when it is called from this one."""
    openmp = _openmp()
    usual = torch.get_num_threads()  # a new thread's first question gives it the number that `set_num_threads` set
    if openmp is not None:
        openmp.omp_set_num_threads(count)
    try:
        yield
    finally:
        if openmp is not None:
            openmp.omp_set_num_threads(usual)


def named(result: str, **parts: str) -> str:
    """Write a formula with named parts, each computed once.

    Example:
        >>> named("d*d", d="Elem(x,0)-Elem(y,0)")
        'Factorize((Elem(x,0)-Elem(y,0))*(Elem(x,0)-Elem(y,0)),(Elem(x,0)-Elem(y,0)))'

    Args:
        result: The formula, in KeOps's notation.
        parts: What its lower-case names stand for, in terms of variables and of earlier parts.
    """
    known: dict[str, str] = {}

    def written(text: str) -> str:
        return re.sub(r"\b[a-z]\w*", lambda found: known.get(found[0], found[0]), text)

    for name, text in parts.items():
        known[name] = f"({written(text)})"
    formula = written(result)
    for text in reversed(known.values()):
        formula = f"Factorize({formula},{text})"
    return formula


class Formula:
    """A sum over one index that KeOps computes for all values of another, for each of a batch.

    KeOps compiles it once for each dtype and kind of device, whatever the sizes.

    Args:
        text: What is summed up.
        variables: Its variables in KeOps's notation, in the order in which they are given: "x=Vi(2)" is an array
            `[batch..., I, 2]`, "y=Vj(3)" an array `[batch..., J, 3]`; the sum runs over J, and gives
            `[batch..., I, size]`.
        cost_ns: Roughly what one term takes.
    """

    def __init__(self, text: str, *variables: str, cost_ns: float) -> None:
        self._text = text
        self._variables = list(variables)
        self._cost_ns = cost_ns
        self._ready: set[tuple[torch.dtype, str]] = set()
        self._routine: Callable[..., Tensor] | None = None

    def __call__(self, *arrays: Tensor) -> Tensor:
        """Compute it.

        Args:
            arrays: Contiguous, all of one floating dtype and on one device; batch sizes are equal or 1.

        Raises:
            UnusableError: KeOps cannot compile or load it.
            ModuleNotFoundError: There is no pykeops.
        """
        key = (arrays[0].dtype, arrays[0].device.type)
        with _lock:
            if key not in self._ready:
                smallest = [array[(slice(1),) * (array.ndim - 1)].contiguous() for array in arrays]
                self._try(smallest)
                self._ready.add(key)
            return self._run(arrays)

    def _run(self, arrays: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
        if self._routine is None:
            from pykeops.torch import Genred

            self._routine = Genred(self._text, self._variables, reduction_op="Sum", axis=1)
        if arrays[0].device.type == "cuda":
            # KeOps computes on CUDA's default stream, and waits until it has done so.
            torch.cuda.current_stream(arrays[0].device).synchronize()
            return self._routine(*arrays, backend="GPU")
        kept, summed = (
            next(array.shape[-2] for array, variable in zip(arrays, self._variables, strict=True) if index in variable)
            for index in ("Vi", "Vj")
        )
        divided = kept * summed * self._cost_ns > 1000 * _WORTH_DIVIDING_US and not _forked
        with _threads(torch.get_num_threads() if divided else 1):
            return self._routine(*arrays, backend="CPU")

    def _try(self, arrays: list[Tensor]) -> None:
        pykeops = _load()
        if arrays[0].device.type == "cuda" and not pykeops.config.gpu_available:
            raise UnusableError(
                "KeOps found no CUDA toolkit here (libcuda, libnvrtc and headers); what comes with torch is not enough"
            )
        for attempt in range(2):
            with listening() as said, _alone(Path(pykeops.get_build_folder())):
                try:
                    self._run(arrays)
                    return
                except Exception as error:  # noqa: BLE001 - compiling can fail in many ways; what counts is the reason
                    if attempt == 0 and clear_away(error):
                        continue
                    raise UnusableError(explain(error, said)) from None
