"""The models that are here by name, in the local store or shipped, and what is known of each without loading it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from zoo import registry
from zoo.errors import ConfigError
from zoo.registry import paths
from zoo.storage.config import ModelConfig, read_config
from zoo.storage.exports import Exported, read_exports
from zoo.storage.files import new_folder
from zoo.storage.reading import copy_run, read_whole
from zoo.storage.results import MeasuredResults, read_metrics
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


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model without loading it.

    Attributes:
        name: E.g. "gru-L-flute".
        status: "architecture", "stored", "stored (hides the shipped one)", "shipped", "shipped by" a plugin, "clash:"
            of which distributions, "folder", or where on the Hub.
        folder: Where its files are; None for an architecture.
        config: How it is built.
        parameters: Count of stored weights; None for an architecture.
        size_bytes: Of the weights file; None for an architecture.
        metrics: Content of its metrics.json; empty when unmeasured.
        brought_by: The distribution that brings its architecture.
        exports: What is in its export.json, by exporter; empty where none was tried with these weights.
    """

    name: str
    status: str
    folder: Path | None
    config: ModelConfig
    parameters: int | None = None
    size_bytes: int | None = None
    metrics: MeasuredResults = field(default_factory=MeasuredResults)
    brought_by: str = ""
    exports: dict[str, Exported] = field(default_factory=dict)


def describe_folder(folder: Path) -> ModelInfo:
    """What is known of the model in a folder.

    Raises:
        CheckpointError: It holds none, or its files are damaged.
        ConfigError: Its config.json is damaged.
    """
    if (folder / WEIGHTS).is_file():
        return read_whole(
            folder, lambda files: _describe(folder, files.config, files.header.values, files.size), others=True
        )
    return _describe(folder, read_config(folder), None, None)


def _describe(folder: Path, config: ModelConfig, parameters: int | None, size_bytes: int | None) -> ModelInfo:
    return ModelInfo(
        config.name,
        "folder",
        folder,
        config,
        parameters=parameters,
        size_bytes=size_bytes,
        metrics=read_metrics(folder / "metrics.json"),
        brought_by=_origin(config),
        exports=read_exports(folder),
    )


def _origin(config: ModelConfig) -> str:
    offers = registry.models.entries().get(config.architecture, [])
    return " and ".join(sorted(offer.origin for offer in offers))
