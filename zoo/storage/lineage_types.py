"""What a lineage may hold: checked where a config.json is read, so that nothing that reads it later can fail by it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from zoo.checks.limits import short
from zoo.errors import ConfigError

_TEXT = "text"
_NUMBER = "a number"
_ORIGIN = {"id": _TEXT, "name": _TEXT, "commit": _TEXT, "path": _TEXT, "weights": _TEXT}
_KNOWN: Mapping[str, Mapping[str, str]] = {
    "teacher": _ORIGIN,
    "start": _ORIGIN,
    "dataset": {"name": _TEXT, "hash": _TEXT, "made": _TEXT},
    "training": {"best_step": _NUMBER, "validation_loss": _NUMBER, "seed": _NUMBER, "batch_size": _NUMBER},
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
