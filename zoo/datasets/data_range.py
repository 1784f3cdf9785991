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

_DIGITS = 2
"""That are kept: hundredths of a hertz and of a decibel."""


def range_of(*parts: Segments) -> ModelRange | None:
    """Count pitch and loudness of the frames with a pitch.

    The lowest pitch is that of the lowest note (a semitone) that is not held by `FEW` frames alone, at the quantile
    `TROUGHS` of its frames.

    Args:
        parts: The segments that a model is trained with: those of the training split.

    Returns:
        The range; None where no frame has a pitch.
    """
    f0_hz, loudness_db = (
        np.concatenate([part.all_frames(name).double().numpy() for part in parts]) for name in ("f0_hz", "loudness_db")
    )
    voiced = f0_hz > 0
    if not voiced.any():
        return None
    pitches = f0_hz[voiced]
    return ModelRange(_quantiles(pitches), _quantiles(loudness_db[voiced]), _lowest_note(pitches))


def _quantiles(values: np.ndarray) -> Quantiles:
    return Quantiles(tuple(round(float(value), _DIGITS) for value in np.quantile(values, PROBABILITIES)))


def _lowest_note(pitches: np.ndarray) -> float:
    semitones = np.round(12 * np.log2(pitches / 440)).astype(int)
    notes, frames = np.unique(semitones, return_counts=True)
    held = notes[frames >= min(FEW * len(pitches), frames.max())]
    lowest = float(np.quantile(pitches[semitones == held[0]], TROUGHS))
    return math.floor(lowest * 10**_DIGITS) / 10**_DIGITS  # rounded down: a note that is held there is inside
