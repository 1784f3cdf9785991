"""Which files of a run are meant for others: what the local store and the Hub get, and nothing else.

A run's folder also holds checkpoints, and whatever its owner keeps there. So this is a list of what may go, not of what
may not.
"""

from __future__ import annotations

import re
from pathlib import Path

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"
GOLDEN = "golden.safetensors"
RECORDING = "_recording.wav"
"""How an excerpt of a held-out recording ends, which the model's sounds stand beside; it is somebody else's."""
EXPORTS = "export.json"
EXPORTS_FOLDER = "exports"

_TEXTS = (CONFIG, CARD, "metrics.json", "config.gin", "operative.gin", "history.csv", EXPORTS)
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,100}"
_PUBLISHED = re.compile(
    "|".join(
        [
            re.escape(WEIGHTS),
            re.escape(GOLDEN),
            *map(re.escape, _TEXTS),
            rf"samples/{_NAME}\.wav",
            rf"plots/{_NAME}\.png",
            rf"{EXPORTS_FOLDER}/{_NAME}\.(zoo|onnx|ts|json)",
        ]
    )
)


def is_published(path: str) -> bool:
    """Whether a file of that name, relative to the run's folder and with `/`, is one that others get."""
    return _PUBLISHED.fullmatch(path) is not None


def is_export(path: str) -> bool:
    """Whether a file of that name is of the exports that others get; see `zoo.storage.exports`."""
    return is_published(path) and (path == EXPORTS or path.startswith(f"{EXPORTS_FOLDER}/"))


def published_files(folder: Path, *, links_into: Path | None = None) -> dict[str, Path]:
    """The files of a run that others get, by their name within it, sorted.

    Args:
        folder: The run.
        links_into: Where links may lead; the run itself by default. Others are left out, since a link could lead to
            anything on this machine.
    """
    inside = (links_into or folder).resolve()
    found = {}
    for path in (
        *folder.glob("*"),
        *folder.glob("samples/*"),
        *folder.glob("plots/*"),
        *folder.glob(f"{EXPORTS_FOLDER}/*"),
    ):
        name = path.relative_to(folder).as_posix()
        if is_published(name) and path.is_file() and path.resolve().is_relative_to(inside):
            found[name] = path
    return dict(sorted(found.items()))
