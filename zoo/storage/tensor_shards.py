"""Rows of tensors on disk: safetensors files that hold a few dozen rows each, memory-mapped for reading.

Requirements it meets:

- a shard appears whole or not at all, so that a killed process leaves nothing that must be cleared up;
- its name ends with its hash: one that was damaged is noticed, removed, and can be made again;
- a row is read without loading its shard.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from zoo.storage.files import file_hash, write_atomically

_log = logging.getLogger(__name__)

_DIGITS = 16


class Shard:
    """One file of rows.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._file = safe_open(path, framework="pt")
        metadata = self._file.metadata() or {}
        rows = json.loads(metadata["rows"])
        if not isinstance(rows, list) or not all(isinstance(index, int) for index in rows):
            raise ValueError("its rows are no list of numbers")
        self.rows: dict[int, int] = {index: row for row, index in enumerate(rows)}
        self._slices = {name: self._file.get_slice(name) for name in self._file.keys()}  # noqa: SIM118 - it is no mapping
        self.shapes: dict[str, list[int]] = {name: part.get_shape() for name, part in self._slices.items()}

    def read(self, name: str, *place: int) -> Tensor:
        """One row of a tensor, or a part of it.

        Args:
            name: Of the tensor.
            *place: The row's number, then further places.
        """
        found: Tensor = self._slices[name][place if len(place) > 1 else place[0]]
        return found


def find_shard(folder: Path, name: str) -> Shard | None:
    """Open a shard; None where there is none, or a damaged one, which is removed.

    Args:
        folder: Where it lies.
        name: It without its hash.
    """
    for path in sorted(folder.glob(f"{name}-*.safetensors")):
        try:
            if file_hash(path)[:_DIGITS] == path.stem.rpartition("-")[2]:
                return Shard(path)
            reason = "its content is not what was written"
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            reason = str(error)
        _log.warning("%s is damaged (%s): it is made again.", path, reason)
        with suppress(OSError):
            path.unlink()
    return None


def write_shard(folder: Path, name: str, tensors: Mapping[str, Tensor], indices: list[int]) -> Shard:
    """Write a shard and open it.

    Args:
        folder: Where; made when missing.
        name: It without its hash.
        tensors: Each `[rows, ...]`.
        indices: What each row is found by.

    Raises:
        OSError: The disk is full, or cannot be written to.
    """
    metadata: dict[str, Any] = {"rows": json.dumps(indices)}
    data = save({key: tensor.contiguous() for key, tensor in tensors.items()}, metadata=metadata)
    path = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:_DIGITS]}.safetensors"
    write_atomically(path, data)
    return Shard(path)
