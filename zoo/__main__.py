"""The command line: `zoo COMMAND`, or `python -m zoo COMMAND`."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Callable

from zoo.commands import cli
from zoo.errors import ConfigError, listing, near_matches

COMMANDS = {
    "bench": ("zoo.commands.bench", "measure what models cost: to keep, to play, to train"),
    "card": ("zoo.commands.card", "make a run's card anew"),
    "compact": ("zoo.commands.compact", "copy what of a run is for others, with weights of half the size"),
    "compare": ("zoo.commands.compare", "find out whether distillation helps: three arms, several seeds"),
    "distill": ("zoo.commands.distill", "train a small student from a large teacher"),
    "doctor": ("zoo.commands.doctor", "say what is installed, what works here, and where things lie"),
    "evaluate": ("zoo.commands.evaluate", "measure a model on held-out recordings"),
    "fetch": ("zoo.commands.fetch", "get a model from the Hugging Face Hub"),
    "grid": ("zoo.commands.grid", "distil many pairs, and compare what they reach"),
    "import-thesis": ("zoo.commands.import_thesis", "convert a checkpoint of the thesis"),
    "info": ("zoo.commands.info", "show what is known of a model"),
    "list": ("zoo.commands.list", "list models: architectures, and trained ones here or on the Hub"),
    "new-plugin": ("zoo.commands.new_plugin", "write a plugin package to begin with"),
    "plugins": ("zoo.commands.plugins", "say what plugin packages bring, and which of them are broken"),
    "prepare": ("zoo.commands.prepare", "turn recordings into a dataset of segments"),
    "push": ("zoo.commands.push", "send a run to the Hugging Face Hub"),
    "report": ("zoo.commands.report", "show runs side by side on a page: sounds, spectrograms, losses, a blind test"),
    "reproduce": ("zoo.commands.reproduce", "train a model again, by the gin file inside its run or repo"),
    "synth": ("zoo.commands.synth", "timbre transfer: play a recording on a model's instrument"),
    "train": ("zoo.commands.train", "train a model on a dataset (a teacher, for one)"),
}
"""Command -> the module whose `main` runs it, and a summary."""


def _usage() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name.ljust(width)}  {text}" for name, (_, text) in sorted(COMMANDS.items()))
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
    rest = arguments[position + 1 :]
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
    if options.command in COMMANDS:
        command: Callable[[list[str]], int] = importlib.import_module(COMMANDS[options.command][0]).main
        return command(rest)
    raise ConfigError(
        f"There is no command {options.command!r}.{near_matches(options.command, COMMANDS)} "
        f"Commands: {listing(COMMANDS)}."
    )


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    return cli.run(_main, argv)


def program(command: str) -> Callable[[list[str] | None], int]:
    """A `main` that runs one command: `python -m zoo.distill` is `zoo distill`."""

    def run(argv: list[str] | None = None) -> int:
        return main([command, *(sys.argv[1:] if argv is None else argv)])

    return run


if __name__ == "__main__":
    raise SystemExit(main())
