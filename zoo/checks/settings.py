"""Configurations: frozen dataclasses, each of whose fields says once what it is, what it is by default and may be.

Example:
    >>> @dataclass(frozen=True, kw_only=True)
    ... class Brewing(Config):
    ...     minutes: float = setting(4.0, number(over=0))
    >>> Brewing(minutes=-1).faults()
    ['minutes must be a number over 0, found -1.']
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from zoo.checks.options import MOST_COUNT, number_fault, refuse, shown, type_fault, whole_fault
from zoo.errors import ConfigError, listing, near_matches

_Config = TypeVar("_Config", bound="Config")

Check = Callable[[str, Any], str | None]
"""Gets a field's name and value; gives what is wrong as a sentence, or None."""


def _anything(name: str, value: object) -> None:
    return None


def setting(default: Any, check: Check = _anything, *, resumable: bool = True) -> Any:  # noqa: ANN401 - as dataclasses.field
    """A field of a configuration.

    Args:
        default: Its default; `REQUIRED` for none.
        check: What it may be; by default something else checks it.
        resumable: Whether a resumed run may have another value than the run began with.
    """
    return field(default=default, metadata={"check": check, "resumable": resumable})


REQUIRED: Any = MISSING
"""The default of a field that must be given."""


def group(config: type[Config]) -> Any:  # noqa: ANN401 - as dataclasses.field
    """A field that is a configuration itself."""
    return field(default_factory=config, metadata={"group": config})


@dataclass(frozen=True, kw_only=True)
class Config:
    """What configurations derive from; they are checked when they are used, so that all faults are told at once."""

    def faults(self) -> list[str]:
        """All that is wrong, a sentence each; a child adds what concerns several of its fields."""
        found: list[str | None] = []
        for one in fields(self):
            value = getattr(self, one.name)
            if "group" not in one.metadata:
                found.append(one.metadata["check"](one.name, value))
            elif isinstance(value, one.metadata["group"]):
                found += value.faults()
            else:
                found.append(type_fault(one.name, value, (), f"a {one.metadata['group'].__name__}"))
        return [fault for fault in found if fault]

    def check(self, *further: str | None) -> None:
        """Refuse it where anything is wrong.

        Args:
            *further: Faults of what is given beside it.

        Raises:
            ConfigError: There are faults; it tells all of them.
        """
        refuse([*self.faults(), *further])

    @classmethod
    def settings(cls) -> dict[str, Field[Any]]:
        """All its settings by name, those of its groups among them."""
        found: dict[str, Field[Any]] = {}
        for one in fields(cls):
            inner = one.metadata["group"].settings() if "group" in one.metadata else {one.name: one}
            if twice := found.keys() & inner.keys():
                raise TypeError(f"{cls.__name__} has two settings named {listing(sorted(twice))}")
            found |= inner
        return found

    @classmethod
    def from_flat(cls: type[_Config], **values: Any) -> _Config:  # noqa: ANN401 - each setting has its own type
        """Make it of settings, those of its groups given by their own names.

        Raises:
            ConfigError: There is no such setting, or one is missing.
        """
        known = cls.settings()
        for name in values:
            if name not in known:
                raise ConfigError(
                    f"There is no setting {name!r}.{near_matches(name, known)} There are {listing(known)}."
                )
        missing = [name for name, one in known.items() if one.default is MISSING and name not in values]
        if missing:
            raise ConfigError(f"{cls.__name__} needs {listing(missing)}.")
        own: dict[str, Any] = {}
        for one in fields(cls):
            if (inner := one.metadata.get("group")) is not None:
                own[one.name] = inner(**{name: values[name] for name in inner.settings() if name in values})
            elif one.name in values:
                own[one.name] = values[one.name]
        return cls(**own)

    def to_flat(self) -> dict[str, Any]:
        """What `from_flat` takes."""
        return {name: value for name, value, _ in self._settings()}

    def identity(self) -> dict[str, Any]:
        """The settings, by name, that a resumed run must share with its beginning."""
        return {name: value for name, value, metadata in self._settings() if not metadata["resumable"]}

    def _settings(self) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
        for one in fields(self):
            value = getattr(self, one.name)
            if "group" in one.metadata:
                yield from value._settings()
            else:
                yield one.name, value, one.metadata


def whole(*, least: int, most: int = MOST_COUNT) -> Check:
    """A whole number."""
    return partial(whole_fault, least=least, most=most)


def number(*, least: float | None = None, over: float | None = None, under: float | None = None) -> Check:
    """A finite number, of at least so much or over it, and under another one."""
    return partial(number_fault, least=least, over=over, under=under)


def one_of(names: Sequence[str]) -> Check:
    """One of some words."""

    def check(name: str, value: object) -> str | None:
        known = isinstance(value, str) and value in names
        return None if known else f"{name} must be one of {listing(names)}, found {shown(value)}."

    return check


def of_type(types: type | tuple[type, ...], words: str) -> Check:
    """A value of some type; the words say which."""
    return lambda name, value: type_fault(name, value, types, words)


def or_none(check: Check) -> Check:
    """What the check allows, or None."""

    def either(name: str, value: Any) -> str | None:  # noqa: ANN401 - any value is to be checked
        fault = None if value is None else check(name, value)
        return fault.replace(", found", " or None, found", 1) if fault else None

    return either


TEXT = of_type(str, "text")
PLACE = of_type((str, Path), "text or a path")
YES_OR_NO = of_type(bool, "True or False")
DICTIONARY = of_type(Mapping, "a dictionary")
