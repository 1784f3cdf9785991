"""The range of a model: counted in the frames that it is trained with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from zoo.storage.model_range import PROBABILITIES, ModelRange, Quantiles

if TYPE_CHECKING:
    from zoo.datasets.segments import Segments

FEW = 0.005
"""Of the frames with a pitch. A note that so few of them hold was hardly trained, or a tracker took a harmonic or the
room for the note: in the violin data that zoo's models were trained on 1 frame in 800 has such a pitch."""

TROUGHS = 0.1
"""Of that note's frames. What only the troughs of its vibrato let sound was hardly trained either."""

SAME_SEMITONES, STRUCK_DB, RISE_SECONDS = 0.5, 6.0, 0.04
HELD_SECONDS, FALL_SECONDS = 0.8, (0.1, 0.5)
"""What a note is, and where its fall is measured; see `fall_of`."""

_MOST = 4_000_000
"""Frames that are counted, about: with more, every second, third ... frame of all segments. 4.4 h at 250 per second."""

_DIGITS = 2
"""That are kept: hundredths of a hertz and of a decibel."""


def range_of(*parts: Segments, frame_rate: float) -> ModelRange | None:
    """Count pitch and loudness of the frames with a pitch.

    The lowest pitch is that of the lowest note (a semitone) that is not held by `FEW` frames alone, at the quantile
    `TROUGHS` of its frames. The fall is the median over notes, see `fall_of`.

    Args:
        parts: The segments that a model is trained with: those of the training split.
        frame_rate: Frames per second.

    Returns:
        The range; None where no frame has a pitch.
    """
    every = max(1, -(-sum(part.frames for part in parts) // _MOST))
    f0_hz, loudness_db = (
        np.concatenate([part.all_frames(name, every=every).double().numpy() for part in parts])
        for name in ("f0_hz", "loudness_db")
    )
    voiced = f0_hz > 0
    if not voiced.any():
        return None
    pitches = f0_hz[voiced]
    fall = fall_of(f0_hz, loudness_db, frame_rate=frame_rate / every)
    return ModelRange(_quantiles(pitches), _quantiles(loudness_db[voiced]), _lowest_note(pitches), fall)


def fall_of(f0_hz: np.ndarray, loudness_db: np.ndarray, *, frame_rate: float) -> float | None:
    """By how many dB per second a held note falls, as a median over notes.

    A note is a stretch in which the pitch moves by less than `SAME_SEMITONES` from frame to frame and the loudness does
    not rise by `STRUCK_DB` within `RISE_SECONDS`, which would be the same note struck again. Those of at least
    `HELD_SECONDS` count, and between `FALL_SECONDS` of their beginning: neither attack nor release.

    Args:
        f0_hz: `[frames]`, 0 where there is no pitch.
        loudness_db: `[frames]`.
        frame_rate: Frames per second.

    Returns:
        Over 0 where notes fall: 15 to 30 for a piano and guitars, under 5 for what is blown, bowed or sung. None where
        no note is long enough.
    """
    first, last = (round(seconds * frame_rate) for seconds in FALL_SECONDS)
    rise = max(1, round(RISE_SECONDS * frame_rate))
    if len(f0_hz) <= rise or last <= first:
        return None
    pitch = 12 * np.log2(np.maximum(f0_hz, 1.0))
    same = (np.abs(np.diff(pitch)) < SAME_SEMITONES) & (f0_hz[1:] > 0) & (f0_hz[:-1] > 0)
    climb = loudness_db[rise:] - loudness_db[:-rise]
    struck = np.concatenate([np.zeros(rise, bool), climb > STRUCK_DB])[1:]
    ends = np.flatnonzero(~(same & ~struck)) + 1
    notes = [note for note in np.split(loudness_db, ends) if len(note) >= HELD_SECONDS * frame_rate]
    found = [float(note[first] - note[last]) * frame_rate / (last - first) for note in notes]
    return round(float(np.median(found)), _DIGITS) if found else None


def _quantiles(values: np.ndarray) -> Quantiles:
    return Quantiles(tuple(round(float(value), _DIGITS) for value in np.quantile(values, PROBABILITIES)))


def _lowest_note(pitches: np.ndarray) -> float:
    semitones = np.round(12 * np.log2(pitches / 440)).astype(int)
    notes, frames = np.unique(semitones, return_counts=True)
    held = notes[frames >= min(FEW * len(pitches), frames.max())]
    lowest = float(np.quantile(pitches[semitones == held[0]], TROUGHS))
    return math.floor(lowest * 10**_DIGITS) / 10**_DIGITS  # rounded down: a note that is held there is inside
