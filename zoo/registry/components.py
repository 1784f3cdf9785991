"""The registry of components: one thin class over catalogue, one instance a kind.

Requirements it meets, each of which plain catalogue leaves open:

- names are listed from the installed packages' metadata, without importing any of them;
- two distributions that offer one name are refused, naming both;
- a plugin that fails to import breaks only its own names, and the error names its distribution and version;
- an unknown name imports nothing, and the error gives near matches and what there is;
- with `ZOO_NO_PLUGINS=1` nothing but zoo's own is seen, so that a plugin can always be told apart from zoo;
- the metadata of all packages is read once, however many plugins and kinds there are.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from zoo.checks.path_names import path_fault
from zoo.checks.plain_text import one_line
from zoo.errors import ConfigError, PluginError, listing, near_matches
from zoo.registry.plugin_imports import advice, message_of, untouched
from zoo.registry.requirements import version_conflict

if TYPE_CHECKING:
    import catalogue

# As packaging's rules have them (PEP 508 and PEP 440, the latter loosely).
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*")

Component = TypeVar("Component")

OWN_DISTRIBUTION = "ddsp-zoo"
MODELS_DISTRIBUTION = "ddsp-zoo-models"
"""The trained models of this project: files without code, made from the folder model_cards of a checkout."""
GROUP_PREFIX = "zoo_"
SAFE_MODE = "ZOO_NO_PLUGINS"
"""Set to 1, it makes zoo see its own components and files only."""


@dataclass(frozen=True)
class Entry:
    """One name in a registry: who brings it, without having imported it.

    Attributes:
        name: The registered name.
        distribution: The distribution that brings it; empty for one registered in this process.
        version: That distribution's version.
        target: `module:attribute`, as in the distribution's metadata.
        fault: Why it cannot be used under that name, as a sentence; empty where it can.
    """

    name: str
    distribution: str
    version: str
    target: str
    fault: str = ""

    @property
    def module(self) -> str:
        """What is imported for it."""
        return self.target.partition(":")[0].strip()

    @property
    def origin(self) -> str:
        """Who brings it, for messages: `ddsp-zoo 0.1.0`, or `this process`."""
        return f"{self.distribution} {self.version}" if self.distribution else "this process"


class Registry:
    """The components of one kind.

    Example:
        >>> from zoo import registry
        >>> "gru" in registry.decoders
        True
        >>> registry.decoders.get("gru").__name__
        'GRUDecoder'

    Args:
        kind: Plural name of the kind; entry points of the group `zoo_<kind>` belong to it.
        singular: What messages call one of them.
        base: The class whose children they are, as `module:class`; by default they are whatever can be called.
        in_gin: Whether gin files name them.
    """

    def __init__(self, kind: str, singular: str, *, base: str | None = None, in_gin: bool = True) -> None:
        self.kind = kind
        self.singular = singular
        self.in_gin = in_gin
        self._base = base
        self.group = f"zoo_{kind}"
        self._registered: dict[str, Any] = {}

    @cached_property
    def _catalogue(self) -> catalogue.Registry:
        import catalogue  # it reads the metadata of all packages when it is imported, which listing names does not need

        return catalogue.create("zoo", self.kind, entry_points=True)

    def entries(self) -> dict[str, list[Entry]]:
        """All offers by name, installed ones first; more than one offer for a name is a clash."""
        found: dict[str, list[Entry]] = {}
        for entry in installed(self.group):
            found.setdefault(entry.name, []).append(entry)
        for name, component in self._registered.items():
            found.setdefault(name, []).append(Entry(name, "", "", f"{component.__module__}:{component.__qualname__}"))
        return found

    def names(self) -> list[str]:
        """All names, sorted. Imports nothing."""
        return sorted(self.entries())

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.entries()

    def entry(self, name: str) -> Entry:
        """Who brings `name`. Imports nothing.

        Raises:
            ConfigError: Nothing has that name.
            PluginError: Two distributions offer it.
        """
        entries = self.entries()
        if name not in entries:
            raise ConfigError(
                f"There is no {self.singular} named {name!r}.{near_matches(name, entries)} "
                f"Installed {self.kind}: {listing(entries)}. {where_others_are()}"
            )
        offers = entries[name]
        if len(offers) > 1:
            origins = " and ".join(sorted(offer.origin for offer in offers))
            *_, last = sorted(offers, key=lambda offer: (offer.distribution != OWN_DISTRIBUTION, offer.origin))
            raise PluginError(
                f"The {self.singular} {name!r} is offered by {origins}. One name must mean one thing: "
                f"uninstall one of them (pip uninstall {last.distribution})."
            )
        return offers[0]

    def get(self, name: str) -> Any:  # noqa: ANN401 - what a component is, is up to its kind
        """Import and return the component `name`.

        Raises:
            ConfigError: Nothing has that name.
            PluginError: Two distributions offer it, or the one that does cannot be imported or is made for another zoo.
        """
        entry = self.entry(name)
        if not entry.distribution:
            return self._registered[name]
        if entry.distribution != OWN_DISTRIBUTION and (wrong := version_conflict(entry.distribution)):
            raise PluginError(
                f"The {self.singular} {name!r} of {entry.origin} is made for {wrong.problem}. Type: {wrong.fix}"
            )
        try:
            if entry.distribution == OWN_DISTRIBUTION or entry.module in sys.modules:
                component = self._load(entry)
            else:
                with untouched(entry.origin):
                    component = self._load(entry)
        except KeyboardInterrupt:  # that is the user, who waits for a slow one
            raise
        except BaseException as error:  # whatever a plugin raises, it is the plugin that is broken
            raise PluginError(
                f"The {self.singular} {name!r} of {entry.origin} cannot be imported ({entry.target}): "
                f"{type(error).__name__}: {message_of(error).rstrip('.')}. "
                + advice(error, entry.module, entry.distribution)
            ) from error
        if entry.distribution != OWN_DISTRIBUTION and (fault := self._fault(component)):
            raise self.broken(name, f"is {fault}")
        return component

    def broken(self, name: str, fault: str) -> PluginError:
        """Give the error for a component that breaks its kind's promise: `fault` goes after its name."""
        entry = self.entry(name)
        fix = f". Tell its author, or remove that package: pip uninstall {entry.distribution}"
        own = entry.distribution in ("", OWN_DISTRIBUTION)
        return PluginError(
            f"The {self.singular} {name!r} of {entry.origin} ({entry.target}) {fault}{'.' if own else fix}"
        )

    def check_shape(self, name: str, value: object, shape: tuple[int, ...], what: str) -> None:
        """Make sure that what a component gives, such as `f0_hz [batch, frames]`, is a tensor of that shape.

        Raises:
            PluginError: It is none.
        """
        shown = getattr(value, "shape", None)
        if shown is None or tuple(shown) != shape:
            given = type(value).__name__ if shown is None else list(shown)
            raise self.broken(name, f"gives {given}, and must give {what} = {list(shape)}")

    def _fault(self, component: object) -> str | None:
        """What a component is where it is not what its kind wants; None where it is."""
        shown = f"{one_line(_repr_of(component), most=60)}, of the type {type(component).__name__}"
        if self._base is not None:
            module, _, name = self._base.partition(":")
            # its own module has not been imported where nothing is a child of it
            base = getattr(sys.modules.get(module), name, None)
            if not isinstance(component, type) or base is None or not issubclass(component, base):
                return f"{shown}, and must be a class, a child of {module.rpartition('.')[0]}.{name}"
        if inspect.isabstract(component):
            lacks = listing(getattr(component, "__abstractmethods__"))  # noqa: B009 - mypy knows it of no type
            return f"an abstract class, of which none can be made: it lacks {lacks}"
        return None if callable(component) else f"{shown}, and must be a class or a function"

    def _load(self, entry: Entry) -> Any:  # noqa: ANN401 - see get
        # In safe mode two distributions may offer the name, and catalogue does not know which of them is meant.
        found = None if safe_mode() else self._catalogue.get_entry_point(entry.name)
        if found is not None:
            return found
        # catalogue read the metadata when it was imported; what was installed since (in a notebook) is loaded here.
        (point,) = (p for p in metadata.entry_points(group=self.group, name=entry.name) if p.value == entry.target)
        return point.load()

    def register(self, name: str) -> Callable[[Component], Component]:
        """Register a component in this process, as a decorator: for notebooks, scripts and tests.

        Defining the same function or class again (running a notebook's cell twice) replaces it.

        Raises:
            PluginError: The name or the component will not do, or another component has that name.
        """
        if not isinstance(name, str):  # what it decorates: it was written without brackets
            raise PluginError(f'Write @zoo.register.{self._decorator}("name").')
        if fault := path_fault(name):
            raise PluginError(f"The {self.singular} cannot be called {name!r}: {fault}.")

        def add(component: Component) -> Component:
            if not callable(component) or not hasattr(component, "__qualname__"):
                raise PluginError(
                    f"The {self.singular} {name!r} is {one_line(_repr_of(component), most=60)}, and must be a class or "
                    "a function."
                )
            taken = self.entries().get(name, [])
            for offer in taken:
                previous = self._registered.get(name)
                redefined = previous is not None and _identity(previous) == _identity(component)
                if offer.distribution or not redefined:
                    raise PluginError(
                        f"The {self.singular} {name!r} is already there, from {offer.origin} ({offer.target}). "
                        "Register yours under another name."
                    )
            if fault := self._fault(component):
                raise PluginError(f"The {self.singular} {name!r} is {fault}.")
            self._registered[name] = component
            return component

        return add

    @property
    def _decorator(self) -> str:
        """What `register` is called in `zoo.register`."""
        from zoo.registry import register

        return next(name for name in register.__all__ if getattr(register, name) == self.register)

    def unregister(self, name: str) -> None:
        """Take back what `register` did; a name that was not registered in this process is left alone."""
        self._registered.pop(name, None)


def safe_mode() -> bool:
    """Whether plugins are left out."""
    return os.environ.get(SAFE_MODE, "").strip().casefold() not in ("", "0", "false", "no")


def where_others_are() -> str:
    """Where else a name that is not here may come from, as a sentence."""
    if safe_mode():
        return f"{SAFE_MODE} is set, so what plugins bring is left out."
    return "Others come with plugin packages (pip install ...)."


def installed(group: str) -> list[Entry]:
    """What installed distributions offer in an entry-point group; in safe mode zoo's own alone."""
    return [entry for entry in _seen(group) if not entry.fault]


def misnamed(group: str) -> list[Entry]:
    """What installed distributions offer there under names that cannot be used, and is left out."""
    return [entry for entry in _seen(group) if entry.fault]


def _seen(group: str) -> list[Entry]:
    entries = _installed(search_path()).get(group, ())
    own = (OWN_DISTRIBUTION, MODELS_DISTRIBUTION)
    return [e for e in entries if e.distribution in own] if safe_mode() else list(entries)


def installed_groups() -> list[str]:
    """The entry-point groups that look like ours, known or not."""
    return sorted(_installed(search_path()))


@lru_cache(maxsize=8)
def _installed(found_on: tuple[tuple[str, int], ...]) -> dict[str, tuple[Entry, ...]]:
    """All offers by group; read once for a search path, since that opens some hundred files."""
    found: dict[str, dict[Entry, None]] = {}
    identities: dict[int, tuple[str, str]] = {}  # name and version, which are parsed anew whenever they are asked for
    points = metadata.entry_points()
    for group in points.groups:
        if not group.startswith(GROUP_PREFIX):
            continue
        for point in points.select(group=group):
            if point.dist is None:  # an entry point that belongs to no distribution has nobody to name in an error
                continue
            if id(point.dist) not in identities:
                identities[id(point.dist)] = _identity_of(point.dist)
            if not all(identities[id(point.dist)]):  # a folder that an uninstallation has left: it cannot be imported
                continue
            identity = identities[id(point.dist)]
            fault = _name_fault(group, point.name, *identity)
            found.setdefault(group, {})[Entry(point.name, *identity, point.value, fault)] = None
    return {group: tuple(entries) for group, entries in found.items()}


def _name_fault(group: str, name: str, distribution: str, version: str) -> str:
    """Why an offer's names cannot be used: they become commands to type, and parts of paths. Empty where they can."""
    if not (_DISTRIBUTION.fullmatch(distribution) and _VERSION.fullmatch(version)):
        return f"{distribution!r} {version!r} is no distribution's name and version, so that all of it is left out."
    fault = path_fault(name)
    return f"Its {name!r} in the group {group} is left out: {fault}." if fault else ""


def _identity_of(distribution: metadata.Distribution) -> tuple[str, str]:
    try:
        described = distribution.metadata
        return described["Name"] or "", described["Version"] or ""
    except (KeyError, TypeError, OSError, UnicodeDecodeError):  # there is no METADATA
        return "", ""


def search_path() -> tuple[tuple[str, int], ...]:
    """Where distributions are looked for, with the times of the last change: a `pip install` in between is seen."""
    state = []
    for folder in sys.path:
        with suppress(OSError):
            state.append((folder, Path(folder or ".").stat().st_mtime_ns))
    return tuple(state)


def _repr_of(component: object) -> str:
    try:
        return repr(component)
    except Exception:  # noqa: BLE001 - whatever a plugin's raises
        return "something"


def _identity(component: object) -> tuple[str, str]:
    return getattr(component, "__module__", ""), getattr(component, "__qualname__", "")


decoders = Registry("decoders", "decoder", base="zoo.decoders.base:Decoder")
synths = Registry("synths", "synth", base="zoo.synths.base:Synth")
losses = Registry("losses", "loss")
loss_weights = Registry("loss_weights", "loss weight")
datasets = Registry("datasets", "dataset")
pitch = Registry("pitch", "pitch tracker")
loudness = Registry("loudness", "loudness")
metrics = Registry("metrics", "metric")
# models are named in text ("gru-S"), resolved by zoo.models.naming
models = Registry("models", "model", in_gin=False)
commands = Registry("commands", "command", in_gin=False)
executors = Registry("executors", "executor", base="zoo.executors.base:Executor", in_gin=False)
loggers = Registry("loggers", "logger", base="zoo.loggers.base:Logger", in_gin=False)
exporters = Registry("exporters", "exporter", base="zoo.export.base:Exporter", in_gin=False)

KINDS: dict[str, Registry] = {
    r.kind: r
    for r in (
        decoders,
        synths,
        losses,
        loss_weights,
        datasets,
        pitch,
        loudness,
        metrics,
        models,
        commands,
        executors,
        loggers,
        exporters,
    )
}
