"""Networks from features to a synth's controls; the registry's kind `decoders`.

`Decoder` is what a decoder is; the others are what zoo's own are made of.
"""

from zoo.decoders.base import Decoded, Decoder, check_batch
from zoo.decoders.blocks import ControlHead, FeatureEncoder, mlp
from zoo.decoders.dropout import Dropout, ReLUDropout
from zoo.decoders.tcn import CausalConv1d, ResidualBlock, ResidualStack

__all__ = [
    "CausalConv1d",
    "ControlHead",
    "Decoded",
    "Decoder",
    "Dropout",
    "FeatureEncoder",
    "ReLUDropout",
    "ResidualBlock",
    "ResidualStack",
    "check_batch",
    "mlp",
]
