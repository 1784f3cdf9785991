"""A folder of caches that several processes share, and that does not grow without bound.

Requirements it meets:

- a cache that a running process uses is never taken away, and one whose process died is not kept for it;
- where room is needed, the caches that were used longest ago go first;
- a cache that would not fit even then is not begun.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import uuid
import weakref
from contextlib import suppress
from pathlib import Path

from zoo.errors import ConfigError
from zoo.storage.lock_files import Holder, Lock, holder_at
from zoo.storage.locks import locked

_log = logging.getLogger(__name__)

LIMIT_VARIABLE = "ZOO_TEACHER_CACHE_GB"
DEFAULT_GB = 20.0

_USERS = "in-use"
_SPARE_BYTES = 2**29  # of the disk, left to others


def limit_bytes() -> int:
    """How large all caches of teachers together may be: `$ZOO_TEACHER_CACHE_GB` GiB, 20 by default; 0 for none at all.

    Raises:
        ConfigError: The variable is no number.
    """
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    try:
        size = float(text) if text else DEFAULT_GB
    except ValueError:
        size = math.nan
    if not math.isfinite(size) or size < 0:
        raise ConfigError(f"{LIMIT_VARIABLE} must be a size in GiB, e.g. 20, found {text!r}.")
    return int(size * 2**30)


class CacheFolder:
    """One cache, kept from being taken away while it is held.

    Args:
        root: The folder of all caches.
        key: Its name there.
    """

    def __init__(self, root: Path, key: str) -> None:
        self.root = root
        self.path = root / key
        self._lock: Lock | None = None

    def hold(self) -> None:
        """Make the folder where it is missing, mark it as used now, and keep others from removing it."""
        if self._lock is not None:
            return
        with locked(self.root):
            (self.path / _USERS).mkdir(parents=True, exist_ok=True)
            os.utime(self.path)
            if not _is_used(self.path):
                for left in self.path.rglob(".*.safetensors"):  # a process was killed while it wrote
                    left.unlink(missing_ok=True)
            # The lock ends with the process, however that ends.
            place = self.path / _USERS / f"{uuid.uuid4().hex}.lock"
            self._lock = Lock.take(place, Holder.me("using a teacher's cache"))
            if self._lock is not None:
                weakref.finalize(self, self._lock.release)  # also where nobody says release

    def release(self) -> None:
        """Let others remove it again."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def make_room(self, size: int) -> str | None:
        """Remove other caches until this one may grow to a size.

        Args:
            size: In bytes, what is there already included.

        Returns:
            Why that cannot be had; None when it can.
        """
        limit = limit_bytes()
        if size > limit:
            return f"it would take {_gib(size)}, and {LIMIT_VARIABLE} allows {_gib(limit)}"
        with locked(self.root):
            others = sorted((p for p in _folders(self.root) if p != self.path), key=lambda p: p.stat().st_mtime)
            taken = {path: _size(path) for path in others}
            missing = max(0, size - _size(self.path))
            for path in others:
                if sum(taken.values()) + size <= limit and self._free() >= missing:
                    break
                if not _is_used(path):
                    _log.info("teacher cache: %s removed to make room (%s)", path, _gib(taken.pop(path)))
                    shutil.rmtree(path, ignore_errors=True)
            if sum(taken.values()) + size > limit:
                return (
                    f"it would take {_gib(size)}, other runs are using {_gib(sum(taken.values()))}, and "
                    f"{LIMIT_VARIABLE} allows {_gib(limit)}"
                )
            if self._free() < missing:
                return f"it needs {_gib(missing)} more, and the disk has {_gib(max(0, self._free()))} to spare"
        return None

    def _free(self) -> int:
        return shutil.disk_usage(self.root).free - _SPARE_BYTES


def _folders(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []


def _size(path: Path) -> int:
    sizes = []
    for file in path.rglob("*"):
        with suppress(OSError):  # another process may just have renamed it
            if file.is_file():
                sizes.append(file.stat().st_size)
    return sum(sizes)


def _is_used(path: Path) -> bool:
    for file in (path / _USERS).glob("*.lock"):
        with suppress(FileNotFoundError):  # released just now
            if str(file) in Lock.holders or holder_at(file) is not None:
                return True
            file.unlink()
    return False


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**28 else f"{size / 2**20:.1f} MiB"
