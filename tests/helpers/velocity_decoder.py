"""A decoder with a third input."""

import torch
from torch import nn

from zoo.decoders import Decoded, Decoder


class VelocityDecoder(Decoder):
    """Driven by a third input, as a plugin's may be."""

    inputs = ("f0", "loudness", "velocity")

    def __init__(self, *, control_sizes):
        super().__init__(control_sizes=control_sizes)
        self.heads = nn.ModuleDict({name: nn.Linear(3, size) for name, size in control_sizes.items()})

    def forward(self, f0_scaled, loudness_scaled, *, velocity):
        hidden = torch.stack([f0_scaled, loudness_scaled, velocity], -1)
        return Decoded({name: head(hidden) for name, head in self.heads.items()}, hidden)

    def stream_state(self, batch):
        return {}

    def stream(self, inputs, state, constants=None):
        f0_scaled, loudness_scaled, velocity = self.features(inputs, state)
        return self(f0_scaled, loudness_scaled, velocity=velocity), {}

    def describe(self, program):
        x = program.concatenate(*self.registers(program))
        return {name: program.linear(x, head.weight, head.bias) for name, head in self.heads.items()}
