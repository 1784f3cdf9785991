"""The command line: `zoo COMMAND`, or `python -m zoo COMMAND`.

Commands are components like everything else: a package adds one by an entry point of the group `zoo_commands` that
leads to a function `main(arguments: list[str]) -> int`. What `zoo --help` says of it is the first line of the docstring
of the function's module, which is read from its source, so that no command is imported for it.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from zoo import registry
from zoo.checks.plain_text import one_line
from zoo.commands import cli
from zoo.errors import ConfigError
from zoo.registry.requirements import how_to_install

OF_PLUGINS = {
    "compare": "ddsp-zoo-experiments",
    "grid": "ddsp-zoo-experiments",
    "import-thesis": "ddsp-zoo-thesis",
    "report": "ddsp-zoo-report",
}
"""Commands of this project that come with a distribution of their own."""


def summary(command: registry.Entry) -> str:
    """What a command does, in one line; empty where its source cannot be read. Imports nothing."""
    top, *below = command.module.split(".")
    try:
        found = importlib.util.find_spec(top)  # of a top-level name, this imports nothing
        if found is None or found.origin is None:
            return ""
        source = Path(found.origin)
        if below:
            source = source.parent.joinpath(*below)
            source = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
        text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    except (ImportError, OSError, ValueError, SyntaxError):
        return ""
    return one_line(text.partition("\n")[0].rstrip("."))


def _usage() -> argparse.ArgumentParser:
    offers = registry.commands.entries()
    lines = {name: summary(found[0]) for name, found in offers.items()}
    if not registry.safe_mode():
        lines |= {name: f"(pip install {package})" for name, package in OF_PLUGINS.items() if name not in offers}
    width = max(map(len, lines), default=0)
    commands = "\n".join(f"  {name.ljust(width)}  {text}".rstrip() for name, text in sorted(lines.items()))
    parser = argparse.ArgumentParser(
        prog="zoo",
        description="Small neural audio synthesizers: train, distil, measure, play.",
        epilog=f"commands:\n{commands}\n\n"
        "Each has its own --help with examples. Begin with:\n  python -m zoo.distill --gin quickstart.gin",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.color = False  # type: ignore[attr-defined]  # of Python 3.14; what is written is plain
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument("--verbose", action="store_true", help="say where each model was found")
    parser.add_argument("command", nargs="?", help="one of the commands below")
    return parser


def _main(arguments: list[str]) -> int:
    # What stands before the command is ours; everything after it is the command's.
    position = next((i for i, word in enumerate(arguments) if not word.startswith("-")), len(arguments))
    if position == 0 and arguments:
        return _command(arguments[0])(arguments[1:])
    options, unknown = _usage().parse_known_args(arguments[: position + 1])
    unknown = [word for word in unknown if word != "--debug"]
    if unknown:
        raise ConfigError(f"There is no option {unknown[0]}. zoo --help shows what there is.")
    if options.verbose:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.version:
        from importlib.metadata import version

        sys.stdout.write(f"ddsp-zoo {version('ddsp-zoo')}\n")
        return 0
    if options.command is None:
        _usage().print_help()
        return 0
    return _command(options.command)(arguments[position + 1 :])


def _command(name: str) -> Callable[[list[str]], int]:
    if name in OF_PLUGINS and name not in registry.commands:
        package = OF_PLUGINS[name]
        if registry.safe_mode():
            raise ConfigError(f"zoo {name} comes with {package}, and {registry.SAFE_MODE} is set. Unset it to use it.")
        raise ConfigError(f"zoo {name} comes with {package}, which is not installed. Type: {how_to_install(package)}")
    command: Callable[[list[str]], int] = registry.commands.get(name)
    return command


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    return cli.run(_main, argv)


def program(command: str) -> Callable[..., int]:
    """A `main` that runs one command: `python -m zoo.distill` is `zoo distill`."""

    def run(argv: list[str] | None = None) -> int:
        return main([command, *(sys.argv[1:] if argv is None else argv)])

    return run


if __name__ == "__main__":
    raise SystemExit(main())
