"""What a dataset.json must hold, checked where it is read: it may have been mended by hand, or come from others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.checks import limits
from zoo.checks.limits import short
from zoo.errors import ConfigError, DatasetError
from zoo.features.frontend import FeatureSettings

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
