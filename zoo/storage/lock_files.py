"""Files that the operating system locks for a process, and what they say of it.

Requirements it meets:

- a lock ends with its process, however that ends; the file that a killed process leaves behind blocks nobody;
- a lock's file is opened without following links and without emptying what is there, so that nothing that was planted
  under its name can be harmed by it;
- where none can lie beside what is guarded, they lie in a folder that the user alone can write to.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from zoo.registry import paths

_MOST_BYTES = 4096


@dataclass(frozen=True)
class Holder:
    """Who has a lock.

    Attributes:
        pid: Its process's number.
        host: The machine that it runs on.
        since: Local time, "2026-11-28 20:31:05".
        doing: What it does, for messages: "training gru-S-flute".
    """

    pid: int
    host: str
    since: str
    doing: str

    @classmethod
    def me(cls, doing: str) -> Holder:
        """This process."""
        return cls(os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"), doing)

    @property
    def here(self) -> bool:
        """Whether it is this process."""
        return (self.pid, self.host) == (os.getpid(), socket.gethostname())

    def __str__(self) -> str:
        """E.g. "training gru-S-flute (process 4711, since 2026-11-28 20:31:05)"."""
        where = "" if self.host == socket.gethostname() else f" on {self.host}"
        which = "this process" if self.here else f"process {self.pid}{where}"
        return f"{self.doing or 'another process'} ({which}, since {self.since})"


class Lock:
    """One lock that this process has; see `take`.

    Attributes:
        holders: What threads of this process hold, by the lock's file: some file systems (NFS) know processes only.
    """

    holders: dict[str, Holder] = {}  # noqa: RUF012 - shared on purpose
    _files: dict[str, int] = {}  # noqa: RUF012 - as above
    _guard = threading.Lock()

    def __init__(self, place: Path, file: int) -> None:
        self._place = place
        self._file = file

    @classmethod
    def take(cls, place: Path, me: Holder) -> Lock | None:
        """Take a lock; None where another has it."""
        key = str(place)
        with cls._guard:
            if key in cls.holders:
                return None
            cls.holders[key] = me
        try:
            file = _lock_file(place)
            if file is not None:
                with suppress(OSError):  # a full disk, or another user's file: others are then not told who it is
                    os.ftruncate(file, 0)
                    os.write(file, json.dumps(asdict(me)).encode())
        except BaseException:
            del cls.holders[key]
            raise
        if file is None:
            del cls.holders[key]
            return None
        cls._files[key] = file
        return cls(place, file)

    def release(self) -> None:
        """Give it back; nothing of it stays."""
        key = str(self._place)
        if self._files.get(key) != self._file:
            return  # a forked child has none of its parent's locks
        with suppress(OSError):
            self._place.unlink()  # while it is held: whoever opened it meanwhile sees that, and opens it anew
        os.close(self._file)
        with suppress(OSError):
            if sys.platform == "win32":
                self._place.unlink()  # there a file that is open cannot be removed
        del self._files[key], self.holders[key]

    @classmethod
    def forget_all(cls) -> None:
        """In a forked child: the locks are its parent's, and end with that one."""
        for file in cls._files.values():
            with suppress(OSError):
                os.close(file)
        cls._guard = threading.Lock()
        cls._files.clear()
        cls.holders.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Lock.forget_all)


def _lock_file(place: Path) -> int | None:
    """Open a lock's file and lock it; None where another process has it.

    Raises:
        OSError: It cannot be made, is a link or no file, or its file system knows no locks.
    """
    while True:
        try:
            file = _open(place)
        except FileNotFoundError:  # who had it has just removed the folder that it had made
            place.parent.mkdir(parents=True, exist_ok=True)
            continue
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, "no file, but a lock belongs here; remove it", str(place))
            if not _try_lock(file):
                os.close(file)
                return None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), place.lstat()):
                    return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # who had it has removed it meanwhile


def _open(place: Path) -> int:
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        return os.open(place, flags | os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(error.errno, "a link stands where a lock belongs; remove it", str(place)) from error
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        with suppress(OSError):
            return os.open(place, flags | os.O_RDONLY)  # another user's, which can be locked all the same
        raise OSError(
            error.errno, "this folder cannot be written to: use a copy of it elsewhere", str(place.parent)
        ) from error


if sys.platform == "win32":
    import msvcrt

    _BEYOND = 2**30  # what is locked there cannot be read: so a byte that is not there

    def _try_lock(file: int) -> bool:
        os.lseek(file, _BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise
        finally:
            os.lseek(file, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _try_lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise
        return True


def holder_at(place: Path) -> Holder | None:
    """Who has a lock that this process has not."""
    file = os.open(place, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        if _try_lock(file):
            return None
    except OSError:
        return None
    finally:
        os.close(file)
    return read_holder(place) or Holder(0, "", "a moment ago", "another process")


def read_holder(place: Path) -> Holder | None:
    """What a lock's file says of who has it; None where it says nothing that can be read."""
    if known := Lock.holders.get(str(place)):
        return known
    try:
        with place.open("rb") as file:
            values = json.loads(file.read(_MOST_BYTES))
        texts = {name: str(values[name]) for name in ("host", "since", "doing")}
        # another user may have written it: no more than a line of what can be printed
        return Holder(
            int(values["pid"]), **{name: "".join(c for c in t if c.isprintable())[:200] for name, t in texts.items()}
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def own_paths(path: str | Path, kind: str) -> Iterator[Path]:
    """The lock's file for a path in the user's own folder, then where it lies if no locks can be made there.

    Args:
        path: What is guarded; it need not be there.
        kind: Tells locks of one path from each other.
    """
    name = hashlib.sha256(os.fsencode(Path(path).resolve())).hexdigest()[:32]
    for folder in _candidates():  # one after the other: the second one is seldom needed, and then not made
        if _private(folder):
            yield folder / f"{name}.{kind}"


def _candidates() -> Iterator[Path]:
    yield paths.zoo_home() / "locks"
    user = str(os.geteuid()) if hasattr(os, "geteuid") else "own"
    yield Path(tempfile.gettempdir()) / f"ddsp-zoo-locks-{user}"


def _private(folder: Path) -> bool:
    """Whether a folder is there, made where it is missing, that nobody else can write to."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or not os.access(folder, os.W_OK):
            return False
        if hasattr(os, "geteuid"):
            if found.st_uid != os.geteuid():
                return False
            if found.st_mode & 0o077:
                folder.chmod(0o700)
    except OSError:
        return False
    return True
