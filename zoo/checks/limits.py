"""How large what a config asks for may be, judged before anything is built of it.

A config.json and a recipe are a stranger's plain data, and a number in them costs nothing to write. What a component
makes of a number is its own affair; but whatever it is, a model has no part that is larger than all its weights
together, and the weights' header says how many those are.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from zoo.errors import ConfigError

LARGEST_UNEXPLAINED = 2**20
"""A number up to here may be what no weight follows from: a frequency, a seed, the length of a window."""

MOST_ITEMS = 4096
MOST_TEXT = 10_000
MOST_DEPTH = 8
LARGEST_RATE = 2**20
"""Of `sample_rate` in Hz and of `hop` in samples."""

_DIGITS = 40


def check_rates(sample_rate: object, hop: object, *, where: str) -> None:
    """Make sure that `sample_rate` and `hop` are whole numbers that a sound can have.

    Raises:
        ConfigError: They are not.
    """
    for name, value in (("sample_rate", sample_rate), ("hop", hop)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST_RATE:
            raise ConfigError(f"{where}: {name} must be a whole number from 1 to {LARGEST_RATE}, found {short(value)}.")


def check_arguments(arguments: Mapping[str, Any], *, part: str, values: int, holds: str) -> None:
    """Make sure that no argument of a component is beyond what weights of a certain size can come from.

    Args:
        arguments: By name.
        part: What messages call the component, e.g. "decoder gru".
        values: How many numbers the weights have.
        holds: What messages say of that, e.g. "model.safetensors holds 5,000 numbers in all".

    Raises:
        ConfigError: A number is larger, or an argument has more items, text or depth than any that is meant.
    """
    largest = max(values, LARGEST_UNEXPLAINED)
    for name, argument in arguments.items():
        for items, (value, depth) in enumerate(_walk(argument), start=1):
            if isinstance(value, int | float) and not abs(value) <= largest:
                raise ConfigError(f"{name} of the {part} is {short(value)}, and {holds}. No part of a model is larger.")
            if isinstance(value, str) and len(value) > MOST_TEXT:
                raise ConfigError(f"{name} of the {part} is a text of {len(value)} letters; {MOST_TEXT} are the most.")
            if items > MOST_ITEMS or depth > MOST_DEPTH:
                what = f"more than {MOST_ITEMS} items" if items > MOST_ITEMS else f"more than {MOST_DEPTH} levels"
                raise ConfigError(f"{name} of the {part} has {what}; no component is built with so many.")


def _walk(argument: object) -> Any:  # noqa: ANN401 - an iterator of pairs
    waiting: list[tuple[object, int]] = [(argument, 0)]
    while waiting:
        value, depth = waiting.pop()
        yield value, depth
        if isinstance(value, Mapping):
            waiting += [(item, depth + 1) for pair in value.items() for item in pair]
        elif isinstance(value, list | tuple):
            waiting += [(item, depth + 1) for item in value]


def check_types(component: Any, arguments: Mapping[str, Any], *, part: str) -> None:  # noqa: ANN401 - a class
    """Make sure that arguments are of the plain types that a component says it takes.

    Only what is annotated as int, float, str or bool is looked at, with `| None` or without.

    Raises:
        ConfigError: One is of another type, or not finite.
    """
    for name, parameter in inspect.signature(component).parameters.items():
        if name not in arguments:
            continue
        expected, value = _annotated(parameter.annotation), arguments[name]
        if expected is None or (value is None and "None" in str(parameter.annotation)):
            continue
        fits = {
            "int": hasattr(value, "__index__") and not isinstance(value, bool),
            "float": isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf"),
            "str": isinstance(value, str),
            "bool": isinstance(value, bool),
        }
        if not fits[expected]:
            raise ConfigError(f"{name} of the {part} must be {_TYPES[expected]}, found {short(value)}.")


_TYPES = {"int": "a whole number", "float": "a finite number", "str": "text", "bool": "True or False"}


def _annotated(annotation: object) -> str | None:
    text = getattr(annotation, "__name__", None) if isinstance(annotation, type) else str(annotation)
    parts = [part.strip() for part in str(text).split("|")]
    named = [part for part in parts if part != "None"]
    return named[0] if len(named) == 1 and named[0] in _TYPES else None


def largest_argument(component: Any, arguments: Mapping[str, Any]) -> str:  # noqa: ANN401 - a class
    """The argument that is most beyond its default, for a message: "hidden_size is 90000 (512 by default)".

    Args:
        component: What is built.
        arguments: By name.
    """
    parameters = inspect.signature(component).parameters
    found: tuple[float, str] = (0.0, "its arguments are too large")
    for name, value in arguments.items():
        size, default = _size(value), getattr(parameters.get(name), "default", None)
        if size is None or name == "control_sizes":
            continue
        usual = _size(default) or 1.0
        if size / usual > found[0]:
            known = "" if _size(default) is None else f" ({short(default)} by default)"
            found = (size / usual, f"{name} is {short(value)}{known}")
    return found[1]


def _size(value: object) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(min(abs(value), 1e300))
    return float(len(value)) if isinstance(value, str | list | tuple) else None


def short(value: object) -> str:
    """A value as a message quotes it, however long it is."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 4 * _DIGITS:
        # writing thousands of digits down takes long, and Python refuses it
        return f"a number of over {int(value.bit_length() * 0.301)} digits"
    if isinstance(value, list | tuple | dict) and len(value) > MOST_ITEMS:
        return f"a {type(value).__name__} of {len(value)} items"
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # deep beyond measure, or a number inside of thousands of digits
        return f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= 4 * _DIGITS else f"{text[: 4 * _DIGITS]}..."
