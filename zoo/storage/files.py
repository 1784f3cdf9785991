"""Writing files so that nothing half-written ever stands under a final name: write beside, then rename.

Several processes may do so at once: the last one to finish wins, and what stands there is always one of theirs, whole.
"""

from __future__ import annotations

import ctypes
import glob
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from zoo.storage.locks import locked as locked  # what writes files needs both


def write_atomically(path: str | Path, data: bytes | str) -> None:
    """Write a file whole or not at all; what stood under that name stays until the new one is complete.

    Args:
        path: The file; its folder is made when missing.
        data: Its content; text is written as UTF-8.

    Raises:
        OSError: The disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with beside(path) as temporary:
        _write_through(temporary, data.encode() if isinstance(data, str) else data)


def write_together(folder: Path, contents: Mapping[str, bytes], *, remove: Iterable[str] = ()) -> None:
    """Write files that belong together: all are written before the first one gets its name, and then by one process.

    Args:
        folder: Made when missing.
        contents: By name, in the order in which they get their names.
        remove: Names of files that are taken away before the first one gets its name.

    Raises:
        OSError: The disk is full, or the folder cannot be written to; what was there is unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[Path, Path] = {}
    try:
        for name, data in contents.items():
            temporary = written[folder / name] = _new_file(folder / name)
            _write_through(temporary, data)
        with locked(folder):
            for name in remove:
                (folder / name).unlink(missing_ok=True)
            for path, temporary in written.items():
                temporary.replace(path)
    except BaseException:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)
        raise


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def beside(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to, and rename it to `path` when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _new_file(path)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def new_folder(path: str | Path, *, check: Callable[[], None] | None = None) -> Iterator[Path]:
    """Give a temporary folder beside `path` to fill; it takes the name `path` when the block ends well.

    A folder that stood there is replaced only then, and where the system can exchange two folders in one step (Linux,
    macOS), there is no moment in which none stands there.

    Args:
        path: The folder.
        check: Called when all is written, while nobody else can put anything in its place; what it raises leaves what
            is there as it is.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _unique(path)
    temporary.mkdir()
    try:
        yield temporary
        with locked(path):
            if check is not None:
                check()
            if path.exists():
                _replace_folder(temporary, path)
            else:
                temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _replace_folder(new: Path, path: Path) -> None:
    if exchange(new, path):
        if new.is_symlink():
            new.unlink()
        shutil.rmtree(new, ignore_errors=True)
        return
    old = _unique(path)
    path.replace(old)
    try:
        new.replace(path)
    except BaseException:
        old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _new_file(path: Path) -> Path:
    # mkstemp's files can be read by their owner alone, and to learn the umask it would have to be set, for all threads
    while True:
        temporary = _unique(path, suffix=path.suffix)
        with suppress(FileExistsError):
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            return temporary


def _unique(path: Path, *, suffix: str = "") -> Path:
    stem = path.stem if suffix else path.name
    return path.with_name(f".{stem}-{secrets.token_hex(4)}{suffix}")


def being_replaced(path: Path) -> bool:
    """Whether another process may just be putting a folder in the place of `path`."""
    return path.parent.is_dir() and any(path.parent.glob(f".{glob.escape(path.name)}-*"))


def file_hash(path: Path, digest: hashlib._Hash | None = None) -> str:
    """The hexadecimal digest of a file's content: SHA-256, or what is given, with what it has seen already."""
    digest = digest or hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


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
