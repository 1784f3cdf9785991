"""The recurrent decoder of DDSP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from zoo_kernels import gated_recurrence

from zoo.decoders.base import Decoded, Decoder, Frame, check_batch, split_frame
from zoo.decoders.blocks import ControlHead, FeatureEncoder
from zoo.decoders.linear import linear


class GRUState(NamedTuple):
    """What a GRU decoder carries from frame to frame.

    Attributes:
        hidden: `[batch, hidden_size]`.
    """

    hidden: Tensor


class GRUDecoder(Decoder):
    """A gated recurrent unit between two MLPs (Engel et al., "DDSP", 2020).

    Example:
        >>> decoder = GRUDecoder(control_sizes={"amplitude": 1}, hidden_size=44)
        >>> decoder(torch.zeros(2, 250), torch.zeros(2, 250)).controls["amplitude"].shape
        torch.Size([2, 250, 1])

    Args:
        control_sizes: The synth's controls, name to size.
        hidden_size: Channels of the GRU and of all MLPs.
    """

    def __init__(self, *, control_sizes: Mapping[str, int], hidden_size: int = 512) -> None:
        super().__init__(control_sizes=control_sizes)
        self.encoder = FeatureEncoder(hidden_size)
        self.gru = nn.GRU(2 * hidden_size, hidden_size, batch_first=True)
        self.head = ControlHead(hidden_size, hidden_size, control_sizes)

    @property
    def hidden_size(self) -> int:
        """See `Decoder.hidden_size`."""
        return self.head.inputs

    def forward(self, f0_scaled: Tensor, loudness_scaled: Tensor) -> Decoded:
        """Turn features `[batch, frames]` into controls; `hidden` is the GRU's output."""
        encoded = self.encoder(f0_scaled, loudness_scaled)
        if encoded.device.type == "cpu":
            # nn.GRU takes a dozen operations for each step, and more on the way back
            weights = self.gru.all_weights[0]
            from_inputs = linear(encoded, weights[0], weights[2])
            hidden = gated_recurrence(from_inputs.to(weights[1].dtype), weights[1], weights[3])
        else:
            hidden, _ = self.gru(encoded)
        return self.head(hidden, f0_scaled, loudness_scaled)

    @torch.no_grad()
    def initial_state(self, batch: int) -> GRUState:
        """Zeros, as `forward` begins with; see `Decoder.initial_state`."""
        check_batch(batch)
        return GRUState(next(self.parameters()).new_zeros(batch, self.gru.hidden_size))

    @torch.no_grad()
    def step(self, features_t: Frame, state: GRUState) -> tuple[Decoded, GRUState]:
        """One frame; see `Decoder.step`."""
        f0_scaled, loudness_scaled = split_frame(features_t, batch=len(state.hidden))
        encoded = self.encoder(f0_scaled, loudness_scaled)
        hidden = torch.gru_cell(encoded, state.hidden, *self.gru.all_weights[0])  # half of nn.GRU's time for a frame
        return self.head(hidden, f0_scaled, loudness_scaled), GRUState(hidden)
