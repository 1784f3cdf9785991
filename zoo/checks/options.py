"""Checks of options before any work begins: each says what was asked and what may be, and all faults are told at once.

A check gives the fault as a sentence, or None; `refuse` raises those that there are as one error. Numbers come from
command lines, gin files and other programs: any may be of another type, not finite, or of hundreds of digits.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable
from pathlib import Path

from zoo.errors import ConfigError

MOST_COUNT = 2**63 - 1
MOST_SEED = 2**32 - 1
"""What numpy and lightning take; torch takes 64 bits, of which some are needed for steps and segments."""


def refuse(faults: Iterable[str | None]) -> None:
    """Raise what is wrong, if anything is.

    Raises:
        ConfigError: There is a fault; each stands on a line of its own.
    """
    if found := [fault for fault in faults if fault]:
        raise ConfigError("\n".join(dict.fromkeys(found)))


def whole_fault(name: str, value: object, *, least: int, most: int = MOST_COUNT) -> str | None:
    """What is wrong with a whole number; None where nothing is."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        return f"{name} must be a whole number of at least {least}, found {shown(value)}."
    return f"{name} must be a whole number of {most} at most, found {shown(value)}." if value > most else None


def seed_fault(name: str, value: object) -> str | None:
    """What is wrong with a seed; None where nothing is."""
    return whole_fault(name, value, least=0, most=MOST_SEED)


def torch_seed_fault(name: str, value: object) -> str | None:
    """What is wrong with a seed that torch alone takes, of 64 bits; None where nothing is."""
    return whole_fault(name, value, least=-(2**63), most=2**64 - 1)


def number_fault(
    name: str,
    value: object,
    *,
    least: float | None = None,
    most: float | None = None,
    over: float | None = None,
    under: float | None = None,
) -> str | None:
    """What is wrong with a number; None where nothing is.

    Args:
        name: What messages call it.
        value: What was given.
        least: It must be this or more,
        most: this or less,
        over: more than this,
        under: less than this.
    """
    bounds = (("over", over), ("of at least", least), ("of at most", most), ("under", under))
    wanted = [f"{words} {bound:g}" for words, bound in bounds if bound is not None]
    good = (
        isinstance(value, int | float)
        and is_finite(value)
        and (over is None or value > over)
        and (least is None or value >= least)
        and (most is None or value <= most)
        and (under is None or value < under)
    )
    words = " and ".join(wanted) or "that is finite"
    return None if good else f"{name} must be a number {words}, found {shown(value)}."


def is_finite(value: object) -> bool:
    """Whether a value is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def type_fault(name: str, value: object, types: type | tuple[type, ...], words: str) -> str | None:
    """What is wrong where a value must be of some type; `words` say which. None where nothing is."""
    return None if isinstance(value, types) else f"{name} must be {words}, found {shown(value)}."


def writable_fault(path: str | Path, what: str, *, fix: str = "Give another place.") -> str | None:
    """Whether a file or folder can be made at a place, tried in the nearest folder that is there; None where it can.

    Args:
        path: The file or folder; it need not be there.
        what: What messages call it, e.g. "--out".
        fix: What to do where it cannot.
    """
    place = Path(path).expanduser()
    try:
        while not place.exists():
            place = place.parent
        folder = place if place.is_dir() else place.parent
        if place.is_file() and place != Path(path).expanduser():
            return f"{what} {path} cannot be made: {place} is a file. {fix}"
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"{what} {path} cannot be written ({error.strerror or error}). {fix}"


def output_file_fault(path: str | Path, what: str) -> str | None:
    """Whether a file can be written at a place; None where it can."""
    if Path(path).expanduser().is_dir():
        return f"{what} {path} is a folder; give the name of a file in it."
    return writable_fault(path, what)


def shown(value: object) -> str:
    """A value for a message, cut where it is long."""
    if isinstance(value, int) and abs(value) >= 10**30:  # Python refuses to write thousands of digits
        return "a whole number of more than 30 digits"
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def device_fault(device: object) -> str | None:
    """Why tensors cannot be on a device, as a sentence; None where they can.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps".
    """
    import torch

    try:
        asked = torch.device(device)  # type: ignore[call-overload]  # whatever was given
        torch.empty(0, device=asked)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        return f"device {device!r} cannot be used here ({reason}). Take 'cpu'; zoo doctor says what there is."
    return None
