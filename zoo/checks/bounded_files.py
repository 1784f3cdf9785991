"""Reading text files from elsewhere: bounded before they are read, and each reason why one cannot be read in words."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from zoo.checks import strict_json
from zoo.checks.text_files import decode
from zoo.errors import ZooError

LFS_START = b"version https://git-lfs.github.com/spec/"

_MIB = 2**20


def read_bounded(path: Path, *, most_bytes: int, error: type[ZooError], remedy: str) -> str:
    """Read a whole text file.

    What it is as text, and what is said of one that is no UTF-8, is `zoo.checks.text_files.decode`'s.

    Args:
        path: The file.
        most_bytes: How large such a file may be.
        error: What is raised where it cannot be read.
        remedy: What to do then, as a sentence.

    Raises:
        ZooError: Of the class `error`: it is missing, no file, too large, or no UTF-8.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise error(f"{path} is {kind}, where a text file belongs. {remedy}")
        if status.st_size > most_bytes:
            raise error(f"{path} has {status.st_size:,} bytes; such a file never has over {most_bytes:,}. {remedy}")
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as reason:
        raise error(f"{path} cannot be read: {reason.strerror or reason}. {remedy}") from None
    if len(content) > most_bytes:
        raise error(f"{path} never ends: it has over {most_bytes:,} bytes. {remedy}")
    if content.startswith(LFS_START):
        raise error(f"{path} {lfs_pointer(path)}")
    return decode(content, where=str(path), error=error)


def read_json(path: Path, *, most_bytes: int = _MIB, error: type[ZooError], remedy: str) -> object:
    """Read a JSON file as strictly as `zoo.checks.strict_json` does; see `read_bounded`.

    Raises:
        ZooError: Of the class `error`.
    """
    text = read_bounded(path, most_bytes=most_bytes, error=error, remedy=remedy)
    try:
        return strict_json.parse(text)
    except ValueError as reason:
        raise error(f"{path} is not valid JSON: {str(reason).rstrip('.')}. {remedy}") from None


def lfs_pointer(path: Path) -> str:
    """What to say of a file that is a git-LFS pointer, after its name."""
    return (
        "is a git-LFS pointer: a note of where the file is, not the file. git left it there since git-lfs was not "
        f"installed. Type: git lfs install, then in {path.parent}: git lfs pull"
    )


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file holds git-LFS's note in place of its content."""
    try:
        with path.open("rb") as file:
            return file.read(len(LFS_START)) == LFS_START
    except OSError:
        return False


def quoted(value: object, *, most: int = 120) -> str:
    """A value out of a JSON file as a message shows it: as JSON, cut off where it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= most else f"{text[:most]}..."
