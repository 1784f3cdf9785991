"""Names from outside that become part of a path: checked where they enter, by one function.

A name may come from a stranger's config, a Hub's listing, a dataset's index, a plugin's metadata, or be typed. Whatever
system it comes from, it must mean one file or folder within the place that it is joined to, on every system: what is
made on one machine is copied to others.
"""

from __future__ import annotations

import re
import unicodedata

from zoo.errors import ConfigError, ZooError

MOST_BYTES = 200
"""Of a name's part between slashes: file systems allow 255, and temporary names beside it are longer."""

_MOST_IN_ALL = 1000
_FORBIDDEN = '\\:*?"<>|'  # in Windows' names; a backslash and a colon also lead elsewhere there
# What Windows takes for a device, whatever follows a dot.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE)


def check_path_name(
    name: object, what: str, *, nested: bool = False, error: type[ZooError] = ConfigError, fix: str = ""
) -> str:
    """Make sure that a name from outside can be joined to a folder, and stays in it.

    Example:
        >>> check_path_name("gru-S-flute", "The model's name")
        'gru-S-flute'

    Args:
        name: The name.
        what: What messages call it, e.g. "The revision".
        nested: Whether it may have several parts with `/` between them, as a branch or a file in a repo.
        error: What to raise.
        fix: What to do instead, as a sentence.

    Returns:
        The name.

    Raises:
        ZooError: It cannot; of the class `error`. It says why.
    """
    fault = path_fault(name, nested=nested)
    if fault is None:
        assert isinstance(name, str)  # noqa: S101 - anything else has a fault
        return name
    shown = repr(name if not isinstance(name, str) or len(name) <= 80 else f"{name[:77]}...")
    raise error(f"{what} {shown} is refused: {fault}.{f' {fix}' if fix else ''}")


def path_fault(name: object, *, nested: bool = False) -> str | None:
    """Why a name must not become part of a path, as the end of a sentence; None where it may."""
    if not isinstance(name, str):
        return f"it is no text but {type(name).__name__}"
    if not name:
        return "it is empty"
    if leads_out(name):
        return "it is a name that leads out of its folder"
    parts = name.split("/")
    if len(parts) > 1 and not nested:
        return "it has a slash, and is no path"
    for part in parts:
        if (fault := _part_fault(part)) is not None:
            return fault
    return "it is too long" if len(name.encode()) > _MOST_IN_ALL else None


def leads_out(name: str) -> bool:
    """Whether a name, joined to a folder on any system, may mean a file outside of it (or the folder itself)."""
    parts = name.split("/")
    return "\\" in name or "\0" in name or ":" in parts[0] or any(part in ("", ".", "..") for part in parts)


def _part_fault(part: str) -> str | None:
    if any(_is_hidden(character) for character in part):
        return "it has a control character or a mark that is not seen"
    if bad := next((character for character in part if character in _FORBIDDEN), None):
        return f"{bad!r} cannot stand in a file's name everywhere"
    if part.startswith("-"):
        return "it begins with a dash, as an option of a command does"
    if part.startswith("~"):
        return "it begins with '~', which means a user's home"
    if part != part.strip() or part.endswith("."):
        return "it begins or ends with a space, or ends with a dot"
    if _DEVICE.fullmatch(part):
        return "Windows takes it for a device"
    try:
        size = len(part.encode())
    except UnicodeEncodeError:
        return "it is no text in UTF-8"
    return f"it is longer than {MOST_BYTES} bytes" if size > MOST_BYTES else None


def _is_hidden(character: str) -> bool:
    # a zero-width joiner is part of emoji and of several scripts
    return unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") and character not in "\u200c\u200d"
