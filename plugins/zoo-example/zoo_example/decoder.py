"""The decoder `example`: a network that looks at one frame at a time."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from zoo.decoders import Decoded, Decoder, Frame, check_batch, split_frame


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

    def initial_state(self, batch: int) -> int:
        """It remembers nothing but how many voices play."""
        check_batch(batch)
        return batch

    @torch.no_grad()
    def step(self, features_t: Frame, state: int) -> tuple[Decoded, int]:
        """Decode one frame, `[batch]`."""
        f0_scaled, loudness_scaled = split_frame(features_t, batch=state)
        return self(f0_scaled, loudness_scaled), state
