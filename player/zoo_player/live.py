"""An instrument that follows a sound: `Live`, and the features that it hears, on whole recordings."""

from __future__ import annotations

import ctypes
import os
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zoo_player.instrument import Description, _aligned, _aligned_copy, _contents, _describe, _floats, _named, _whole
from zoo_player.library import PlayerError, check, library

__all__ = ["Live", "LiveState", "live_features", "live_features_latency"]

LOUDNESS_KINDS = ("a_weighted", "mean_db")
FITS = ("auto", "off")
_BAD_RANGE = 5  # ZOO_ERROR_LAYOUT
_FMAX_HZ = 2000.0
_FMIN_HZ = 80.0
_AS_HEARD = (1.0, 0.0)  # scale and dB: the player has brought it to what the offline features measure
_LIMITS = (
    "fmin must be at least 20 and a 3,200th of the instrument's rate ({} Hz), fmax from 1.5 fmin to a quarter of it"
)
_SETTINGS = ("transpose", "loudness_db", "input_gain", "gate_db", "reverb", "gain")


class _Config(ctypes.Structure):
    """`zoo_features_setup`."""

    _fields_ = [
        ("sample_rate", ctypes.c_uint32),
        ("hop", ctypes.c_uint32),
        ("fmin_hz", ctypes.c_float),
        ("fmax_hz", ctypes.c_float),
        ("loudness", ctypes.c_uint32),
        ("loudness_scale", ctypes.c_float),
        ("loudness_db", ctypes.c_float),
    ]


class _Setup(ctypes.Structure):
    """`zoo_live_setup`."""

    _fields_ = [
        ("sample_rate", ctypes.c_uint32),
        ("loudness", ctypes.c_uint32),
        *((name, ctypes.c_float) for name in ("fmin_hz", "fmax_hz", "loudness_scale", "loudness_db")),
        ("seed", ctypes.c_uint64),
        ("fit", ctypes.c_uint32),
        *((name, ctypes.c_float) for name in ("lowest_hz", "highest_hz")),
        *((name, ctypes.c_float) for name in ("softest_db", "soft_db", "middle_db", "loud_db", "loudest_db")),
    ]


class _Delays(ctypes.Structure):
    """`zoo_live_delays`."""

    _fields_ = [
        (name, ctypes.c_uint32) for name in ("total", "analysis", "frame", "resampling", "synth", "hold", "soonest")
    ]


class _State(ctypes.Structure):
    """`zoo_live_state`."""

    _fields_ = [
        *((name, ctypes.c_float) for name in ("input_peak", "input_hz", "input_db", "periodicity")),
        *((name, ctypes.c_float) for name in ("f0_hz", "loudness_db", "shift_db")),
        ("octaves", ctypes.c_int32),
        ("frames", ctypes.c_uint64),
    ]


@dataclass(frozen=True)
class LiveState:
    """What the last frame was.

    Attributes:
        input_peak: The input's largest sample; over 1 it is overloaded.
        input_hz: Pitch of the input; 0 where unvoiced.
        input_db: Loudness of the input.
        periodicity: How periodic it is, 0 to 1.
        f0_hz: What the instrument plays.
        loudness_db: How loud it plays.
        shift_db: What the fit adds to the loudness.
        octaves: By how many octaves the fit moves the pitch.
        frames: Since the beginning.
    """

    input_peak: float
    input_hz: float
    input_db: float
    periodicity: float
    f0_hz: float
    loudness_db: float
    shift_db: float
    octaves: int
    frames: int


def live_features(
    samples: ArrayLike,
    *,
    sample_rate: int,
    hop: int,
    fmin: float = _FMIN_HZ,
    fmax: float = _FMAX_HZ,
    loudness: str = "a_weighted",
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Measure a recording as `Live` hears it: causally, by the same code.

    Frame t is what is known when sample `(t + 1) * hop - 1` has been heard; `live_features_latency` says how much older
    the sound is that it belongs to.

    Args:
        samples: `[samples]`, 1 is full scale.
        sample_rate: In Hz.
        hop: Samples per frame.
        fmin: Lowest pitch in Hz, from 20. The window of the pitch is 2.5 periods of it.
        fmax: Highest pitch in Hz.
        loudness: The kind, "a_weighted" or "mean_db" (the thesis's).

    Returns:
        `f0_hz` (0 where unvoiced), `loudness_db` (-80 to 0) and `periodicity` (0 to 1), each `[samples // hop]`.

    Raises:
        PlayerError: A number is out of range, or the samples are no numbers `[samples]`.
    """
    audio = _floats(samples, "samples")
    if audio.ndim != 1:
        raise PlayerError(f"samples have the shape {list(audio.shape)}: they must be [samples]")
    state, hop = _features(sample_rate, hop, fmin, fmax, loudness), int(hop)
    made = [np.empty(len(audio) // hop, np.float32) for _ in range(3)]
    code = library().zoo_features_process(
        state.ctypes.data, audio.ctypes.data, len(made[0]), *(each.ctypes.data for each in made)
    )
    check(code, "live_features")
    return made[0], made[1], made[2]


def live_features_latency(
    *, sample_rate: int, hop: int, fmin: float = _FMIN_HZ, fmax: float = _FMAX_HZ
) -> dict[str, int]:
    """Samples from the moment that a frame's values belong to until the frame's end.

    Args:
        sample_rate: As for `live_features`.
        hop: As for `live_features`.
        fmin: As for `live_features`.
        fmax: As for `live_features`.

    Returns:
        `pitch`: half of its window, that of the lowest pitch. `loudness`: its window's middle. `hold`: what is added at
        most where the pitch jumps.

    Raises:
        PlayerError: A number is out of range.
    """
    state = _features(sample_rate, hop, fmin, fmax, LOUDNESS_KINDS[0])
    found = [ctypes.c_uint32() for _ in range(3)]
    library().zoo_features_latency(state.ctypes.data, *map(ctypes.byref, found))
    return dict(zip(("pitch", "loudness", "hold"), (each.value for each in found), strict=True))


class Live:
    """An instrument that follows a sound, sample by sample.

    ```python
    import zoo_player

    live = zoo_player.Live("gru-S-violin.zoo", sample_rate=48000)
    output = live.process(block)  # as many samples as the block has, of any number
    live.transpose, live.reverb = 12, False  # at any time, from any thread; nothing clicks
    ```

    Args:
        file: An instrument file's path, or its bytes.
        sample_rate: In Hz, of input and output; the player resamples.
        transpose: Semitones, on top of what `fit` does.
        fit: "auto" moves the input into the instrument's range as it hears it: pitch by whole octaves, between notes;
            loudness by a slow shift. "off" takes the input as it is. Without a range in the file nothing is moved.
        fmin: Lowest pitch of the input in Hz; by default a semitone under the instrument's own lowest note, else 80.
            The higher it is, the quicker the pitch is heard. Give it where the input goes lower: 80 for most voices.
        fmax: Highest pitch of the input in Hz.
        loudness_kind: "a_weighted" or "mean_db", the kind of loudness that drives the instrument; by default what the
            file says its model was trained with, and "a_weighted" where it says nothing.
        seed: Of the noise.

    Attributes:
        transpose: Semitones.
        loudness_db: In dB, added to what drives the instrument.
        input_gain: A factor, 0 to 1000.
        gate_db: Input of a lower A-weighted level is silence.
        reverb: Whether the instrument's own reverb is heard, or how much of it, 0 to 1.
        gain: Of the output, a factor, 0 to 1000.

    Raises:
        PlayerError: The file is not sound or driven by more than pitch and loudness, or an argument is out of range.
    """

    transpose: float
    loudness_db: float
    input_gain: float
    gate_db: float
    reverb: float
    gain: float

    def __init__(
        self,
        file: str | os.PathLike[str] | bytes,
        *,
        sample_rate: int = 48000,
        transpose: float = 0.0,
        fit: str = "auto",
        fmin: float | None = None,
        fmax: float = _FMAX_HZ,
        loudness_kind: str | None = None,
        seed: int = 0,
    ) -> None:
        if fit not in FITS:
            raise PlayerError(f"there is no fit {fit!r}; it is 'auto' or 'off'")
        self._library = library()
        self._lock = threading.Lock()
        self._file = _aligned_copy(_contents(file))
        self._description = _describe(self._file, _named(file))
        if self._description.inputs != ("f0_hz", "loudness_db"):
            raise PlayerError(f"{_named(file)} is driven by {self._description.inputs}, not by f0_hz and loudness_db")
        if not 4000 <= sample_rate <= 768000 or sample_rate != int(sample_rate):
            raise PlayerError(f"sample_rate is {sample_rate}: it must be a whole number from 4000 to 768000")
        self._sample_rate = int(sample_rate)
        where, size = self._file.ctypes.data, self._file.nbytes
        setup = _Setup()
        code = self._library.zoo_live_usual(where, size, self._sample_rate, ctypes.byref(setup))
        if code == _BAD_RANGE and fit == "auto":
            text = repr(self._description.range)[:80]
            raise PlayerError(f"the range in the file cannot be read ({text}): export it again, or fit='off'")
        if loudness_kind is not None:
            setup.loudness = _kind(loudness_kind)
        elif code and code != _BAD_RANGE:
            raise PlayerError(f"{_named(file)} is driven by a loudness that is not measured live: give loudness_kind")
        setup.seed = _whole(seed, "seed") % 2**64
        if fit == "off":
            setup.fit, setup.fmin_hz = 0, _FMIN_HZ
        setup.fmax_hz = fmax
        setup.fmin_hz = fmin = min(setup.fmin_hz, fmax / 2) if fmin is None else fmin
        self._fmin = float(fmin)
        needed = self._library.zoo_live_bytes(where, size, ctypes.byref(setup))
        if not needed:
            raise PlayerError(
                f"{_named(file)} cannot be played live at {sample_rate} Hz with fmin {fmin:g} and fmax {fmax:g} Hz: "
                f"{_LIMITS.format(self._description.sample_rate)}"
            )
        self._memory = _aligned(needed)
        error = ctypes.c_int()
        self._live = self._library.zoo_live_init(
            self._memory.ctypes.data, needed, where, size, ctypes.byref(setup), ctypes.byref(error)
        )
        check(error.value, _named(file))
        self.transpose = transpose
        self.reset()

    def process(self, samples: ArrayLike) -> NDArray[np.float32]:
        """Play on.

        Args:
            samples: `[samples]` of input, any number; what is not finite counts as 0.

        Returns:
            As many samples of output, float32, `latency` samples late.

        Raises:
            PlayerError: The samples are no numbers `[samples]`.
        """
        audio = _floats(samples, "samples")
        if audio.ndim != 1:
            raise PlayerError(f"samples have the shape {list(audio.shape)}: they must be [samples], one channel")
        made = np.empty_like(audio)
        with self._lock:
            code = self._library.zoo_live_process(self._live, audio.ctypes.data, len(audio), made.ctypes.data)
        check(code, "process")
        return made

    def drive(self, f0_hz: float, loudness_db: float) -> None:
        """Play by hand from the next frame on, from keys for example: no longer what is heard, until `listen`.

        Args:
            f0_hz: Pitch; 0 where unvoiced.
            loudness_db: -80 to 0. It is not moved into the instrument's range, but `loudness_db` is added.
        """
        self._library.zoo_live_drive(self._live, f0_hz, -80.0 if loudness_db != loudness_db else loudness_db)

    def listen(self) -> None:
        """Follow what is heard again, after `drive`."""
        self._library.zoo_live_drive(self._live, 0.0, float("nan"))

    def reset(self) -> None:
        """Begin anew, in silence; settings stay as they are."""
        with self._lock:
            self._library.zoo_live_reset(self._live)

    @property
    def latency(self) -> int:
        """Samples that the output is late: from a steady sound of the pitch `fmin` to the same sound as played."""
        return self.delays["total"]

    @property
    def delays(self) -> dict[str, int]:
        """What the latency is made of, in samples: analysis, frame, resampling, synth; and the `total`.

        The parts' sum is half a frame more than the total: a frame's values stand for its middle. `soonest` is the
        total for pitches from about 200 Hz, whose window is the shortest. Where the pitch jumps, at most `analysis` and
        `hold` more pass: most of its window must be new, and a jump that may be an error is held back.
        """
        delays = _Delays()
        self._library.zoo_live_latency(self._live, ctypes.byref(delays))
        return {name: int(getattr(delays, name)) for name, *_ in _Delays._fields_}

    @property
    def state(self) -> LiveState:
        """What the last frame was."""
        state = _State()
        self._library.zoo_live_read(self._live, ctypes.byref(state))
        return LiveState(*(getattr(state, name) for name, *_ in _State._fields_))

    @property
    def sample_rate(self) -> int:
        """In Hz, of input and output."""
        return self._sample_rate

    @property
    def fmin(self) -> float:
        """The lowest pitch that is heard, in Hz."""
        return self._fmin

    @property
    def description(self) -> Description:
        """All that the instrument file says of itself."""
        return self._description

    @property
    def memory_bytes(self) -> int:
        """What it takes beside the file."""
        return self._memory.nbytes

    def __getattr__(self, name: str) -> float:
        if name in _SETTINGS:
            return float(self._library.zoo_live_get(self._live, _SETTINGS.index(name)))
        raise AttributeError(f"Live has no {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
            return
        if name not in _SETTINGS:  # else a wrong name would change nothing, and nobody would know
            raise AttributeError(
                f"Live cannot change {name!r} while it plays, but {', '.join(_SETTINGS)}. "
                "What else Live(...) takes is set when it is made."
            )
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise PlayerError(f"{name} must be a number, not {value!r}") from None
        if self._library.zoo_live_set(self._live, _SETTINGS.index(name), number):
            raise PlayerError(f"{name} cannot be {value!r}: it is out of range")


def _kind(name: str) -> int:
    if name not in LOUDNESS_KINDS:
        raise PlayerError(f"there is no loudness {name!r} for live playing; there are {', '.join(LOUDNESS_KINDS)}")
    return LOUDNESS_KINDS.index(name)


def _features(sample_rate: int, hop: int, fmin: float, fmax: float, loudness: str) -> NDArray[np.uint8]:
    """The C code's state, in memory of its own."""
    numbers = (sample_rate, hop, fmin, fmax)
    fits = all(isinstance(n, (int, float, np.integer, np.floating)) and 0 < n < 2**32 for n in numbers)
    fits = fits and sample_rate == int(sample_rate) and hop == int(hop)
    config = _Config(int(sample_rate), int(hop), fmin, fmax, _kind(loudness), *_AS_HEARD) if fits else _Config()
    size = library().zoo_features_bytes(ctypes.byref(config))
    if not size:
        raise PlayerError(
            f"live features cannot be measured at {sample_rate} Hz with a hop of {hop} and pitches from {fmin} to "
            f"{fmax} Hz: rate and hop must be whole numbers, the rate from 4000 to 192000; "
            f"{_LIMITS.format(sample_rate)}"
        )
    memory = _aligned(size)
    library().zoo_features_init(memory.ctypes.data, size, ctypes.byref(config))
    return memory
