"""Clipping: samples that stay at a recording's largest value, since there was no room for larger ones.

Requirements: a recording of any length, in blocks; no false alarm where a single peak has full scale, as in recordings
that were normalised, nor where a soft or low sound stays at its peak for some samples by rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# So many samples in a row that are exactly equal count as clipped.
_IN_A_ROW = 3
# A sound that passes through its peak has more samples between this part of it and the peak than at the peak.
_NEAR = 0.8
# Under this, steps of 8 bits are so coarse that every peak is flat.
_SOFTEST = 0.15
# Less of a recording is not worth a word.
_LEAST = 1e-3


def clipped_fraction(blocks: Iterable[NDArray[np.float32]]) -> float:
    """How much of a recording is clipped, in the channel that is worst; 0 where it is so little that it may be none.

    Only samples as they were recorded or exported show it: resampling, mp3 and other codecs make peaks round again.

    >>> wave = np.sin(np.arange(1000, dtype=np.float32) / 10)[:, None]
    >>> clipped_fraction([wave])
    0.0
    >>> round(clipped_fraction([(2 * wave).clip(-1, 1)]), 2)
    0.67

    Args:
        blocks: `[samples, channels]` each, together the recording.
    """
    sides: list[_Side] = []
    samples = 0
    for block in blocks:
        sides = sides or [_Side() for _ in range(2 * block.shape[1])]
        samples += len(block)
        for number, side in enumerate(sides):
            channel = block[:, number // 2]
            side.add(channel if number % 2 else -channel)
    clipped = (upper.clipped() + lower.clipped() for upper, lower in zip(sides[::2], sides[1::2], strict=True))
    fraction = max(clipped, default=0) / max(1, samples)
    return fraction if _LEAST <= fraction < 1.0 else 0.0  # a constant is no sound


class _Side:
    """The peaks of one channel to one side; only blocks that reach its peak count, of which there is one at least."""

    def __init__(self) -> None:
        self._peak = _SOFTEST
        self._at = self._near = 0

    def add(self, values: NDArray[np.float32]) -> None:
        peak = float(values.max(initial=0.0))
        if peak < self._peak:
            return
        if peak > self._peak:
            self._peak, self._at, self._near = peak, 0, 0
        at = values >= peak
        edges = np.flatnonzero(np.diff(at, prepend=False, append=False))
        lengths = edges[1::2] - edges[::2]
        self._at += int(lengths[lengths >= _IN_A_ROW].sum())
        self._near += int(np.count_nonzero(values >= _NEAR * peak)) - int(lengths.sum())

    def clipped(self) -> int:
        return self._at if self._at > self._near else 0
