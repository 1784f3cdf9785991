"""What is known of a model from its folder, without loading it; metrics.json is a part of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.checks.limits import short
from zoo.checks.text_files import read_json
from zoo.errors import CheckpointError
from zoo.storage.config import ModelConfig, read_config
from zoo.storage.reading import read_whole
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


_REMEDY = "Measure again: python -m zoo.evaluate"
_KEYS = {"mean", "std", "n"}


def read_metrics(path: Path) -> dict[str, Any]:
    """Read a metrics.json, `{system: {metric: {mean, std, n}}}`; empty where there is none.

    Raises:
        CheckpointError: It is damaged, or holds something else.
    """
    if not path.exists():
        return {}
    metrics = read_json(path, error=CheckpointError, remedy=_REMEDY)
    if not isinstance(metrics, dict):
        raise CheckpointError(f"{path} is not {{system: {{metric: {{mean, std, n}}}}}}. {_REMEDY}")
    for system, measures in metrics.items():
        if not isinstance(measures, dict):
            raise CheckpointError(f"{path}: {short(system)} must be an object, found {short(measures)}. {_REMEDY}")
        for metric, value in measures.items():
            if not _is_measure(value):
                found = f"{short(system)}, {short(metric)} must be {{mean, std, n}} in numbers, found {short(value)}"
                raise CheckpointError(f"{path}: {found}. {_REMEDY}")
    return metrics


def _is_measure(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == _KEYS
        and all(is_number(number) for number in value.values())
        and value["n"] >= 0
    )


def is_number(value: object) -> bool:
    """Whether something out of a JSON file is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
