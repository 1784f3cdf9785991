"""What a model was made from: what a config.json may record of it, and reading that.

A student's lineage holds its teacher's, and that one's teacher's, so that the whole chain is known without a network.
So does that of a model which began with the network or the reverb of another one. What it says is checked where a
config.json is read, so that nothing that reads it later can fail by it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.checks.limits import short
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.storage.config import ModelConfig

ORIGINS = ("teacher", "start", "reverb")
"""Models that another one was made from: its teacher, what its network began with, and what its reverb did."""

COMPACTED = "compacted"
"""What `zoo half` records: the hash of the `weights` that it rounded, and the sound's `difference_db`."""


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
    """The hash of the weights that a model in half precision's were rounded from (`zoo half`); None for others.

    A student whose lineage names those weights has the model in half precision as its teacher too.
    """
    weights = _mapping(config.lineage.get(COMPACTED)).get("weights")
    return weights if isinstance(weights, str) else None


def rounding_difference_db(config: ModelConfig) -> float | None:
    """By how much the sound differs from that of the weights before they were halved, in dB; None for others."""
    difference = _mapping(config.lineage.get(COMPACTED)).get("difference_db")
    return float(difference) if isinstance(difference, int | float) else None


def attributions(config: ModelConfig) -> list[str]:
    """Who made the recordings behind a model: its own, its teachers', and those of what it began with."""
    return sorted(set(_attributed(config.lineage)))


def authors_of(lines: Iterable[str]) -> list[str]:
    """Attributions, one for each author and licence, however many recordings there are of them.

    >>> authors_of(["Jane Doe, CC0, a.wav", "Jane Doe, CC0, b.wav", "John Roe, CC BY 4.0, c.wav"])
    ['Jane Doe, CC0: 2 recordings', 'John Roe, CC BY 4.0, c.wav']

    Args:
        lines: "author, licence, source", as `attributions` gives them.
    """
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(line.rpartition(", ")[0] or line, []).append(line)
    return [own[0] if len(own) == 1 else f"{author}: {len(own)} recordings" for author, own in found.items()]


def without_repeats(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """A lineage as it is written: what a model was made from, and who made a dataset, stand in it once.

    One model may be the teacher, the start and the reverb of another, which is all of this to a third: written out each
    time, a few datasets fill hundreds of kilobytes after a few generations. What is kept is the first mention, teachers
    before the others.

    Args:
        lineage: As in a config.json; it stays as it is.
    """
    return _once(lineage, set())


def _once(lineage: Mapping[str, Any], told: set[str]) -> dict[str, Any]:
    found = dict(lineage)
    for key, said in (("dataset", "attribution"), *((origin, "lineage") for origin in ORIGINS)):
        part = dict(_mapping(lineage.get(key)))
        identity = part.get("hash" if key == "dataset" else "weights")
        if said not in part or identity is None:
            continue
        if f"{said} {identity}" in told:
            del part[said]
        else:
            told.add(f"{said} {identity}")
            if said == "lineage":
                part[said] = _once(_mapping(part[said]), told)
        found[key] = part
    return found


def _attributed(lineage: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(line) for line in _mapping(lineage.get("dataset")).get("attribution", []))
    for origin in ORIGINS:
        if above := _mapping(_mapping(lineage.get(origin)).get("lineage")):
            yield from _attributed(above)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


_TEXT = "text"
_NUMBER = "a number"
_ORIGIN = {"id": _TEXT, "name": _TEXT, "commit": _TEXT, "path": _TEXT, "weights": _TEXT}
_KNOWN: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(ORIGINS, _ORIGIN),
    "dataset": {"name": _TEXT, "hash": _TEXT, "made": _TEXT},
    "training": dict.fromkeys(
        ("best_step", "validation_loss", "seed", "batch_size", "minutes", "minutes_seed"), _NUMBER
    ),
    "compacted": {"weights": _TEXT, "difference_db": _NUMBER},
}
_MOST_GENERATIONS = 40


def check_lineage(lineage: Mapping[str, object], *, where: str, generation: int = 0) -> None:
    """Make sure that what a lineage says is of the types that readers of it take; keys that are not known are left.

    Args:
        lineage: As in a config.json.
        where: What messages call its place.
        generation: How many teachers back it is.

    Raises:
        ConfigError: Something is of another type, or the chain of teachers has no end.
    """
    if generation > _MOST_GENERATIONS:
        raise ConfigError(f"{where} goes back over more than {_MOST_GENERATIONS} models.")
    if not isinstance(lineage.get("imported_from", ""), str | None):
        raise ConfigError(f"{where}.imported_from must be text, found {short(lineage['imported_from'])}.")
    for key, known in _KNOWN.items():
        if key not in lineage:
            continue
        part = lineage[key]
        if not isinstance(part, dict):
            raise ConfigError(f"{where}.{key} must be an object, found {short(part)}.")
        for name, expected in known.items():
            # where a model came from may be left open; what it was made of is known, or is not there
            if name in part and not (part[name] is None and known is _ORIGIN) and not _fits(part[name], expected):
                raise ConfigError(f"{where}.{key}.{name} must be {expected}, found {short(part[name])}.")
        if known is _ORIGIN and part.get("commit") and not part.get("id"):
            raise ConfigError(f"{where}.{key} has a commit, and no id that says of which repo.")
        if "attribution" in part and not _is_texts(part["attribution"]):
            raise ConfigError(f"{where}.{key}.attribution must be a list of texts, found {short(part['attribution'])}.")
        above = part.get("lineage", {}) if known is _ORIGIN else {}
        if not isinstance(above, dict):
            raise ConfigError(f"{where}.{key}.lineage must be an object, found {short(above)}.")
        check_lineage(above, where=f"{where}.{key}.lineage", generation=generation + 1)


def _fits(value: object, expected: str) -> bool:
    if expected == _TEXT:
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
