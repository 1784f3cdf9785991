"""What a model reference means, from its text alone: a folder, a zoo name, or a Hub id.

Nothing here guesses: a name that is near another is an error with that other in it, never a silent replacement, for
that would load different weights than were asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zoo import registry
from zoo.checks.path_names import check_path_name
from zoo.errors import HubNotFoundError, ModelNotFoundError, listing, near_matches

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_INSTRUMENT = re.compile(r"[a-z][a-z0-9_]*")
_HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")
_MOST_IN_AN_ID = 96  # the Hub's own limit
_HUB_PREFIXES = ("hf-hub:", "hf://")
_FOLDER_PREFIX = "local-dir:"


@dataclass(frozen=True)
class Reference:
    """A parsed model reference; exactly one of `folder`, `name` and `repo_id` is set.

    Attributes:
        text: As it was given.
        folder: A folder on this machine.
        name: A zoo name, e.g. "gru-L-flute".
        repo_id: A Hub id, "org/name".
        revision: A branch, tag or commit of that.
    """

    text: str
    folder: Path | None = None
    name: str | None = None
    repo_id: str | None = None
    revision: str | None = None


def parse(ref: str | Path) -> Reference:
    """Say what a reference means.

    In this order: an existing folder or `local-dir:PATH`; a zoo name (it has no slash); a Hub id
    `org/name[@revision]`, also as `hf-hub:org/name` or `hf://org/name`.

    Example:
        >>> parse("someone/gru-flute@v1").revision
        'v1'

    Raises:
        ModelNotFoundError: It is none of these.
    """
    text = str(ref)
    if text.startswith(_FOLDER_PREFIX):
        folder = Path(text.removeprefix(_FOLDER_PREFIX)).expanduser()
        if not _is_folder(folder):
            raise ModelNotFoundError(f"{text}: there is no folder {folder}.")
        return Reference(text, folder=folder)
    if text.startswith(_HUB_PREFIXES):
        if (reference := match_hub_id(text)) is None:
            raise ModelNotFoundError(f"{text!r} is not a Hub id; that is org/name or org/name@revision.")
        return reference
    path = Path(text)
    with suppress(RuntimeError):  # '~nobody' is nobody's home
        path = path.expanduser()
    if text and _is_folder(path):
        return Reference(text, folder=path)
    if _is_file(path):
        raise ModelNotFoundError(
            f"{text} is a file; a model is a folder with config.json and model.safetensors. "
            f"Give its folder, or import a thesis checkpoint: "
            f"zoo import-thesis {text} --model gru-S --out FOLDER"
        )
    if isinstance(ref, str) and _NAME.fullmatch(text):
        return Reference(text, name=text)
    if isinstance(ref, str) and (reference := match_hub_id(text)):
        return reference
    shown = text if len(text) <= 200 else f"{text[:197]}..."
    raise ModelNotFoundError(
        f"{shown!r} is no folder here, no model name (letters, digits, '-', '_', '.') and no Hub id "
        "(org/name[@revision]). Names: zoo list"
    )


def match_hub_id(text: str) -> Reference | None:
    """The Hub id that a text is, with or without a prefix, whatever folders there are; None if it is none.

    Raises:
        HubNotFoundError: Its revision is no name of a branch, tag or commit.
    """
    plain = text
    for prefix in _HUB_PREFIXES:
        plain = plain.removeprefix(prefix)
    match = _HUB_ID.fullmatch(plain)
    if match is None or len(match["repo"]) > _MOST_IN_AN_ID:
        return None
    if match["revision"] is not None:
        check_revision(match["revision"])
    return Reference(text, repo_id=match["repo"], revision=match["revision"])


def check_revision(revision: str) -> str:
    """Make sure that a revision may become part of a path, as it does in the Hub's cache, and give it back.

    Raises:
        HubNotFoundError: It may not.
    """
    fix = "Give a branch, a tag, or a commit of 40 hexadecimal digits."
    return check_path_name(revision, "The revision", nested=True, error=HubNotFoundError, fix=fix)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # of a name that is too long for one, for instance
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def parse_name(name: str, *, also: Iterable[str] = ()) -> tuple[str, str | None]:
    """Split a model name into architecture and instrument: "gru-L-flute" is ("gru-L", "flute"), "gru-L" has none.

    Args:
        name: The name.
        also: Further names to suggest when it is unknown.

    Raises:
        ModelNotFoundError: It begins with no registered architecture.
    """
    architectures = registry.models.names()
    if name in architectures:
        return name, None
    for architecture in sorted(architectures, key=len, reverse=True):
        rest = name.removeprefix(f"{architecture}-")
        if rest != name and _INSTRUMENT.fullmatch(rest):
            return architecture, rest
    known = [*architectures, *also]
    stem = name.rsplit("-", 1)[0]
    raise ModelNotFoundError(
        f"There is no model {name!r}.{near_matches(name, known) or near_matches(stem, known)} "
        f"Architectures: {listing(architectures)}; a trained model is architecture-instrument (gru-L-flute). "
        "All names: zoo list"
    )
