"""What a dataset component gives: recordings, each with where it comes from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from zoo.datasets.clipping import clipped_fraction
from zoo.errors import DatasetError, PluginError, ZooError
from zoo.features.audio import read_audio, read_recording
from zoo.features.sound_files import check_file, open_sound, seconds_of
from zoo.registry import message_of
from zoo.storage.files import file_hash


@dataclass(frozen=True)
class Recording:
    """One recording of a dataset; a dataset component gives objects of a class that extends this one.

    Recordings are handed to other processes, so they must be picklable: hold a path, not samples.

    Attributes:
        id: What to call it, stable from run to run: for files the path relative to the dataset's folder.
        instrument: What plays, where that is known.
        group: Recordings of one group are never split between training and testing (takes of one piece); its own
            id where None.
        subset: Name of the dataset it belongs to, for components that give several at once; it becomes a folder.
        attribution: Licence, author, source and the like, where they are known.
        made: What was done to others' recordings to have it, e.g. "phrases joined from single notes"; empty where it
            is a recording as it was played. Cards say it.
    """

    id: str
    instrument: str | None = None
    group: str | None = None
    subset: str = ""
    attribution: dict[str, str] = field(default_factory=dict)
    made: str = ""

    def load(self, sample_rate: int) -> Tensor:
        """Give the audio, float32 `[samples]`, mono at the rate.

        Raises:
            DatasetError: It cannot be had; the message is the reason alone, without a path of this machine.
        """
        raise DatasetError(f"{type(self).__name__} does not say how to load {self.id}: define its method load.")

    def read(self, sample_rate: int) -> tuple[Tensor, tuple[str, ...]]:
        """Give the audio, and what the user should know of it (a cut file, a channel left out); none by default.

        Raises:
            DatasetError: As for `load`.
        """
        return self.load(sample_rate), ()

    def known_f0(self, sample_rate: int, hop: int) -> Tensor | None:
        """Give the pitch at samples `frame * hop`, `[frames]`, 0 where unvoiced; None where it must be tracked."""
        return None

    def known_inputs(self, sample_rate: int, hop: int) -> dict[str, Tensor]:
        """Give what else drives a model, beside pitch and loudness: velocity, an onset, which string; none by default.

        Names are words such as `velocity`, the same for all recordings of a dataset. Each is `[frames]` float32 at
        samples `frame * hop`, as the decoder takes it: about 0 to 1. Where they are no matter of the audio alone,
        `digest` must tell them apart too.
        """
        return {}

    def seconds(self) -> float | None:
        """Give the length without loading, for the estimate of the time; None where that is not known."""
        return None

    def origins(self) -> list[Recording]:
        """Give the recordings that it was made from, whose authors are to be named; none where it is one itself."""
        return []

    def digest(self, sample_rate: int) -> str:
        """Give a SHA-256 of the content: recordings with one digest are the same."""
        return hashlib.sha256(self.load(sample_rate).numpy().tobytes()).hexdigest()


@dataclass(frozen=True)
class FileRecording(Recording):
    """A recording in an audio file.

    Attributes:
        path: The file.
    """

    path: Path = Path()

    def load(self, sample_rate: int) -> Tensor:
        """Read the file, as `zoo.features.read_audio` does."""
        with self._own_reasons():
            return read_audio(self.path, sample_rate=sample_rate)

    def read(self, sample_rate: int) -> tuple[Tensor, tuple[str, ...]]:
        """As `Recording.read`."""
        with self._own_reasons():
            found = read_recording(self.path, sample_rate=sample_rate)
        with open_sound(self.path) as reader:
            fraction = clipped_fraction(reader.blocks())
        note = f"{100 * fraction:.1f} % of its samples are clipped. Record it again with less gain" if fraction else ""
        return found.audio, (*found.notes, *([note] if note else []))

    def seconds(self) -> float | None:
        """Read the length from the file's header."""
        return seconds_of(self.path)

    def digest(self, sample_rate: int) -> str:
        """Hash the file's bytes."""
        with self._own_reasons():
            check_file(self.path)  # a pipe would be waited for
        return file_hash(self.path)

    @contextmanager
    def _own_reasons(self) -> Iterator[None]:
        try:
            yield
        except DatasetError as error:
            raise DatasetError(str(error).removeprefix(f"{self.path}: ")) from error


@dataclass(frozen=True)
class UnusedRecording(Recording):
    """A recording that a dataset component does not use; it is listed among what was left out.

    Attributes:
        reason: Why.
        path: Its file.
    """

    reason: str = ""
    path: Path = Path()

    def load(self, sample_rate: int) -> Tensor:
        """Say why it is not used."""
        raise DatasetError(self.reason)

    def digest(self, sample_rate: int) -> str:
        """Hash the file's bytes."""
        return FileRecording(id=self.id, path=self.path).digest(sample_rate)


# Of a path in a message: dataset.json goes to others, whom the folders of this machine do not concern.
_FOLDERS = re.compile(r"(?<=['\"])(/[^/'\"]+)+/|(?<![\w./'\"])(/[^/\s'\"]+)+/")


def read_sound(recording: Recording, sample_rate: int) -> tuple[Tensor, tuple[str, ...]]:
    """Read a recording of any class; see `Recording.read`.

    Raises:
        DatasetError: It cannot be had, whatever its class raises then; the message is the reason alone.
    """
    try:
        audio, notes = recording.read(sample_rate)
    except (ZooError, MemoryError):
        raise
    except Exception as error:  # a plugin's raises whatever its libraries do
        raise DatasetError(f"cannot be loaded ({_FOLDERS.sub('', _named(error))})") from error
    if not _is_floating(audio) or audio.ndim != 1:
        raise DatasetError(f"load gives {type(audio).__name__}, and must give a float32 tensor [samples]")
    return audio, notes


def known_f0(recording: Recording, sample_rate: int, hop: int) -> Tensor | None:
    """Give the pitch of a recording of any class; see `Recording.known_f0`.

    Raises:
        PluginError: Its class is broken.
    """
    with blaming(recording, "known_f0"):
        f0_hz = recording.known_f0(sample_rate, hop)
        if f0_hz is not None and not _is_floating(f0_hz):
            raise TypeError(f"it gives {type(f0_hz).__name__}, and must give a float32 tensor [frames]")
        return f0_hz


@contextmanager
def blaming(recording: Recording, method: str) -> Iterator[None]:
    """Name the recording and its class where one of its methods raises what zoo does not.

    Raises:
        PluginError: It does.
    """
    try:
        yield
    except (ZooError, MemoryError):
        raise
    except Exception as error:
        kind = type(recording)
        raise PluginError(
            f"The recording {recording.id!r} fails in {method} of {kind.__module__}:{kind.__qualname__}: "
            f"{_named(error)}. Check what the dataset is made from; if that is right, tell the author of "
            f"{kind.__module__.partition('.')[0]}."
        ) from error


def _is_floating(values: object) -> bool:
    return isinstance(values, Tensor) and values.is_floating_point()


def _named(error: Exception) -> str:
    first = message_of(error).strip().split("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def name_of(path: Path, root: Path) -> str:
    r"""What to call a file: its path relative to a folder, as text that every file and terminal can hold.

    >>> name_of(Path("in/solo/a.wav"), Path("in"))
    'solo/a.wav'

    Bytes of a name that are not UTF-8 (as from an old archive) are escaped: `Flöte.wav`.
    """
    return path.relative_to(root).as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
