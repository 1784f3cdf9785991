"""A model as one graph of named states: pitch, loudness and noise in, audio and the next states out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zoo.decoders import Decoder
from zoo.features.values import HALF, clean_f0, clean_value
from zoo.synths import Synth, Synthesis

if TYPE_CHECKING:
    from zoo.models.model import Model


class StreamingModel(nn.Module):
    """A copy of a model, to be played block by block; decoder and synth joined.

    `torch.export`, its ONNX exporter and `torch.jit.trace` take it for a number of frames: states are real tensors of
    fixed shape, and what the parameters alone give is worked out once and lies in buffers. Nothing records gradients.

    Example:
        >>> from zoo.streaming import StreamingModel
        >>> streaming = StreamingModel(zoo.create("gru-S"))
        >>> state = streaming.stream_state(1)
        >>> f0_hz, loudness_db = torch.full((1, 8), 440.0), torch.full((1, 8), -20.0)
        >>> audio, state = streaming(f0_hz, loudness_db, torch.rand(1, 8 * 64) * 2 - 1, state)
        >>> audio.shape
        torch.Size([1, 512])

    Args:
        model: It is copied as it is now; one in half precision works in float32 with its rounded weights.

    Attributes:
        decoder: In eval mode.
        synth: In eval mode.
        latency: Frames that the audio is late.

    Raises:
        NotImplementedError: The decoder or the synth plays whole clips only.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        own = copy.deepcopy(model).eval().requires_grad_(False)
        if next(own.parameters()).dtype in HALF:  # too coarse to play in
            own.float()
        self.decoder: Decoder = own.decoder
        self.synth: Synth = own.synth
        self.scale = model.scale
        self.latency = own.synth.latency
        self.stream_state(1)  # says by itself what cannot play
        with torch.no_grad():
            constants = {"decoder": own.decoder.stream_constants(), "synth": own.synth.stream_constants()}
        self._names = {part: list(tensors) for part, tensors in constants.items()}
        for part, tensors in constants.items():
            for name, value in tensors.items():
                self.register_buffer(f"{part}_constant_{name}", value.clone(), persistent=False)

    def stream_state(self, batch: int) -> dict[str, Tensor]:
        """The state before the first frame: names begin with `decoder_` or `synth_`.

        Args:
            batch: Voices that are played at the same time.

        Raises:
            NotImplementedError: The decoder or the synth plays whole clips only.
            ValueError: `batch` is not at least 1.
        """
        decoder, synth = self.decoder.stream_state(batch), self.synth.stream_state(batch)
        return _prefixed("decoder_", decoder) | _prefixed("synth_", synth)

    def forward(
        self, f0_hz: Tensor, loudness_db: Tensor, noise: Tensor, state: Mapping[str, Tensor], **inputs: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Play the next frames.

        Args:
            f0_hz: `[batch, frames]` in Hz, 0 where unvoiced.
            loudness_db: `[batch, frames]`.
            noise: `[batch, frames * hop]` uniform in [-1, 1).
            state: From `stream_state`, or from the block before; it stays as it was.
            **inputs: What else drives the decoder, each `[batch, frames]`.

        Returns:
            `[batch, frames * hop]`, and the state after it.
        """
        controls, decoder = self.decode(f0_hz, loudness_db, state, **inputs)
        made, synth = self.play(f0_hz, controls, noise, state)
        return made.audio, decoder | synth

    def decode(
        self, f0_hz: Tensor, loudness_db: Tensor, state: Mapping[str, Tensor], **inputs: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The first half of `forward`: raw controls by name, and the decoder's next state."""
        f0_scaled, loudness_scaled = self.scale(f0_hz, loudness_db)
        further = {name: clean_value(values) for name, values in inputs.items()}
        scaled = {"f0": f0_scaled, "loudness": loudness_scaled, **further}
        decoded, after = self.decoder.stream(scaled, _part("decoder_", state), self._constants("decoder"))
        return decoded.controls, _prefixed("decoder_", after)

    def play(
        self, f0_hz: Tensor, controls: Mapping[str, Tensor], noise: Tensor, state: Mapping[str, Tensor]
    ) -> tuple[Synthesis, dict[str, Tensor]]:
        """The second half of `forward`: what the synth makes of controls, and its next state.

        When no frame follows, the last one's pitch and controls for `latency` frames more, with noise of zeros, give
        what is still to come.
        """
        inputs = {"f0_hz": clean_f0(f0_hz), "noise": noise, **controls}
        made, after = self.synth.stream(inputs, _part("synth_", state), self._constants("synth"))
        return made, _prefixed("synth_", after)

    def _constants(self, part: str) -> dict[str, Tensor]:
        return {name: getattr(self, f"{part}_constant_{name}") for name in self._names[part]}


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def _part(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
