"""The model `example-S`: the decoder `example` with zoo's harmonic-plus-noise synth."""

from __future__ import annotations

from zoo.models import ComponentConfig, ModelConfig


def small() -> ModelConfig:
    """About 17 thousand parameters."""
    return ModelConfig(
        architecture="example-S",
        decoder=ComponentConfig("example", {"hidden_size": 64}),
        synth=ComponentConfig("harmonic_noise", {"reverb_length": 1600}),
    )
