"""Several channels to one: their mean, where that is what was recorded.

A channel that is silent or holds no numbers is left out, and where channels cancel each other out (one was wired the
wrong way round) the louder one is taken alone; the reader is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A channel that has this much less power than the strongest is silent: 60 dB.
_SILENT = 1e-6
# The mean of n channels that have nothing in common has 1/n of their power; under half of that they cancel out.
_CANCELLED = 0.5
# Where that is so for this share of the sound (by power), one channel is taken.
_SHARE = 0.1
# Above this many channels, what cancels out is looked at over the whole recording, not second by second.
_MOST_BY_BLOCK = 16


@dataclass(frozen=True)
class Mix:
    """Which channels make the mono sound: the mean of these.

    Attributes:
        channels: Their numbers, from 0; none where no channel can be used.
        notes: What the user should know.
    """

    channels: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def of(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mix samples `[samples, channels]` to `[samples]`."""
        if len(self.channels) == block.shape[1]:
            mixed = block.mean(axis=1)
        else:
            mixed = block[:, list(self.channels)].mean(axis=1)
        return np.ascontiguousarray(mixed, dtype=np.float32)


def choose_channels(blocks: Iterable[NDArray[np.float32]], *, sample_rate: int) -> Mix:
    """Look through a recording for the channels to use.

    Args:
        blocks: `[samples, channels]` each, together the recording.
        sample_rate: In Hz.
    """
    products: list[NDArray[np.float64]] = []
    whole: NDArray[np.bool_] | None = None
    for block in blocks:
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(block).all(axis=0))
        whole = finite if whole is None else np.logical_and(whole, finite)
        for start in range(0, len(block), sample_rate):
            some = block[start : start + sample_rate].astype(np.float64)
            some = np.where(np.isfinite(some), some, 0.0)
            some -= some.mean(axis=0)  # a constant is no sound
            products.append(some.T @ some)
            if some.shape[1] > _MOST_BY_BLOCK and len(products) > 1:
                products = [products[0] + products[1]]
    if not products:
        return Mix(())
    return _choose(np.stack(products), np.asarray(whole))


def _choose(products: NDArray[np.float64], finite: NDArray[np.bool_]) -> Mix:
    count = len(finite)
    power = np.where(finite, np.diagonal(products, axis1=1, axis2=2).sum(axis=0), 0.0)
    notes = []
    if broken := [k for k in range(count) if not finite[k]]:
        notes.append(f"{_name(broken, count)} holds values that are no numbers (NaN or infinity), and is left out")
    used = [k for k in range(count) if finite[k]]
    if used and power.max() > 0.0:
        if silent := [k for k in used if power[k] <= _SILENT * power.max()]:
            notes.append(f"{_name(silent, count)} is silent, and is left out")
        used = [k for k in used if k not in silent]
    if len(used) > 1:
        some = products[:, used][:, :, used]
        mixed = some.sum(axis=(1, 2)) / len(used) ** 2
        mean = np.trace(some, axis1=1, axis2=2) / len(used)
        lost = mean[mixed < _CANCELLED * mean / len(used)].sum()
        if lost > _SHARE * mean.sum():
            loudest = used[int(np.argmax(power[used]))]
            notes.append(
                f"its {len(used)} channels cancel each other out, as when one is inverted: channel {loudest + 1}, the "
                "loudest, is used alone"
            )
            used = [loudest]
    return Mix(tuple(used), tuple(notes))


def _name(channels: list[int], count: int) -> str:
    if len(channels) == 1:
        return f"channel {channels[0] + 1} of {count}"
    return f"each of the channels {', '.join(str(k + 1) for k in channels)} of {count}"
