"""Networks from features to a synth's controls; the registry's kind `decoders`."""

from zoo.decoders.base import Decoded, Decoder, Frame, State, check_batch, split_frame

__all__ = ["Decoded", "Decoder", "Frame", "State", "check_batch", "split_frame"]
