"""The phase of oscillators that follow a pitch, and what becomes of unvoiced frames."""

from __future__ import annotations

import math

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
    weights = phase_weights(sample_rate=sample_rate, hop=hop, device=f0_hz.device)
    return phase_between(around, torch.zeros_like(f0_hz[:, 0]), weights=weights)[0]


def phase_weights(*, sample_rate: int, hop: int, device: torch.device) -> Tensor:
    """What pitches add to the phase from a frame's beginning to each of its samples, in cycles.

    Returns:
        `[3, hop]` float64: of the frame before, the frame itself and the frame after, per Hz.
    """
    offset = (torch.arange(hop, dtype=torch.float64, device=device) + 0.5) / hop - 0.5  # from the frame's centre
    shares = torch.stack([(-offset).clamp(min=0), 1 - offset.abs(), offset.clamp(min=0)])
    return shares.cumsum(dim=1) / sample_rate


def phase_between(f0_hz: Tensor, phase_cycles: Tensor, *, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The phase of the frames between the first and the last one, as `fundamental_phase` gives it.

    Args:
        f0_hz: `[batch, frames + 2]` float64, in Hz.
        phase_cycles: `[batch]` float64: the phase where those frames begin, in cycles.
        weights: `phase_weights`.

    Returns:
        `[batch, frames * hop]` float64, radians in [-pi, pi]; and the cycles where those frames end, `[batch]`.
    """
    # Summed within each frame, then over frames whose sums are wrapped: one long sum would lose 3e-4 rad in 10 minutes.
    # Interpolating and summing a frame are one small product (torch's own interpolation takes wrong neighbours from
    # frame 131,072 on: its indices are float32).
    around = torch.stack([f0_hz[:, :-2], f0_hz[:, 1:-1], f0_hz[:, 2:]], dim=-1)
    within = around @ weights
    sums = within[..., -1]
    before = torch.cat([phase_cycles[:, None], (sums - torch.round(sums))[:, :-1]], dim=1)
    within += torch.cumsum(before, dim=-1)[..., None]  # in place: on a CPU, new memory costs more than arithmetic
    within -= torch.round(within)
    end = within[:, -1, -1].clone()
    within *= 2 * math.pi
    return within.flatten(1), end


def forward_fill_f0(f0_hz: Tensor) -> Tensor:
    """Give unvoiced frames the last voiced pitch (the first one to those before it), so that no fade slides to 0 Hz.

    Args:
        f0_hz: `[batch, frames]` in Hz, 0 where unvoiced.

    Returns:
        The same shape; rows without any voiced frame stay 0.
    """
    filled, frames, span = f0_hz, f0_hz.shape[-1], 1
    while span < frames:  # each round looks back twice as far; a running maximum is not in every graph's format
        filled = torch.where(filled > 0, filled, F.pad(filled[..., :-span], (span, 0)))
        span *= 2
    missing = (filled <= 0).sum(dim=-1, keepdim=True)  # only those before the first voiced frame
    return torch.where(filled > 0, filled, filled.gather(-1, missing.clamp(max=frames - 1)))


def voicing_gate(f0_hz: Tensor, *, hop: int) -> Tensor:
    """A gain that is 0 in unvoiced frames and 1 in voiced ones, fading over the voiced frame at each border.

    Args:
        f0_hz: `[batch, frames]` in Hz, 0 where unvoiced.
        hop: Samples per frame; also the fade's length.

    Returns:
        `[batch, frames * hop]` in [0, 1].
    """
    around = F.pad(f0_hz, (1, 1), value=1.0)  # a clip's own ends are no borders
    return gate_between(around, fades=fade_gains(hop, device=f0_hz.device))


def fade_gains(hop: int, *, device: torch.device) -> Tensor:
    """Gains from 0 to 1 over a frame, and back: `[2, hop]`."""
    rise = 0.5 - 0.5 * torch.cos(math.pi * (torch.arange(hop, device=device, dtype=torch.float32) + 0.5) / hop)
    return torch.stack([rise, rise.flip(0)])


def gate_between(f0_hz: Tensor, *, fades: Tensor) -> Tensor:
    """The gain of the frames between the first and the last one, as `voicing_gate` gives it.

    Args:
        f0_hz: `[batch, frames + 2]`.
        fades: `fade_gains`.

    Returns:
        `[batch, frames * hop]`.
    """
    voiced = (f0_hz > 0)[..., None]
    before, now, after = voiced[:, :-2], voiced[:, 1:-1], voiced[:, 2:]
    gate = now * torch.where(before, 1.0, fades[0]) * torch.where(after, 1.0, fades[1])
    return gate.flatten(1)
