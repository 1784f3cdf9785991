"""Reading JSON from strangers: what a lenient reader would let pass in silence is refused with the reason."""

from __future__ import annotations

import json
import math
import re

_MOST_DIGITS = 308  # what a float can hold
_MOST_DEPTH = 100  # a chain of teachers is the deepest that there is, two levels for each
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # but for tabs and ends of lines


def parse(text: str) -> object:
    """Parse JSON strictly.

    Refused besides what is no JSON: a key that stands twice in one object (readers differ in which they take), NaN and
    infinite numbers, numbers of thousands of digits, nesting without end, and control characters in strings (they
    would reach a terminal when a message quotes them).

    Example:
        >>> parse('{"hop": 64}')
        {'hop': 64}

    Raises:
        ValueError: The text is none of it; the message says why, without naming the file.
    """
    try:
        content = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _refuse_depth(content)
    return content


def _refuse_depth(content: object) -> None:
    level: list[object] = [content]
    for _ in range(_MOST_DEPTH):
        level = [item for value in level if isinstance(value, dict | list) for item in _inside(value)]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _inside(value: dict[str, object] | list[object]) -> list[object]:
    return list(value.values()) if isinstance(value, dict) else value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"it has the key {key!r} twice")
        for text in (key, value):
            if isinstance(text, str):
                _refuse_control_characters(text)
            elif isinstance(text, list):
                for item in text:
                    if isinstance(item, str):
                        _refuse_control_characters(item)
        found[key] = value
    return found


def _refuse_control_characters(text: str) -> None:
    bad = _CONTROL_CHARACTER.search(text)
    if bad:
        raise ValueError(f"a string in it has the control character {bad[0]!r}")


def _refuse_constant(constant: str) -> object:
    raise ValueError(f"it has {constant}, which is no JSON number")


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"the number {text[:20]}... has {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number
