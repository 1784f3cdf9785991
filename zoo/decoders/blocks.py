"""What the decoders share: the input networks of both features, and the heads that give the controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zoo.decoders.base import Decoded
from zoo.decoders.linear import FastLinear

if TYPE_CHECKING:
    from zoo_player import Program, Register


def mlp(inputs: int, size: int, *, layers: int = 3) -> nn.Sequential:
    """Layers of Linear, LayerNorm and LeakyReLU, as in DDSP (Engel et al., 2020, appendix B)."""
    stack: list[nn.Module] = []
    for layer in range(layers):
        stack += [FastLinear(inputs if layer == 0 else size, size), nn.LayerNorm(size), nn.LeakyReLU()]
    return nn.Sequential(*stack)


def describe_mlp(program: Program, x: Register, layers: nn.Sequential) -> Register:
    """What `mlp` makes, as the player's operations."""
    for module in layers:
        if isinstance(module, nn.Linear):
            x = program.linear(x, module.weight, module.bias)
        elif isinstance(module, nn.LayerNorm):
            x = program.layer_norm(x, module, "leaky_relu")
    return x


class FeatureEncoder(nn.Module):
    """An input network for each feature; their outputs are concatenated.

    Args:
        size: Channels for each of the two features; the output has twice as many.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.f0 = mlp(1, size)
        self.loudness = mlp(1, size)

    def forward(self, f0_scaled: Tensor, loudness_scaled: Tensor) -> Tensor:
        """`[batch, frames]` twice -> `[batch, frames, 2 * size]`."""
        return torch.cat([self.f0(f0_scaled[..., None]), self.loudness(loudness_scaled[..., None])], dim=-1)

    def describe(self, program: Program, f0: Register, loudness: Register) -> Register:
        """The same, as the player's operations."""
        return program.concatenate(describe_mlp(program, f0, self.f0), describe_mlp(program, loudness, self.loudness))


class ControlHead(nn.Module):
    """From a core's output to the controls: the features are joined again, an MLP, one Linear a control.

    Args:
        inputs: Channels of the core's output.
        size: Channels of the MLP.
        control_sizes: Name to size.
    """

    def __init__(self, inputs: int, size: int, control_sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.inputs = inputs
        self.mlp = mlp(inputs + 2, size)
        self.controls = nn.ModuleDict({name: FastLinear(size, n) for name, n in control_sizes.items()})

    def forward(self, hidden: Tensor, f0_scaled: Tensor, loudness_scaled: Tensor) -> Decoded:
        """`hidden` `[batch, frames, inputs]` -> controls; `hidden` itself is passed on."""
        joined = torch.cat([hidden, f0_scaled[..., None], loudness_scaled[..., None]], dim=-1)
        features = self.mlp(joined)
        return Decoded({name: head(features) for name, head in self.controls.items()}, hidden)

    def describe(self, program: Program, hidden: Register, f0: Register, loudness: Register) -> dict[str, Register]:
        """The same, as the player's operations."""
        features = describe_mlp(program, program.concatenate(hidden, f0, loudness), self.mlp)
        return {name: program.linear(features, head.weight, head.bias) for name, head in self.controls.items()}
