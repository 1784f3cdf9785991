"""Where on the Hub the model in a folder is: a note beside it, which stays on this machine."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from zoo.checks.text_files import read_json
from zoo.errors import CheckpointError, ZooError
from zoo.models import naming
from zoo.storage.config import read_config
from zoo.storage.files import write_atomically

_FILE = "hub.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubSource:
    """The commit of a Hub repo that holds the same weights as a folder.

    Attributes:
        repo_id: "org/name".
        commit: 40 hexadecimal digits.
        weights_sha256: Of the weights that are there, so that a folder that has been trained on is not taken for it.
    """

    repo_id: str
    commit: str
    weights_sha256: str


def write_source(folder: Path, source: HubSource) -> None:
    """Remember in a folder where its model is on the Hub; this file stays on this machine."""
    write_atomically(folder / _FILE, json.dumps(asdict(source), indent=2, sort_keys=True) + "\n")


def read_source(folder: Path) -> HubSource | None:
    """Where the model in a folder is on the Hub; None when that is not known, or not of these weights."""
    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        content = read_json(path, error=CheckpointError, fix="")
        if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
            return None
        source = HubSource(**content)
        sound = _is_sound(source) and source.weights_sha256 == read_config(folder).weights_sha256
        return source if sound else None
    except (ValueError, TypeError, ZooError):
        return None


def _is_sound(source: HubSource) -> bool:
    """Whether a source is one that `write_source` may have written: it becomes part of references and of cards."""
    place = naming.match_hub_id(source.repo_id)
    return place is not None and place.repo_id == source.repo_id and _COMMIT.fullmatch(source.commit) is not None
