"""metrics.json: what a model measures, by system and metric."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from zoo.checks.bounded_files import read_json
from zoo.checks.limits import short
from zoo.errors import CheckpointError

_REMEDY = "Measure again: python -m zoo.evaluate"
_KEYS = {"mean", "std", "n"}


def read_metrics(path: Path) -> dict[str, Any]:
    """Read a metrics.json, `{system: {metric: {mean, std, n}}}`; empty where there is none.

    Raises:
        CheckpointError: It is damaged, or holds something else.
    """
    if not path.exists():
        return {}
    metrics = read_json(path, error=CheckpointError, remedy=_REMEDY)
    if not isinstance(metrics, dict):
        raise CheckpointError(f"{path} is not {{system: {{metric: {{mean, std, n}}}}}}. {_REMEDY}")
    for system, measures in metrics.items():
        if not isinstance(measures, dict):
            raise CheckpointError(f"{path}: {short(system)} must be an object, found {short(measures)}. {_REMEDY}")
        for metric, value in measures.items():
            if not _is_measure(value):
                found = f"{short(system)}, {short(metric)} must be {{mean, std, n}} in numbers, found {short(value)}"
                raise CheckpointError(f"{path}: {found}. {_REMEDY}")
    return metrics


def _is_measure(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == _KEYS
        and all(is_number(number) for number in value.values())
        and value["n"] >= 0
    )


def is_number(value: object) -> bool:
    """Whether something out of a JSON file is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
