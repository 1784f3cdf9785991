"""What Ray runs on a node: a task, in a folder of its own, which tells step by step what has come of it.

It sees none of the driver's files but those that lie under the same path. All that it yields is plain:

- `("needs", [number, ...])`: of the described paths, those that are to be sent; nothing was done;
- `("began", name of the node)`;
- `("log", text)`, `("files", {name: content})`: what has been added since;
- `("ended", problem, again, error)`, the last one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.executors import PATIENCE, ended_with, start_program
from zoo_experiments import parcels

LOOK_SECONDS = 0.5
SEND_SECONDS = 3.0
"""Seconds between looks at what a run has written; what changed is sent."""
_TEXTS = (".gin", ".md", ".json", ".csv")


@dataclass
class Order:
    """A task, as it travels.

    Attributes:
        writes: What it makes, as the driver calls it.
        described: Paths that it reads, see `parcels.describe`, each as the task has it.
        settings: Gin settings that name some of them, by the place in `described`.
        threads: That it computes with.
        call: The packed function and arguments; empty where it is a program.
        words: Python's arguments, packed.
        begun: What was written of it before, by name.
        sent: What finds the content of described paths, by their place.
    """

    writes: str
    described: list[tuple[str, parcels.Described]]
    settings: dict[str, int]
    threads: int
    call: bytes = b""
    words: bytes = b""
    begun: dict[str, bytes] = field(default_factory=dict)
    sent: dict[int, Any] = field(default_factory=dict)


def work(order: Order) -> Generator[tuple[Any, ...], None, None]:
    """Do a task; see the module.

    Args:
        order: The task.
    """
    import ray as untyped

    ray: Any = untyped

    missing = [n for n, (_, it) in enumerate(order.described) if n not in order.sent and not parcels.is_here(it)]
    if missing:
        yield "needs", missing
        return
    yield "began", ray.util.get_node_ip_address()
    store = Path(tempfile.gettempdir()) / f"zoo-ray-{os.getuid() if hasattr(os, 'getuid') else 0}"
    places = {}
    for number, (path, described) in enumerate(order.described):
        places[path] = Path(described[0])
        if number in order.sent:
            places[path] = parcels.unpack(described, ray.get(order.sent[number]), store)
    scratch = Path(tempfile.mkdtemp(prefix="zoo-ray-run-"))
    try:
        writes = scratch / Path(order.writes).name
        places |= {order.writes: writes, str(Path(order.writes).parent): scratch}
        parcels.write_files(writes, order.begun)
        if order.call:
            yield from _call(order, places, writes)
        else:
            yield from _program(order, places, writes, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _call(order: Order, places: Mapping[str, Path], writes: Path) -> Generator[tuple[Any, ...], None, None]:
    import torch

    torch.set_num_threads(order.threads)
    function, arguments = parcels.unpack_value(order.call, places)
    try:
        function(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever it raises is for the driver
        yield "ended", str(error) or type(error).__name__, False, error
        return
    yield "files", parcels.read_files(writes, list(parcels.files_in(writes)))
    yield "ended", "", False, None


def _program(
    order: Order, places: Mapping[str, Path], writes: Path, scratch: Path
) -> Generator[tuple[Any, ...], None, None]:
    words = [str(word) for word in parcels.unpack_value(order.words, places)]
    home = {}  # what stands in texts here, and what is to stand there
    for name, number in order.settings.items():
        path = order.described[number][0]
        if str(places[path]) != path:
            words += ["--set", f"{name}={str(places[path])!r}"]
            home[str(places[path])] = path
    home[str(writes)] = order.writes
    log = scratch / ".log"
    process = start_program(words, log=log, threads=order.threads)
    said, known, sent = 0, parcels.files_in(writes), time.monotonic()
    try:
        while True:
            code = process.poll()
            if code is not None or time.monotonic() - sent >= SEND_SECONDS:
                sent = time.monotonic()
                with log.open("rb") as file:
                    file.seek(said)
                    text = file.read()
                if text:
                    said += len(text)
                    yield "log", text
                now = parcels.files_in(writes)
                changed = [name for name, mark in now.items() if known.get(name) != mark]
                if changed:
                    known = now
                    yield "files", _with_paths(parcels.read_files(writes, changed), home)
            if code is not None:
                ended = ended_with(code, log)
                yield "ended", ended.problem, ended.again, None
                return
            time.sleep(LOOK_SECONDS)
    finally:
        _end(process)


def _with_paths(contents: Mapping[str, bytes], home: Mapping[str, str]) -> dict[str, bytes]:
    """Texts with the driver's paths in place of this node's."""
    found = dict(contents)
    for name in found:
        if name.endswith(_TEXTS):
            for here, there in home.items():
                found[name] = found[name].replace(here.encode(), there.encode())
    return found


def _end(process: Any) -> None:  # noqa: ANN401 - a subprocess.Popen
    if process.poll() is None:
        process.terminate()
        with suppress(Exception):
            process.wait(PATIENCE)
        process.kill()
        process.wait()


def readable(words: Sequence[str | Path]) -> list[Path]:
    """The files among a program's arguments."""
    return [word for word in words if isinstance(word, Path) and word.is_file()]
