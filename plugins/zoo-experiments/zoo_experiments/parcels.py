"""Files that travel with tasks to machines that do not see this one's, and back.

Requirements it meets:

- a file that lies under the same path there, with the same size and time, is not sent: on a shared file system, and on
  this machine, nothing is but results;
- what a run writes comes back in the order in which it was written, so that what says that the run is whole comes last;
- what is half written, and locks, stay where they are: their names begin with a dot.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.storage import write_atomically

Mark = tuple[int, int]
"""A file's size and time of its last change, in nanoseconds."""


def files_in(place: Path) -> dict[str, Mark]:
    """A file, under the empty name, or those in a folder by their relative names; the oldest first."""
    if place.is_file():
        return {"": _mark(place)}
    found = {}
    for path in place.rglob("*"):
        name = path.relative_to(place)
        if not any(part.startswith(".") for part in name.parts):
            try:
                if path.is_file():
                    found[name.as_posix()] = _mark(path)
            except OSError:
                continue  # it was replaced a moment ago
    return dict(sorted(found.items(), key=lambda item: item[1][1]))


def _mark(path: Path) -> Mark:
    known = path.stat()
    return known.st_size, known.st_mtime_ns


def read_files(place: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The content of some of them; one that is gone is left out."""
    found = {}
    for name in names:
        try:
            found[name] = (place / name if name else place).read_bytes()
        except OSError:
            continue
    return found


def write_files(place: Path, contents: Mapping[str, bytes]) -> None:
    """Write them, each whole or not at all, in their order."""
    for name, data in contents.items():
        write_atomically(place / name if name else place, data)


Described = tuple[str, dict[str, Mark]]
"""An absolute path, and what is there."""


def describe(path: Path) -> Described:
    """Say what is under a path."""
    absolute = path.absolute()
    return str(absolute), files_in(absolute)


class Sources:
    """Files and folders that tasks read, on the machine that has them.

    Args:
        put: Makes content available to all machines, and gives what finds it there.
    """

    def __init__(self, put: Callable[[dict[str, bytes]], Any]) -> None:
        self._put = put
        self._sent: dict[str, Any] = {}

    def content(self, described: Described) -> Any:  # noqa: ANN401 - up to `put`
        """What finds its content elsewhere; put there once."""
        key = _key(described)
        if key not in self._sent:
            path, files = described
            self._sent[key] = self._put(read_files(Path(path), list(files)))
        return self._sent[key]


def is_here(described: Described) -> bool:
    """Whether the same lies under the same path on this machine."""
    path, files = described
    return bool(files) and files_in(Path(path)) == files


def unpack(described: Described, contents: Mapping[str, bytes], store: Path) -> Path:
    """Lay down what was sent, once on a machine.

    Args:
        described: See `describe`.
        contents: By name.
        store: A folder for all such.

    Returns:
        Where it lies; a folder is called as on the machine that has it.
    """
    place = store / _key(described) / Path(described[0]).name
    if not (done := place.parent / ".whole").is_file():
        write_files(place, contents)
        write_atomically(done, "")
    return place


def _key(described: Described) -> str:
    return hashlib.sha256(repr(described).encode()).hexdigest()[:20]


def paths_in(value: object) -> list[Path]:
    """Every path in something picklable, at any depth."""
    found: dict[Path, None] = {}

    class Finder(pickle.Pickler):
        def persistent_id(self, one: object) -> None:
            if isinstance(one, Path):
                found[one] = None

    Finder(io.BytesIO()).dump(value)
    return list(found)


def pack(value: object) -> bytes:
    """Pickle something; its paths are left to `unpack_value`."""
    packed = io.BytesIO()

    class Packer(pickle.Pickler):
        def persistent_id(self, one: object) -> str | None:
            return str(one) if isinstance(one, Path) else None

    Packer(packed).dump(value)
    return packed.getvalue()


def unpack_value(packed: bytes, places: Mapping[str, Path]) -> Any:  # noqa: ANN401 - whatever was packed
    """Undo `pack`, with other paths in place of some.

    Args:
        packed: By `pack`: from the machine that hands out tasks, as the code of these is.
        places: What takes a path's place, by its text.
    """

    class Unpacker(pickle.Unpickler):
        def persistent_load(self, text: str) -> Path:
            return places.get(text, Path(text))

    return Unpacker(io.BytesIO(packed)).load()
