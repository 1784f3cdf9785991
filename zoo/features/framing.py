"""Analysis frames: how many there are, where they lie, and taking them out in pieces that fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import ConfigError


def check_audio(audio: Tensor, *, sample_rate: int, hop: int) -> None:
    """Refuse what no analysis can use.

    Raises:
        ConfigError: The audio is not `[batch, samples]` of floats, or the sample rate or the hop is not positive.
    """
    if audio.ndim != 2 or not audio.is_floating_point():
        raise ConfigError(
            f"Audio must be a float tensor [batch, samples], not {list(audio.shape)} of {audio.dtype}. "
            "For one recording: audio[None]."
        )
    if sample_rate < 1 or hop < 1:
        raise ConfigError(f"Sample rate and hop must be at least 1, not {sample_rate} and {hop}.")


def frame_count(samples: int, hop: int) -> int:
    """Number of frames in `samples`: `samples // hop`, so 0 for what is shorter than one frame."""
    return samples // hop


def windows(audio: Tensor, *, frames: int, hop: int, size: int, most: int, center: bool) -> Iterator[Tensor]:
    """Give the analysis windows, some frames at a time. Beyond the ends of the audio is silence.

    Args:
        audio: `[batch, samples]`.
        frames: How many frames there are.
        hop: Samples per frame.
        size: Samples of the analysis window.
        most: Windows to give at once, of all rows together; a recording of any length takes no more memory than these.
        center: Whether the window of frame t is centred on sample `t * hop`, or starts there.

    Yields:
        Views `[batch, some frames, size]`.
    """
    if not len(audio):
        return
    before, samples, chunk = size // 2 if center else 0, audio.shape[-1], max(1, most // len(audio))
    for start in range(0, frames, chunk):
        first = start * hop - before
        last = first + (min(chunk, frames - start) - 1) * hop + size
        # padded here, not as a whole, which would be one more copy of the recording
        piece = F.pad(audio[:, max(0, first) : min(last, samples)], (max(0, -first), max(0, last - samples)))
        yield piece.unfold(-1, size, hop)


def concatenate(pieces: Iterable[Tensor], like: Tensor, *, frames: int = 0) -> Tensor:
    """Join pieces `[batch, frames]` over time; there are none where there are no frames, or no rows.

    Args:
        pieces: In order, computed one after the other.
        like: Audio `[batch, samples]`.
        frames: How many there will be in all. Given, the result is written piece by piece, where no gradient is needed:
            small pieces that stay, between large ones that go, would leave holes in memory that add up.
    """
    if frames and not (torch.is_grad_enabled() and like.requires_grad):
        whole, at = like.new_empty((like.shape[0], frames)), 0
        for piece in pieces:
            whole[:, at : at + piece.shape[1]] = piece
            at += piece.shape[1]
        return whole
    every = list(pieces)
    return torch.cat(every, dim=1) if every else like.new_zeros((like.shape[0], frames))
