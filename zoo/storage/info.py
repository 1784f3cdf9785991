"""What is known of a model from its folder, without loading it; metrics.json is a part of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.storage.config import ModelConfig, read_config
from zoo.storage.reading import read_whole
from zoo.storage.results import read_metrics
from zoo.storage.run_files import WEIGHTS


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
    """

    name: str
    status: str
    folder: Path | None
    config: ModelConfig
    parameters: int | None = None
    size_bytes: int | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    brought_by: str = ""


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
    )


def _origin(config: ModelConfig) -> str:
    offers = registry.models.entries().get(config.architecture, [])
    return " and ".join(sorted(offer.origin for offer in offers))
