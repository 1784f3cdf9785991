"""Reading text files: as people write them, on any system and with any editor, and bounded where they come from others.

Each reason why one cannot be read is told in words.
"""

from __future__ import annotations

import codecs
import stat
from pathlib import Path

from zoo.checks import strict_json
from zoo.errors import ConfigError, ZooError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_FIX = "Save it as UTF-8: in Windows Notepad, Save as, Encoding: UTF-8."


def read_text(path: str | Path, *, error: type[ZooError] = ConfigError, fix: str = _FIX) -> str:
    """Read a text file.

    Args:
        path: The file.
        error: What to raise.
        fix: What a message tells people to do where it is no UTF-8.

    Raises:
        ZooError: It is no UTF-8 text; of the class `error`.
        OSError: It cannot be read.
    """
    return decode(Path(path).read_bytes(), where=str(path), error=error, fix=fix)


def decode(content: bytes, *, where: str, error: type[ZooError] = ConfigError, fix: str = _FIX) -> str:
    r"""The text of a file's bytes, with `\n` at the end of lines.

    Example:
        >>> decode(b"\xef\xbb\xbfSTEPS = 3\r\n", where="my.gin")
        'STEPS = 3\n'

    Args:
        content: The bytes.
        where: What messages call the file.
        error: See `read_text`.
        fix: See `read_text`.

    Raises:
        ZooError: It is no UTF-8 text; of the class `error`.
    """
    try:
        if content.startswith(_UTF16) or (b"\0" in content and _is_utf16(content)):
            raise error(f"{where} is not a text file in UTF-8 but in UTF-16. {fix}")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = problem.object.count(b"\n", 0, problem.start) + 1
        byte = problem.object[problem.start]
        raise error(f"{where} is not a text file in UTF-8: line {line} has the byte 0x{byte:02x}. {fix}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_utf16(content: bytes) -> bool:
    """Whether every other byte of the first ones is zero, as in UTF-16 without a mark."""
    first = content[:200]
    return any(len(half) > 1 and not any(half) for half in (first[::2], first[1::2]))


LFS_START = b"version https://git-lfs.github.com/spec/"

_MIB = 2**20


def read_bounded(path: Path, *, most_bytes: int, error: type[ZooError], fix: str) -> str:
    """Read a whole text file.

    What it is as text, and what is said of one that is no UTF-8, is `zoo.checks.text_files.decode`'s.

    Args:
        path: The file.
        most_bytes: How large such a file may be.
        error: What is raised where it cannot be read.
        fix: What to do then, as a sentence.

    Raises:
        ZooError: Of the class `error`: it is missing, no file, too large, or no UTF-8.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise error(f"{path} is {kind}, where a text file belongs. {fix}")
        if status.st_size > most_bytes:
            raise error(f"{path} has {status.st_size:,} bytes; such a file never has over {most_bytes:,}. {fix}")
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as reason:
        raise error(f"{path} cannot be read: {reason.strerror or reason}. {fix}") from None
    if len(content) > most_bytes:
        raise error(f"{path} never ends: it has over {most_bytes:,} bytes. {fix}")
    if content.startswith(LFS_START):
        raise error(f"{path} {lfs_pointer(path)}")
    return decode(content, where=str(path), error=error)


def read_json(path: Path, *, most_bytes: int = _MIB, error: type[ZooError], fix: str) -> object:
    """Read a JSON file as strictly as `zoo.checks.strict_json` does; see `read_bounded`.

    Raises:
        ZooError: Of the class `error`.
    """
    text = read_bounded(path, most_bytes=most_bytes, error=error, fix=fix)
    try:
        return strict_json.parse(text)
    except ValueError as reason:
        raise error(f"{path} is not valid JSON: {str(reason).rstrip('.')}. {fix}") from None


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
