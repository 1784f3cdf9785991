"""The range of a model: counted in the frames that it is trained with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from zoo.model_range import PROBABILITIES, ModelRange, Quantiles

if TYPE_CHECKING:
    from zoo.datasets.segments import Segments

FEW = 0.01
"""Of the voiced frames. So few under some pitch are no training for it: a tracker that takes a harmonic or the room for
the note does it more often than that."""

_DIGITS = 2
"""That are kept: cents of a hertz and of a decibel."""


def range_of(segments: Segments) -> ModelRange | None:
    """Count pitch and loudness of the voiced frames.

    Args:
        segments: Of the training split.

    Returns:
        The range; None where no frame is voiced.
    """
    f0_hz, loudness_db = (segments.all_frames(name).double().numpy() for name in ("f0_hz", "loudness_db"))
    voiced = f0_hz > 0
    if not voiced.any():
        return None
    pitches = f0_hz[voiced]
    # rounded down: a pitch that is inside must not be cut by its last digit
    lowest = math.floor(np.quantile(pitches, FEW, method="lower") * 10**_DIGITS) / 10**_DIGITS
    return ModelRange(_quantiles(pitches), _quantiles(loudness_db[voiced]), lowest)


def _quantiles(values: np.ndarray) -> Quantiles:
    return Quantiles(tuple(round(float(value), _DIGITS) for value in np.quantile(values, PROBABILITIES)))
