"""Reading mixtures of wavetables at a phase, exactly and without aliasing.

Requirements it meets:

- what is read is the wave that the tables' harmonics describe, at any phase between their samples: interpolation
  between samples would add images of every harmonic, which alias;
- no harmonic at or over Nyquist sounds, whatever the pitch, and none under it is lost (tables filtered once per octave
  lose up to an octave);
- tables are mixed once per frame and by their harmonics, so nothing is ever `[batch, samples, tables]` or
  `[batch, samples, harmonics]`, and a frame costs as much as it has harmonics under Nyquist;
- gradients reach tables, mixing weights and phase.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from zoo_kernels import harmonic_oscillators

# The kernel sums sines of one phase, and a table holds cosines too. They follow from the sines at a second phase:
#     s sin(k x) + c cos(k x) = (s - c / tan(k d)) sin(k x) + c / sin(k d) sin(k (x + d)),
# for any distance d with no multiple near a multiple of pi. The golden section is the number that is worst to
# approximate by fractions: |sin(k d)| stays above 1.4 / k, so where a wave's harmonics fall as 1 / k nothing grows.
_DISTANCE = math.pi * (math.sqrt(5) - 1) / 2

_TINY = 1e-30
"""Under a root: where a harmonic is silent its amplitude still has a gradient, 0."""


def read_tables(phase: Tensor, harmonics: Tensor, weights: Tensor, *, hop: int, active: Tensor | None = None) -> Tensor:
    """Sum tables at a phase, each by its weight: `weights[t] * table t (phase)`.

    Example:
        >>> phase, weights = torch.zeros(2, 640, dtype=torch.float64), torch.ones(2, 10, 20)
        >>> read_tables(phase, torch.ones(2, 20, 100), weights, hop=64).shape
        torch.Size([2, 640])

    Args:
        phase: `[batch, samples]` in radians, wrapped or not; float64 is the precise form.
        harmonics: `[2, tables, harmonics]`, as `table_harmonics` gives them.
        weights: `[batch, frames, tables]`, held over each frame; any sign, any sum.
        hop: Samples per frame.
        active: `[batch, frames]` integers: how many harmonics sound in a frame; None: all.

    Returns:
        `[batch, samples]` in the dtype of `weights`.
    """
    number = torch.arange(1, harmonics.shape[-1] + 1, dtype=torch.float64, device=harmonics.device)
    angle = number * _DISTANCE
    sine, cosine = harmonics
    here = sine - cosine * (1 / torch.tan(angle)).to(cosine)
    there = cosine * (1 / torch.sin(angle)).to(cosine)
    first = harmonic_oscillators(phase, weights @ here, hop=hop, active=active)
    second = harmonic_oscillators(phase + _DISTANCE, weights @ there, hop=hop, active=active)
    return first + second


def mixed_amplitude(harmonics: Tensor, weights: Tensor, active: Tensor) -> Tensor:
    """The amplitudes of a mixture's sounding harmonics, summed.

    Args:
        harmonics: `[2, tables, harmonics]`.
        weights: `[batch, frames, tables]`.
        active: `[batch, frames]`: how many harmonics sound.

    Returns:
        `[batch, frames, 1]`.
    """
    sine, cosine = (weights @ part for part in harmonics)
    amplitude = torch.sqrt(sine * sine + cosine * cosine + _TINY)
    sounding = torch.arange(harmonics.shape[-1], device=active.device) < active[..., None]
    return (amplitude * sounding).sum(-1, keepdim=True)


def sounding_harmonics(f0_hz: Tensor, *, harmonics: int, sample_rate: int) -> Tensor:
    """How many harmonics stay under Nyquist all through a frame, in which pitch glides half-way to its neighbours'.

    Args:
        f0_hz: `[batch, frames]` in Hz, at least 0.
        harmonics: At most so many.
        sample_rate: In Hz.

    Returns:
        int64 `[batch, frames]`; all of them where f0 is 0.
    """
    before = torch.cat([f0_hz[:, :1], f0_hz[:, :-1]], dim=1)
    after = torch.cat([f0_hz[:, 1:], f0_hz[:, -1:]], dim=1)
    highest = torch.maximum(f0_hz, (f0_hz + torch.maximum(before, after)) / 2)
    return ((sample_rate / 2 / highest).ceil() - 1).clamp(0, harmonics).long()
