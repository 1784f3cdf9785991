"""Algorithms in the notation of the instrument: "6>5>1, 2>1" says who modulates whom."""

from __future__ import annotations

import re
from itertools import pairwise

from zoo.errors import ConfigError

_STACK = re.compile(r"[1-9]\d*(>[1-9]\d*)*")


def parse(text: str, operators: int) -> tuple[tuple[int, ...], ...]:
    """Read an algorithm.

    Example:
        >>> parse("3>1, 2>1", 3)
        ((1, 2), (), ())

    Args:
        text: Stacks of operators, from modulator to carrier, separated by commas. Operators are numbered from 1.
        operators: How many there are.

    Returns:
        For each operator, counted from 0, those that modulate it, sorted.

    Raises:
        ConfigError: It cannot be read, names an operator that is not there, misses one, or goes in a circle.
    """
    shown = text if len(text) < 100 else f"{text[:100]}..."
    modulators: list[set[int]] = [set() for _ in range(operators)]
    named: set[int] = set()
    for stack in text.split(","):
        if not _STACK.fullmatch(stack.strip()):
            raise ConfigError(
                f"The algorithm {shown!r} has {stack.strip()[:40]!r}; a stack of operators is like 3>2>1."
            )
        numbers = [int(number) for number in stack.strip().split(">")]
        if max(numbers) > operators:
            raise ConfigError(f"The algorithm {shown!r} names operator {max(numbers)}; there are {operators} ratios.")
        named.update(numbers)
        for modulator, modulated in pairwise(numbers):
            modulators[modulated - 1].add(modulator - 1)
    if unused := set(range(1, operators + 1)) - named:
        raise ConfigError(f"The algorithm {shown!r} has no operator {min(unused)}, and there are {operators} ratios.")
    return tuple(tuple(sorted(numbers)) for numbers in modulators)
