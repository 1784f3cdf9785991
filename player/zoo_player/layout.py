"""How an instrument file lies: header, text, tables of tensors and operations, data; see `csrc/zp_internal.h`."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

__all__ = ["FORMAT_VERSION", "Tensor", "checksum_of", "file_of"]

FORMAT_VERSION = 1

Tensor: TypeAlias = tuple[int, int, int, int, bytes]
"""Type, rows, columns, whether it is packed, and its data."""

_MAGIC = b"zoo.inst"
_HEADER = struct.Struct("<8sII QQ IIII II II QQ QQ")
_TENSOR = struct.Struct("<IIII QQ")
_GOLDEN = 0x9E3779B97F4A7C15


def file_of(numbers: Sequence[int], text: bytes, tensors: Sequence[Tensor], operations: Sequence[bytes]) -> bytes:
    """Put a file together.

    Args:
        numbers: Sample rate, hop, frames of latency, inputs, registers, and where the frame's audio is.
        text: JSON.
        tensors: In the order of their numbers.
        operations: Of 64 bytes each, in the order in which they run.
    """
    parts: list[bytes] = []
    size = _up(_HEADER.size)

    def place(data: bytes) -> int:
        nonlocal size
        begin = size
        parts.append(data + bytes(_up(len(data)) - len(data)))
        size += len(parts[-1])
        return begin

    text_at = place(text)
    tensors_at = size
    listed = b"".join(operations)
    entries, at = [], _up(tensors_at + _TENSOR.size * len(tensors)) + _up(len(listed))
    for kind, rows, columns, packed, data in tensors:
        entries.append(_TENSOR.pack(kind, rows, columns, packed, at, len(data)))
        at += _up(len(data))
    place(b"".join(entries))
    operations_at = place(listed)
    for *_, data in tensors:
        place(data)
    where = len(tensors), len(operations), text_at, len(text), tensors_at, operations_at

    def header(checksum: int) -> bytes:
        packed = _HEADER.pack(_MAGIC, FORMAT_VERSION, _HEADER.size, size, checksum, *numbers, *where)
        return packed + bytes(_up(len(packed)) - len(packed))

    body = b"".join(parts)
    return header(checksum_of(header(0)[32:] + body)) + body


def checksum_of(data: bytes) -> int:
    """The checksum of an instrument file: the sum of its words of eight bytes, each mixed with its place.

    The mixing is splitmix64's (Steele, Lea, Flood, OOPSLA 2014): any change of any bits alters the sum.
    """
    with np.errstate(over="ignore"):
        words = np.frombuffer(data, "<u8") + np.arange(1, len(data) // 8 + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
        return int((words ^ (words >> np.uint64(31))).sum(dtype=np.uint64))


def _up(size: int) -> int:
    return -(-size // 16) * 16
