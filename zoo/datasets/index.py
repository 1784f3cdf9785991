"""dataset.json: what a prepared dataset says of itself, read and checked, since it may come from somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.checks import limits, strict_json
from zoo.checks.limits import short
from zoo.checks.path_names import check_path_name
from zoo.errors import ConfigError, DatasetError
from zoo.features.frontend import FeatureSettings
from zoo.storage.config import check_instrument

FORMAT = "ddsp-zoo dataset"
VERSION = 1
INDEX_NAME = "dataset.json"
WORK_NAME = ".work"
_MOST_INDEX_BYTES = 200 * 2**20
_MOST_FRAMES = 2**24
_MOST_NAME = 100


def read_index(path: Path) -> bytes:
    """The bytes of a dataset's dataset.json.

    Args:
        path: The dataset's folder.

    Raises:
        DatasetError: There is none, or it is far too large.
    """
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
        (
            "inputs",
            isinstance(info.get("inputs", []), list) and all(isinstance(i, str) for i in info.get("inputs", [])),
        ),
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
