"""The stored form of a prepared dataset: dataset.json and shards of segments, and reading them.

Requirements: an item is read without loading its shard; reading works in any number of worker processes; a damaged
or missing file is named; padding is not stored, but added on reading.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from zoo.checks import limits, strict_json
from zoo.checks.limits import short
from zoo.checks.path_names import check_path_name
from zoo.checks.text_files import is_lfs_pointer, lfs_pointer
from zoo.datasets.preparation.splits import SPLITS
from zoo.errors import ConfigError, DatasetError, near_matches
from zoo.features.frontend import FeatureSettings
from zoo.features.loudness import FLOOR_DB
from zoo.registry.paths import data_home
from zoo.storage.config import check_instrument
from zoo.storage.files import write_atomically

FORMAT = "ddsp-zoo dataset"
VERSION = 1
INDEX_NAME = "dataset.json"
WORK_NAME = ".work"
_TONES = "tones"
_MOST_INDEX_BYTES = 200 * 2**20


class Segments(torch.utils.data.Dataset[dict[str, Tensor]]):
    """The segments of one split; an item is a dict of tensors.

    `audio` `[samples]`, `f0_hz` and `loudness_db` `[frames]` (float32), `valid_frames` and `index` (int64 scalars).
    After `valid_frames` there is padding: audio 0, f0 0, loudness -80. `index` is unique in the whole dataset.
    """

    def __init__(self, folder: Path, entries: Sequence[Mapping[str, Any]], *, hop: int, segment_frames: int) -> None:
        self._folder = folder
        self._entries = [(e["shard"], e["offset"], e["valid_frames"], e["index"]) for e in entries]
        self._hop = hop
        self._frames = segment_frames
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
            "valid_frames": torch.tensor(valid, dtype=torch.int64),
            "index": torch.tensor(index, dtype=torch.int64),
        }

    def all_frames(self, feature: str) -> Tensor:
        """A feature of all segments in a row, without padding and without reading any audio.

        Args:
            feature: "f0_hz" or "loudness_db".

        Returns:
            `[frames]`, float32.
        """
        return torch.cat([self._read(shard, feature, slice(o, o + valid)) for shard, o, valid, _ in self._entries])

    def _read(self, shard: str, key: str, part: slice) -> Tensor:
        try:
            if shard not in self._open:
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
        return Segments(self.path, splits[name], hop=self.hop, segment_frames=self.segment_frames)


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
    content = _read_index(path)
    info = parse_index(content, path / INDEX_NAME)
    for shard, facts in info["shards"].items():
        _check_shard(path / shard, facts, verify)
    return Dataset(path, info, hashlib.sha256(content).hexdigest())


def _read_index(path: Path) -> bytes:
    make = "Make one with: zoo prepare RECORDINGS OUT"
    if not path.exists():
        raise DatasetError(
            f"There is no folder {path}. {make} (or use the dataset 'tones', which needs no recordings)."
        )
    if not path.is_dir():
        raise DatasetError(f"{path} is a file, not a prepared dataset. {make}")
    if not (path / INDEX_NAME).is_file():
        if (path / WORK_NAME).is_dir():
            raise DatasetError(
                f"The preparation of {path} was interrupted: run the same command again, and it goes on."
            )
        inside = sorted(child.name for child in path.iterdir() if (child / INDEX_NAME).is_file())
        if inside:
            raise DatasetError(f"{path} holds several datasets: {', '.join(inside)}. Give one: {path / inside[0]}")
        raise DatasetError(f"{path} is not a prepared dataset (it has no {INDEX_NAME}). {make}")
    if (size := (path / INDEX_NAME).stat().st_size) > _MOST_INDEX_BYTES:
        raise DatasetError(f"{path / INDEX_NAME} has {size:,} bytes, and {_MOST_INDEX_BYTES:,} are the most. {make}")
    return (path / INDEX_NAME).read_bytes()


def parse_index(content: bytes, path: Path) -> dict[str, Any]:
    """Read dataset.json.

    Raises:
        DatasetError: It is damaged, or of another version.
    """
    again = "Prepare the dataset again: zoo prepare RECORDINGS OUT --force"
    try:
        info = strict_json.parse(content.decode("utf-8-sig"))
    except ValueError as error:  # UnicodeDecodeError is one
        raise DatasetError(f"{path} is damaged: {str(error)[:300].rstrip('.')}. {again}") from error
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise DatasetError(f"{path} does not describe a dataset of zoo. {again}")
    if info.get("version") != VERSION:
        raise DatasetError(
            f"{path} has version {short(info.get('version'))}; this zoo reads version {VERSION}. {again} (or update "
            "zoo)"
        )
    keys = ("name", "instrument", "sample_rate", "hop", "segment_frames", "features", "splits", "shards")
    if lacking := [key for key in keys if key not in info]:
        raise DatasetError(f"{path} is damaged: it lacks {', '.join(lacking)}. {again}")
    try:
        check_index(info, str(path))
    except DatasetError as error:
        raise DatasetError(f"{error} {again}") from None
    _check_names(info, path, again)
    return info


def _check_names(info: Mapping[str, Any], path: Path, again: str) -> None:
    """What a dataset.json calls its files and its instrument: a dataset may come from somebody else."""
    entries = [entry for split in info["splits"].values() for entry in split]
    for shard in {**info["shards"], **{entry["shard"]: None for entry in entries}}:
        check_path_name(shard, f"{path}: the shard", error=DatasetError, fix=again)
        if shard not in info["shards"]:
            raise DatasetError(f"{path} is damaged: it does not describe the shard {shard!r} of its segments. {again}")
    if info["instrument"] is not None:
        try:
            check_instrument(info["instrument"], f"{path}: the instrument")
        except ConfigError as error:
            raise DatasetError(f"{error} {again}") from None


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


__all__ = ["SPLITS", "Dataset", "Segments", "ShardWriter", "open_dataset", "parse_index"]


_MOST_FRAMES = 2**24
_MOST_NAME = 100


def check_index(info: Mapping[str, Any], where: str) -> None:
    """Make sure that every key of a dataset.json that is read later is of its type.

    Args:
        info: The file, parsed.
        where: What messages call it.

    Raises:
        DatasetError: One is not; it says which.
    """
    try:
        _check(info, where)
    except ConfigError as error:
        raise DatasetError(str(error)) from None


def _check(info: Mapping[str, Any], where: str) -> None:
    def need(right: bool, key: str, expected: str, found: object) -> None:
        if not right:
            raise ConfigError(f"{where}: {key} must be {expected}, found {short(found)}.")

    limits.check_rates(info["sample_rate"], info["hop"], where=where)
    frames = info["segment_frames"]
    need(_whole(frames, 1) and frames <= _MOST_FRAMES, "segment_frames", f"from 1 to {_MOST_FRAMES}", frames)
    need(isinstance(info["name"], str), "name", "text", info["name"])
    need(isinstance(info["instrument"], str | None), "instrument", "text or null", info["instrument"])
    need(isinstance(info["features"], dict), "features", "an object", info["features"])
    try:
        FeatureSettings.from_dict(info["features"])
    except ConfigError as error:
        raise ConfigError(f"{where}: features: {error}") from None
    shards, splits = info["shards"], info["splits"]
    need(isinstance(shards, dict), "shards", "an object", shards)
    for name, facts in shards.items():
        right = isinstance(facts, dict) and _whole(facts.get("bytes"), 0) and isinstance(facts.get("sha256"), str)
        need(right, f"shards.{name}", "{bytes, sha256}", facts)
    need(isinstance(splits, dict), "splits", "an object", splits)
    for split, entries in splits.items():
        need(len(split) <= _MOST_NAME, "a split's name", f"of {_MOST_NAME} letters at most", split)
        need(isinstance(entries, list), f"splits.{short(split)}", "a list", entries)
        for entry in entries:
            right = isinstance(entry, dict) and isinstance(entry.get("shard"), str)
            right = right and all(_whole(entry.get(key), 0) for key in ("offset", "valid_frames", "index"))
            right = right and 1 <= entry["valid_frames"] <= frames and entry["offset"] < 2**40
            expected = "a segment: shard, offset, index and valid_frames (of segment_frames at most)"
            need(right, f"splits.{short(split)}", expected, entry)
    for key, right in (
        ("sources", _objects(info.get("sources", []))),
        ("skipped", _objects(info.get("skipped", []))),
        ("notes", isinstance(info.get("notes", []), list)),
        ("request", isinstance(info.get("request", {}), dict)),
    ):
        need(right, key, "an object" if key == "request" else "a list of what prepare writes", info.get(key))
    for source in info.get("sources", []):
        made_from = source.get("made_from", [])
        need(_objects(made_from), "sources.made_from", "a list of objects", made_from)
        need(isinstance(source.get("made") or "", str), "sources.made", "text", source.get("made"))
        for origin in (source, *made_from):
            known = origin.get("attribution")
            need(isinstance(known, dict | None), "sources.attribution", "an object", known)
    for left_out in info.get("skipped", []):
        right = set(left_out) == {"source", "seconds", "reason"} and isinstance(left_out["seconds"], int | float)
        need(right, "skipped", "objects with source, seconds and reason", left_out)
    request = info.get("request", {})
    for key in ("features", "recordings"):
        need(isinstance(request.get(key, {}), dict), f"request.{key}", "an object", request.get(key))


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63


def _objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
