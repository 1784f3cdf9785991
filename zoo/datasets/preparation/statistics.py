"""What pitches and levels a dataset holds: quantiles for dataset.json, and the values for its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


def describe_splits(folder: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Describe each split by quantiles.

    Args:
        folder: The dataset, whose shards are there.
        splits: For each split its segments, as in dataset.json.

    Returns:
        `{"quantiles": [...], split: {"f0_hz": [...], "loudness_db": [...], "voiced": fraction}}`: values at these
        quantiles over the frames that have a pitch, and over all frames; empty lists where there are none.
    """
    found: dict[str, Any] = {"quantiles": list(QUANTILES)}
    for name, entries in splits.items():
        f0_hz, loudness_db = read_features(folder, entries)
        voiced = f0_hz[f0_hz > 0]
        found[name] = {
            "f0_hz": _quantiles(voiced),
            "loudness_db": _quantiles(loudness_db),
            "voiced": round(len(voiced) / max(1, len(f0_hz)), 4),
        }
    return found


def read_features(folder: Path, entries: Sequence[Mapping[str, Any]]) -> tuple[Tensor, Tensor]:
    """Read pitch and loudness of all frames of some segments, without padding.

    Args:
        folder: The dataset.
        entries: Segments, as in dataset.json.

    Returns:
        `f0_hz` and `loudness_db`, `[frames]` each.
    """
    pieces: tuple[list[Tensor], list[Tensor]] = ([torch.zeros(0)], [torch.zeros(0)])
    for shard in dict.fromkeys(entry["shard"] for entry in entries):
        with safe_open(folder / shard, framework="pt") as file:
            # A shard holds the segments of one split, end to end.
            pieces[0].append(file.get_tensor("f0_hz"))
            pieces[1].append(file.get_tensor("loudness_db"))
    return torch.cat(pieces[0]), torch.cat(pieces[1])


def _quantiles(values: Tensor) -> list[float]:
    # Each is a value that is there, rounded: dataset.json does not depend on the last bit of an interpolation. Sorted,
    # since torch's own quantiles refuse more than 16 million values.
    if len(values) == 0:
        return []
    ordered = values.sort().values
    return [round(float(ordered[round(q * (len(ordered) - 1))]), 2) for q in QUANTILES]
