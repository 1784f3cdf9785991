"""What stops KeOps, found out and said in one line; and how to get rid of files that were left half-written."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import io
import os
import shutil
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

_LONGEST = 200  # characters of a reason that others wrote


class _Listener(io.TextIOBase):
    """Keeps what one thread writes while it listens, and passes everything else on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._thread: int | None = threading.get_ident()
        self.said: list[str] = []

    def write(self, text: str) -> int:
        if threading.get_ident() == self._thread:
            self.said.append(text)
        else:
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def stop(self) -> None:
        """Pass on all: another thread may have taken this for the real stream meanwhile, and may put it back."""
        self._thread = None


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """Catch what this thread prints, and give it as a list that fills."""
    listener = _Listener(sys.stdout or io.StringIO())  # there may be none
    with contextlib.redirect_stdout(listener):
        try:
            yield listener.said
        finally:
            listener.stop()


def explain(error: Exception, said: list[str], *, importing: bool = False) -> str:
    """Why KeOps does not work, in one line.

    Args:
        error: What it raised.
        said: What it printed before.
        importing: It came up while pykeops was imported.
    """
    if isinstance(error, OSError) and error.filename is not None:
        return (
            f"KeOps cannot write what it compiles ({error.strerror}: {error.filename}); set KEOPS_CACHE_FOLDER to a "
            "folder that can be written"
        )
    config = sys.modules.get("pykeops.config")
    compiler = config.pykeops_base.get_cxx_compiler() if config else ""
    if compiler is None:
        return _no_compiler()
    if importing:
        return f"pykeops cannot be imported ({_line(error)})"
    if isinstance(error, ModuleNotFoundError):  # what was to be compiled is not there
        complaints = [line.strip() for line in "".join(said).splitlines() if "error" in line and "[KeOps]" not in line]
        why = complaints[0][:_LONGEST] if complaints else "it does not say why"
        return f"KeOps could not compile with {compiler} ({why})"
    return f"KeOps failed ({_line(error)})"


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:_LONGEST]}"


def _no_compiler() -> str:
    asked = f"$CXX = {os.environ['CXX']}" if os.environ.get("CXX") else "$CXX"
    found = f"KeOps needs a C++ compiler, and none was found (looked for {asked}, g++, clang++)"
    if shutil.which("clang++"):  # KeOps itself looks for it on macOS only
        found = f"KeOps needs a C++ compiler, and found neither {asked} nor g++; set CXX=clang++ to let it use that"
    return found


def _owners(error: Exception) -> Iterator[object]:
    """The objects in whose methods an error came up: they know the files that they were at."""
    trace = error.__traceback__
    while trace is not None:
        if "self" in trace.tb_frame.f_locals:
            yield trace.tb_frame.f_locals["self"]
        trace = trace.tb_next


def _indices() -> list[Any]:
    """What KeOps knows of its files: about formulas, then about loaded modules. It saves both at exit."""
    try:
        formulas = importlib.import_module("keopscore.get_keops_dll").get_keops_dll
        return [formulas, *importlib.import_module("pykeops.common.keops_io").keops_binder.values()]
    except (ImportError, AttributeError):  # another version: it is left to itself
        return []


def tame_exit() -> None:
    """Let the index that is saved at exit replace the former one whole, and in silence where that is not possible.

    The second index is not saved: it is never found again, since its keys hold a memory address, and only grows.
    """
    indices = _indices()
    if not indices:
        return
    formulas = indices[0]
    for index in indices:
        atexit.unregister(index.save_cache)

    def save() -> None:
        final = Path(formulas.cache_file)
        beside = final.with_name(f"{final.name}.{os.getpid()}")
        formulas.cache_file = str(beside)
        with contextlib.suppress(OSError):
            formulas.save_cache()
            beside.replace(final)
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)

    atexit.register(save)


def forget_index(error: Exception, *, remove: bool) -> bool:
    """Whether pykeops could not be imported for an index of its cache, and may be at the next attempt.

    Args:
        error: What the import raised.
        remove: Remove that index; otherwise wait a moment for the process that may be writing it.
    """
    if isinstance(error, OSError):
        return False
    found = [Path(owner.cache_file) for owner in _owners(error) if hasattr(owner, "cache_file")]
    for path in found:
        if not remove:
            time.sleep(0.2)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
    return bool(found)


def remove_truncated(folder: Path) -> None:
    """Remove modules whose end is missing, as a killed compiler leaves them: loading one kills the process."""
    for path in folder.glob("pykeops_cpp_*.so"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            header = file.read(64)
            if len(header) == 64 and header[:5] == b"\x7fELF\x02":  # other kinds are left to the loader
                (sections,), (size, count) = struct.unpack_from("=Q", header, 40), struct.unpack_from("=HH", header, 58)
                if path.stat().st_size < sections + size * count:  # the table of sections comes last
                    path.unlink()


def clear_away(error: Exception) -> bool:
    """Remove the files of the formula that raised an error: whether there were any, and another attempt may help."""
    config = sys.modules["pykeops.config"]
    if config.pykeops_base.get_cxx_compiler() is None:
        return False
    tags = set()
    for owner in _owners(error):
        tags.add(getattr(owner, "gencode_filename", None))
        tags.add(getattr(getattr(owner, "params", None), "tag", None))
    removed = False
    for tag in tags - {None}:
        for path in Path(config.get_build_folder()).glob(f"*{tag}*"):
            with contextlib.suppress(OSError):
                path.unlink()
                removed = True
        sys.modules.pop(f"pykeops_cpp_{tag}", None)
    for index in _indices():  # they may still say that all is there
        index.library.clear()
        if hasattr(index, "library_params"):
            index.library_params.clear()
    importlib.invalidate_caches()
    return removed
