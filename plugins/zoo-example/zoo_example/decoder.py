"""The decoder `example`: a network that looks at one frame at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zoo.decoders import Decoded, Decoder, check_batch

if TYPE_CHECKING:
    from zoo_player import Program, Register


class ExampleDecoder(Decoder):
    """Two layers, and one more for each control.

    Args:
        control_sizes: The synth's controls, name to size.
        hidden_size: Width of the layers.
    """

    def __init__(self, *, control_sizes: Mapping[str, int], hidden_size: int = 64) -> None:
        super().__init__(control_sizes=control_sizes)
        self.core = nn.Sequential(
            nn.Linear(2, hidden_size), nn.LeakyReLU(), nn.Linear(hidden_size, hidden_size), nn.LeakyReLU()
        )
        self.heads = nn.ModuleDict({name: nn.Linear(hidden_size, size) for name, size in control_sizes.items()})

    def forward(self, f0_scaled: Tensor, loudness_scaled: Tensor) -> Decoded:
        """Decode `[batch, frames]`; see `zoo.decoders.Decoder`."""
        hidden = self.core(torch.stack([f0_scaled, loudness_scaled], dim=-1))
        return Decoded({name: head(hidden) for name, head in self.heads.items()}, hidden)

    def stream_state(self, batch: int) -> dict[str, Tensor]:
        """It remembers nothing."""
        check_batch(batch)
        return {}

    def stream(
        self,
        inputs: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        constants: Mapping[str, Tensor] | None = None,
    ) -> tuple[Decoded, dict[str, Tensor]]:
        """Decode the next frames, `[batch, frames]`."""
        return self(*self.features(inputs, state)), {}

    def describe(self, program: Program) -> dict[str, Register]:
        """The same layers as operations of the player library."""
        x = program.concatenate(*self.registers(program))
        for layer in self.core:
            if isinstance(layer, nn.Linear):
                x = program.linear(x, layer.weight, layer.bias, "leaky_relu")
        return {name: program.linear(x, head.weight, head.bias) for name, head in self.heads.items()}
