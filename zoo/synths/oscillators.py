"""The phase of oscillators that follow a pitch, and what becomes of unvoiced frames."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

UNVOICED = ("mute", "hold")


def fundamental_phase(f0_hz: Tensor, *, sample_rate: int, hop: int) -> Tensor:
    """Integrate a pitch contour to the phase of the fundamental.

    The pitch is interpolated linearly between the frames' centres. The sum is kept in float64 and wrapped, so that
    minutes of audio stay in tune (float32 is off by 1e-2 of full scale after 4 s).

    Args:
        f0_hz: `[batch, frames]` in Hz.
        sample_rate: In Hz.
        hop: Samples a frame.

    Returns:
        `[batch, frames * hop]` float64, radians in [-pi, pi].
    """
    f0_hz = f0_hz.double()
    around = torch.stack([_before(f0_hz), f0_hz, _after(f0_hz)], dim=-1)
    # Summed within each frame, then over frames whose sums are wrapped: one long sum would lose 3e-4 rad in 10 minutes.
    # Interpolating and summing a frame are one small product (torch's own interpolation takes wrong neighbours from
    # frame 131,072 on: its indices are float32).
    within = around @ (_summed_weights(hop, f0_hz.device) / sample_rate)
    before = torch.cumsum(within[..., -1] - torch.round(within[..., -1]), dim=-1)
    within += F.pad(before[:, :-1], (1, 0))[..., None]  # in place: on a CPU, new memory costs more than arithmetic
    within -= torch.round(within)
    within *= 2 * math.pi
    return within.flatten(1)


def next_phase(around: Tensor, turns: Tensor, *, sample_rate: int, hop: int) -> tuple[Tensor, Tensor]:
    """The phase of one frame, as `fundamental_phase` gives it, where playing goes on frame by frame.

    Args:
        around: `[batch, 3]` float64, the pitch of the frame before, of the frame, and of the one after it, in Hz.
        turns: `[batch]` float64, the phase at the frame's beginning, in turns.
        sample_rate: In Hz.
        hop: Samples a frame.

    Returns:
        `[batch, hop]` float64, radians in [-pi, pi]; and the turns at the frame's end.
    """
    within = around @ (_summed_weights(hop, around.device) / sample_rate) + turns[:, None]
    within = within - torch.round(within)
    return within * (2 * math.pi), within[:, -1]


def _before(f0_hz: Tensor) -> Tensor:
    """The frame before each frame; the clip's beginning is its own neighbour."""
    return torch.cat([f0_hz[:, :1], f0_hz[:, :-1]], dim=1)


def _after(f0_hz: Tensor) -> Tensor:
    """The frame after each frame; the clip's end is its own neighbour."""
    return torch.cat([f0_hz[:, 1:], f0_hz[:, -1:]], dim=1)


@lru_cache(maxsize=16)
def _summed_weights(hop: int, device: torch.device) -> Tensor:
    """What the pitches before, of and after a frame add to the phase, up to each of its samples: `[3, hop]`."""
    offset = (torch.arange(hop, dtype=torch.float64, device=device) + 0.5) / hop - 0.5  # from the frame's centre
    return torch.stack([(-offset).clamp(min=0), 1 - offset.abs(), offset.clamp(min=0)]).cumsum(dim=1)


def carry_pitch(f0_hz: Tensor) -> Tensor:
    """Give unvoiced frames the last voiced pitch (the first one to those before it), so that no fade slides to 0 Hz.

    Args:
        f0_hz: `[batch, frames]` in Hz, 0 where unvoiced.

    Returns:
        The same shape; rows without any voiced frame stay 0.
    """
    frames = f0_hz.shape[-1]
    position = torch.arange(frames, device=f0_hz.device)
    voiced = f0_hz > 0
    last = torch.where(voiced, position, -1).cummax(dim=-1).values
    first = torch.where(voiced, position, frames - 1).amin(dim=-1, keepdim=True)
    return torch.gather(f0_hz, -1, torch.where(last >= 0, last, first))


def voicing_gate(f0_hz: Tensor, *, hop: int) -> Tensor:
    """A gain that is 0 in unvoiced frames and 1 in voiced ones, fading over the voiced frame at each border.

    Args:
        f0_hz: `[batch, frames]` in Hz, 0 where unvoiced.
        hop: Samples a frame; also the fade's length.

    Returns:
        `[batch, frames * hop]` in [0, 1].
    """
    voiced = f0_hz > 0
    before = F.pad(voiced[:, :-1], (1, 0), value=True)  # a clip's own ends are no borders
    after = F.pad(voiced[:, 1:], (0, 1), value=True)
    rise = 0.5 - 0.5 * torch.cos(math.pi * (torch.arange(hop, device=f0_hz.device, dtype=torch.float32) + 0.5) / hop)
    fall = rise.flip(0)
    gate = voiced[..., None] * torch.where(before[..., None], 1.0, rise) * torch.where(after[..., None], 1.0, fall)
    return gate.flatten(1)
