"""Values to sweep over: each setting with several values, every combination a run."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.errors import ConfigError

_RANGE = re.compile(r"\s*(?P<low>[-+.\de]+)\s*\.\.\s*(?P<high>[-+.\de]+)\s*(?P<log>log)?\s*", re.IGNORECASE)
_UNSAFE = re.compile(r"[^\w.+-]+")
_CLOSING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Axis:
    """A setting, and what it may be.

    Attributes:
        name: As `--set` takes it.
        values: As `--set` takes them; empty where it is a range.
        low: The least, of a range.
        high: The most, of a range.
        log: Whether the range is searched by ratios.
    """

    name: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False


def read_axis(text: str) -> Axis:
    """Read what was typed as `--sweep`.

    >>> read_axis("LEARNING_RATE=1e-3,5e-3").values
    ('1e-3', '5e-3')
    >>> read_axis("distill.student_options={'hidden_size': 8, 'layers': 1}, {}").values
    ("{'hidden_size': 8, 'layers': 1}", '{}')
    >>> read_axis("LEARNING_RATE=1e-4..1e-2 log").high
    0.01

    Args:
        text: `NAME=VALUE,VALUE`, or `NAME=LOW..HIGH`, with `log` where it is to be searched by ratios.

    Raises:
        ConfigError: It is neither.
    """
    name, equals, rest = text.partition("=")
    name = name.strip()
    if not equals or not name or not rest.strip():
        raise ConfigError(f'--sweep {text!r} is not NAME=VALUE,VALUE, e.g. --sweep "LEARNING_RATE=1e-3,5e-3"')
    if found := _RANGE.fullmatch(rest):
        try:
            low, high, log = float(found["low"]), float(found["high"]), bool(found["log"])
        except ValueError as error:
            raise ConfigError(f"--sweep {text!r}: {error}.") from None
        if not low < high or (log and low <= 0):
            raise ConfigError(f"--sweep {text!r}: a range goes from less to more{', over 0 with log' if log else ''}.")
        return Axis(name, low=low, high=high, log=log)
    values = tuple(value.strip() for value in _split(rest))
    if "" in values or len(set(values)) != len(values):
        raise ConfigError(f"--sweep {text!r}: each value once, with a comma between, found {', '.join(values)}.")
    return Axis(name, values)


def _split(text: str) -> list[str]:
    """Split at the commas that stand in no brackets and no quotes."""
    parts, open_brackets, quote = [""], [], ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _CLOSING:
            open_brackets.append(_CLOSING[letter])
        elif open_brackets and letter == open_brackets[-1]:
            open_brackets.pop()
        elif letter == "," and not open_brackets:
            parts.append("")
            continue
        parts[-1] += letter
    return parts


def combinations(axes: Sequence[Axis]) -> list[dict[str, str]]:
    """Every combination of values, by setting; one without any where there are no axes.

    Raises:
        ConfigError: A setting is there twice, or has a range, whose values only a search chooses.
    """
    names = [axis.name for axis in axes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"--sweep names {', '.join(twice)} more than once.")
    if ranges := [axis.name for axis in axes if not axis.values]:
        raise ConfigError(f"{', '.join(ranges)} has a range: say how many values to try, e.g. --search 20")
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(axis.values for axis in axes))]


def suffix(values: Mapping[str, str]) -> str:
    """What a run's name ends with that has these values.

    >>> suffix({"LEARNING_RATE": "1e-3", "distill.student": "'gru-S'"})
    '-LEARNING_RATE=1e-3-student=gru-S'
    """
    parts = (f"{name.rpartition('.')[2]}={_UNSAFE.sub('_', value).strip('_')}" for name, value in values.items())
    return "".join(f"-{part}" for part in parts)
