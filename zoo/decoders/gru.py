"""The recurrent decoder of DDSP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from zoo_kernels import gated_recurrence

from zoo.decoders.base import Decoded, Decoder, check_batch
from zoo.decoders.blocks import ControlHead, FeatureEncoder
from zoo.decoders.linear import linear

if TYPE_CHECKING:
    from zoo_player import Program, Register


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

    def stream_state(self, batch: int) -> dict[str, Tensor]:
        """Zeros `[batch, hidden_size]`, as `forward` begins with; see `Decoder.stream_state`."""
        check_batch(batch)
        return {"hidden": next(self.parameters()).new_zeros(batch, self.gru.hidden_size)}

    def stream(
        self,
        inputs: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        constants: Mapping[str, Tensor] | None = None,
    ) -> tuple[Decoded, dict[str, Tensor]]:
        """See `Decoder.stream`."""
        features, hidden, frames = self.features(inputs, state), state["hidden"], []
        for frame in self.encoder(*features).unbind(1):
            hidden = torch.gru_cell(frame, hidden, *self.gru.all_weights[0])  # half of nn.GRU's time for a frame
            frames.append(hidden)
        return self.head(torch.stack(frames, 1), *features), {"hidden": hidden}

    def describe(self, program: Program) -> dict[str, Register]:
        """See `Decoder.describe`."""
        features = self.registers(program)
        hidden = program.gru(self.encoder.describe(program, *features), self.gru)
        return self.head.describe(program, hidden, *features)
