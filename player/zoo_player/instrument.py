"""An instrument file, played by the C library."""

from __future__ import annotations

import ctypes
import json
import operator
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zoo_player.library import Info, PlayerError, check, library

__all__ = ["Description", "Instrument", "describe"]


@dataclass(frozen=True)
class Description:
    """What an instrument file says of itself.

    Attributes:
        name: Of the model that it was made from; "" if the file has none.
        inputs: Names of the curves that drive it, one value per frame.
        sample_rate: In Hz.
        hop: Samples per frame.
        latency: Samples that the audio is late.
        weights: How many numbers it holds.
        range: Where the model was trained, as the file has it: for example `{"f0_hz": [196, 1760]}`.
        text: All that the file says, as parsed JSON.
    """

    name: str
    inputs: tuple[str, ...]
    sample_rate: int
    hop: int
    latency: int
    weights: int
    range: dict[str, Any]
    text: dict[str, Any]


def describe(file: str | os.PathLike[str] | bytes) -> Description:
    """Check an instrument file in full, and read what it says of itself.

    Raises:
        PlayerError: If the file cannot be read or is not sound.
    """
    return _describe(_aligned_copy(_contents(file)), _named(file))


class Instrument:
    """An instrument file, ready to be played in blocks of any size.

    The file is read once: the instrument lives on when its file is gone or replaced.

    ```python
    import zoo_player

    violin = zoo_player.Instrument("gru-S-violin.zoo")
    audio = violin.process([440.0] * 250, [-20.0] * 250)  # [250 * violin.hop], float32
    audio = violin.process([440.0, 0.0], [-20.0, -60.0])  # goes on where the last block ended; f0 of 0: unvoiced
    ```

    Threads: any number of instruments may play at once, each in one thread at a time; the interpreter's lock is not
    held while audio is computed. Two calls of one instrument at the same time wait for each other.

    Args:
        file: An instrument file's path, or its bytes.
        voices: How many play at once, each with its own curves.
        seed: Of the noise.

    Raises:
        PlayerError: If the file cannot be read or is not sound, or there cannot be so many voices or such a seed.
    """

    def __init__(self, file: str | os.PathLike[str] | bytes, *, voices: int = 1, seed: int = 0) -> None:
        voices, seed = _whole(voices, "voices"), _whole(seed, "seed")
        if not 1 <= voices <= 65536:
            raise PlayerError(f"voices is {voices}: it must be 1 to 65536")
        self._library = library()
        self._file = _aligned_copy(_contents(file))
        self._description = _describe(self._file, _named(file))
        self._voices = voices
        where, size = self._file.ctypes.data, self._file.nbytes
        needed = self._library.zoo_player_bytes(where, size, voices)
        if not needed:
            raise PlayerError(f"{_named(file)} with {voices} voices is larger than this player is made for")
        self._memory = _aligned(needed)
        error = ctypes.c_int()
        self._player = self._library.zoo_player_init(
            self._memory.ctypes.data, needed, where, size, voices, seed % 2**64, ctypes.byref(error)
        )
        check(error.value, _named(file))
        self._lock = threading.Lock()

    def process(
        self,
        f0_hz: ArrayLike,
        loudness_db: ArrayLike,
        noise: ArrayLike | None = None,
        *,
        levels: ArrayLike | None = None,
        **inputs: ArrayLike,
    ) -> NDArray[np.float32]:
        """Play the next frames, any number of them.

        What is not a number is defined, too: f0 that is not finite or not positive is unvoiced, loudness of NaN or
        -inf is -80 dB, +inf is 0 dB.

        Args:
            f0_hz: `[frames]`, or `[voices, frames]`.
            loudness_db: As `f0_hz`.
            noise: `[frames * hop]` or `[voices, frames * hop]`, uniform in [-1, 1); drawn from the seed if None.
            levels: `[frames + 1]` or `[voices, frames + 1]`, factors of the sound before the reverb: at the first
                frame's beginning, and at each one's end; between them they change evenly.
            **inputs: The instrument's other inputs, by their names, as `f0_hz`.

        Returns:
            `[frames * hop]`, or `[voices, frames * hop]`: as the inputs are.

        Raises:
            PlayerError: If an input is missing, unknown, or of a wrong shape.
        """
        given: dict[str, ArrayLike] = {"f0_hz": f0_hz, "loudness_db": loudness_db, **inputs}
        expected = self._description.inputs
        if missing := [name for name in expected if name not in given]:
            raise PlayerError(f"this instrument is driven by {', '.join(expected)}; missing: {', '.join(missing)}")
        if unknown := [name for name in inputs if name not in expected]:
            raise PlayerError(f"this instrument is driven by {', '.join(expected)}; unknown: {', '.join(unknown)}")
        curves = {name: _floats(given[name], name) for name in expected}
        shape = next(iter(curves.values())).shape
        for name, curve in curves.items():
            if curve.shape != shape:
                raise PlayerError(f"{name} has the shape {list(curve.shape)}, {expected[0]} {list(shape)}")
        flat = len(shape) == 1 and self._voices == 1
        if not flat and (len(shape) != 2 or shape[0] != self._voices):
            wanted = "[frames]" if self._voices == 1 else f"[{self._voices}, frames], one row per voice"
            raise PlayerError(f"{expected[0]} has the shape {list(shape)}: it must be {wanted}")
        audio = np.empty((*shape[:-1], shape[-1] * self.hop), np.float32)
        drawn = None if noise is None else _floats(noise, "noise")
        if drawn is not None and drawn.shape != audio.shape:
            raise PlayerError(f"noise has the shape {list(drawn.shape)}: it must be {list(audio.shape)}")
        turned = None if levels is None else _floats(levels, "levels")
        if turned is not None and turned.shape != (*shape[:-1], shape[-1] + 1):
            raise PlayerError(f"levels have the shape {list(turned.shape)}: it must be {[*shape[:-1], shape[-1] + 1]}")
        pointers = (ctypes.c_void_p * len(expected))(*(curve.ctypes.data for curve in curves.values()))
        with self._lock:
            code = self._library.zoo_player_process_levels(
                self._player,
                pointers,
                None if drawn is None else drawn.ctypes.data,
                None if turned is None else turned.ctypes.data,
                shape[-1],
                audio.ctypes.data,
            )
        check(code, "process")
        return audio

    def finish(self) -> NDArray[np.float32]:
        """What is still to come when no frame follows, `[latency]` or `[voices, latency]`; then begin anew.

        A reverb's tail is cut off there, as at the end of a clip: to hear it, play silence first.
        """
        audio = np.empty((self.voices, self.latency), np.float32)
        with self._lock:
            check(self._library.zoo_player_finish(self._player, audio.ctypes.data), "finish")
        return audio if self.voices > 1 else audio[0]

    def reset(self) -> None:
        """Begin anew, in silence, with the same noise."""
        with self._lock:
            self._library.zoo_player_reset(self._player)

    @property
    def name(self) -> str:
        """Of the model that the file was made from."""
        return self._description.name

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the curves that drive it."""
        return self._description.inputs

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self._description.sample_rate

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return self._description.hop

    @property
    def latency(self) -> int:
        """Samples that the audio is late."""
        return self._description.latency

    @property
    def range(self) -> dict[str, Any]:
        """Where the model was trained, as the file has it."""
        return self._description.range

    @property
    def weights(self) -> int:
        """How many numbers the file holds."""
        return self._description.weights

    @property
    def voices(self) -> int:
        """How many play at once."""
        return self._voices

    @property
    def description(self) -> Description:
        """All that the file says of itself."""
        return self._description

    @property
    def memory_bytes(self) -> int:
        """What the player takes beside the file."""
        return self._memory.nbytes

    def __repr__(self) -> str:
        return (
            f"Instrument({self.name!r}, voices={self.voices}, sample_rate={self.sample_rate}, hop={self.hop}, "
            f"latency={self.latency})"
        )


def _named(file: str | os.PathLike[str] | bytes) -> str:
    return repr(os.fspath(file)) if isinstance(file, (str, os.PathLike)) else "the instrument file"


def _contents(file: str | os.PathLike[str] | bytes) -> bytes:
    if isinstance(file, (bytes, bytearray, memoryview)):
        return bytes(file)
    if not isinstance(file, (str, os.PathLike)):
        raise PlayerError(f"an instrument file is a path or bytes, not {type(file).__name__}")
    try:
        return Path(file).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise PlayerError(f"cannot read {_named(file)}: {reason}") from error


def _aligned(size: int) -> NDArray[np.uint8]:
    room = np.zeros(size + 64, np.uint8)
    begin = -room.ctypes.data % 64
    return room[begin : begin + size]


def _aligned_copy(data: bytes) -> NDArray[np.uint8]:
    copy = _aligned(len(data))
    copy[:] = np.frombuffer(data, np.uint8)
    return copy


def _describe(file: NDArray[np.uint8], named: str) -> Description:
    info = Info()
    check(library().zoo_check(file.ctypes.data, file.nbytes, ctypes.byref(info)), named)
    try:
        text = json.loads(ctypes.string_at(info.text, info.text_bytes).decode() or "{}")
        if not isinstance(text, dict):
            raise ValueError
        inputs = tuple(map(str, text.get("inputs", ("f0_hz", "loudness_db")[: info.inputs])))
        name, limits = text.get("name", ""), text.get("range", {})
        if len(inputs) != info.inputs or len(set(inputs)) != len(inputs):
            raise ValueError
        if not isinstance(name, str) or not isinstance(limits, dict):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise PlayerError(f"{named} describes itself in a text that cannot be read: export it again") from None
    return Description(name, inputs, info.sample_rate, info.hop, info.latency, info.weights, limits, text)


def _whole(value: int, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise PlayerError(f"{name} is {value!r}: it must be a whole number") from None


def _floats(values: ArrayLike, name: str) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # larger than a float32: infinite, which is defined
            return np.ascontiguousarray(values, np.float32) if np.ndim(values) else np.asarray(values, np.float32)
    except (TypeError, ValueError):
        raise PlayerError(f"{name} must be numbers, one per frame") from None
