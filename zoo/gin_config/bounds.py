"""How much a gin file may ask for, said before gin's own parser and its evaluation see any of it.

A recipe comes with a model from elsewhere. gin reads a file of any size, follows macros that lead to each other for
ever, and doubles a list at each of sixty lines without complaint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.checks.limits import LARGEST_UNEXPLAINED, short
from zoo.errors import ConfigError, near_matches
from zoo.registry import paths

if TYPE_CHECKING:
    from zoo.gin_config.files import Binding

MOST_BYTES = 2**18
MOST_FILES = 100
_MOST_LINES = 10_000
_MOST_BRACKETS = 80  # open at the same time
_MOST_VALUES = 10_000
_MOST_DEPTH = 60
_LARGEST_SETTING = 2**40


def check_text(text: str, where: str) -> None:
    """Make sure that a gin file is one that people or zoo write: by its lines, and by how deep its brackets go.

    Raises:
        ConfigError: It is not.
    """
    if (lines := text.count("\n")) > _MOST_LINES:
        raise ConfigError(f"{where} has {lines:,} lines; a gin file never has over {_MOST_LINES:,}.")
    depth = 0
    for letter in text:
        if letter in "([{":
            depth += 1
            if depth > _MOST_BRACKETS:
                raise ConfigError(f"{where} has over {_MOST_BRACKETS} brackets within each other. Take some out.")
        elif letter in ")]}":
            depth = max(0, depth - 1)


def find_shipped(name: str) -> Path:
    """Find a gin file that a recipe from elsewhere includes: one that ships with zoo or a plugin, and no other.

    Raises:
        ConfigError: There is no shipped file of that name; nothing of another one is looked at.
    """
    from zoo.gin_config.files import shipped_gin_files

    shipped = shipped_gin_files()
    wanted = name if name in shipped else f"{name}.gin"
    if wanted not in shipped:
        raise ConfigError(
            f"a recipe from elsewhere may include shipped gin files only, and {short(name)} is none."
            f"{near_matches(name, shipped)} Look at the file; if you trust it, copy it, and run it yourself with --gin."
        )
    offers = [folder / wanted for folder in paths.gin_folders() if (folder / wanted).is_file()]
    return paths.only_one(f"The gin file {wanted!r}", offers).resolve()


def check_numbers(bound: Sequence[Binding], functions: Mapping[str, Any]) -> None:
    """Make sure that no number in a recipe from elsewhere is beyond what any setting means.

    Args:
        bound: Its bindings.
        functions: The main functions, whose steps may be many; all else is of components.

    Raises:
        ConfigError: One is.
    """
    from zoo.gin_config.files import inner_values

    for binding in bound:
        largest = _LARGEST_SETTING if not binding.parameter or binding.name in functions else LARGEST_UNEXPLAINED
        for value in inner_values(binding.value):
            if isinstance(value, int | float) and not abs(value) <= largest:
                raise ConfigError(f"{binding.where}: {binding.key} is {short(value)}; no setting is over {largest:,}.")


def check_expansion(bound: Sequence[Binding], selectors: Mapping[str, str]) -> None:
    """Make sure that macros and components, put in where they are named, come to an end and to few values.

    Args:
        bound: All bindings; the last of a key counts.
        selectors: What each name of a component means.

    Raises:
        ConfigError: One leads back to itself, or what they make together is too much.
    """
    _Expansion(bound, selectors).check()


class _Expansion:
    def __init__(self, bound: Sequence[Binding], selectors: Mapping[str, str]) -> None:
        final = {(b.scope, b.name, b.parameter): b for b in bound}
        self.selectors = selectors
        self.bindings = list(final.values())
        self.macros = {b.key: b for b in self.bindings if not b.parameter}
        self.of: dict[str, list[Binding]] = {}
        for binding in self.bindings:
            if binding.parameter:
                self.of.setdefault(selectors[binding.name], []).append(binding)
        self.known: dict[tuple[str, str], int] = {}
        self.path: list[tuple[str, str]] = []

    def check(self) -> None:
        total = 0
        for binding in self.bindings:
            total += self.size_of(binding, binding.scope)
            if total > 10 * _MOST_VALUES:
                raise ConfigError(f"{binding.where}: the file comes to over {10 * _MOST_VALUES:,} values. Shorten it.")

    def size_of(self, binding: Binding, scope: str) -> int:
        from zoo.gin_config.files import GinReference, Macro, inner_values

        total = 0
        for value in inner_values(binding.value):
            total += 1
            if isinstance(value, Macro) and value.name in self.macros:
                total += self.inside((f"%{value.name}", scope), [self.macros[value.name]], binding)
            elif isinstance(value, GinReference):
                within, _, name = value.name.rpartition("/")
                within = within or scope
                chosen = [b for b in self.of.get(self.selectors[name], []) if _holds(b.scope, within)]
                total += self.inside((f"@{name}", within), chosen, binding)
            if total > _MOST_VALUES:
                raise ConfigError(
                    f"{binding.where}: {binding.key}, with what it names put in, has over {_MOST_VALUES:,} values. "
                    "Lists of lists of macros grow like that; write what is meant."
                )
        return total

    def inside(self, node: tuple[str, str], chosen: Sequence[Binding], binding: Binding) -> int:
        if node in self.path:
            names = [name for name, _ in self.path[self.path.index(node) :]]
            chain = " uses ".join([*names, node[0]])
            raise ConfigError(f"{binding.where}: {binding.key} has no end: {chain[:300]}. Take one of them out.")
        if len(self.path) >= _MOST_DEPTH:
            raise ConfigError(f"{binding.where}: {binding.key} leads on over more than {_MOST_DEPTH} names.")
        if node not in self.known:
            self.path.append(node)
            self.known[node] = sum(self.size_of(part, node[1]) for part in chosen)
            self.path.pop()
        return self.known[node]


def _holds(scope: str, within: str) -> bool:
    # gin: what is bound in the scope "a" also holds in "a/b" and "b/a"
    return not scope or set(scope.split("/")) <= set(within.split("/"))
