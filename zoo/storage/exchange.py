"""Exchanging two folders in one step, where the system has a call for that; Python has none."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_EXCHANGE = 2  # RENAME_EXCHANGE of Linux (linux/fs.h) and RENAME_SWAP of macOS (sys/stdio.h)
_HERE = -100  # AT_FDCWD: relative paths begin at the working folder


def exchange(first: Path, second: Path) -> bool:
    """Let two folders take each other's names at the same moment.

    Returns:
        Whether that was done; otherwise nothing was: the system, or the file system, cannot do it.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        names = os.fsencode(first), os.fsencode(second)
        if sys.platform.startswith("linux"):
            return int(libc.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE)) == 0
        if sys.platform == "darwin":
            return int(libc.renamex_np(*names, _EXCHANGE)) == 0
    except (OSError, AttributeError, TypeError):  # no such call in this C library; on Windows no such library
        return False
    return False
