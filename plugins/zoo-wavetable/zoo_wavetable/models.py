"""The models `gru-wavetable-L`, `-S` and `-XS`: zoo's GRU in these sizes, driving wavetables."""

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


def tiny() -> ModelConfig:
    """18 thousand parameters, 10 thousand of them in the tables, and a reverb of a tenth of a second."""
    return ModelConfig(
        architecture="gru-wavetable-XS",
        decoder=ComponentConfig("gru", {"hidden_size": 16}),
        synth=ComponentConfig("wavetable", {"reverb_length": 1600}),
    )
