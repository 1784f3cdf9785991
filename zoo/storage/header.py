"""The header of a safetensors file, read and checked before anything of it is believed.

Requirements it meets:

- nothing is unpickled, and a pickle is told from a damaged file;
- the work and the memory that a header can ask for are bounded by its size, and that by a constant;
- what the header says fits the file to the byte: no gaps, no overlaps, nothing beyond the end;
- neither torch nor numpy is imported: listing models reads headers too.
"""

from __future__ import annotations

import math
import os
import struct
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from zoo.checks import strict_json
from zoo.checks.text_files import is_lfs_pointer, lfs_pointer
from zoo.errors import CheckpointError
from zoo.storage.config import ModelConfig
from zoo.storage.files import file_hash
from zoo.storage.run_files import CONFIG

MAX_HEADER_BYTES = 1_000_000
"""A model of ours has some 5 kB; ten thousand tensors would fit."""

_MAX_DIMENSIONS = 8

ITEM_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}


@dataclass(frozen=True)
class Entry:
    """One tensor, as the header announces it."""

    dtype: str
    shape: tuple[int, ...]
    begin: int = field(default=0, compare=False)  # where its bytes are, counted from the end of the header

    @property
    def values(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself.

    Attributes:
        tensors: By name.
        metadata: Free text by key.
        data_begins: Where the tensors' bytes begin in the file.
    """

    tensors: dict[str, Entry]
    metadata: dict[str, str] = field(default_factory=dict)
    data_begins: int = field(default=0, compare=False)

    def place(self, name: str) -> tuple[int, int]:
        """Where a tensor's bytes are in the file: the first one, and how many they are."""
        entry = self.tensors[name]
        return self.data_begins + entry.begin, entry.values * ITEM_BYTES[entry.dtype]

    @property
    def values(self) -> int:
        """How many numbers the file holds."""
        return sum(entry.values for entry in self.tensors.values())


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file; no tensor is read.

    Raises:
        CheckpointError: The file is missing, a pickle, damaged, cut short, or its header is not to be believed.
    """
    try:
        with path.open("rb") as file:
            return read_header_of(file, path)
    except IsADirectoryError:
        raise CheckpointError(f"{path} is a folder, where the weights belong. Copy or download it again.") from None
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} has no {path.name}: the weights are missing.") from None


def read_header_of(file: BinaryIO, path: Path) -> Header:
    """As `read_header`, of a file that is open.

    Args:
        file: At its beginning.
        path: What messages call it.

    Raises:
        CheckpointError: See `read_header`.
    """
    try:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        length = _length(start, size)
        text = file.read(length)
        return replace(_parse(text, size - 8 - length), data_begins=8 + length)
    except ValueError as error:
        raise CheckpointError(describe_damage(path, error)) from None


def check_weights(path: Path, config: ModelConfig) -> None:
    """Make sure that weights are whole, and those that a config was saved with; they are not loaded.

    Raises:
        CheckpointError: They are not.
    """
    read_header(path)
    check_digest(file_hash(path), config, path)


def check_digest(digest: str, config: ModelConfig, path: Path) -> None:
    """Make sure that a file with this SHA-256 holds the weights that a config was saved with.

    Raises:
        CheckpointError: It does not; a config that does not say takes any.
    """
    if config.weights_sha256 is not None and digest != config.weights_sha256:
        raise CheckpointError(
            f"{path} is not the file that the {CONFIG} beside it was saved with (SHA-256 {digest[:12]}..., expected "
            f"{config.weights_sha256[:12]}...): it is damaged, or of another run. Copy or download both again; weights "
            "that you changed yourself are saved by zoo.save."
        )


def describe_damage(path: Path, error: Exception) -> str:
    """Say what a file is that is not the safetensors file it should be."""
    if is_lfs_pointer(path):
        return f"{path} {lfs_pointer(path)} (or fetch the model from the Hub: zoo fetch ORG/NAME)"
    start = b""
    with suppress(OSError), path.open("rb") as file:
        start = file.read(4)
    if start[:2] == b"PK" or start[:1] == b"\x80":
        return (
            f"{path} is a pickle (a torch checkpoint), not safetensors; zoo never unpickles a model. A thesis "
            f"checkpoint is converted by: zoo import-thesis {path} --model gru-S --out FOLDER"
        )
    return f"{path} is damaged or cut short ({error}). Copy or download it again."


def _length(start: bytes, size: int) -> int:
    if len(start) < 8:
        raise ValueError(f"it has {len(start)} bytes")
    length: int = struct.unpack("<Q", start)[0]
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"its header claims {length} bytes, and a model's is never over {MAX_HEADER_BYTES}")
    if length > size - 8:
        raise ValueError(f"its header claims {length} bytes of {size}")
    return length


def _parse(text: bytes, data_bytes: int) -> Header:
    try:
        content = strict_json.parse(text.decode("utf-8"))
    except ValueError as error:  # UnicodeDecodeError is one
        raise ValueError(f"its header is not valid: {error}") from None
    if not isinstance(content, dict):
        raise ValueError("its header is no JSON object")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its header's metadata is not text")
    tensors, spans = {}, []
    for name, entry in content.items():
        tensors[name], span = _entry(name, entry)
        spans.append((*span, name))
    position = 0
    for begin, end, name in sorted(spans):
        if begin != position:
            raise ValueError(f"its header puts {name} at byte {begin}, where {position} was expected")
        position = end
    if position != data_bytes:
        raise ValueError(f"its header announces {position} bytes of weights, and there are {data_bytes}")
    return Header(tensors, metadata)


def _entry(name: str, entry: object) -> tuple[Entry, tuple[int, int]]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"its header does not describe {name}")
    dtype, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in ITEM_BYTES:
        raise ValueError(f"{name} has the type {dtype!r}, which no model of ours uses")
    if not _sizes(shape) or len(shape) > _MAX_DIMENSIONS or not _sizes(span) or len(span) != 2:
        raise ValueError(f"its header does not describe {name}")
    found = Entry(dtype, tuple(shape), span[0])
    if span[1] - span[0] != found.values * ITEM_BYTES[dtype]:
        raise ValueError(f"{name} is announced as {list(shape)} of {dtype}, and has {span[1] - span[0]} bytes")
    return found, (span[0], span[1])


def _sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**53 for item in value)
