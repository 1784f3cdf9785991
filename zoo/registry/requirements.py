"""What a distribution requires and does not find here, by its metadata; and libraries that only one task needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from zoo.errors import PluginError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_OWN = ("ddsp-zoo", "ddsp-zoo-kernels")


@dataclass(frozen=True)
class MissingRequirement:
    """A requirement that is not met.

    Attributes:
        problem: What is required and what there is, within a sentence.
        fix: What to type.
    """

    problem: str
    fix: str


def library(name: str, *, purpose: str) -> Any:  # noqa: ANN401 - a module, whose names are its own
    """Import a library that one task alone needs, so that a broken one stops nothing else.

    Args:
        name: Of the module, e.g. "librosa.onset".
        purpose: What needs it, as a message begins: "The metric onset_flux_distance".

    Raises:
        PluginError: It cannot be imported; a native library beside another version may raise anything.
    """
    try:
        return import_module(name)
    except Exception as error:
        package = name.split(".")[0]
        raise PluginError(
            f"{purpose} needs {package}, which cannot be imported here ({type(error).__name__}: {error}). "
            f"Type: pip install --force-reinstall {package}"
        ) from error


def how_to_install(distribution: str) -> str:
    """What to type for a plugin of this project: with an index that has it, or in a checkout of zoo."""
    return f"pip install {distribution}, or from a checkout: pip install ./plugins/{distribution.removeprefix('ddsp-')}"


def version_conflict(distribution: str) -> MissingRequirement | None:
    """Whether a distribution is made for another version of zoo than this one, newer or older."""
    for requirement in _requirements(distribution):
        name = _normal(requirement.name)
        if name not in _OWN or (here := _version(name)) is None or _fits(requirement, here):
            continue
        needs = f"{name}{requirement.specifier}"
        if _is_older(here, requirement):
            return MissingRequirement(f"a newer zoo: it needs {needs}, and this is {here}", f'pip install -U "{needs}"')
        return MissingRequirement(
            f"an older zoo: it needs {needs}, and this is {here}", f"pip install -U {distribution}"
        )
    return None


def missing_requirements(distribution: str) -> list[MissingRequirement]:
    """The requirements of a distribution, apart from zoo itself, that are not installed or of another version."""
    found = []
    for requirement in _requirements(distribution):
        if _normal(requirement.name) in _OWN:
            continue
        needs = f"{requirement.name}{requirement.specifier}"
        version = _version(requirement.name)
        fix = f'pip install "{needs}"' if requirement.specifier else f"pip install {needs}"
        if version is None:
            found.append(MissingRequirement(f"{needs}, which is not installed", fix))
        elif not _fits(requirement, version):
            found.append(MissingRequirement(f"{needs}, and there is {version}", fix))
    return found


def _requirements(distribution: str) -> Iterator[Requirement]:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:  # it was uninstalled a moment ago
        return
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:  # what pip made of that when it installed the package is pip's affair
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _fits(requirement: Requirement, version: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        base = Version(version).base_version  # a checkout on its way to 0.2 counts as 0.2
    except InvalidVersion:
        return True  # a version that follows no rule cannot be compared
    return requirement.specifier.contains(version, prereleases=True) or requirement.specifier.contains(base)


def _is_older(version: str, requirement: Requirement) -> bool:
    from packaging.version import Version

    bounds = [s.version for s in requirement.specifier if s.operator in (">=", ">", "==", "~=")]
    return any(Version(version) < Version(bound.removesuffix(".*")) for bound in bounds)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
