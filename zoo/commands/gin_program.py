"""What the programs have in common as commands: gin in, one call, messages out."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from zoo.commands import cli
from zoo.errors import ConfigError
from zoo.gin_config.files import shipped_gin_files

if TYPE_CHECKING:
    from zoo.checks.settings import Config
    from zoo.gin_config.configure import Configuration


def parser(prog: str, description: str, examples: Sequence[str]) -> argparse.ArgumentParser:
    """A parser with the options that both commands have."""
    made = cli.parser(prog, description, examples)
    add_gin_options(made)
    made.add_argument("--out", metavar="FOLDER", help="the run's folder (default: runs/<model>-<instrument>)")
    made.add_argument("--resume", action="store_true", help="go on with the run in --out, exactly where it was")
    made.add_argument("--name", metavar="NAME", help="enter the finished run into the local store, e.g. as gru-L-flute")
    made.add_argument("--force", action="store_true", help="replace the model of that --name in the local store")
    made.add_argument("--no-progress", dest="progress", action="store_const", const=False, help="show no progress")
    return made


def add_gin_options(parser: argparse.ArgumentParser) -> None:
    """Add `--gin` and `--set`."""
    parser.add_argument(
        "--gin",
        action="append",
        default=[],
        metavar="FILE",
        help="a gin file: a path, or a shipped one's name; may be repeated, later ones win",
    )
    parser.add_argument(
        "--set",
        "--gin_bindings",
        "--gin_param",
        dest="bindings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="override any setting of the gin files, e.g. \"INSTRUMENT='violin'\"; may be repeated",
    )


def main_functions() -> dict[str, Callable[..., Any]]:
    """What gin files set arguments of; every program knows all of it, so that files can be shared."""
    from zoo.datasets import PrepareConfig
    from zoo.training import config
    from zoo.training.evaluation import evaluate

    shared = {"optimizer": config.OptimizerConfig, "trainer": config.TrainerConfig, "run": config.RunConfig}
    runs = {"train": config.TrainConfig, "distill": config.DistillConfig}
    return {**shared, **runs, "prepare": PrepareConfig, "evaluate": evaluate}


def typed_arguments(
    command: str, parser: argparse.ArgumentParser, argv: Sequence[str], *, paths: Sequence[str] = ()
) -> dict[str, Any]:
    """What a main function is to be called with: what was typed, then what gin files say; the rest is its defaults.

    Args:
        command: The main function.
        parser: Its options are named as the function's arguments; it has those of `add_gin_options`.
        argv: What was typed.
        paths: Arguments that the parser's list `paths` stands for, the last of them first to be given.

    Raises:
        ConfigError: There are more paths; or see `zoo.gin_config.configure.configure`.
    """
    options = vars(parser.parse_args(argv))
    files, bindings = options["gin"], options["bindings"]
    # Parsed once more onto marks, which stay where nothing was typed: a default must not win over a gin file.
    marks = argparse.Namespace(**{**dict.fromkeys(options, _UNTYPED), "gin": None, "bindings": None})
    given = {name: value for name, value in vars(parser.parse_args(argv, marks)).items() if value is not _UNTYPED}
    for name in ("gin", "bindings", "debug"):
        given.pop(name, None)
    typed = given.pop("paths", []) if paths else []
    if len(typed) > len(paths):
        names = ", ".join(name.upper() for name in paths)
        raise ConfigError(f"Paths are needed for {names} at most, not {len(typed)}: {' '.join(typed)}")
    given |= dict(zip(paths[len(paths) - len(typed) :], typed, strict=True))
    if not files and not bindings:
        return given
    from zoo.gin_config.configure import configure

    return configure(files, bindings, functions=main_functions()).arguments(command, **given)


_UNTYPED = object()


def run(command: str, options: argparse.Namespace, *, outside: bool = False) -> int:
    """Configure and call `train` or `distill`.

    Args:
        command: Which.
        options: Those of `parser`.
        outside: The gin files come from elsewhere; see `zoo.gin_config.configure.configure`.

    Raises:
        ZooError: Whatever does not fit; see `zoo.gin_config.configure.configure` and `zoo.training`.
    """
    from zoo import training
    from zoo.gin_config.configure import configure
    from zoo.storage import read_config

    files = list(options.gin)
    if options.resume and not files:
        if options.out is None:
            raise ConfigError("Say which run to resume: --resume --out runs/NAME")
        recorded = Path(options.out) / "config.gin"
        if not recorded.is_file():
            raise ConfigError(f"{options.out} has no config.gin, so it cannot be resumed. Give its --gin again.")
        files = [str(recorded.resolve())]
        if (Path(options.out) / "config.json").is_file():
            made_by = "distill" if "teacher" in read_config(options.out).lineage else "train"
            if made_by != command:
                raise ConfigError(
                    f"{options.out} was made by zoo {made_by}. Type: zoo {made_by} --resume --out {quote(options.out)}"
                )
    if not files and not options.bindings:
        shipped = ", ".join(name for name in shipped_gin_files() if name.startswith((command, "quickstart")))
        raise ConfigError(f"Say what to do: --gin FILE. Shipped files: {shipped}.")
    show_messages()
    configuration = configure(files, options.bindings, functions=main_functions(), outside=outside)
    config = configuration.make(command)
    records = {"config.gin": configuration.config, "operative.gin": configuration.operative}
    function: Any = {"train": training.train, "distill": training.distill}[command]
    function(
        config,
        out=options.out,
        name=options.name,
        resume=options.resume,
        force=options.force,
        progress=options.progress,
        records=lambda own: (
            records if own == config else records_of(own, configuration, command, given=config.to_flat())
        ),
    )
    return 0


def records_of(own: Config, configuration: Configuration, command: str, *, given: Mapping[str, Any]) -> dict[str, str]:
    """The gin files of a run whose configuration was derived from what gin files gave.

    Args:
        own: The run's configuration.
        configuration: What the files gave.
        command: That trains it: "train" or "distill".
        given: Settings of that command as the files gave them.
    """
    changed = {name: value for name, value in own.to_flat().items() if name not in given or value != given[name]}
    derived = configuration.with_settings(command, changed)
    derived.make(command)
    return {"config.gin": derived.config, "operative.gin": derived.operative}


def show_messages() -> None:
    """Show zoo's log messages on stderr, as plain lines."""
    from zoo.training.batches import is_main

    logger = logging.getLogger("zoo")
    # of processes that train together, the first one speaks
    logger.setLevel(logging.INFO if is_main() else logging.ERROR)
    # `zoo --verbose train` shows messages by the root logger already
    if not logging.getLogger().handlers and not any(isinstance(handler, _Lines) for handler in logger.handlers):
        logger.addHandler(_Lines())


class _Lines(logging.Handler):
    """Writes to whatever stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        sys.stderr.write(f"{prefix}{self.format(record)}\n")
        sys.stderr.flush()
