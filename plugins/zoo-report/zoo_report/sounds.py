"""Sounds as a page holds them: 16-bit wav, and their spectrograms as pictures.

wav, since every browser plays it, sample for sample what the run holds; flac is half as large but needs newer ones, and
ogg would add a coder's own noise to what is to be compared.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DatasetError

FLOOR_DB = -80
"""The darkest level of a spectrogram, under the loudest of its phrase."""

SILENCE_DB = -40.0
"""The level of a spectrogram under which nothing is bright; the last of 16 bits, alone, is under it."""

MOST_BYTES = 20_000_000
"""Of a sound file; a run's samples have a hundredth of it."""

_FULL_SCALE = 32768
_WINDOW = 1024
_BINS_PER_ROW = 3
_COLUMNS = 480
_LEVELS = 128

Levels = NDArray[np.float64]


@dataclass(frozen=True)
class Sound:
    """A mono sound.

    Attributes:
        samples: int16 `[samples]`.
        rate: In Hz.
    """

    samples: NDArray[np.int16]
    rate: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate

    def with_gain(self, gain: float) -> Sound:
        """The same, louder or softer."""
        if gain == 1.0:
            return self
        scaled = np.round(self.samples * gain).clip(-_FULL_SCALE, _FULL_SCALE - 1)
        return Sound(scaled.astype(np.int16), self.rate)

    def wav(self) -> bytes:
        """A wav file of it."""
        import soundfile

        buffer = io.BytesIO()
        soundfile.write(buffer, self.samples, self.rate, format="WAV", subtype="PCM_16")
        return buffer.getvalue()


def read_sound(path: Path) -> Sound:
    """Read a sound file, at its own rate.

    Raises:
        DatasetError: It cannot be read, is empty or too large, or holds values that are no numbers.
    """
    from zoo.features import rate_of, read_audio

    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise DatasetError(f"{path}: has {path.stat().st_size} bytes; a sample for a page has {MOST_BYTES} at most.")
    rate = rate_of(path) or 1  # whatever is wrong with it, the next line says it
    audio = read_audio(path, sample_rate=rate).double().numpy()
    return Sound(np.round(audio * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16), rate)


def gain_between(a: Sound, b: Sound) -> float | None:
    """How much louder `b` is than `a`, where they are one sound but for its level and the rounding; None where not."""
    if a.rate != b.rate or len(a.samples) != len(b.samples):
        return None
    if np.array_equal(a.samples, b.samples):
        return 1.0
    x, y = a.samples.astype(np.float64), b.samples.astype(np.float64)
    power = float(x @ x)
    gain = float(x @ y) / power if power else 0.0
    if gain <= 0.0:
        return None
    # both were rounded to whole numbers: 0.29 each at this level, and what of it was made louder
    error = float(np.sqrt(np.mean((y - gain * x) ** 2)))
    loudness = float(np.sqrt(np.mean(y**2)))
    return gain if error < max(1.0, gain) and error < 0.1 * loudness else None


def levels_db(sound: Sound, *, seconds: float) -> Levels:
    """A spectrogram.

    Args:
        sound: What it is of.
        seconds: The length of the time axis; the sound begins at 0.

    Returns:
        Levels in dB, `[rows, columns]`, the lowest frequency in the first row.
    """
    total = max(1, round(seconds * sound.rate))
    columns = max(1, min(_COLUMNS, total // 32))
    half = _WINDOW // 2
    padded = np.zeros(total + _WINDOW)
    kept = sound.samples[:total]
    padded[half : half + len(kept)] = kept / _FULL_SCALE
    starts = ((np.arange(columns) + 0.5) * total / columns).astype(int)
    frames = padded[starts[:, None] + np.arange(_WINDOW)] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    rows = power.shape[1] // _BINS_PER_ROW
    power = power[:, : rows * _BINS_PER_ROW].reshape(columns, rows, _BINS_PER_ROW).mean(axis=2)
    levels: Levels = 10 * np.log10(power.T + 1e-20)
    return levels


def picture(levels: Levels, *, top: float) -> bytes:
    """A spectrogram as a PNG, the lowest frequency at the bottom.

    Args:
        levels: In dB, `[rows, columns]`.
        top: The level of the brightest colour; the darkest is `FLOOR_DB` under it.
    """
    shade = ((levels - top) / -FLOOR_DB + 1.0).clip(0.0, 1.0)
    return _png(np.round(shade[::-1] * (_LEVELS - 1)).astype(np.uint8))


def colour_scale() -> bytes:
    """All colours of a spectrogram, from the softest to the loudest, as a PNG of one row."""
    return _png(np.arange(_LEVELS, dtype=np.uint8)[None])


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as a URI that needs no network."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _png(shades: NDArray[np.uint8]) -> bytes:
    """A PNG with a palette: a third of what three bytes per pixel take."""
    import matplotlib as mpl
    from PIL import Image

    colours: Any = mpl.colormaps["magma"](np.linspace(0.0, 1.0, _LEVELS), bytes=True)
    image = Image.frombytes("P", shades.shape[::-1], shades.tobytes())
    image.putpalette(colours[:, :3].tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
