"""The architectures that zoo brings: sizes L, M and S of each decoder with the harmonic-plus-noise synth.

The sizes are the thesis's: about 4.5 million, 400 thousand and 40 thousand parameters. XS is the reduced GRU of
Caspe et al., "Distilling DDSP" (JAES 2025): 7,510 parameters.
"""

from __future__ import annotations

from zoo.storage.config import ComponentConfig, ModelConfig

# The reverb's impulse response in samples: 1 s at 16 kHz; 0.1 s for S, where a second is a third of the model, and XS.
_REVERB_LENGTH = {"L": 16000, "M": 16000, "S": 1600, "XS": 1600}

# One table for S4 and S4D: they differ in how a layer's kernel is parametrised alone.
_STATE_SPACE_SIZES = {
    "L": {"model_size": 256, "blocks": 5},
    "M": {"model_size": 64, "blocks": 5},
    "S": {"model_size": 16, "blocks": 3},
}

# What an s4 model's weights mean depends on the length that its kernels are made for, so config.json has to hold it:
# the 4 s of a segment.
_SEGMENT_FRAMES = 1000


def _preset(architecture: str, size: str, **decoder_args: int) -> ModelConfig:
    return ModelConfig(
        architecture=f"{architecture}-{size}",
        decoder=ComponentConfig(architecture, dict(decoder_args)),
        synth=ComponentConfig("harmonic_noise", {"reverb_length": _REVERB_LENGTH[size]}),
    )


def gru_L() -> ModelConfig:
    """GRU, 4.3 million parameters."""
    return _preset("gru", "L", hidden_size=512)


def gru_M() -> ModelConfig:
    """GRU, 421 thousand parameters."""
    return _preset("gru", "M", hidden_size=156)


def gru_S() -> ModelConfig:
    """GRU, 40 thousand parameters."""
    return _preset("gru", "S", hidden_size=44)


def gru_XS() -> ModelConfig:
    """GRU, 7.5 thousand parameters."""
    return _preset("gru", "XS", hidden_size=16)


def tcn_L() -> ModelConfig:
    """TCN, 4.45 million parameters."""
    return _preset("tcn", "L", input_size=128, channels=256, output_size=256, blocks=9)


def tcn_M() -> ModelConfig:
    """TCN, 436 thousand parameters."""
    return _preset("tcn", "M", input_size=64, channels=128, output_size=128, blocks=3)


def tcn_S() -> ModelConfig:
    """TCN, 40 thousand parameters."""
    return _preset("tcn", "S", input_size=16, channels=32, output_size=32, blocks=4)


def s4_L() -> ModelConfig:
    """S4, 4.44 million parameters."""
    return _preset("s4", "L", kernel_frames=_SEGMENT_FRAMES, **_STATE_SPACE_SIZES["L"])


def s4_M() -> ModelConfig:
    """S4, 421 thousand parameters."""
    return _preset("s4", "M", kernel_frames=_SEGMENT_FRAMES, **_STATE_SPACE_SIZES["M"])


def s4_S() -> ModelConfig:
    """S4, 42 thousand parameters."""
    return _preset("s4", "S", kernel_frames=_SEGMENT_FRAMES, **_STATE_SPACE_SIZES["S"])


def s4d_L() -> ModelConfig:
    """S4D, 4.11 million parameters."""
    return _preset("s4d", "L", **_STATE_SPACE_SIZES["L"])


def s4d_M() -> ModelConfig:
    """S4D, 339 thousand parameters."""
    return _preset("s4d", "M", **_STATE_SPACE_SIZES["M"])


def s4d_S() -> ModelConfig:
    """S4D, 29 thousand parameters."""
    return _preset("s4d", "S", **_STATE_SPACE_SIZES["S"])
