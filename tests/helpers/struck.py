"""A third party's decoder with a third input, and a state that does not begin with zeros."""

import torch
from torch import nn

import zoo
from zoo.decoders import Decoded, Decoder
from zoo.storage.config import ComponentConfig, ModelConfig


class StruckDecoder(Decoder):
    """It remembers 0.9 of what was struck before, and begins as if that had been 1."""

    inputs = ("f0", "loudness", "velocity")

    def __init__(self, *, control_sizes):
        super().__init__(control_sizes=control_sizes)
        self.heads = nn.ModuleDict({name: nn.Linear(3, size) for name, size in control_sizes.items()})

    def forward(self, f0_scaled, loudness_scaled, *, velocity):
        return self._decoded(f0_scaled, loudness_scaled, velocity, velocity.new_ones(len(velocity)))[0]

    def stream_state(self, batch):
        return {"struck": torch.ones(batch)}

    def stream(self, inputs, state, constants=None):
        decoded, struck = self._decoded(*self.features(inputs, state), state["struck"])
        return decoded, {"struck": struck}

    def _decoded(self, f0_scaled, loudness_scaled, velocity, struck):
        levels = []
        for now in velocity.unbind(1):
            struck = 0.9 * struck + 0.1 * now
            levels.append(struck)
        hidden = torch.stack([f0_scaled, loudness_scaled, torch.stack(levels, 1)], -1)
        return Decoded({name: head(hidden) for name, head in self.heads.items()}, hidden), struck


def struck_model():
    """A model with it, which `forget` makes unknown again."""
    parts = ComponentConfig("struck"), ComponentConfig("harmonic_noise", {"reverb_length": 100})
    zoo.register.decoder("struck")(StruckDecoder)
    zoo.register.model("struck-S")(lambda: ModelConfig("struck-S", *parts))
    torch.manual_seed(0)
    return zoo.create("struck-S").eval()


def forget():
    zoo.registry.decoders.unregister("struck")
    zoo.registry.models.unregister("struck-S")
