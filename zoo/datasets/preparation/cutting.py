"""Where a recording is cut: stretches of sound, and segments in them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# The thesis's windows for finding silence (the defaults of librosa).
_WINDOW, _STEP = 2048, 512
# Windows that are measured at once.
_AT_ONCE = 1024


@dataclass(frozen=True)
class Span:
    """A part of a recording, in frames.

    Attributes:
        start: Its first frame.
        frames: How many frames it has.
        reason: Why it is left out; empty where it is used.
    """

    start: int
    frames: int
    reason: str = ""


def stretches_of_sound(audio: Tensor, *, hop: int, silence_db: float) -> list[Span]:
    """Find where a recording sounds: its level is less than `silence_db` under its loudest moment.

    The measure is that of `librosa.effects.split` (whose import takes seconds): the RMS of windows of 2,048 samples,
    one every 512.

    Args:
        audio: `[samples]`.
        hop: Samples per frame; the stretches' limits are moved outwards to whole frames.
        silence_db: How far under the loudest moment silence begins.

    Returns:
        The stretches in order, none of which overlap or touch.
    """
    frames = audio.shape[0] // hop
    windows = F.pad(audio, (_WINDOW // 2, _WINDOW // 2)).unfold(-1, _WINDOW, _STEP)
    rms = torch.empty(len(windows), dtype=torch.float64)
    for start in range(0, len(windows), _AT_ONCE):
        rms[start : start + _AT_ONCE] = windows[start : start + _AT_ONCE].double().square().mean(dim=-1)
    rms = rms.sqrt().clamp(min=1e-5)
    sounding = 20.0 * torch.log10(rms / rms.max()) > -silence_db
    edges = F.pad(sounding.int(), (1, 1)).diff().nonzero()[:, 0].tolist()
    found: list[Span] = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        first, last = start * _STEP // hop, min(frames, -(-end * _STEP // hop))
        if found and found[-1].start + found[-1].frames >= first:
            first = found.pop().start
        if last > first:
            found.append(Span(first, last - first))
    return found


def cut(stretch: Span, *, segment_frames: int, min_frames: int) -> tuple[list[Span], list[Span]]:
    """Cut a stretch into consecutive segments; what remains becomes a shorter one where it is long enough.

    Args:
        stretch: What to cut.
        segment_frames: Length of a whole segment.
        min_frames: Shortest that a segment may be.

    Returns:
        The segments, and what was left out.
    """
    segments = [
        Span(stretch.start + offset, min(segment_frames, stretch.frames - offset))
        for offset in range(0, stretch.frames, segment_frames)
    ]
    if segments and segments[-1].frames < min_frames:
        rest = segments.pop()
        what = "rest of a long stretch of sound" if segments else "stretch of sound"
        return segments, [Span(rest.start, rest.frames, f"{what}, shorter than --min-seconds")]
    return segments, []
