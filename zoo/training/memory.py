"""Keeps memory that a training step has freed, for the next step to use."""

from __future__ import annotations

import ctypes
import os
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's numbers for mallopt, from malloc.h
_LARGEST = 2**31 - 1  # mallopt takes an int


def keep_freed_memory() -> bool:
    """Tell glibc not to hand large blocks back to the system each time that they are freed.

    A step of a large model asks for dozens of tensors over 32 MB and frees them again. By default each is new memory
    from the system, which clears it page by page: a quarter of the step of s4-L goes into that. The process keeps its
    largest use of memory until it ends. Whoever has set one of glibc's own variables (`MALLOC_MMAP_THRESHOLD_`,
    `MALLOC_TRIM_THRESHOLD_`) has decided already, and is left alone.

    Returns:
        Whether anything was changed; elsewhere than on glibc nothing is.
    """
    if platform.libc_ver()[0] != "glibc" or any(
        name in os.environ for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
    ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST)) and bool(mallopt(_TRIM_THRESHOLD, _LARGEST))
