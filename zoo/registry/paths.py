"""Where things are: gin files and cards that ship with zoo and with plugins, and the user's own folders."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import PluginError

if TYPE_CHECKING:
    from zoo.registry import Entry

RESOURCES = "zoo_resources"
"""Entry-point group: each value is a top-level import package with folders `gin` and `model_cards`, or one of them."""

QUICK_START_MODEL = "gru-M-tones"
"""The one trained model that ships with zoo itself: the quick start's teacher. All others come with ddsp-zoo-models."""

_OWN, _MODELS = "ddsp-zoo", "ddsp-zoo-models"
_PACKAGE = Path(__file__).resolve().parents[1]


def _shipped(name: str) -> list[Path]:
    # A wheel carries these folders inside the package; in a checkout they stand beside it.
    candidates = [_PACKAGE / "_shipped" / name, _PACKAGE.parent / name]
    return [folder for folder in candidates if folder.is_dir()][:1]


def _in_checkout() -> bool:
    return _shipped("model_cards") == [_PACKAGE.parent / "model_cards"]


def gin_folders() -> list[Path]:
    """Folders that gin files and their includes are looked up in: zoo's own, then those of plugins."""
    return _shipped("gin") + _brought("gin")


def model_card_folders() -> list[Path]:
    """Folders with one sub-folder per shipped model: zoo's own, then those of other packages.

    In a checkout the folder beside zoo holds what ddsp-zoo-models is built from: one that is installed, however old, is
    then left out, else each of its models would be there twice.
    """
    return _shipped("model_cards") + _brought("model_cards", but=_MODELS if _in_checkout() else None)


def has_shipped_models() -> bool:
    """Whether the trained models of this project are here: ddsp-zoo-models is installed, or zoo runs in a checkout."""
    return _in_checkout() or any(each.entry.distribution == _MODELS for each in plugin_resources())


def example_plugin() -> Path:
    """The folder of the example of a plugin package, which `zoo new-plugin` copies.

    Raises:
        PluginError: It was not installed with zoo.
    """
    candidates = [_PACKAGE / "_shipped" / "zoo-example", _PACKAGE.parent / "plugins" / "zoo-example"]
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise PluginError(
        f"The example of a plugin is missing ({candidates[0]}). Type: pip install --force-reinstall {_OWN}"
    )


@dataclass(frozen=True)
class Resources:
    """What a distribution ships beside code.

    Attributes:
        entry: Who ships it.
        package: The folder of its import package; None where there is no such package.
        problem: Why that is so; empty where all is well.
    """

    entry: Entry
    package: Path | None
    problem: str = ""


def plugin_resources() -> list[Resources]:
    """The import packages that plugins ship gin files and models in, found without importing any."""
    from zoo import registry  # doctor uses this module where what the registry needs is missing

    found_on = registry.search_path()
    return [
        Resources(entry, *_locate(entry.target, found_on))
        for entry in registry.installed(RESOURCES)
        if entry.distribution != registry.OWN_DISTRIBUTION
    ]


def origin_of(path: Path) -> str:
    """Who ships a file or folder, for messages: "ddsp-zoo-ddx7 0.1.0"; "ddsp-zoo" for zoo itself.

    In a checkout the models beside zoo, but for the quick start's, are those of "ddsp-zoo-models".
    """
    if path.parent == _PACKAGE.parent / "model_cards" and path.name != QUICK_START_MODEL:
        return _MODELS
    for resources in plugin_resources():
        if resources.package is not None and path.is_relative_to(resources.package):
            return resources.entry.origin
    return _OWN


def only_one(what: str, offers: Sequence[Path]) -> Path:
    """The one place of a shipped file or model.

    Args:
        what: What messages call it, e.g. "The gin file 'train/fm.gin'".
        offers: Where it is, one place for each distribution that ships it; not empty.

    Raises:
        PluginError: Several distributions ship it.
    """
    if len(offers) > 1:
        origins = sorted({origin_of(offer) for offer in offers})
        others = [origin.split()[0] for origin in origins if origin.split()[0] != _OWN]
        raise PluginError(
            f"{what} is shipped by {' and '.join(origins)}. One name must mean one thing: "
            f"uninstall one of them (pip uninstall {others[-1]})."
        )
    return offers[0]


def _brought(name: str, *, but: str | None = None) -> list[Path]:
    folders = [
        resources.package / name
        for resources in plugin_resources()
        if resources.package is not None and resources.entry.distribution != but
    ]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _locate(package: str, found_on: tuple[tuple[str, int], ...]) -> tuple[Path | None, str]:
    """Where an import package lies, and else why it cannot be said."""
    if not package.isidentifier():
        # to find a package within another one, Python imports the outer one
        return None, f"{package!r} is not the name of a top-level import package"
    return _find_package(package, found_on)


@lru_cache(maxsize=256)
def _find_package(package: str, _: tuple[tuple[str, int], ...]) -> tuple[Path | None, str]:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError) as error:
        return None, f"the import package {package} cannot be looked up ({type(error).__name__}: {error})"
    if spec is None or not spec.submodule_search_locations:
        return None, f"there is no import package {package}"
    return Path(next(iter(spec.submodule_search_locations))).resolve(), ""


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
