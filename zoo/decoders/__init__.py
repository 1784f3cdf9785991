"""Networks from features to a synth's controls; the registry's kind `decoders`."""

from zoo.decoders.interface import Decoded, Decoder

__all__ = ["Decoded", "Decoder"]
