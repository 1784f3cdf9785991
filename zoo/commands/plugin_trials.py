"""Importing what plugins bring, in a process apart: one that ends the process, or never ends, is told like any other.

The process apart says what it begins with before it begins, so that what it says last is to blame for its end; then
another one goes on after that.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any

from zoo import registry
from zoo.errors import ZooError
from zoo.models import architectures

TRIAL_SECONDS = 60.0
"""How long one import may take."""

# The path is the caller's: what it has added to it is seen there too. The pipe of stdin ends with the caller.
_START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from zoo.commands.plugin_trials import _work
_work(json.loads(sys.argv[2]))
"""


@dataclass(frozen=True)
class Failure:
    """Why a component cannot be had.

    Attributes:
        kind: Of the component: "decoders".
        name: Its name.
        problem: The message.
        cause: What several failures may have in common.
        of_import: Whether importing it fails, where else it is what was imported.
    """

    kind: str
    name: str
    problem: str
    cause: str
    of_import: bool


def try_components(distributions: Iterable[str]) -> list[Failure]:
    """Import every component that distributions bring, and build the configs of their models, in a process apart.

    Args:
        distributions: Their names.
    """
    wanted = set(distributions)
    todo = [
        [kind, name]
        for kind, known in registry.KINDS.items()
        for name, offers in sorted(known.entries().items())
        if any(offer.distribution in wanted for offer in offers)
    ]
    found: list[Failure] = []
    while todo:
        failures, begun, end = _run(todo)
        found += failures
        done = begun - 1 if end else begun
        if not end or begun == 0:  # all was tried; or it ended before anything was begun, which is no plugin's fault
            break
        kind, name = todo[done]
        entry = registry.KINDS[kind].entry(name)
        # the same module would end the next process too
        same = [each for each in todo[done:] if _module(each) == entry.module]
        problem = (
            f"The {registry.KINDS[kind].singular} {name!r} of {entry.origin} cannot be imported ({entry.target}): "
            f"{end}. Tell its author, or remove that package: pip uninstall {entry.distribution}"
        )
        found += [Failure(kind, name, problem, f"{entry.module} {end}", True) for kind, name in same]
        todo = [each for each in todo[done:] if each not in same]
    return found


def _module(each: list[str]) -> str:
    kind, name = each
    return registry.KINDS[kind].entries()[name][0].module


def _run(todo: list[list[str]]) -> tuple[list[Failure], int, str]:
    """What failed, how many were begun, and how it came to an end before all were tried; empty where it did not."""
    command = [sys.executable, "-c", _START, json.dumps(sys.path), json.dumps(todo)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    failures: list[Failure] = []
    begun = 0
    try:
        while True:
            try:
                line = lines.get(timeout=TRIAL_SECONDS)
            except queue.Empty:
                return failures, begun, f"it takes longer than {TRIAL_SECONDS:.0f} s"
            if line is None:
                return failures, begun, f"it ends the process, with exit code {process.wait()}"
            message: Any = json.loads(line)
            if message == "end":
                return failures, begun, ""
            if message == "begin":
                begun += 1
            else:
                failures.append(Failure(**message))
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _read(pipe: IO[bytes] | None, lines: queue.Queue[bytes | None]) -> None:
    try:
        for line in pipe or ():
            lines.put(line)
    except (OSError, ValueError):  # it was closed meanwhile
        pass
    lines.put(None)


def _work(todo: list[list[str]]) -> None:
    """What the process apart does."""
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what plugins print, in whatever language, is none of the answers
    for kind, name in todo:
        told.write('"begin"\n')
        told.flush()
        if failure := _try(kind, name):
            told.write(json.dumps(failure.__dict__) + "\n")
    told.write('"end"\n')
    told.flush()
    os._exit(0)  # what plugins do at the end is none of our business


def _end_with_the_caller() -> None:
    os.read(0, 1)
    os._exit(1)


def _try(kind: str, name: str) -> Failure | None:
    try:
        registry.KINDS[kind].get(name)
    except ZooError as error:
        return Failure(kind, name, str(error), _cause(error), error.__cause__ is not None)
    except KeyboardInterrupt:
        return Failure(kind, name, f"The {registry.KINDS[kind].singular} {name!r} was stopped.", name, True)
    if kind == "models":
        try:
            architectures.config_of(name)
        except ZooError as error:
            return Failure(kind, name, str(error), _cause(error), False)
    return None


def _cause(error: ZooError) -> str:
    cause = error.__cause__
    return f"{type(cause).__name__}: {registry.message_of(cause)}" if cause else str(error)
