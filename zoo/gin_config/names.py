"""What gin files may name, and what can be set of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from zoo import registry
from zoo.checks.settings import Config
from zoo.errors import ConfigError, listing, near_matches


class Names:
    """What files may name: the main functions, and the registered components, imported only when named."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.functions = functions
        self.found: dict[str, Callable[..., Any]] = {}
        self._kinds: dict[str, list[str]] = {}
        for kind, components in registry.KINDS.items():
            for name in components if components.in_gin else ():
                self._kinds.setdefault(name, []).append(kind)

    def all(self) -> set[str]:
        """Every name there is."""
        return {*self.functions, *self._kinds}

    def register_as(self, name: str, where: str) -> str:
        """Give the selector that gin is to know `name` by, and fetch what it stands for."""
        if name in self.functions:
            self.found[f"zoo.{name}"] = self.functions[name]
            return f"zoo.{name}"
        kind, _, plain = name.rpartition(".")
        kinds = [k for k in self._kinds.get(plain, []) if kind in ("", k, f"zoo.{k}")]
        if not kinds:
            raise ConfigError(
                f"{where}: nothing is named {name!r}.{near_matches(name, self.all())} There are the functions "
                f"{listing(self.functions)} and the components {listing(self._kinds)}. {registry.where_others_are()}"
            )
        if len(kinds) > 1:
            both = " or ".join(f"{k}.{plain}" for k in kinds)
            raise ConfigError(f"{where}: {name!r} is the name of several components. Write {both}.")
        selector = f"zoo.{kinds[0]}.{plain}"
        self.found[selector] = registry.KINDS[kinds[0]].get(plain)
        return selector


def parameters_of(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """What can be set of a function, a component or a configuration; of the last the settings of its groups too."""
    if not (isinstance(target, type) and issubclass(target, Config)):
        return inspect.signature(target).parameters
    none = inspect.Parameter.empty
    return {
        name: inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=none if one.default is MISSING else one.default
        )
        for name, one in target.settings().items()
    }


def shared_by(name: str, functions: Mapping[str, Callable[..., Any]]) -> list[str]:
    """The names of a configuration's bases and groups, the most general first."""
    target = functions[name]
    if not (isinstance(target, type) and issubclass(target, Config)):
        return []
    groups = {one.metadata.get("group") for one in fields(target)}
    found = [other for other, one in functions.items() if one in groups]
    return found + [
        other for other, one in functions.items() if other != name and isinstance(one, type) and issubclass(target, one)
    ]
