"""Reading a model's files while another process may be writing them: what is read is one version, whole.

Requirements it meets:

- weights and config are opened once; whatever then happens under their names, both stay as they were;
- that they belong together is known by the hash of the weights that the config holds; where they do not, they are
  opened anew, until they fit or nobody is writing there;
- nothing is written, and no lock is waited for: so a folder that can only be read, or is another user's, can be read.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from zoo.errors import CheckpointError, ZooError
from zoo.storage.config import ModelConfig, read_config
from zoo.storage.files import being_replaced
from zoo.storage.header import Header, read_header_of
from zoo.storage.locks import is_locked
from zoo.storage.run_files import CONFIG, WEIGHTS, published_files

_PAUSE = 0.01
_QUIET = 3  # looks in a row at which nothing has changed: a process of another user may be between its two files
_LONGEST = 60.0
_LONGEST_AWAY = 1.0

_Result = TypeVar("_Result")
_State = dict[str, tuple[int, ...]]


class ModelFiles:
    """A model's two files, opened.

    Attributes:
        path: Of the weights.
        config: What config.json says.
        header: What the weights' file says of itself.
        size: Of the weights' file in bytes.
    """

    def __init__(self, path: Path, config: ModelConfig, file: BinaryIO) -> None:
        self.path = path
        self.config = config
        self.header: Header = read_header_of(file, path)
        self.size = os.fstat(file.fileno()).st_size
        self._file = file
        self._digest: str | None = None

    def digest(self) -> str:
        """The SHA-256 of the weights' file."""
        if self._digest is None:
            # in one piece: for each piece a thread would wait for its turn in Python again
            with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                self._digest = hashlib.sha256(content).hexdigest()
        return self._digest

    def fit(self) -> bool:
        """Whether the weights are those that the config was saved with; a config that does not say takes any."""
        return self.config.weights_sha256 in (None, self.digest())

    def read(self, name: str) -> bytearray:
        """The bytes of one tensor.

        Raises:
            OSError: They cannot be read.
        """
        begin, size = self.header.place(name)
        content = bytearray(size)
        self._file.seek(begin)
        if self._file.readinto(content) != size:  # type: ignore[attr-defined]  # a file that is open has it
            raise CheckpointError(f"{self.path} has been cut short while it was read. Copy or download it again.")
        return content


@contextmanager
def _opened(folder: Path) -> Iterator[ModelFiles]:
    path = folder / WEIGHTS
    config = read_config(folder)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise CheckpointError(f"{folder} has no {path.name}: the weights are missing.") from None
    except IsADirectoryError:
        raise CheckpointError(f"{path} is a folder, where the weights belong. Copy or download it again.") from None
    with file:
        yield ModelFiles(path, config, file)


def read_whole(folder: Path, read: Callable[[ModelFiles], _Result], *, others: bool = False) -> _Result:
    """Read a model's files as one version.

    Args:
        folder: With both files.
        read: Called with them, and called again where they turn out not to belong together because another process is
            writing there. What it raises of zoo's errors counts only where they do, or where nobody is writing: it is
            what has to say that files are damaged.
        others: Whether it reads further files of the folder by their names.

    Returns:
        What `read` gives.

    Raises:
        CheckpointError: A file is missing, damaged, or written to all the time.
        ConfigError: The config is damaged, or from a newer zoo.
    """
    began, quiet = time.monotonic(), 0
    while True:
        before = _state_of(folder)
        problem: ZooError | None = None
        fit = False
        try:
            with _opened(folder) as files:
                try:
                    result = read(files)
                finally:
                    fit = files.fit()
        except ZooError as error:
            problem = error
        except FileNotFoundError as error:  # it was just replaced, or it was taken away
            problem = CheckpointError(f"{folder}: {error.strerror or error} ({error.filename or 'try again'}).")
        after = _state_of(folder)
        if problem is None and fit and (after == before or not (others or files.config.weights_sha256 is None)):
            return result
        if problem is not None and fit and after == before:
            raise problem
        quiet = quiet + 1 if after == before and not _is_written(folder) and after == _state_of(folder) else 0
        if quiet >= (_QUIET if before else 1):  # it is as it is: damaged, or no model
            if problem is not None:
                raise problem
            return result
        if time.monotonic() - began > (_LONGEST if before or after else _LONGEST_AWAY):
            if problem is not None and not (before or after):
                raise problem
            raise CheckpointError(f"{folder} is being written to all the time; try again when that has ended.")
        time.sleep(_PAUSE)


def copy_run(source: Path, target: Path, *, links_into: Path | None = None) -> None:
    """Copy what others get of a run, all of it of one version.

    Args:
        source: The run's folder.
        target: A folder; what it holds of a run is replaced.
        links_into: See `zoo.storage.run_files.published_files`.

    Raises:
        CheckpointError: A file is missing, or written to all the time.
    """

    def copy(_: ModelFiles) -> None:
        for name in published_files(target):
            (target / name).unlink()
        files = published_files(source, links_into=links_into)
        before = {name: _stamp(path) for name, path in files.items()}
        for name, path in files.items():
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target / name)
        if before != {name: _stamp(path) for name, path in files.items()}:
            raise FileNotFoundError(f"{source} was written to while it was copied")

    read_whole(source, copy, others=True)


def _is_written(folder: Path) -> bool:
    return is_locked(folder) or (not folder.is_dir() and being_replaced(folder))


def _state_of(folder: Path) -> _State:
    """What stands under the two names now; empty where one of them is missing."""
    try:
        return {name: _stamp(folder / name) for name in (WEIGHTS, CONFIG)}
    except OSError:
        return {}


def _stamp(path: Path) -> tuple[int, ...]:
    found = path.stat()
    # ctime too: a copy that took the place of another may have its inode, its size and its mtime
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
