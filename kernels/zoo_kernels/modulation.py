"""Frequency modulation: sine operators that modulate each other's phases, as in FM synthesizers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from zoo_kernels._backends import choose
from zoo_kernels._exporting import exporting
from zoo_kernels._torch_modulation import forward as torch_modulation


@dataclass(frozen=True)
class OperatorGraph:
    """Which operator runs at which phase, which ones modulate it, and which ones are heard.

    Operators are numbered from 0.

    Example:
        >>> OperatorGraph(modulators=((1,), ()), carriers=(0,), phases=(0, 0), multiples=(1, 3)).order
        (1, 0)

    Attributes:
        modulators: For each operator, those whose output is added to its phase.
        carriers: Those whose outputs are summed.
        phases: For each operator, which of the phases that are given it runs at.
        multiples: For each operator, the whole number that this phase is multiplied by.

    Raises:
        ValueError: The parts differ in length, a number is out of range, or operators modulate each other in a circle.
    """

    modulators: tuple[tuple[int, ...], ...]
    carriers: tuple[int, ...]
    phases: tuple[int, ...]
    multiples: tuple[int, ...]

    def __post_init__(self) -> None:
        count = len(self.modulators)
        if not count == len(self.phases) == len(self.multiples) or not self.carriers:
            raise ValueError(
                "An operator graph needs modulators, a phase and a multiple for each operator, and a carrier; found "
                f"{count}, {len(self.phases)}, {len(self.multiples)} and {len(self.carriers)}."
            )
        named = [*self.carriers, *(number for numbers in self.modulators for number in numbers)]
        if bad := [number for number in named if not 0 <= number < count]:
            raise ValueError(f"There is no operator {bad[0]}: {count} operators are numbered from 0.")
        if min(self.phases) < 0:
            raise ValueError(f"phases are numbered from 0, and one is {min(self.phases)}.")
        _ = self.order

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The operators, each after all of those that modulate it."""
        placed: list[int] = []
        while len(placed) < len(self.modulators):
            ready = [
                number
                for number, before in enumerate(self.modulators)
                if number not in placed and set(before) <= set(placed)
            ]
            if not ready:
                raise ValueError(f"Operators modulate each other in a circle: {self.modulators}.")
            placed += ready
        return tuple(placed)


def frequency_modulation(
    phases: Tensor, levels: Tensor, graph: OperatorGraph, *, hop: int, backend: str = "auto"
) -> Tensor:
    """Sum the carriers of a graph of sine operators.

    Operator i gives `y_i = levels_i sin(multiples_i phases[phases_i] + 2 pi (sum of the y_j that modulate it))`.
    Levels are interpolated linearly between the frames' centres. Nothing of `[batch, samples, operators]` is kept for
    the gradient: it computes the sines anew, which costs less than the memory would. In a graph that is exported it is
    a few plain torch operations.

    Example:
        >>> pair = OperatorGraph(modulators=((1,), ()), carriers=(0,), phases=(0, 0), multiples=(1, 1))
        >>> frequency_modulation(torch.zeros(2, 1, 640), torch.ones(2, 10, 2), pair, hop=64).shape
        torch.Size([2, 640])

    Args:
        phases: `[batch, tones, samples]`, float32 or float64, radians, wrapped or not (wrapped float64 stays precise).
        levels: `[batch, frames, operators]`, float32 or float64; frames * hop = samples.
        graph: The operators.
        hop: Samples in a frame.
        backend: "auto", "numba" (CPU, levels in float32) or "torch".

    Returns:
        `[batch, samples]` in the dtype of `levels`, with gradients for both arguments.

    Raises:
        ValueError: Shapes, dtypes or devices that do not fit; an unknown backend, or one that does not serve the
            inputs' device or dtype.
        RuntimeError: The backend asked for does not work here.

    Source: Chowning, "The Synthesis of Complex Audio Spectra by Means of Frequency Modulation", JAES 21 (1973).
    """
    if exporting():
        return torch_modulation(phases, levels, graph, hop)
    _check(phases, levels, graph, hop)
    if levels.dtype == torch.float64:  # the compiled loop is float32
        if backend == "numba":
            raise ValueError("The backend 'numba' of frequency_modulation takes float32, and levels are float64.")
        backend = "torch"
    module = choose("frequency_modulation", backend, levels.device)
    if levels.numel() == 0:
        return phases[:, 0].to(levels.dtype) * 0 + levels.sum()
    audio: Tensor = _Modulation.apply(phases, levels, graph, hop, module)
    return audio


class _Modulation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context
        phases: Tensor,
        levels: Tensor,
        graph: OperatorGraph,
        hop: int,
        module: ModuleType,
    ) -> Tensor:
        ctx.save_for_backward(phases, levels)
        ctx.graph, ctx.hop, ctx.module = graph, hop, module
        audio: Tensor = module.forward(phases.detach(), levels.detach(), graph, hop)
        return audio

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:  # noqa: ANN401 - torch's context
        phases, levels = (tensor.detach() for tensor in ctx.saved_tensors)
        need_phases, need_levels = ctx.needs_input_grad[:2]
        grad_phases, grad_levels = ctx.module.backward(phases, levels, ctx.graph, ctx.hop, grad, need_phases)
        return grad_phases, grad_levels if need_levels else None, None, None, None


def interpolation(hop: int, *, like: Tensor) -> Tensor:
    """How much the frame before, the frame itself and the frame after count in each of a frame's samples: `[3, hop]`.

    A frame's value holds at its centre, and between two centres the line between them.
    """
    offset = (torch.arange(hop, dtype=torch.float64, device=like.device) + 0.5) / hop - 0.5
    return torch.stack([(-offset).clamp(min=0), 1 - offset.abs(), offset.clamp(min=0)]).to(like.dtype)


def _check(phases: Tensor, levels: Tensor, graph: OperatorGraph, hop: int) -> None:
    if phases.ndim != 3 or levels.ndim != 3:
        raise ValueError(
            "phases must be [batch, tones, samples] and levels [batch, frames, operators]; "
            f"they are {list(phases.shape)} and {list(levels.shape)}."
        )
    for name, tensor in (("phases", phases), ("levels", levels)):
        if tensor.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"{name} must be float32 or float64, and are {tensor.dtype}.")
    if phases.device != levels.device:
        raise ValueError(f"phases are on {phases.device} and levels on {levels.device}: move one of them.")
    if hop < 1 or phases.shape[0] != levels.shape[0] or phases.shape[2] != levels.shape[1] * hop:
        raise ValueError(
            f"phases {list(phases.shape)} and levels {list(levels.shape)} do not agree: with a hop of {hop} such "
            f"levels need phases {[levels.shape[0], phases.shape[1], levels.shape[1] * hop]}."
        )
    _check_graph(graph, tones=phases.shape[1], operators=levels.shape[2])


def _check_graph(graph: OperatorGraph, *, tones: int, operators: int) -> None:
    counts: Sequence[tuple[str, int, int]] = (
        ("levels of operators", operators, len(graph.modulators)),
        ("phases", tones, max(graph.phases) + 1),
    )
    for what, found, wanted in counts:
        if found < wanted or (what != "phases" and found != wanted):
            raise ValueError(f"The graph has {wanted} {what}, and is given {found}.")
