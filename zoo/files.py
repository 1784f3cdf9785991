"""Writing files so that nothing half-written ever stands under a final name: write beside, then rename.

Several processes may do so at once: the last one to finish wins, and what stands there is always one of theirs, whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zoo import paths


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
    with beside(path) as temporary, temporary.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def beside(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to, and rename it to `path` when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside `path` to fill; it takes the name `path` when the block ends well.

    A folder that stood there is replaced only then.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        with locked(path):
            if path.exists():
                _exchange(temporary, path)
            else:
                temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _exchange(new: Path, path: Path) -> None:
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
    path.replace(old / path.name)
    try:
        new.replace(path)
    except BaseException:
        (old / path.name).replace(path)
        old.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Let one process at a time write what stands under `path`; the others wait.

    The lock lies in the user's own folder, so that nothing is left beside the files, and ends with the process.
    """
    from filelock import FileLock  # slow to import, and reading needs none

    name = hashlib.sha256(str(Path(path).resolve()).encode()).hexdigest()[:32]
    with FileLock(_lock_folder() / f"{name}.lock"):
        yield


def _lock_folder() -> Path:
    for folder in (paths.zoo_home() / "locks", Path(tempfile.gettempdir()) / "ddsp-zoo-locks"):
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    raise OSError(f"{paths.zoo_home()} cannot be written. Type: export ZOO_HOME=FOLDER, with a folder of yours")


def file_hash(path: Path, digest: hashlib._Hash | None = None) -> str:
    """The hexadecimal digest of a file's content: SHA-256, or what is given, with what it has seen already."""
    digest = digest or hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)  # the only way to read it is to set it
    os.umask(mask)
    return mask
