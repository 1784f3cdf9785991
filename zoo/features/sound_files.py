"""Sound files as they are found: what is none, what is cut off, what its recorder never finished.

Requirements: nothing is opened that could wait for ever (a pipe, a device); a name in any encoding can be opened; what
is there of a damaged file is used, and said to be less than the file promises.
"""

from __future__ import annotations

import io
import math
import os
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from zoo.errors import DatasetError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from soundfile import SoundFile

BLOCK = 1 << 18
"""Frames that are read at a time: an hour takes no more memory than these."""

_KINDS = (
    (stat.S_ISFIFO, "a pipe, not a file: write what comes out of it to a file first"),
    (stat.S_ISSOCK, "a socket, not a file"),
    (stat.S_ISCHR, "a device, not a file"),
    (stat.S_ISBLK, "a device, not a file"),
    (stat.S_ISDIR, "a folder, not an audio file"),
)
# Sizes from here on are what programs write that cannot know them: they write to a pipe.
_UNKNOWN_SIZE = 0x7FFF0000
_UNKNOWN_FRAMES = 1 << 60
_MOST_CHUNKS = 1000
# libsndfile promises of an mp3 what its encoder wrote down; decoders differ by a frame or two at the ends.
_SLACK = 4096
_OGG_PAGE = 65307  # bytes of the longest


def why_no_file(path: Path) -> str | None:
    """Say why a path cannot be read as a file: "It is a folder, not an audio file"; None where it can be tried."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "It is a link to something that is not there" if path.is_symlink() else "There is no such file"
    except (OSError, RuntimeError) as error:  # a link to itself is a RuntimeError in older Pythons
        return f"It cannot be reached ({getattr(error, 'strerror', None) or error})"
    except ValueError:
        return "This is no path"
    return next((f"It is {what}" for holds, what in _KINDS if holds(mode)), None)


def check_file(path: Path) -> None:
    """Make sure that there is a file with something in it.

    Raises:
        DatasetError: There is not; it begins with the path and says what is there instead.
    """
    if (what := why_no_file(path)) is not None:
        advice = "" if ": " in what else ": give the path of an audio file"
        raise DatasetError(f"{path}: cannot be read as a recording. {what}{advice}.")
    if path.stat().st_size == 0:
        raise DatasetError(f"{path}: the file is empty (0 bytes). Get it again, or remove it.")


@dataclass
class SoundReader:
    """An open sound file, read in blocks from its beginning, as often as wanted.

    Attributes:
        file: Of libsndfile.
        unfinished: Whether its header says that it is empty, though it is not.
        frames: How many samples of each channel were read in the last round.
        broke_off: Why the last round ended before the end; empty where it did not.
    """

    file: SoundFile
    unfinished: bool = False
    frames: int = field(default=0, init=False)
    broke_off: str = field(default="", init=False)

    def blocks(self, size: int = BLOCK) -> Iterator[NDArray[np.float32]]:
        """Give `[up to size, channels]` at a time.

        Raises:
            SoundFileError: Nothing can be read.
        """
        import soundfile

        if self.frames:
            self.file.seek(0)
        self.frames, self.broke_off = 0, ""
        while True:
            try:
                block = self.file.read(size, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                # a block that cannot be read to its end may have a good beginning
                if size > 1024:
                    size //= 4
                    if self._goes_on():
                        continue
                if self.frames == 0:
                    raise
                self.broke_off = str(error) or "its data are damaged"
                return
            if len(block) == 0:
                return
            self.frames += len(block)
            yield block

    def _goes_on(self) -> bool:
        import soundfile

        try:
            return bool(self.file.seek(self.frames) == self.frames)
        except soundfile.SoundFileError:
            return False


@contextmanager
def open_sound(path: Path) -> Iterator[SoundReader]:
    """Open a sound file.

    Raises:
        SoundFileError: It is none that libsndfile reads.
    """
    import soundfile

    data = _data_chunk(path)
    if data is not None and data.size == 0 and data.there > 0 and not data.followed:
        with path.open("rb") as raw, soundfile.SoundFile(_Patched(raw, data.at - 4, b"\xff\xff\xff\xff")) as file:
            yield SoundReader(file, unfinished=True)
        return
    # libsndfile takes bytes as they are, so that a name need not be UTF-8
    with soundfile.SoundFile(path if sys.platform == "win32" else os.fsencode(path)) as file:
        yield SoundReader(file)


def seconds_of(path: Path) -> float | None:
    """Read the length from the header; None where there is none, or it cannot be read."""
    frames, rate = _header(path) or (0, 1)
    return frames / rate if 0 < frames < _UNKNOWN_FRAMES else None


def rate_of(path: Path) -> int | None:
    """Read the sample rate in Hz from the header; None where it cannot be read."""
    header = _header(path)
    return None if header is None else header[1]


def _header(path: Path) -> tuple[int, int] | None:
    import soundfile

    if why_no_file(path) is not None:
        return None
    try:
        with open_sound(path) as reader:
            return reader.file.frames, reader.file.samplerate
    except (soundfile.SoundFileError, RuntimeError, OSError):
        return None


def damage(path: Path, reader: SoundReader) -> str | None:
    """Say what of a file is missing, after it was read; None where it is whole, as far as its format tells.

    Args:
        path: The file.
        reader: It, read to its end.
    """
    rate = reader.file.samplerate
    there = reader.frames / rate
    if reader.unfinished:
        return f"its header says that it is empty, as of a recorder that was cut off: the {there:.2f} s in it are used"
    stated = float(reader.file.frames) if reader.file.frames < _UNKNOWN_FRAMES else math.nan
    data = _data_chunk(path)
    if data is not None and data.there < data.size < _UNKNOWN_SIZE and data.there > 0:
        stated = reader.frames * data.size / data.there
    if stated - reader.frames > (_SLACK if reader.file.format in ("MP3", "MPEG") else rate / 1000):
        return (
            f"the file is cut off or damaged: {there:.2f} of {stated / rate:.2f} s are there, and are used "
            f"({100 * (1 - reader.frames / stated):.0f} % is missing)"
        )
    if reader.broke_off or _ogg_has_no_end(path):
        return f"the file is cut off or damaged: {there:.2f} s are there, and are used; how much is missing is unknown"
    return None


@dataclass(frozen=True)
class _Chunk:
    """The samples in a wav or aiff file.

    Attributes:
        at: Where they begin, in bytes.
        size: How many bytes the header says that they are.
        there: How many there are from there to the file's end.
        followed: Whether another chunk follows right after the header.
    """

    at: int
    size: int
    there: int
    followed: bool


def _data_chunk(path: Path) -> _Chunk | None:
    try:
        with path.open("rb") as file:
            return _find_data(file, path.stat().st_size)
    except OSError:
        return None


def _find_data(file: BinaryIO, total: int) -> _Chunk | None:
    head = file.read(12)
    kinds = {b"RIFF": ("<", b"WAVE"), b"RF64": ("<", b"WAVE"), b"RIFX": (">", b"WAVE"), b"FORM": (">", b"AIF")}
    order, form = kinds.get(head[:4], ("", b"?"))
    if not order or not head[8:].startswith(form):
        return None
    long_size = None
    at = 12
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        header = file.read(8)
        if len(header) < 8:
            return None
        name, size = header[:4], struct.unpack(f"{order}I", header[4:])[0]
        at += 8
        if name == b"ds64" and len(sizes := file.read(16)) == 16:
            long_size = struct.unpack("<QQ", sizes)[1]
        if name in (b"data", b"SSND"):
            if size == 0xFFFFFFFF and long_size is not None:
                size = long_size
            file.seek(at)
            return _Chunk(at, size, total - at, _is_chunk(file.read(8), order, total - at))
        at += size + size % 2
    return None


def _is_chunk(header: bytes, order: str, there: int) -> bool:
    if len(header) < 8 or not all(32 <= letter < 127 for letter in header[:4]):
        return False
    return 8 + int(struct.unpack(f"{order}I", header[4:])[0]) <= there


def _ogg_has_no_end(path: Path) -> bool:
    # the last page of a whole stream has a mark, and is whole
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return False
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 2 * _OGG_PAGE))
        end = file.read()
    at = end.rfind(b"OggS")
    page = end[at:]
    if at < 0 or len(page) < 27 or len(page) < 27 + page[26]:
        return True
    return not page[5] & 4 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]])


class _Patched(io.RawIOBase):
    """A file with some of its bytes replaced, as libsndfile reads one."""

    def __init__(self, file: BinaryIO, at: int, patch: bytes) -> None:
        self._file, self._at, self._patch = file, at, patch

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - whatever can be written to
        begin = self._file.tell()
        data = bytearray(self._file.read(len(buffer)))
        for k, byte in enumerate(self._patch):
            if 0 <= (where := self._at + k - begin) < len(data):
                data[where] = byte
        memoryview(buffer)[: len(data)] = data
        return len(data)
