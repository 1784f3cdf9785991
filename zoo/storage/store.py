"""The models that are here by name: the user's local store, and those that ship with zoo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from zoo.errors import ConfigError
from zoo.registry import paths
from zoo.storage.files import new_folder
from zoo.storage.reading import copy_run
from zoo.storage.run_files import CONFIG, WEIGHTS


def stored_models() -> dict[str, Path]:
    """The local store's models: name to folder."""
    return models_in(paths.store_folder())


def shipped_models() -> dict[str, Path]:
    """The models whose weights ship with zoo or with plugins: name to folder; the first one where several ship it."""
    return {name: offers[0] for name, offers in shipped_offers().items()}


def shipped_offers() -> dict[str, list[Path]]:
    """The models whose weights ship with zoo or with plugins: name to folders; more than one is a clash."""
    found: dict[str, list[Path]] = {}
    for folder in paths.model_card_folders():
        for name, path in models_in(folder).items():
            found.setdefault(name, []).append(path)
    return found


def models_in(folder: Path) -> dict[str, Path]:
    """The models with weights in a folder of models: name to folder."""
    if not folder.is_dir():
        return {}
    # a leading dot marks a folder that is just being written
    return {
        path.name: path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and (path / CONFIG).is_file() and (path / WEIGHTS).is_file()
    }


def check_free(name: str, *, force: bool) -> None:
    """Make sure that no model of that name is in the local store, or that it may be replaced.

    Raises:
        ConfigError: There is one.
    """
    if (paths.store_folder() / name).exists() and not force:
        raise ConfigError(
            f"The local store already has a model {name} ({paths.store_folder() / name}). Replace it with --force, or "
            "take another --name."
        )


def enter(
    name: str,
    source: Path,
    *,
    links_into: Path | None = None,
    force: bool,
    complete: Callable[[Path], object] | None = None,
) -> Path:
    """Copy a run into the local store as one model.

    Args:
        name: What the model is called from now on.
        source: The run's folder; what others get of it is copied.
        links_into: Where links in it may lead; see `zoo.storage.run_files.published_files`.
        force: Replace a model of that name, when the copy is whole.
        complete: Called with the copy, before it gets its name.

    Raises:
        ConfigError: The name has been taken meanwhile.
        CheckpointError: The run is being written to all the time.
    """
    target = paths.store_folder() / name
    with new_folder(target, check=lambda: check_free(name, force=force)) as folder:
        copy_run(source, folder, links_into=links_into)
        if complete is not None:
            complete(folder)
    return target
