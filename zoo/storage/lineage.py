"""What a model was made from: reading the lineage that its config.json records.

A student's lineage holds its teacher's, and that one's teacher's, so that the whole chain is known without a network.
So does that of a model which began with the network of another one, under `start`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo.storage.config import ModelConfig

COMPACTED = "compacted"
"""What `python -m zoo compact` records: the hash of the `weights` that it rounded, and the sound's `difference_db`."""


def teachers_of(config: ModelConfig) -> list[Mapping[str, Any]]:
    """The teacher that a config names, that one's teacher, and so on, as far as it is recorded.

    Each is a mapping with `id`, `name` and `weights`; with `commit` where it came from the Hub.
    """
    found: list[Mapping[str, Any]] = []
    lineage: Mapping[str, Any] = config.lineage
    while isinstance(teacher := lineage.get("teacher"), dict):
        found.append(teacher)
        lineage = _mapping(teacher.get("lineage"))
    return found


def teacher_reference(config: ModelConfig) -> str | None:
    """What finds a model's teacher again, the very same one where that is possible; None for a model without one."""
    teachers = teachers_of(config)
    if not teachers:
        return None
    teacher = teachers[0]
    path = teacher.get("path")
    if isinstance(path, str) and Path(path).is_dir():
        return path
    return public_reference(teacher)


def public_reference(teacher: Mapping[str, Any]) -> str:
    """What finds a teacher on other machines too: "org/name@commit", or its name."""
    name = str(teacher.get("id") or teacher.get("name") or "unknown")
    commit = teacher.get("commit")
    return f"{name}@{commit}" if commit else name


def weights_before_rounding(config: ModelConfig) -> str | None:
    """The hash of the weights that a compacted model's were rounded from (`python -m zoo compact`); None for others.

    A student whose lineage names those weights has the compacted model as its teacher too.
    """
    weights = _mapping(config.lineage.get(COMPACTED)).get("weights")
    return weights if isinstance(weights, str) else None


def rounding_difference_db(config: ModelConfig) -> float | None:
    """By how much the sound of a compacted model differs from that of the weights before, in dB; None for others."""
    difference = _mapping(config.lineage.get(COMPACTED)).get("difference_db")
    return float(difference) if isinstance(difference, int | float) else None


def attributions(config: ModelConfig) -> list[str]:
    """Who made the recordings behind a model: its own, its teachers', and those of what it began with."""
    return sorted(set(_attributed(config.lineage)))


def _attributed(lineage: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(line) for line in _mapping(lineage.get("dataset")).get("attribution", []))
    for origin in ("teacher", "start"):
        if above := _mapping(_mapping(lineage.get(origin)).get("lineage")):
            yield from _attributed(above)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
