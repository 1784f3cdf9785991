"""Reading text files as people write them, on any system and with any editor.

A byte order mark at the beginning (Notepad and PowerShell write one) is no part of the text, and lines may end as on
Windows. What is no UTF-8 is refused with what it is, where, and how it becomes UTF-8.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from zoo.errors import ConfigError, ZooError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_REMEDY = "Save it as UTF-8: in Windows Notepad, Save as, Encoding: UTF-8."


def read_text(path: str | Path, *, error: type[ZooError] = ConfigError, remedy: str = _REMEDY) -> str:
    """Read a text file.

    Args:
        path: The file.
        error: What to raise.
        remedy: What a message tells people to do where it is no UTF-8.

    Raises:
        ZooError: It is no UTF-8 text; of the class `error`.
        OSError: It cannot be read.
    """
    return decode(Path(path).read_bytes(), where=str(path), error=error, remedy=remedy)


def decode(content: bytes, *, where: str, error: type[ZooError] = ConfigError, remedy: str = _REMEDY) -> str:
    r"""The text of a file's bytes, with `\n` at the end of lines.

    Example:
        >>> decode(b"\xef\xbb\xbfSTEPS = 3\r\n", where="my.gin")
        'STEPS = 3\n'

    Args:
        content: The bytes.
        where: What messages call the file.
        error: See `read_text`.
        remedy: See `read_text`.

    Raises:
        ZooError: It is no UTF-8 text; of the class `error`.
    """
    try:
        if content.startswith(_UTF16) or (b"\0" in content and _is_utf16(content)):
            raise error(f"{where} is not a text file in UTF-8 but in UTF-16. {remedy}")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = problem.object.count(b"\n", 0, problem.start) + 1
        byte = problem.object[problem.start]
        raise error(f"{where} is not a text file in UTF-8: line {line} has the byte 0x{byte:02x}. {remedy}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_utf16(content: bytes) -> bool:
    """Whether every other byte of the first ones is zero, as in UTF-16 without a mark."""
    first = content[:200]
    return any(len(half) > 1 and not any(half) for half in (first[::2], first[1::2]))
