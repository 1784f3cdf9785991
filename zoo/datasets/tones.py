"""Synthetic phrases, with known pitch: the dataset that needs no recordings.

An invented wind instrument plays short melodies: slides, vibrato that sets in late, loud and soft notes, breaths. Its
spectrum depends on pitch (fixed resonances, weaker even harmonics in the low register) and on loudness (louder is
brighter), it blows audibly, and it stands in a small room: enough that a model has something to learn.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.datasets.recordings import Recording

Samples = NDArray[np.float64]

INSTRUMENT = "tones"
_SCALE = (0, 2, 4, 5, 7, 9, 11)  # a major scale, in semitones
_TONIC, _LOWEST, _HIGHEST = 60, 55, 81  # MIDI numbers
# Resonances of the body: centre in Hz, width in Hz, gain.
_RESONANCES = ((520.0, 260.0, 1.6), (1350.0, 420.0, 1.2), (2700.0, 700.0, 0.8))


@dataclass(frozen=True)
class Note:
    """One note or rest of a phrase; times in seconds."""

    start: float
    seconds: float
    midi: float  # 0 for a rest
    level_db: float
    slide: float  # how long the pitch takes to come from the note before
    vibrato_hz: float
    vibrato_cents: float
    fresh: bool  # attacked anew, not bound to the note before


@dataclass(frozen=True)
class ToneRecording(Recording):
    """A phrase, rendered when it is loaded.

    Attributes:
        length: Seconds.
        seed: Of the whole set.
        number: Which of its phrases this is.
    """

    length: float = 8.0
    seed: int = 0
    number: int = 0

    def load(self, sample_rate: int) -> Tensor:
        """Render the phrase."""
        return torch.from_numpy(render(self, sample_rate).astype(np.float32))

    def known_f0(self, sample_rate: int, hop: int) -> Tensor:
        """Give the pitch that the phrase was made with."""
        f0_hz, sounding, _ = _curves(self, sample_rate)
        frames = len(f0_hz) // hop
        return torch.from_numpy(np.where(sounding, f0_hz, 0.0)[::hop][:frames].astype(np.float32))

    def seconds(self) -> float:
        """Give the phrase's length."""
        return self.length

    def digest(self, sample_rate: int) -> str:
        """Hash the rule's version and this phrase's numbers."""
        return hashlib.sha256(json.dumps(["tones 1", dataclasses.asdict(self)]).encode()).hexdigest()


def tones(path: Path | None = None, *, phrases: int = 16, seconds: float = 8.0, seed: int = 0) -> Iterator[Recording]:
    """Make synthetic phrases; the dataset component `tones`.

    Args:
        path: Not used: nothing is read.
        phrases: How many.
        seconds: Length of each.
        seed: Another seed gives other melodies.

    Yields:
        The phrases, with known pitch.
    """
    for number in range(phrases):
        yield ToneRecording(
            id=f"phrase-{number:03d}",
            instrument=INSTRUMENT,
            attribution={"licence": "CC0-1.0", "author": "made by rule", "source": "zoo.datasets.tones"},
            length=seconds,
            seed=seed,
            number=number,
        )


def melody(recording: ToneRecording) -> list[Note]:
    """Compose a phrase: a random walk on a scale, with a breath every few notes.

    Args:
        recording: Which phrase.

    Returns:
        Notes and rests that fill its length.
    """
    random = np.random.default_rng([recording.seed, recording.number, 1])
    steps = [m for m in range(_LOWEST, _HIGHEST + 1) if (m - _TONIC) % 12 in _SCALE]
    at = int(random.integers(3, len(steps) - 3))
    notes: list[Note] = []
    now, until_breath, fresh = 0.0, int(random.integers(3, 6)), True
    while now < recording.length:
        if until_breath == 0 and recording.length - now > 1.2:
            notes.append(Note(now, float(random.uniform(0.18, 0.45)), 0.0, 0.0, 0.0, 0.0, 0.0, True))
            now += notes[-1].seconds
            until_breath, fresh = int(random.integers(3, 7)), True
        seconds = float(random.choice([0.2, 0.3, 0.45, 0.6, 0.9, 1.3], p=[0.15, 0.25, 0.2, 0.2, 0.12, 0.08]))
        if recording.length - now - seconds < 0.2:
            seconds = recording.length - now
        slides = not fresh and random.random() < 0.3
        vibrates = seconds > 0.4 and random.random() < 0.7
        notes.append(
            Note(
                start=now,
                seconds=seconds,
                midi=steps[at] + float(random.normal(0.0, 0.05)),
                level_db=float(random.uniform(-18.0, 0.0)),
                slide=float(random.uniform(0.08, 0.3) if slides else 0.015),
                vibrato_hz=float(random.uniform(4.5, 6.5)),
                vibrato_cents=float(random.uniform(10.0, 40.0) if vibrates else 0.0),
                fresh=fresh or bool(random.random() < 0.3),
            )
        )
        now += seconds
        until_breath -= 1
        fresh = False
        step = int(random.choice([-3, -2, -1, 1, 2, 3], p=[0.1, 0.15, 0.25, 0.25, 0.15, 0.1]))
        at = at + step if 0 <= at + step < len(steps) else at - step
    return notes


def render(recording: ToneRecording, sample_rate: int) -> Samples:
    """Play a phrase.

    Args:
        recording: Which phrase.
        sample_rate: In Hz.

    Returns:
        `[samples]`, under full scale.
    """
    f0_hz, sounding, level = _curves(recording, sample_rate)
    random = np.random.default_rng([recording.seed, recording.number, 2])
    audio = _harmonics(f0_hz, level, sample_rate)
    loudest = np.sqrt(np.convolve(audio**2, _hann(0.1, sample_rate), mode="same").max())
    audio = audio / loudest
    air = _filtered(random.standard_normal(len(audio)), sample_rate, 2200.0, 1.6)
    breath = _filtered(random.standard_normal(len(audio)), sample_rate, 1100.0, 0.8)
    resting = np.convolve(1.0 - sounding, _hann(0.06, sample_rate), mode="same")
    audio = audio + 0.03 * air * level**0.7 + 0.03 * breath * resting + 1e-3 * air
    # One room for all phrases of a set: it is the instrument's, for a model to learn.
    room = np.random.default_rng([recording.seed, 3]).standard_normal(round(0.25 * sample_rate))
    room *= 0.012 * np.exp(-np.arange(len(room)) / (0.05 * sample_rate))
    room[0] = 1.0
    size = 1 << (len(audio) + len(room)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(audio, size) * np.fft.rfft(room, size), size)[: len(audio)]
    found: Samples = wet * (0.9 / np.abs(wet).max())
    return found


def _curves(recording: ToneRecording, sample_rate: int) -> tuple[Samples, Samples, Samples]:
    # Pitch in Hz (also in rests, where it is held), whether it sounds (0 or 1), and amplitude; one value per sample.
    size = round(recording.length * sample_rate)
    time = np.arange(size) / sample_rate
    midi, sounding, level = np.zeros(size), np.zeros(size), np.zeros(size)
    held = 0.0
    for note in melody(recording):
        first, last = round(note.start * sample_rate), min(size, round((note.start + note.seconds) * sample_rate))
        if note.midi == 0.0:
            midi[first:last] = held
            continue
        since = time[first:last] - note.start
        before = held or note.midi
        arrived = np.clip(since / note.slide, 0.0, 1.0)
        bend = note.midi + (before - note.midi) * (0.5 + 0.5 * np.cos(np.pi * arrived))
        depth = note.vibrato_cents / 100.0 * np.clip((since - 0.15) / 0.25, 0.0, 1.0)
        midi[first:last] = bend + depth * np.sin(2.0 * np.pi * note.vibrato_hz * since)
        sounding[first:last] = 1.0
        swell = 10.0 ** (note.level_db / 20.0) * (1.0 - 0.25 * since / note.seconds)
        level[first:last] = swell * (np.clip(since / 0.04, 0.15, 1.0) if note.fresh else 1.0)
        held = note.midi
    midi[midi == 0.0] = held
    level = np.convolve(level, _hann(0.03, sample_rate), mode="same")
    return 440.0 * 2.0 ** ((midi - 69.0) / 12.0), sounding, np.maximum(level, 0.0)


def _harmonics(f0_hz: Samples, level: Samples, sample_rate: int) -> Samples:
    phase = np.cumsum(f0_hz / sample_rate) % 1.0
    turn = np.exp(2j * np.pi * phase)
    power = np.ones_like(turn)
    audio = np.zeros_like(f0_hz)
    low = np.clip((880.0 - f0_hz) / 660.0, 0.0, 1.0)
    slope = 2.6 - 1.3 * np.sqrt(np.clip(level, 0.0, 1.0))
    for k in range(1, int(sample_rate / 2 / f0_hz.min()) + 1):
        power = power * turn  # exp(2 pi i k phase)
        frequency = k * f0_hz
        body = 0.25 + sum(gain / (1.0 + ((frequency - at) / width) ** 2) for at, width, gain in _RESONANCES)
        even = 1.0 - 0.7 * low if k % 2 == 0 else 1.0
        below = np.clip((0.48 * sample_rate - frequency) / (0.02 * sample_rate), 0.0, 1.0)
        audio += float(k) ** -slope * body * even * below * power.imag
    return audio * level


def _filtered(noise: Samples, sample_rate: int, centre_hz: float, octaves: float) -> Samples:
    spectrum = np.fft.rfft(noise)
    frequency = np.fft.rfftfreq(len(noise), 1.0 / sample_rate)
    distance = np.log2(np.maximum(frequency, 1.0) / centre_hz) / octaves
    found: Samples = np.fft.irfft(spectrum * np.exp(-0.5 * distance**2), len(noise))
    return found / float(np.sqrt(np.mean(found**2)))


def _hann(seconds: float, sample_rate: int) -> Samples:
    window = np.hanning(2 * round(seconds * sample_rate / 2) + 3)
    found: Samples = window / window.sum()
    return found
