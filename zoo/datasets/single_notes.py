"""Recordings of single notes: where in them the note is, which pitch it has, and how loud it is."""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.datasets.recordings import FileRecording
from zoo.errors import DatasetError
from zoo.features.frontend import SILENT_PEAK
from zoo.features.pitch import default_thresholds, track_pitch

_log = logging.getLogger(__name__)

# What notes are measured at; they are played at any rate.
_RATE = 16000
# The level is that of windows of 20 ms, one every 2.5.
_WINDOW, _STEP = 320, 40
# What is kept before and after the note as it was found: its attack begins under the threshold.
_MARGIN_SECONDS = 0.01
# How far under its loudest moment a note has died away.
_BODY_DB = 12.0
# Pitches are looked for further than they are allowed, so that one beyond is not taken for one within.
_WIDER = 2.0
# The shortest note that is used.
SHORTEST_SECONDS = 0.25
# How much of its loudest part a note's pitch is tracked over.
_PITCH_SECONDS = 1.5


@dataclass(frozen=True)
class SingleNote:
    """One recorded note.

    Attributes:
        file: Its recording.
        digest: SHA-256 of the file.
        content: SHA-256 of the note's samples: the same in two formats.
        start: Where the note begins in the recording, in seconds.
        seconds: How long it is.
        body: How long it lasts until it has died away for good, in seconds: a bound note is taken out of this.
        midi: Its pitch as a MIDI number, with a fraction.
        level: Root mean square of its loudest 20 ms, full scale at 1.
    """

    file: FileRecording
    digest: str
    content: str
    start: float
    seconds: float
    body: float
    midi: float
    level: float


def measure_note(file: FileRecording, *, silence_db: float, fmin: float, fmax: float) -> SingleNote:
    """Find the note in a recording.

    Args:
        file: The recording.
        silence_db: How far under its loudest 20 ms silence begins.
        fmin: Lowest pitch that a note may have, in Hz.
        fmax: Highest.

    Returns:
        The note.

    Raises:
        DatasetError: It cannot be read, is silent or too short, or has no such pitch; the message is the reason alone.
    """
    audio, oddities = file.read(_RATE)
    for oddity in oddities:
        _log.warning("%s: %s.", file.id, oddity)
    if len(audio) < _WINDOW or float(audio.abs().max()) < SILENT_PEAK:
        raise DatasetError("silent" if len(audio) >= _WINDOW else "too short for a note")
    levels = _levels(audio)
    sounding = (levels > levels.max() * 10.0 ** (-silence_db / 20.0)).nonzero()[:, 0]
    start = max(0.0, int(sounding[0]) * _STEP / _RATE - _MARGIN_SECONDS)
    end = min(len(audio) / _RATE, (int(sounding[-1]) * _STEP + _WINDOW) / _RATE + _MARGIN_SECONDS)
    if end - start < SHORTEST_SECONDS:
        raise DatasetError(f"too short for a note: {end - start:.2f} s, and {SHORTEST_SECONDS:g} are needed")
    note = audio[round(start * _RATE) : round(end * _RATE)]
    last = int((levels > levels.max() * 10.0 ** (-_BODY_DB / 20.0)).nonzero()[-1])
    return SingleNote(
        file=file,
        digest=file.digest(_RATE),
        content=hashlib.sha256(note.numpy().tobytes()).hexdigest(),
        start=start,
        seconds=end - start,
        body=min(end, (last * _STEP + _WINDOW / 2) / _RATE) - start,
        midi=_midi(note, fmin, fmax),
        level=float(levels.max()),
    )


def load_note(note: SingleNote, sample_rate: int) -> Tensor:
    """Give a note's sound without what is before and after it, float32 `[samples]`.

    Raises:
        DatasetError: The file cannot be read.
    """
    audio, _ = note.file.read(sample_rate)  # what is odd about it was told when it was measured
    start = round(note.start * sample_rate)
    return audio[start : start + round(note.seconds * sample_rate)]


def _levels(audio: Tensor) -> Tensor:
    return audio.double().unfold(0, _WINDOW, _STEP).square().mean(dim=1).sqrt()


def _midi(note: Tensor, fmin: float, fmax: float) -> float:
    size = min(len(note), round(_PITCH_SECONDS * _RATE))
    energy = torch.nn.functional.pad(note.double().square().cumsum(0), (1, 0))
    start = int((energy[size:] - energy[: len(energy) - size]).argmax())
    f0_hz, confidence = track_pitch(
        note[None, start : start + size],
        sample_rate=_RATE,
        hop=160,
        tracker="yin",
        fmin=fmin / _WIDER,
        fmax=min(_WIDER * fmax, 0.4 * _RATE),
        center=True,
    )
    voiced = f0_hz[confidence >= default_thresholds("yin")[0]]
    if len(voiced) < f0_hz.shape[1] / 2:
        raise DatasetError("no clear pitch, so no single note")
    middle = float(voiced.median())
    if float(((12.0 * torch.log2(voiced / middle)).abs() < 1.0).double().mean()) < 0.8:
        raise DatasetError("its pitch moves by more than a semitone, so no single note")
    if not fmin <= middle <= fmax:
        raise DatasetError(f"its pitch, {middle:.0f} Hz, is not from {fmin:g} to {fmax:g} Hz")
    return 69.0 + 12.0 * math.log2(middle / 440.0)
