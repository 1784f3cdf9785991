"""Which segments train a model, which watch over its training, and which test it.

Requirements: no recording (or group of recordings) is in two splits; the same seed gives the same splits on any
machine; a lone recording can be used too, with a guard gap between its blocks, so that no reverb reaches across.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from zoo.datasets.preparation.cutting import Span

SPLITS = ("train", "validation", "test")
# Share of the sound that validation and test get, each.
SHARE = 0.1


@dataclass
class Assignment:
    """Which segments belong to which split.

    Attributes:
        splits: For each split the pairs (recording, segment), as indices.
        guard: Pairs that are in no split, because they lie between two.
        notes: What the user should know, as sentences.
    """

    splits: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {name: [] for name in SPLITS})
    guard: list[tuple[int, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def assign(segments: Sequence[Sequence[Span]], groups: Sequence[str], *, seed: int, guard_frames: int) -> Assignment:
    """Divide segments 80/10/10 by the length of sound.

    With three groups or more, each group goes to one split as a whole, and every split has at least one. With fewer,
    each recording is divided in time: a block for training, then validation, then test, with at least `guard_frames`
    unused between two blocks.

    Args:
        segments: For each recording its segments, in order.
        groups: For each recording its group.
        seed: Another seed gives another division.
        guard_frames: Length of the guard gap.

    Returns:
        The division.
    """
    used = sorted({group for group, own in zip(groups, segments, strict=True) if own})
    if len(used) < 3:
        return _in_blocks(segments, guard_frames)
    length = dict.fromkeys(used, 0)
    for group, own in zip(groups, segments, strict=True):
        if own:
            length[group] += sum(span.frames for span in own)
    order = sorted(used, key=lambda group: hashlib.sha256(f"{seed}\0{group}".encode()).hexdigest())
    taken: dict[str, str] = {}
    for name in ("test", "validation"):
        left = [group for group in order if group not in taken]
        chosen = _near(left, length, SHARE * sum(length.values()), keep=2 if name == "test" else 1)
        taken.update(dict.fromkeys(chosen, name))
    result = Assignment()
    for recording, (group, own) in enumerate(zip(groups, segments, strict=True)):
        result.splits[taken.get(group, "train")] += [(recording, k) for k in range(len(own))]
    return result


def _near(groups: list[str], length: dict[str, int], target: float, *, keep: int) -> list[str]:
    # Take groups in order while that brings their length nearer to the target; at least one, and leave `keep`.
    chosen: list[str] = []
    total = 0.0
    for group in groups:
        if len(groups) - len(chosen) <= keep:
            break
        if abs(total + length[group] - target) < abs(total - target):
            chosen.append(group)
            total += length[group]
    return chosen or [min(groups, key=lambda group: length[group])]


def _in_blocks(segments: Sequence[Sequence[Span]], guard_frames: int) -> Assignment:
    result = Assignment()
    order = sorted((k for k in range(len(segments)) if segments[k]), key=lambda k: -sum(s.frames for s in segments[k]))
    if order and all(_blocks(segments[k], guard_frames, SPLITS) for k in order):
        for recording in order:
            _put(result, recording, segments[recording], guard_frames, SPLITS)
        result.notes.append(
            "Too few recordings to split by recording: each is split in time, "
            f"with at least {guard_frames} unused frames between training, validation and test."
        )
        return result
    # Too short for three blocks each: the longest is divided as far as it goes, another one serves what is missing.
    for recording in order:
        missing = [name for name in SPLITS if not result.splits[name]]
        if not missing:
            missing = ["train"]
        for count in range(len(missing), 0, -1):
            if _put(result, recording, segments[recording], guard_frames, tuple(missing[:count])):
                break
    for name in ("validation", "test"):
        if order and not result.splits[name]:
            result.notes.append(
                f"The {name} split is empty: there is too little sound. Add recordings, or use shorter segments."
            )
    return result


def _put(result: Assignment, recording: int, own: Sequence[Span], guard_frames: int, names: tuple[str, ...]) -> bool:
    blocks = _blocks(own, guard_frames, names)
    if blocks is None:
        return False
    placed: set[int] = set()
    for name, block in zip(names, blocks, strict=True):
        result.splits[name] += [(recording, k) for k in block]
        placed.update(block)
    result.guard += [(recording, k) for k in range(len(own)) if k not in placed]
    return True


def _blocks(own: Sequence[Span], guard_frames: int, names: tuple[str, ...]) -> list[range] | None:
    # From the end: each later block takes its share, then segments are left out until the guard gap is wide enough.
    total = sum(span.frames for span in own)
    blocks: list[range] = []
    stop = len(own)
    for _ in names[1:]:
        start, length = stop, 0
        while start > 0 and (start == stop or length + own[start - 1].frames / 2 <= SHARE * total):
            start -= 1
            length += own[start].frames
        if start == stop:
            return None
        blocks.insert(0, range(start, stop))
        stop = start
        while stop > 0 and own[start].start - (own[stop - 1].start + own[stop - 1].frames) < guard_frames:
            stop -= 1
    if stop == 0:
        return None
    blocks.insert(0, range(stop))
    return blocks
