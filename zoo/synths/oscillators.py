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
        hop: Samples per frame.

    Returns:
        `[batch, frames * hop]` float64, radians in [-pi, pi].
    """
    f0_hz = f0_hz.double()
    around = torch.cat([f0_hz[:, :1], f0_hz, f0_hz[:, -1:]], dim=1)  # the clip's ends are their own neighbours
    return phase_between(around, None, sample_rate=sample_rate, hop=hop)[0]


def phase_between(f0_hz: Tensor, phase_cycles: Tensor | None, *, sample_rate: int, hop: int) -> tuple[Tensor, Tensor]:
    """The phase of the frames between the first and the last one, as `fundamental_phase` gives it.

    Args:
        f0_hz: `[batch, frames + 2]` float64, in Hz.
        phase_cycles: `[batch]` float64: the phase where those frames begin, in cycles; 0 where None.
        sample_rate: In Hz.
        hop: Samples per frame.

    Returns:
        `[batch, frames * hop]` float64, radians in [-pi, pi]; and the cycles where those frames end, `[batch]`.
    """
    around = f0_hz.unfold(1, 3, 1)
    # Summed within each frame, then over frames whose sums are wrapped: one long sum would lose 3e-4 rad in 10 minutes.
    # Interpolating and summing a frame are one small product (torch's own interpolation takes wrong neighbours from
    # frame 131,072 on: its indices are float32).
    within = around @ (_summed_weights(hop, f0_hz.device) / sample_rate)
    sums = within[..., -1] - torch.round(within[..., -1])
    before = F.pad(sums[:, :-1], (1, 0))
    if phase_cycles is not None:
        before[:, 0] += phase_cycles
    within += torch.cumsum(before, dim=-1)[..., None]  # in place: on a CPU, new memory costs more than arithmetic
    within -= torch.round(within)
    end = within[:, -1, -1].clone()
    within *= 2 * math.pi
    return within.flatten(1), end


@lru_cache(maxsize=16)
def _summed_weights(hop: int, device: torch.device) -> Tensor:
    """What the pitches before, of and after a frame add to the phase, up to each of its samples: `[3, hop]`."""
    offset = (torch.arange(hop, dtype=torch.float64, device=device) + 0.5) / hop - 0.5  # from the frame's centre
    return torch.stack([(-offset).clamp(min=0), 1 - offset.abs(), offset.clamp(min=0)]).cumsum(dim=1)


def forward_fill_f0(f0_hz: Tensor) -> Tensor:
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
        hop: Samples per frame; also the fade's length.

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
