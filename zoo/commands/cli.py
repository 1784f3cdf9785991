"""What all commands share: parsers with examples, tables, and errors without tracebacks."""

from __future__ import annotations

import argparse
import errno
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from zoo import registry
from zoo.checks.plain_text import one_line, shown_plainly
from zoo.commands.streams import usable_streams
from zoo.errors import ZooError
from zoo.executors.parent_watch import watch_parent

if TYPE_CHECKING:
    from zoo.executors.base import ExecutorConfig


def parser(prog: str, description: str, examples: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Make a command's parser, with `--debug` and its examples below the options.

    Args:
        prog: What the user types, e.g. "zoo prepare".
        description: What it does, in a sentence or a few.
        examples: Command lines that work.
    """
    epilog = "examples:\n" + "\n".join(f"  {line}" for line in examples) if examples else None
    made = argparse.ArgumentParser(
        prog=prog, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.color = False  # type: ignore[attr-defined]  # of Python 3.14; what is written is plain
    made.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return made


def add_hub_options(parser: argparse.ArgumentParser) -> None:
    """Add `--token` and `--endpoint`, for commands that speak with the Hub."""
    parser.add_argument("--token", help="of your Hub account (default: the saved login, see: hf auth login)")
    parser.add_argument("--endpoint", metavar="URL", help="another Hub than huggingface.co (default: $HF_ENDPOINT)")


def add_executor_options(parser: argparse.ArgumentParser, what: str) -> None:
    """Add what `zoo.executors.ExecutorConfig` is made of.

    Args:
        parser: A command's.
        what: Its tasks, e.g. "runs".
    """
    add = parser.add_argument
    add("--jobs", type=int, metavar="N", help=f"{what} at a time (default: 1; on a cluster as many as it has room for)")
    add("--executor", default="local", help=f"what runs them: {', '.join(registry.executors)} (default: local)")
    add("--address", help='of the Ray cluster to use, e.g. "auto" (default: Ray is started on this machine)')
    add("--cpus-per-task", type=int, default=1, metavar="N", help="cores and threads of each (default: 1)")
    add("--gpus-per-task", type=float, default=0.0, metavar="N", help="GPUs of each, on a cluster (default: 0)")


def execution_of(options: argparse.Namespace) -> ExecutorConfig:
    """What `add_executor_options` gave.

    Raises:
        ConfigError: Something does not fit.
    """
    from zoo.executors.base import ExecutorConfig

    names = ExecutorConfig.settings()
    execution = ExecutorConfig(**{name: getattr(options, name) for name in names})
    execution.check()
    registry.executors.entry(execution.executor)
    return execution


def write_table(rows: Sequence[Sequence[str]]) -> None:
    """Write rows to stdout, columns aligned; nothing is cut, for other programs read it too.

    A cell is one line, whatever text of others it holds: no row can be made up.
    """
    from zoo.storage import text_table

    table = text_table([[one_line(cell) for cell in row] for row in rows])
    sys.stdout.write(f"{table}\n")


def run(main: Callable[[list[str]], int | None], argv: Sequence[str] | None = None) -> int:
    """Run a command's body and turn its errors into one message and an exit code.

    Whatever it writes is shown plainly: see `zoo.checks.plain_text`.

    Args:
        main: The body; gets the arguments, may return an exit code.
        argv: The arguments; the process's own by default.

    Returns:
        0, or 2 for the user's mistakes, 1 for failures, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    watch_parent()
    with usable_streams(), shown_plainly():
        return _run(main, arguments, debug="--debug" in arguments)


def _run(main: Callable[[list[str]], int | None], arguments: list[str], *, debug: bool) -> int:
    try:
        code = main(arguments) or 0
        sys.stdout.flush()  # what it finds is told here, not when Python ends
        return code
    except KeyboardInterrupt:
        return _fail("Stopped.", 130)
    except ZooError as error:
        if debug:
            sys.stderr.write(traceback.format_exc())
        return _fail(f"error: {error}", error.exit_code)
    except OSError as error:
        if debug:
            sys.stderr.write(traceback.format_exc())
        return _fail(f"error: {_explain(error)}", 1)
    except ValueError as error:
        player = sys.modules.get("zoo_player")  # knows nothing of zoo; its errors say what to do, too
        if player is None or not isinstance(error, player.PlayerError):
            raise
        if debug:
            sys.stderr.write(traceback.format_exc())
        return _fail(f"error: The player library: {error}.", 1)


def _explain(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return (
            f"The disk is full{where}. What was there before is unchanged: "
            "free some space and run the same command again."
        )
    return f"{error.strerror or error}{where}"


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code
