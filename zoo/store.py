"""The models that are here by name: the user's local store, and those that ship with zoo."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from zoo import architectures, naming, paths
from zoo.bounded_files import read_json
from zoo.config import ModelConfig, read_config
from zoo.errors import CheckpointError, ConfigError, ZooError
from zoo.files import new_folder, write_atomically
from zoo.locks import hold_name
from zoo.path_names import check_path_name
from zoo.reading import copy_run
from zoo.run_files import CONFIG, WEIGHTS

_ORIGIN = "hub.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")


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


def check_name(name: str, *, config: ModelConfig, force: bool) -> None:
    """Make sure that a model may enter the local store under a name, before hours are spent on it.

    Raises:
        ConfigError: The name is of another architecture, or taken.
        ModelNotFoundError: It begins with no architecture.
    """
    check_path_name(name, "--name", remedy="Call it architecture-instrument, e.g. gru-L-flute.")
    meant = architectures.config_of(name)
    complete = meant.instrument is not None or (config.instrument is not None and name == config.name)
    if meant.architecture != config.architecture or not complete:
        raise ConfigError(
            f"--name {name}: this model is a {config.architecture}; call it {config.architecture}-INSTRUMENT."
        )
    _check_free(name, force=force)


def _check_free(name: str, *, force: bool) -> None:
    if (paths.store_folder() / name).exists() and not force:
        raise ConfigError(
            f"The local store already has a model {name} ({paths.store_folder() / name}). Replace it with --force, or "
            "take another --name."
        )


@contextmanager
def reserved(name: str, *, config: ModelConfig, force: bool, doing: str) -> Iterator[None]:
    """As `check_name`; and nobody else enters a model under that name until the block ends.

    Args:
        name: In the local store.
        config: Of the model.
        force: Whether a model of that name may be replaced.
        doing: What others are told who want the same name: "training gru-S-flute".

    Raises:
        ConfigError: The name is of another architecture, or taken.
        InUseError: Another process is making a model of that name.
    """
    check_name(name, config=config, force=force)
    with hold_name(paths.store_folder() / name, doing=doing, advice="take another --name"):
        _check_free(name, force=force)
        yield


def enter(
    name: str, source: Path, *, links_into: Path | None = None, force: bool, origin: Origin | None = None
) -> Path:
    """Copy a run into the local store as one model.

    Args:
        name: What the model is called from now on.
        source: The run's folder; what others get of it is copied.
        links_into: Where links in it may lead; see `zoo.run_files.published_files`.
        force: Replace a model of that name, when the copy is whole.
        origin: The Hub repo that holds the same model.

    Raises:
        ConfigError: The name has been taken meanwhile.
        CheckpointError: The run is being written to all the time.
    """
    target = paths.store_folder() / name
    with new_folder(target, check=lambda: _check_free(name, force=force)) as folder:
        copy_run(source, folder, links_into=links_into)
        if origin is not None:
            write_origin(folder, origin)
    return target


@dataclass(frozen=True)
class Origin:
    """The commit of a Hub repo that holds the same weights as a folder.

    Attributes:
        repo_id: "org/name".
        commit: 40 hexadecimal digits.
        weights_sha256: Of the weights that are there, so that a folder that has been trained on is not taken for it.
    """

    repo_id: str
    commit: str
    weights_sha256: str


def write_origin(folder: Path, origin: Origin) -> None:
    """Remember in a folder where its model is on the Hub; this file stays on this machine."""
    write_atomically(folder / _ORIGIN, json.dumps(asdict(origin), indent=2, sort_keys=True) + "\n")


def read_origin(folder: Path) -> Origin | None:
    """Where the model in a folder is on the Hub; None when that is not known, or not of these weights."""
    path = folder / _ORIGIN
    if not path.is_file():
        return None
    try:
        content = read_json(path, error=CheckpointError, remedy="")
        if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
            return None
        origin = Origin(**content)
        sound = _is_sound(origin) and origin.weights_sha256 == read_config(folder).weights_sha256
        return origin if sound else None
    except (ValueError, TypeError, ZooError):
        return None


def _is_sound(origin: Origin) -> bool:
    """Whether an origin is one that `write_origin` may have written: it becomes part of references and of cards."""
    place = naming.match_hub_id(origin.repo_id)
    return place is not None and place.repo_id == origin.repo_id and _COMMIT.fullmatch(origin.commit) is not None
