"""The installed plugins: who brings what, and what is wrong with each.

Everything that a plugin brings is imported here, which nothing else does, in a process apart
(`zoo.commands.plugin_trials`); whatever that raises, and that it ends the process, is part of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from zoo import registry
from zoo.commands.plugin_trials import Failure, try_components
from zoo.errors import PluginError, listing, near_matches
from zoo.registry import paths
from zoo.registry.requirements import missing_requirements, version_conflict
from zoo.storage import store

GIN_FILES = "gin files"
SHIPPED_MODELS = "trained models"


@dataclass
class Plugin:
    """An installed distribution with entry points of zoo.

    Attributes:
        distribution: Its name.
        version: Its version.
        brings: Kind -> names, in the order of the registry's kinds, then gin files and trained models.
        problems: What is broken, each with what to type; empty when all is well.
        failures: Kind and name -> what keeps that component from being had.
    """

    distribution: str
    version: str
    brings: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """Say "ok" or "broken"."""
        return "broken" if self.problems else "ok"

    def describe(self) -> str:
        """What it brings, on one line."""
        return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in self.brings.items()) or "nothing"


def examine_plugins() -> list[Plugin]:
    """Look at every installed plugin and try all that it brings. In safe mode there are none."""
    found: dict[str, Plugin] = {}
    for entry in _entries():
        found.setdefault(entry.distribution, Plugin(entry.distribution, entry.version))
    failures = try_components(found)
    for plugin in found.values():
        _name_what_it_brings(plugin)
        own = [each for each in failures if each.name in plugin.brings.get(each.kind, [])]
        plugin.failures = {(each.kind, each.name): each.problem for each in own}
        wrong = version_conflict(plugin.distribution)
        if wrong is not None:
            plugin.problems.append(f"It is made for {wrong.problem}. Type: {wrong.fix}")
        else:
            plugin.problems += _causes(plugin, own)
        plugin.problems += _misnamed(plugin)
        plugin.problems += _resource_problems(plugin)
        plugin.problems += _strange_groups(plugin)
    return sorted(found.values(), key=lambda plugin: plugin.distribution)


def _entries() -> Iterator[registry.Entry]:
    for group in registry.installed_groups():
        offers = [*registry.installed(group), *registry.misnamed(group)]
        yield from (entry for entry in offers if entry.distribution != registry.OWN_DISTRIBUTION)


def _name_what_it_brings(plugin: Plugin) -> None:
    for kind, known in registry.KINDS.items():
        names = [e.name for e in registry.installed(known.group) if e.distribution == plugin.distribution]
        if names:
            plugin.brings[kind] = sorted(names)
    for resources in _resources(plugin):
        if resources.package is None:
            continue
        folder = resources.package / "gin"
        if files := sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.gin")):
            plugin.brings[GIN_FILES] = files
        if models := sorted(store.models_in(resources.package / "model_cards")):
            plugin.brings[SHIPPED_MODELS] = models


def _resources(plugin: Plugin) -> list[paths.Resources]:
    return [each for each in paths.plugin_resources() if each.entry.distribution == plugin.distribution]


def _causes(plugin: Plugin, failures: list[Failure]) -> Iterator[str]:
    """What keeps its components from being had; one cause is told once, however many names it breaks."""
    told: set[str] = set()
    lacking = False
    for each in failures:
        lacking = lacking or each.of_import
        if each.cause not in told:
            told.add(each.cause)
            yield each.problem
    if not lacking:  # else what it lacks has been told already, with the import that failed for it
        for requirement in missing_requirements(plugin.distribution):
            yield f"It needs {requirement.problem}. Type: {requirement.fix}"


def _misnamed(plugin: Plugin) -> list[str]:
    """Names of its own that cannot be used; a fault that all of its names have is told once."""
    faults = (
        entry.fault
        for group in registry.installed_groups()
        for entry in registry.misnamed(group)
        if (entry.distribution, entry.version) == (plugin.distribution, plugin.version)
    )
    return [f"{fault} Tell its author." for fault in dict.fromkeys(faults)]


def _resource_problems(plugin: Plugin) -> Iterator[str]:
    for resources in _resources(plugin):
        if resources.package is None:
            yield f"Its {paths.RESOURCES} lead nowhere: {resources.problem}. Reinstall it, or tell its author."
        elif not any((resources.package / name).is_dir() for name in ("gin", "model_cards")):
            yield f"{resources.package}, in its {paths.RESOURCES}, has no folder gin or model_cards. Tell its author."
    offers: list[tuple[str, list[Path]]] = []
    for name in plugin.brings.get(GIN_FILES, []):
        offers.append((f"The gin file {name!r}", [f / name for f in paths.gin_folders() if (f / name).is_file()]))
    shipped = store.shipped_offers()
    for name in plugin.brings.get(SHIPPED_MODELS, []):
        offers.append((f"The model {name!r}", shipped.get(name, [])))
    for what, folders in offers:
        try:
            paths.only_one(what, folders)
        except PluginError as error:
            yield str(error)


def _strange_groups(plugin: Plugin) -> Iterator[str]:
    known = [*(kind.group for kind in registry.KINDS.values()), paths.RESOURCES]
    for group in registry.installed_groups():
        if group not in known and any(e.distribution == plugin.distribution for e in registry.installed(group)):
            yield (
                f"It has entry points in the group {group!r}, which means nothing.{near_matches(group, known)} "
                f"Groups: {listing(known)}."
            )
