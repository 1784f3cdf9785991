"""Where things are: gin files and cards that ship with zoo, and the user's own folders."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> list[Path]:
    # A wheel carries these folders inside the package; in a checkout they stand beside it.
    candidates = [_PACKAGE / "_shipped" / name, _PACKAGE.parent / name]
    return [folder for folder in candidates if folder.is_dir()][:1]


def gin_folders() -> list[Path]:
    """Folders that gin files and their includes are looked up in, first one first."""
    return _shipped("gin")


def model_card_folders() -> list[Path]:
    """Folders with one sub-folder per shipped model."""
    return _shipped("model_cards")


def zoo_home() -> Path:
    """The user's own folder: `$ZOO_HOME`, or the platform's folder for user data."""
    if home := os.environ.get("ZOO_HOME"):
        return Path(home).expanduser()
    import platformdirs  # slow to import, and only needed without ZOO_HOME

    return Path(platformdirs.user_data_dir("ddsp-zoo", appauthor=False))


def store_folder() -> Path:
    """The local store: one folder per named model."""
    return zoo_home() / "models"


def data_home() -> Path:
    """Where datasets that zoo makes by itself are kept."""
    return zoo_home() / "datasets"


def cache_home() -> Path:
    """What zoo computes once and keeps; it may be deleted at any time, and is made again."""
    return zoo_home() / "cache"
