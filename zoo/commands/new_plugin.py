"""Write a plugin package to begin with.

There is one source of it, the package `plugins/zoo-example`, which the wheel carries as data: its files are copied with
its names replaced, so what is written here is what that package's tests have tried.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from zoo import registry
from zoo.commands import cli
from zoo.errors import ConfigError
from zoo.registry import paths
from zoo.storage.files import new_folder, write_atomically

PROG = "zoo new-plugin"

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIXES = ("ddsp_zoo_", "zoo_")  # a package may be called after zoo; its components need not
_TEXT = (".py", ".toml", ".md", ".gin")


@dataclass(frozen=True)
class Names:
    """What a package's parts are called.

    Attributes:
        distribution: What is installed: "zoo-kazoo".
        package: What is imported: "zoo_kazoo".
        component: What the decoder is called, and what the loss and the model begin with: "kazoo".
    """

    distribution: str
    package: str
    component: str

    @classmethod
    def of(cls, name: str) -> Names:
        """The names that follow from a distribution's."""
        package = name.replace("-", "_")
        component = package
        for prefix in _PREFIXES:
            component = component.removeprefix(prefix)
        return cls(name, package, component)

    @property
    def in_class_names(self) -> str:
        """The component's name as classes begin with it: "Kazoo"."""
        return "".join(part.capitalize() for part in self.component.split("_"))


_EXAMPLE = Names("ddsp-zoo-example", "zoo_example", "example")


def write_plugin(name: str, folder: Path) -> list[Path]:
    """Write a plugin package.

    Args:
        name: What its distribution is to be called, e.g. "zoo-kazoo".
        folder: Where; it may exist if it is empty.

    Returns:
        The files, relative to the folder.

    Raises:
        ConfigError: The name will not do, or the folder is not empty.
    """
    names = _checked(name)
    check = partial(_check_free, folder)
    check()
    source = paths.example_plugin()
    written = []
    with new_folder(folder, check=check) as temporary:
        for file in _files(source):
            renamed = Path(_rename(file.relative_to(source).as_posix(), names))
            write_atomically(temporary / renamed, _rename(file.read_text(encoding="utf-8"), names))
            written.append(renamed)
    return sorted(written)


def _check_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} exists, and is not overwritten. Remove it, or give another folder: --out FOLDER")


def _files(source: Path) -> Iterator[Path]:
    """The package's own files, without what installing and testing it in a checkout leaves there."""
    for file in sorted(source.rglob("*")):
        parts = file.relative_to(source).parts
        if file.suffix in _TEXT and not any(part.startswith((".", "__pycache__")) for part in parts):
            yield file


def _rename(text: str, names: Names) -> str:
    for old, new in (
        (_EXAMPLE.distribution, names.distribution),
        (_EXAMPLE.package, names.package),
        (_EXAMPLE.component, names.component),
        (_EXAMPLE.in_class_names, names.in_class_names),
    ):
        # marked, so that a new name which holds an old one is not replaced again
        text = text.replace(old, "\0".join(new))
    return text.replace("\0", "")


def _checked(name: str) -> Names:
    if not _NAME.fullmatch(name):
        tidy = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-").lstrip("0123456789-")
        advice = f" Take for instance {tidy}." if _NAME.fullmatch(tidy) else ""
        raise ConfigError(
            f"{name!r} is no name for a plugin: it begins with a lower-case letter, and has lower-case letters, digits "
            f"and single hyphens, like zoo-kazoo.{advice}"
        )
    names = Names.of(name)
    for what in dict.fromkeys((names.package, names.component)):
        if keyword.iskeyword(what) or keyword.issoftkeyword(what):
            raise ConfigError(f"{name!r} will not do: {what} is a word of Python's own. Take another name.")
    if names.package in sys.stdlib_module_names or names.package in ("zoo", "zoo_kernels", "zoo_player", "tests"):
        raise ConfigError(f"{name!r} will not do: its package {names.package} would hide another. Take another name.")
    spec = importlib.util.find_spec(names.package)
    if spec is not None:
        where = spec.origin or next(iter(spec.submodule_search_locations or ()), "built in")
        raise ConfigError(
            f"{name!r} will not do: there is a package {names.package} here already ({where}). Take another name."
        )
    with suppress(metadata.PackageNotFoundError):  # pip would take the new one for another version of the old
        raise ConfigError(
            f"{name!r} will not do: {name} {metadata.version(name)} is installed here, and yours would replace it. "
            "Take another name."
        )
    for known, component in (
        (registry.decoders, names.component),
        (registry.losses, f"{names.component}_level"),
        (registry.models, f"{names.component}-S"),
    ):
        if component in known:
            origin = known.entries()[component][0].origin
            raise ConfigError(
                f"{name!r} will not do: the {known.singular} {component!r} is there already, from {origin}. "
                "Take another name."
            )
    return names


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        PROG,
        "Write a plugin package to begin with: a decoder, a loss, a model, gin files and tests, ready to be installed "
        "and tested. docs/plugins.md explains it line by line.",
        [f"{PROG} zoo-kazoo", f"{PROG} zoo-kazoo --out ~/src/zoo-kazoo"],
    )
    parser.add_argument("name", help="of the package that people install: lower-case letters, digits and hyphens")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="where to write it (default: its name, here)")
    options = parser.parse_args(arguments)
    folder = Path(options.out or options.name).expanduser()
    written = write_plugin(options.name, folder)
    sys.stdout.write("".join(f"{folder / file}\n" for file in written))
    sys.stdout.write(f'Next:\n  pip install -e "{folder}[test]"\n  pytest "{folder}"\n  zoo plugins\n')
    return 0
