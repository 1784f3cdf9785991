"""Sizes at which FFTs are fast."""

from __future__ import annotations


def fast_fft_size(minimum: int) -> int:
    """The smallest 5-smooth number that is even and not under `minimum`: FFTs of such sizes are fast.

    >>> fast_fft_size(79999)
    80000
    """
    best = 2
    while best < minimum:
        best *= 2
    power5 = 1
    while power5 < best:
        power3 = power5
        while power3 < best:
            size = 2 * power3
            while size < minimum:
                size *= 2
            best = min(best, size)
            power3 *= 3
        power5 *= 5
    return best
