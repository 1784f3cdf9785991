"""Who has a folder: locks that the operating system keeps for as long as a process has them open.

Requirements it meets:

- one process at a time writes what is guarded, and one thread of it: the next one is told who that is, or waits;
- a lock ends with its process, however that ends: nothing has to be cleared up before one can go on.

What stays where it is (a run, a prepared dataset) is guarded by a file inside it, so that every path to the folder,
every user and every `$ZOO_HOME` meet the same lock. What is replaced as a whole (a model in the store) is guarded by a
file in the user's own folder, named after the path. That folder also serves where a file system knows no locks: then
processes of other users and of other machines are not seen. On NFS locks reach other machines where its lock service
runs. On Windows the same holds, by that system's own locks.
"""

from __future__ import annotations

import errno
import logging
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path

from zoo.errors import InUseError
from zoo.registry.paths import zoo_home
from zoo.storage.lock_files import Holder, Lock, holder_at, own_paths, read_holder

_log = logging.getLogger("zoo")

IN_USE = ".in-use"
"""The file inside a folder that is in use. A process that was killed leaves it behind; it means nothing then."""

_PATIENCE = 0.3  # seconds: somebody who only looks has a lock for a moment too
_LOOK_EVERY = 0.02
_SAY_AFTER = 5.0
_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def hold(folder: str | Path, *, doing: str, advice: str) -> Iterator[None]:
    """Have a folder to oneself; who else wants it is told at once.

    Args:
        folder: Made when missing; removed again when nothing has come into it.
        doing: What for, as others are told: "training gru-S-flute".
        advice: What they are told that they can do besides waiting: "take another --out".

    Raises:
        InUseError: Another process has it, or another thread of this one.
        OSError: It cannot be written to.
    """
    folder = Path(folder).resolve()  # what a link leads to is what is guarded
    made = _make(folder)
    try:
        with _held(folder, [folder / IN_USE], doing=doing, advice=advice):
            yield
    finally:
        for each in made:  # nobody's lock is removed so: a folder with one in it is not empty
            with suppress(OSError):
                each.rmdir()


@contextmanager
def hold_name(path: str | Path, *, doing: str, advice: str) -> Iterator[None]:
    """As `hold`, for what is replaced as a whole, or is not there yet; nothing is made in its place."""
    with _held(Path(path), [], doing=doing, advice=advice):
        yield


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Let one process at a time do what is short, such as renaming what stands under `path`; the others wait."""
    asked, said = time.monotonic(), False
    me = Holder.me("")
    while True:
        place, lock = _take_one_of(own_paths(path, "locked"), me)
        if lock is not None:
            break
        if not said and time.monotonic() - asked > _SAY_AFTER:
            said = True
            _log.info("Waiting for %s, which is in use by %s.", path, read_holder(place) or "another process")
        time.sleep(_LOOK_EVERY)
    try:
        yield
    finally:
        lock.release()


def is_locked(path: str | Path) -> bool:
    """Whether somebody has `locked` this path; not so where that cannot be known."""
    with suppress(OSError):
        for place in islice(own_paths(path, "locked"), 1):
            return str(place) in Lock.holders or (place.exists() and holder_at(place) is not None)
    return False


def holder_of(folder: str | Path) -> Holder | None:
    """Who holds a folder by `hold`; None where nobody does, or where that cannot be known."""
    folder = Path(folder).resolve()
    for place in (folder / IN_USE, *islice(own_paths(folder, "held"), 1)):
        if known := Lock.holders.get(str(place)):
            return known
        with suppress(OSError):
            if stat.S_ISREG(place.lstat().st_mode) and (found := holder_at(place)):
                return found
    return None


def refuse_if_held(folder: str | Path, *, advice: str) -> None:
    """Leave a folder alone that another process holds; this process may have it.

    Args:
        folder: What is about to be written to.
        advice: See `hold`.

    Raises:
        InUseError: Another process has it.
    """
    holder = holder_of(folder)
    if holder is not None and not holder.here:
        raise _in_use(Path(folder), holder, advice)


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but its lock."""
    return all(path.name == IN_USE for path in folder.iterdir())


@contextmanager
def _held(guarded: Path, first: Sequence[Path], *, doing: str, advice: str) -> Iterator[None]:
    me, asked = Holder.me(doing), time.monotonic()
    while True:
        place, lock = _take_one_of(chain(first, own_paths(guarded, "held")), me)
        if lock is not None or time.monotonic() - asked > _PATIENCE:
            break
        time.sleep(_LOOK_EVERY)
    if lock is None:
        raise _in_use(guarded, read_holder(place), advice)
    try:
        if first and place not in first:
            _log.warning(
                "%s lies where no locks can be made: other users and other machines do not see that it is in use.",
                guarded,
            )
        yield
    finally:
        lock.release()


def _take_one_of(places: Iterable[Path], me: Holder) -> tuple[Path, Lock | None]:
    """Take a lock at the first of some places where locks can be made at all; None where another process has it."""
    reason: OSError | None = None
    for place in places:
        try:
            return place, Lock.take(place, me)
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
            reason = error
    raise OSError(
        errno.ENOLCK,
        f"no locks can be made ({reason.strerror if reason else 'no folder for them can be written'}). Type: "
        "export ZOO_HOME=FOLDER, with a folder of yours on another disk",
        str(zoo_home()),
    )


def _in_use(guarded: Path, holder: Holder | None, advice: str) -> InUseError:
    return InUseError(f"{guarded} is in use: {holder or 'another process'}. Wait until that has ended, or {advice}.")


def _make(folder: Path) -> list[Path]:
    """Make a folder and those above it; gives those that were made, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    made = []
    for each in reversed(missing):
        with suppress(FileExistsError):
            each.mkdir()
            made.append(each)
    return made[::-1]
