"""The models `gru-wavetable-L` and `gru-wavetable-S`: zoo's GRU in its sizes L and S, driving wavetables."""

from __future__ import annotations

from zoo.models import ComponentConfig, ModelConfig


def large() -> ModelConfig:
    """4.3 million parameters, and a reverb of a second."""
    return ModelConfig(
        architecture="gru-wavetable-L",
        decoder=ComponentConfig("gru", {"hidden_size": 512}),
        synth=ComponentConfig("wavetable", {"reverb_length": 16000}),
    )


def small() -> ModelConfig:
    """48 thousand parameters, 10 thousand of them in the tables, and a reverb of a tenth of a second."""
    return ModelConfig(
        architecture="gru-wavetable-S",
        decoder=ComponentConfig("gru", {"hidden_size": 44}),
        synth=ComponentConfig("wavetable", {"reverb_length": 1600}),
    )
