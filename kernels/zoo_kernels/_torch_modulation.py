"""Frequency modulation in plain torch, for any device and dtype."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from zoo_kernels.modulation import OperatorGraph


def forward(phases: Tensor, levels: Tensor, graph: OperatorGraph, hop: int) -> Tensor:
    """Sum the carriers.

    Args:
        phases: `[batch, tones, samples]`, radians.
        levels: `[batch, frames, operators]`.
        graph: The operators.
        hop: Samples in a frame.

    Returns:
        `[batch, samples]`, in the dtype of `levels`; differentiable by autograd.
    """
    at_samples = _interpolated(levels, hop)
    outputs: dict[int, Tensor] = {}
    for number in graph.order:
        # The phase is wrapped before it loses digits to a multiple or to the dtype of the levels.
        phase = phases[:, graph.phases[number]].double() * (graph.multiples[number] / (2 * math.pi))
        turns = (phase - torch.round(phase.detach())).to(levels.dtype)
        for modulator in graph.modulators[number]:
            turns = turns + outputs[modulator]
        outputs[number] = at_samples[number] * torch.sin(2 * math.pi * turns)
    return torch.stack([outputs[number] for number in graph.carriers]).sum(dim=0)


def _interpolated(levels: Tensor, hop: int) -> Tensor:
    """`[batch, frames, operators]` -> `[operators, batch, samples]`."""
    from zoo_kernels.modulation import interpolation

    by_operator = levels.permute(2, 0, 1)
    padded = torch.cat([by_operator[..., :1], by_operator, by_operator[..., -1:]], -1)
    around = torch.stack([padded[..., :-2], padded[..., 1:-1], padded[..., 2:]], -1)
    return (around @ interpolation(hop, like=levels)).flatten(-2)


def backward(
    phases: Tensor, levels: Tensor, graph: OperatorGraph, hop: int, grad: Tensor, need_phases: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients of a real loss.

    Args:
        phases: As `forward` takes them.
        levels: As `forward` takes them.
        graph: The operators.
        hop: Samples in a frame.
        grad: Of the sum, `[batch, samples]`.
        need_phases: Whether the gradient of the phases is wanted.

    Returns:
        The gradients of `phases` (None unless wanted) and `levels`.
    """
    with torch.enable_grad():
        leaves = [levels.detach().requires_grad_()]
        if need_phases:
            leaves.append(phases.detach().requires_grad_())
        value = forward(leaves[-1] if need_phases else phases, leaves[0], graph, hop)
        found = torch.autograd.grad(value, leaves, grad)
    return found[1] if need_phases else None, found[0]
