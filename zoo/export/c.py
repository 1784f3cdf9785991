"""C: the player library's sources and an instrument as an array, in one folder to compile."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import zoo_player
from numpy.typing import NDArray
from zoo_player import build
from zoo_player.library import Info, check, library

from zoo.errors import PluginError
from zoo.export.base import Curve, Runtime
from zoo.export.player import PlayerExporter
from zoo.models.model import Model

_FLAGS = ("-O3", "-std=gnu99", "-fno-strict-aliasing", "-shared", "-fPIC")
_PER_LINE = 5


class CExporter(PlayerExporter):
    """A folder of C sources that plays the model: the player library, the instrument, an example and its README.

    It is compiled and played here before it is kept, so a C compiler must be there, or the package `ziglang`.

    Example:
        >>> zoo.export("gru-S-violin", "c", "violin", weights="int8")  # doctest: +SKIP

    Args:
        weights: What matrices are stored as: "float32", "float16" or "int8" (with a scale per row).

    Raises:
        ConfigError: There is no such type.
        PluginError: There is no C compiler, or it fails.
    """

    suffixes = ()
    folder = True

    def __init__(self, *, weights: str = "float32") -> None:
        super().__init__(weights=weights)
        compiler = build.system_compiler() or build.zig_compiler()
        if compiler is None:
            raise PluginError("The exporter 'c' tries what it writes, and found no C compiler: pip install ziglang")
        self._compiler = compiler

    def write(self, model: Model, path: Path) -> None:
        """See `Exporter.write`."""
        data = self.contents(model)
        instrument = zoo_player.Instrument(data)
        for source in sorted(build.sources().glob("*.[ch]")) + sorted(build.sources().glob("*.inc")):
            shutil.copyfile(source, path / source.name)
        ours = files("zoo.export") / "c_files"
        (path / "main.c").write_text((ours / "main.c").read_text())
        (path / "instrument.h").write_text(_header(instrument))
        (path / "instrument.c").write_text(_array(data))
        limits = [f"{low:g} to {high:g} ({name})" for name, (low, high) in instrument.range.items()]
        text = (
            (ours / "README.md")
            .read_text()
            .format(
                name=instrument.name,
                bytes=len(data),
                hop=instrument.hop,
                sample_rate=instrument.sample_rate,
                latency=instrument.latency,
                memory=instrument.memory_bytes,
                inputs=", ".join(f"`{name}`" for name in instrument.inputs),
                range=f" It was trained on {', '.join(limits)}." if limits else "",
                licence=f" The instrument is under {self.about['licence']}." if "licence" in self.about else "",
            )
        )
        (path / "README.md").write_text(text)

    def load(self, path: Path) -> Runtime:
        """See `Exporter.load`."""
        try:
            return Compiled(path, self._compiler)
        except build.BuildError as error:
            raise PluginError(
                "The exporter 'c' tries what it writes, and the C compiler failed. Set CC to another one (gcc, clang), "
                f"or unset it. {error}"
            ) from error


class Compiled:
    """A folder, compiled to a library of its own and played through that.

    Args:
        path: The folder.
        compiler: The command.

    Raises:
        zoo_player.build.BuildError: It does not compile.
    """

    def __init__(self, path: Path, compiler: list[str]) -> None:
        sources = [source for source in sorted(path.glob("*.c")) if source.name != "main.c"]
        with tempfile.TemporaryDirectory(prefix="zoo-export-") as folder:
            made = Path(folder) / build.library_name()
            build.compile_program([*compiler, *_FLAGS], sources, made)
            self._library = library.__wrapped__(made)  # not from the cache: the next one may have the same name
        self._bytes = ctypes.c_size_t.in_dll(self._library, "zoo_instrument_bytes").value
        self._file = ctypes.addressof(ctypes.c_uint64.in_dll(self._library, "zoo_instrument"))
        info = Info()
        check(self._library.zoo_check(self._file, self._bytes, ctypes.byref(info)), "instrument.c")
        self.latency, self._hop = int(info.latency), int(info.hop)
        needed = self._library.zoo_player_bytes(self._file, self._bytes, 1)
        self._memory = np.zeros(needed + 64, np.uint8)
        begin, error = self._memory.ctypes.data, ctypes.c_int()
        self._player = self._library.zoo_player_init(
            begin + -begin % 64, needed, self._file, self._bytes, 1, 0, ctypes.byref(error)
        )
        check(error.value, "instrument.c")

    def process(self, f0_hz: Curve, loudness_db: Curve, noise: Curve, **inputs: Curve) -> NDArray[np.float32]:
        """See `zoo.export.base.Runtime`."""
        curves = [np.ascontiguousarray(curve) for curve in (f0_hz, loudness_db, *inputs.values())]
        pointers = (ctypes.c_void_p * len(curves))(*(curve.ctypes.data for curve in curves))
        heard, audio = np.ascontiguousarray(noise), np.empty(len(f0_hz) * self._hop, np.float32)
        frames, data = len(f0_hz), audio.ctypes.data
        check(self._library.zoo_player_process(self._player, pointers, heard.ctypes.data, frames, data), "process")
        return audio

    def finish(self) -> NDArray[np.float32]:
        """See `zoo.export.base.Runtime`."""
        audio = np.empty(self.latency, np.float32)
        check(self._library.zoo_player_finish(self._player, audio.ctypes.data), "finish")
        return audio


def _header(instrument: zoo_player.Instrument) -> str:
    return f"""/* {instrument.name.replace("*/", "")}, as an instrument file of the player library. */
#ifndef ZOO_INSTRUMENT_H
#define ZOO_INSTRUMENT_H

#include <stddef.h>
#include <stdint.h>

#define ZOO_INSTRUMENT_SAMPLE_RATE {instrument.sample_rate} /* Hz */
#define ZOO_INSTRUMENT_HOP {instrument.hop} /* samples per frame */
#define ZOO_INSTRUMENT_LATENCY {instrument.latency} /* samples that the audio is late */
#define ZOO_INSTRUMENT_INPUTS {len(instrument.inputs)}
/* Bytes of a player of one voice on a machine of 64 bits; one of 32 bits needs no more. */
#define ZOO_INSTRUMENT_MEMORY {instrument.memory_bytes}

#ifdef __cplusplus
extern "C" {{
#endif

extern const uint64_t zoo_instrument[];
extern const size_t zoo_instrument_bytes;

#ifdef __cplusplus
}}
#endif

#endif
"""


def _array(data: bytes) -> str:
    """An instrument file as an array: numbers of 64 bits begin where the library wants a file to begin."""
    numbers = [f"0x{value:x}" for value in np.frombuffer(data + bytes(-len(data) % 8), "<u8").tolist()]
    lines = [", ".join(numbers[at : at + _PER_LINE]) for at in range(0, len(numbers), _PER_LINE)]
    body = ",\n    ".join(lines)
    return (
        '#include "instrument.h"\n\n'
        f"const size_t zoo_instrument_bytes = {len(data)};\n"
        f"const uint64_t zoo_instrument[{len(numbers)}] = {{\n    {body}}};\n"
    )
