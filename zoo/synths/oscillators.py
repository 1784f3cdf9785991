"""The harmonic part: a bank of sines at multiples of one fundamental, and what becomes of unvoiced frames."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from zoo_kernels import harmonic_oscillators

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
    around = torch.stack([f0_hz, *_neighbours(f0_hz)], dim=-1)
    # Summed within each frame, then over frames whose sums are wrapped: one long sum would lose 3e-4 rad in 10 minutes.
    # Interpolating and summing a frame are one small product (torch's own interpolation takes wrong neighbours from
    # frame 131,072 on: its indices are float32).
    within = around @ (_summed_weights(hop, f0_hz.device) / sample_rate)
    before = torch.cumsum(within[..., -1] - torch.round(within[..., -1]), dim=-1)
    within += F.pad(before[:, :-1], (1, 0))[..., None]  # in place: on a CPU, new memory costs more than arithmetic
    within -= torch.round(within)
    within *= 2 * math.pi
    return within.flatten(1)


def _neighbours(f0_hz: Tensor) -> tuple[Tensor, Tensor]:
    """The frames before and after each frame; the clip's ends are their own neighbours."""
    return torch.cat([f0_hz[:, :1], f0_hz[:, :-1]], dim=1), torch.cat([f0_hz[:, 1:], f0_hz[:, -1:]], dim=1)


def _summed_weights(hop: int, device: torch.device) -> Tensor:
    """What a frame's pitch and those of its neighbours add to the phase, up to each of its samples: `[3, hop]`."""
    offset = (torch.arange(hop, dtype=torch.float64, device=device) + 0.5) / hop - 0.5  # from the frame's centre
    return torch.stack([1 - offset.abs(), (-offset).clamp(min=0), offset.clamp(min=0)]).cumsum(dim=1)


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


def harmonic_audio(
    f0_hz: Tensor, amplitudes: Tensor, *, sample_rate: int, hop: int, unvoiced: str, active: Tensor | None = None
) -> Tensor:
    """Render the harmonic part.

    Args:
        f0_hz: `[batch, frames]` in Hz, 0 where unvoiced.
        amplitudes: `[batch, frames, harmonics]`, held over each frame.
        sample_rate: In Hz.
        hop: Samples a frame.
        unvoiced: "mute": silence in unvoiced frames, with a fade of one frame; "hold": the phase stands still and the
            sum of the held sines goes on, as in the thesis.
        active: `[batch, frames]` integers: how many harmonics can sound in a frame, where the others' amplitudes are 0
            by definition; the loops stop there.

    Returns:
        `[batch, frames * hop]`.
    """
    if unvoiced == "hold":
        phase = fundamental_phase(f0_hz, sample_rate=sample_rate, hop=hop)
        return harmonic_oscillators(phase, amplitudes, hop=hop, active=active)
    voiced = f0_hz > 0
    if active is not None:
        active = active * voiced
    phase = fundamental_phase(carry_pitch(f0_hz), sample_rate=sample_rate, hop=hop)
    audio = harmonic_oscillators(phase, amplitudes * voiced[..., None], hop=hop, active=active)
    return audio * voicing_gate(f0_hz, hop=hop).to(audio)
