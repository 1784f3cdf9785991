"""The stored form of a prepared dataset: dataset.json and shards of segments, and reading them.

Requirements: an item is read without loading its shard, and memory does not grow with what was read; reading works in
any number of worker processes; a damaged or missing file is named; padding is not stored, but added on reading.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from zoo.checks.text_files import is_lfs_pointer, lfs_pointer
from zoo.datasets.index import INDEX_NAME, VERSION, parse_index, read_index
from zoo.errors import DatasetError, near_matches
from zoo.features.frontend import FeatureSettings
from zoo.features.loudness import FLOOR_DB
from zoo.registry.paths import data_home
from zoo.storage.files import write_atomically

_TONES = "tones"
_MOST_OPEN = 2  # shards: what was read of one counts as this process's memory as long as it is mapped


class Segments(torch.utils.data.Dataset[dict[str, Tensor]]):
    """The segments of one split; an item is a dict of tensors.

    `audio` `[samples]`, `f0_hz`, `loudness_db` and the dataset's further inputs `[frames]` (float32), `valid_frames`
    and `index` (int64 scalars). After `valid_frames` there is padding: loudness -80, all else 0. `index` is unique in
    the whole dataset.
    """

    def __init__(
        self,
        folder: Path,
        entries: Sequence[Mapping[str, Any]],
        *,
        hop: int,
        segment_frames: int,
        inputs: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._entries = [(e["shard"], e["offset"], e["valid_frames"], e["index"]) for e in entries]
        self._hop = hop
        self._frames = segment_frames
        self._inputs = tuple(inputs)
        self._open: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        shard, offset, valid, index = self._entries[position]
        missing = self._frames - valid
        frames = slice(offset, offset + valid)
        samples = slice(offset * self._hop, (offset + valid) * self._hop)
        return {
            "audio": F.pad(self._read(shard, "audio", samples), (0, missing * self._hop)),
            "f0_hz": F.pad(self._read(shard, "f0_hz", frames), (0, missing)),
            "loudness_db": F.pad(self._read(shard, "loudness_db", frames), (0, missing), value=FLOOR_DB),
            **{name: F.pad(self._read(shard, name, frames), (0, missing)) for name in self._inputs},
            "valid_frames": torch.tensor(valid, dtype=torch.int64),
            "index": torch.tensor(index, dtype=torch.int64),
        }

    def drawn(self, frames: int, *, seed: int) -> Segments:
        """Some of the segments, drawn at random: as many as come nearest to a number of frames, and at least one."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed)).tolist()
        ends = list(accumulate(self._entries[position][2] for position in order))
        count = min(range(len(ends)), key=lambda place: abs(ends[place] - frames)) + 1
        some = copy.copy(self)
        some._entries = [self._entries[position] for position in sorted(order[:count])]
        some._open = {}
        return some

    @property
    def frames(self) -> int:
        """Of all segments, without padding."""
        return sum(valid for _, _, valid, _ in self._entries)

    def all_frames(self, feature: str, *, every: int = 1) -> Tensor:
        """A feature of all segments in a row, without padding and without reading any audio.

        Args:
            feature: "f0_hz" or "loudness_db".
            every: Of each segment take every so many-th frame.

        Returns:
            `[frames]`, float32.
        """
        parts = (self._read(shard, feature, slice(o, o + valid)) for shard, o, valid, _ in self._entries)
        # copied: a view would keep all frames
        return torch.cat([part[::every].clone() if every > 1 else part for part in parts])

    def _read(self, shard: str, key: str, part: slice) -> Tensor:
        try:
            if shard not in self._open:
                while len(self._open) >= _MOST_OPEN:
                    del self._open[next(iter(self._open))]
                self._open[shard] = safe_open(self._folder / shard, framework="pt")
            found: Tensor = self._open[shard].get_slice(key)[part]
        except (SafetensorError, OSError) as error:
            raise _damaged(self._folder / shard, str(error)) from error
        return found

    def __getstate__(self) -> dict[str, Any]:
        # Open shards stay in the process that opened them.
        return {**self.__dict__, "_open": {}}


class Dataset:
    """A prepared dataset.

    Attributes:
        path: Its folder.
        name: Its name: the folder's.
        info: dataset.json, parsed.
        hash: SHA-256 of dataset.json, which holds the hashes of all shards: equal hashes mean equal data.
        instrument: What plays, where that is known.
        sample_rate: In Hz.
        hop: Samples per frame.
        segment_frames: Frames of every item, padding included.
        features: How the features were measured.
        inputs: What else there is for each frame, beside pitch and loudness, by name.
    """

    def __init__(self, path: Path, info: dict[str, Any], content_hash: str) -> None:
        self.path = path
        self.info = info
        self.hash = content_hash
        self.name: str = info["name"]
        self.instrument: str | None = info["instrument"]
        self.sample_rate: int = info["sample_rate"]
        self.hop: int = info["hop"]
        self.segment_frames: int = info["segment_frames"]
        self.features = FeatureSettings.from_dict(info["features"])
        self.inputs: tuple[str, ...] = tuple(info.get("inputs", ()))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(entries)}" for name, entries in self.info["splits"].items())
        return f"Dataset({str(self.path)!r}, {sizes})"

    def split(self, name: str) -> Segments:
        """Give the segments of a split.

        Args:
            name: "train", "validation" or "test".

        Raises:
            DatasetError: There is no such split, or it is empty.
        """
        splits = self.info["splits"]
        if name not in splits:
            raise DatasetError(
                f"{self.path} has no split {name!r}.{near_matches(name, splits)} Its splits: {', '.join(splits)}."
            )
        if not splits[name]:
            others = ", ".join(f"{other} ({len(entries)})" for other, entries in splits.items() if entries)
            raise DatasetError(
                f"The split {name!r} of {self.path} is empty; it has: {others}. "
                "Prepare it from more or longer recordings (zoo prepare RECORDINGS OUT), without --whole."
            )
        sizes = {"hop": self.hop, "segment_frames": self.segment_frames}
        return Segments(self.path, splits[name], **sizes, inputs=self.inputs)

    def minutes(self, segments: Segments) -> float:
        """How long some segments are, without padding."""
        return segments.frames * self.hop / self.sample_rate / 60


def open_dataset(path_or_name: str | Path, *, verify: bool = True) -> Dataset:
    """Open a prepared dataset.

    >>> data = open_dataset("tones")  # doctest: +SKIP
    >>> data.split("train")[0]["f0_hz"].shape  # doctest: +SKIP
    torch.Size([1000])

    Args:
        path_or_name: A folder made by `zoo prepare`; or "tones" (where no such folder is): phrases made by
            rule, which are made once and kept under the user's data folder.
        verify: Compare every shard with its stored hash. Without it only sizes are compared.

    Raises:
        DatasetError: There is no such folder, it is no prepared dataset, or a file of it is damaged.
    """
    path = Path(path_or_name)
    if str(path_or_name) == _TONES and not path.exists():
        from zoo.datasets.preparation.preparing import (
            prepare_tones,  # preparing writes what is read here, and imports this
        )

        path = data_home() / f"{_TONES}-{VERSION}"
        if not (path / INDEX_NAME).is_file():
            prepare_tones(path)
    content = read_index(path)
    info = parse_index(content, path / INDEX_NAME)
    for shard, facts in info["shards"].items():
        _check_shard(path / shard, facts, verify)
    return Dataset(path, info, hashlib.sha256(content).hexdigest())


def _check_shard(path: Path, facts: Mapping[str, Any], verify: bool) -> None:
    if not path.is_file():
        raise _damaged(path, "the file is missing")
    if is_lfs_pointer(path):
        raise DatasetError(f"{path} {lfs_pointer(path)}")
    size = path.stat().st_size
    if size != facts["bytes"]:
        raise _damaged(path, f"it has {size} bytes in place of {facts['bytes']}")
    if verify:
        state = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                state.update(block)
        if state.hexdigest() != facts["sha256"]:
            raise _damaged(path, "its content does not have the stored hash")


def _damaged(path: Path, why: str) -> DatasetError:
    return DatasetError(
        f"{path} is damaged: {why}. Copy it again, or prepare the dataset again: zoo prepare RECORDINGS OUT --force"
    )


class ShardWriter:
    """Writes the segments of one split into shards, each named after its content.

    Args:
        folder: Where to write.
        split: The split's name, with which the shards' names begin.
        frames_per_shard: A shard is closed once it has this many frames.
    """

    def __init__(self, folder: Path, split: str, *, frames_per_shard: int) -> None:
        self.folder = folder
        self.split = split
        self.frames_per_shard = frames_per_shard
        self.entries: list[dict[str, Any]] = []
        self.shards: dict[str, dict[str, Any]] = {}
        self._pieces: list[dict[str, Tensor]] = []
        self._pending: list[dict[str, Any]] = []
        self._frames = 0

    def add(self, entry: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Add one segment: its entry for dataset.json, and its tensors without padding."""
        self._pending.append({**entry, "offset": self._frames})
        self._pieces.append(tensors)
        self._frames += entry["valid_frames"]
        if self._frames >= self.frames_per_shard:
            self.close()

    def close(self) -> None:
        """Write what is not yet written."""
        if not self._pieces:
            return
        # The hash in the name keeps an older dataset of the same folder whole until its dataset.json is replaced.
        data = save({key: torch.cat([piece[key] for piece in self._pieces]) for key in sorted(self._pieces[0])})
        digest = hashlib.sha256(data).hexdigest()
        name = f"{self.split}-{len(self.shards):05d}-{digest[:12]}.safetensors"
        write_atomically(self.folder / name, data)
        self.shards[name] = {"bytes": len(data), "sha256": digest}
        self.entries += [{**entry, "shard": name} for entry in self._pending]
        self._pieces, self._pending, self._frames = [], [], 0
