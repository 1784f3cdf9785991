"""Short gaps in a pitch, where the tracker was unsure for a few frames of one note: found and bridged.

Requirements: never across a rest, a breath or a consonant, nor between different notes; where nothing is bridged,
nothing changes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Pitches on both sides of a gap may differ by less than this.
_SAME_NOTE_CENTS = 60.0
# How many voiced frames there must be on each side: the pitch there is their median.
_ANCHOR = 3
# How far in dB the sound in the gap may be under the softer side.
_DROP_DB = 6.0
# How alike a stretch of sound and the same a period later must be (1 is equal) for a frame to count as periodic.
_PERIODICITY = 0.6


def bridge_gaps(
    f0_hz: Tensor, audio: Tensor, *, sample_rate: int, hop: int, center: bool, milliseconds: float
) -> Tensor:
    """Fill gaps of a few unvoiced frames inside a note.

    A gap is filled where the frames on both sides have nearly the same pitch, the sound goes on at nearly the same
    level, and it repeats itself at that pitch in every frame of the gap. The pitch is interpolated.

    Args:
        f0_hz: `[frames]`, 0 where unvoiced.
        audio: `[samples]`, at least `frames * hop` of them.
        sample_rate: In Hz.
        hop: Samples per frame.
        center: Whether frame t stands for the sound around sample `t * hop`; otherwise for half a window (32 ms) later.
        milliseconds: Longest gap to fill; 0 fills none.

    Returns:
        `[frames]`: the same tensor where nothing was filled.
    """
    longest = int(milliseconds / 1000.0 * sample_rate / hop)
    gaps = [gap for gap in _gaps(f0_hz) if gap[1] - gap[0] <= longest]
    if not gaps:
        return f0_hz
    samples = audio.detach().cpu()
    shift = 0 if center else round(0.032 * sample_rate)
    filled = f0_hz.clone()
    for start, end in gaps:
        before, after = f0_hz[max(0, start - _ANCHOR) : start], f0_hz[end : end + _ANCHOR]
        if min(len(before), len(after)) < _ANCHOR or not bool((before > 0).all() and (after > 0).all()):
            continue
        left, right = float(before.median()), float(after.median())
        if abs(1200.0 * math.log2(right / left)) >= _SAME_NOTE_CENTS:
            continue
        where = [frame * hop + shift for frame in range(start - 1, end + 1)]
        if _goes_on(samples, where, period=round(sample_rate / math.sqrt(left * right))):
            weights = torch.arange(1, end - start + 1, device=f0_hz.device, dtype=f0_hz.dtype) / (end - start + 1)
            filled[start:end] = torch.exp(
                torch.log(f0_hz[start - 1]) * (1.0 - weights) + torch.log(f0_hz[end]) * weights
            )
    return filled


def _gaps(f0_hz: Tensor) -> list[tuple[int, int]]:
    # Unvoiced runs [start, end) that have a voiced frame on both sides.
    unvoiced = torch.nn.functional.pad((f0_hz <= 0).int(), (1, 1))
    edges = unvoiced.diff().nonzero()[:, 0].tolist()
    runs = zip(edges[::2], edges[1::2], strict=True)
    return [(start, end) for start, end in runs if start > 0 and end < len(f0_hz)]


def _goes_on(audio: Tensor, where: list[int], *, period: int) -> bool:
    # Whether the sound at these samples, of which the first and the last are outside the gap, holds its level and
    # repeats itself after about a period. Two periods are looked at, 10 ms at least.
    size = max(2 * period, 160)
    slack = max(1, round(0.03 * period))
    levels = []
    for at in where:
        first = at - (size + period) // 2
        if first - slack < 0 or first + size + period + slack > len(audio):
            return False
        here = audio[first : first + size].double()
        levels.append(float(here.square().mean()))
        if levels[-1] < 1e-10:
            return False
        later = audio[first + period - slack : first + period + slack + size].double().unfold(0, size, 1)
        alike = (later @ here) / (here.norm() * later.norm(dim=-1)).clamp(min=1e-12)
        if float(alike.max()) < _PERIODICITY:
            return False
    softer = min(levels[0], levels[-1])
    return min(levels) >= softer * 10.0 ** (-_DROP_DB / 10.0)
