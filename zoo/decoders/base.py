"""What a decoder is: the class that one derives from, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

# What `step` carries from one frame to the next. Every decoder has a type of its own, which concerns nobody else: a
# caller keeps it and hands it back.
DecoderState: TypeAlias = Any

Frame: TypeAlias = Tensor | tuple[Tensor, Tensor]
"""One frame's features: the pair `(f0_scaled, loudness_scaled)`, each `[batch]`, or one tensor `[batch, 2]` of both."""


class Decoded(NamedTuple):
    """What a decoder makes of features.

    Attributes:
        controls: The synth's raw parameters by name, each `[batch, frames, size]`.
        hidden: The core's output `[batch, frames, hidden]`, which feature distillation compares.

    What `Decoder.step` gives is one frame of that: `[batch, size]` and `[batch, hidden]`.
    """

    controls: dict[str, Tensor]
    hidden: Tensor


class Decoder(nn.Module, ABC):
    """A network from scaled features to a synth's controls.

    A child is registered by its name in the entry-point group `zoo_decoders`, takes `control_sizes` and its own
    keyword options, and implements `forward`; and `initial_state` and `step` where it can play frame by frame.

    Args:
        control_sizes: The synth's controls, name to size; the controls returned must be exactly these.
    """

    def __init__(self, *, control_sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.control_sizes: dict[str, int] = dict(control_sizes)

    @property
    def hidden_size(self) -> int:
        """Channels of `Decoded.hidden`. Found by decoding one frame; a child that knows it may say so."""
        training = self.training
        frame = next(self.parameters()).new_zeros(1, 1)
        try:
            with torch.no_grad():
                return int(self.eval()(frame, frame).hidden.shape[-1])
        finally:
            self.train(training)

    @abstractmethod
    def forward(self, f0_scaled: Tensor, loudness_scaled: Tensor) -> Decoded:
        """Turn features into controls.

        Args:
            f0_scaled: `[batch, frames]`, MIDI / 127 (0 where unvoiced).
            loudness_scaled: `[batch, frames]`, dB / 80 + 1.
        """

    def initial_state(self, batch: int) -> DecoderState:
        """The state before the first frame, for `step`.

        What the parameters alone give (normalised weights, a diagonalisation) is computed here, once: a state is good
        as long as the parameters, their dtype and their device stay as they are.

        Args:
            batch: Voices that are played at the same time.

        Raises:
            NotImplementedError: The decoder has no streaming interface.
            ValueError: `batch` is not at least 1.
        """
        raise self._no_streaming()

    def step(self, features_t: Frame, state: DecoderState) -> tuple[Decoded, DecoderState]:
        """Decode one frame: what `forward` gives for it in eval mode, whatever mode the decoder is in.

        It is for playing: no gradients. The state that it is given stays as it was, so a state can be kept and
        continued from again.

        Example:
            >>> decoder = zoo.create("gru-S").decoder
            >>> state = decoder.initial_state(1)
            >>> for f0_scaled, loudness_scaled in torch.rand(3, 2, 1):
            ...     decoded, state = decoder.step((f0_scaled, loudness_scaled), state)
            >>> decoded.controls["harmonic_distribution"].shape
            torch.Size([1, 100])

        Args:
            features_t: The pair `(f0_scaled, loudness_scaled)`, each `[batch]`, or one tensor `[batch, 2]` of both.
            state: From `initial_state`, or from the step before.

        Returns:
            The frame (`controls` `[batch, size]`, `hidden` `[batch, hidden]`) and the state after it.

        Raises:
            NotImplementedError: The decoder has no streaming interface.
            ValueError: The features' shapes are others, or of another batch than the state.
        """
        raise self._no_streaming()

    def _no_streaming(self) -> NotImplementedError:
        return NotImplementedError(
            f"{type(self).__name__} has no streaming interface: it decodes whole clips only (call it with [batch, "
            "frames]). To play it frame by frame, its author has to implement initial_state and step of "
            "zoo.decoders.Decoder."
        )

    def param_groups(self) -> list[dict[str, Any]]:
        """The parameters as an optimizer takes them, with options of their own where a part needs them.

        A group may set what the optimizer knows, `weight_decay` for one; what it leaves out is the trainer's choice.
        A group's `lr` is a ceiling: the trainer uses the smaller of it and its own learning rate, and lets both decay
        alike.
        """
        return [{"params": list(self.parameters())}]


def check_batch(batch: int) -> None:
    """Make sure that a state is asked for at least one voice.

    Raises:
        ValueError: It is not.
    """
    if batch < 1:
        raise ValueError(f"initial_state needs a batch of at least 1, found {batch}.")


def split_frame(features_t: Frame, *, batch: int) -> tuple[Tensor, Tensor]:
    """Take one frame's features, in either form that `Decoder.step` accepts, apart.

    Args:
        features_t: The pair, or one tensor `[batch, 2]`.
        batch: What the state was made for.

    Returns:
        `f0_scaled` and `loudness_scaled`, each `[batch]`.

    Raises:
        ValueError: A shape is another.
    """
    if isinstance(features_t, Tensor):
        if features_t.shape == (batch, 2):
            return features_t[:, 0], features_t[:, 1]
        found = str(list(features_t.shape))
    else:
        if len(features_t) == 2 and features_t[0].shape == features_t[1].shape == (batch,):
            return features_t
        found = " and ".join(str(list(feature.shape)) for feature in features_t)
    raise ValueError(
        f"A frame's features must be the pair (f0_scaled, loudness_scaled), each [batch] = [{batch}], or one tensor "
        f"[batch, 2] = [{batch}, 2], with the batch that initial_state was given; found {found}."
    )
