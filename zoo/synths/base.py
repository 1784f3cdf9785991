"""What a synth is: the class that one derives from, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from zoo.errors import listing
from zoo.storage.model_range import ModelRange
from zoo.synths.reverb import Reverb

# What `step` carries from one frame to the next. Every synth has a type of its own, which concerns nobody else.
SynthState: TypeAlias = Any


@dataclass
class Synthesis:
    """What a synth makes of controls; audio is `[batch, samples]`.

    Attributes:
        audio: The result.
        dry: The result before a reverb; the same tensor as `audio` where there is none.
        harmonic: The pitched part, where the synth has parts.
        noise: The noise part, where the synth has parts.
        scaled_controls: The controls as the signal path used them; empty where the synth does not show them.
    """

    audio: Tensor
    dry: Tensor
    harmonic: Tensor | None = None
    noise: Tensor | None = None
    scaled_controls: dict[str, Tensor] = field(default_factory=dict)


class Synth(nn.Module, ABC):
    """A differentiable signal processor from controls to audio.

    A child is registered by its name in the entry-point group `zoo_synths`, takes `sample_rate`, `hop` and its own
    keyword options, says its controls' names and sizes, and implements `forward`; and `latency`, `initial_state`,
    `step` and `flush` where it can play frame by frame. One that is a tone with a pitch, with noise and a reverb where
    wanted, has all of that from `zoo.synths.PitchedSynth`.

    Args:
        sample_rate: In Hz.
        hop: Samples per frame.
        control_sizes: The controls that it is driven by, name to size.
        reverb: What the dry sound goes through last; None for none.
    """

    def __init__(
        self, *, sample_rate: int, hop: int, control_sizes: Mapping[str, int], reverb: Reverb | None = None
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.hop = hop
        self.control_sizes: dict[str, int] = dict(control_sizes)
        self.reverb = reverb

    def control_scales(self) -> dict[str, str]:
        """What each value in `Synthesis.scaled_controls` means, by name.

        The loss `control` compares the controls of two synths where both say the same in the same words, options that
        matter included. Empty, as here, for a synth whose controls no other synth shares.
        """
        return {}

    def restrict(self, trained: ModelRange | None) -> None:
        """Keep silent from now on, in `forward` and `step`, what never sounded in the data that a model was trained on.

        A `Model` calls this with the range in its config: when it is built, and when it is given another one. What is
        played inside the range must not change. By default, as here, nothing is kept silent.

        Args:
            trained: What the model was trained to play; None where that is unknown: then everything may sound.
        """

    def check_inputs(self, f0_hz: Tensor, controls: Mapping[str, Tensor], noise: Tensor | None = None) -> None:
        """Refuse what would end in an obscure error or in NaN audio; a child's `forward` may call this first.

        Args:
            f0_hz: As `forward` takes it. Its values are not looked at.
            controls: As `forward` takes them.
            noise: As `forward` takes it.

        Raises:
            ValueError: Shapes disagree, a control is missing, or one holds NaN.
        """
        if f0_hz.ndim != 2 or f0_hz.numel() == 0:
            raise ValueError(f"f0_hz must be [batch, frames], with at least one of each; found {list(f0_hz.shape)}.")
        batch, frames = f0_hz.shape
        for name, size in self.control_sizes.items():
            if name not in controls:
                raise ValueError(f"The control {name!r} is missing; there are {listing(controls)}.")
            if controls[name].shape != (batch, frames, size):
                raise ValueError(
                    f"The control {name!r} must be [batch, frames, size] = {[batch, frames, size]}, as f0_hz is "
                    f"{[batch, frames]}; found {list(controls[name].shape)}."
                )
        if noise is not None and noise.shape != (batch, frames * self.hop):
            raise ValueError(
                f"noise must be [batch, frames * hop] = {[batch, frames * self.hop]}, as f0_hz is {[batch, frames]}; "
                f"found {list(noise.shape)}."
            )
        if f0_hz.is_cuda and torch.cuda.is_current_stream_capturing():
            return  # a graph cannot wait for the device's answer
        for name in self.control_sizes:
            value = controls[name].detach()
            if value.sum().isnan() and value.isnan().any():  # infinities may cancel in the sum
                raise ValueError(
                    f"The control {name!r} holds NaN: "
                    "the decoder's weights or the features that drive it are not finite."
                )

    @abstractmethod
    def forward(self, f0_hz: Tensor, controls: Mapping[str, Tensor], noise: Tensor | None = None) -> Synthesis:
        """Render audio.

        Args:
            f0_hz: `[batch, frames]` in Hz, 0 where unvoiced.
            controls: Raw controls, each `[batch, frames, size]`.
            noise: `[batch, frames * hop]` uniform in [-1, 1); drawn when not given.
        """

    @property
    def latency(self) -> int:
        """Frames that `step` is behind: a frame's audio depends on so many frames after it.

        Raises:
            NotImplementedError: The synth has no streaming interface.
        """
        raise self._no_streaming()

    def initial_state(self, batch: int) -> SynthState:
        """The state before the first frame, for `step`.

        What the parameters alone give is computed here, once: a state is good as long as they stay as they are.

        Args:
            batch: Voices that are played at the same time.

        Raises:
            NotImplementedError: The synth has no streaming interface.
            ValueError: `batch` is not at least 1.
        """
        raise self._no_streaming()

    def step(
        self, f0_hz: Tensor, controls: Mapping[str, Tensor], noise: Tensor, state: SynthState
    ) -> tuple[Synthesis, SynthState]:
        """Render the next frames: what `forward` gives for a whole clip, piece by piece and `latency` frames late.

        It is for playing: no gradients. The state that it is given stays as it was.

        Args:
            f0_hz: `[batch, frames]` in Hz, 0 where unvoiced; any number of frames from one on.
            controls: Raw controls, each `[batch, frames, size]`.
            noise: `[batch, frames * hop]` uniform in [-1, 1).
            state: From `initial_state`, or from the step before.

        Returns:
            As `forward`, each part `[batch, frames * hop]` of audio that began `latency` frames earlier (the first
            `latency` frames of all are silence) and `scaled_controls` of these frames; and the state after them.

        Raises:
            NotImplementedError: The synth has no streaming interface.
            ValueError: Shapes disagree, a control is missing, or one holds NaN.
        """
        raise self._no_streaming()

    def flush(self, state: SynthState) -> Synthesis:
        """What is still to come when no frame follows, each part `[batch, latency * hop]`.

        All pieces in a row, without the first `latency` frames, are what `forward` gives for the clip.

        Args:
            state: From `initial_state`, or from the last step.

        Raises:
            NotImplementedError: The synth has no streaming interface.
        """
        raise self._no_streaming()

    def _no_streaming(self) -> NotImplementedError:
        return NotImplementedError(
            f"{type(self).__name__} has no streaming interface: it renders whole clips only (call it with [batch, "
            "frames]). To play it frame by frame, its author has to implement latency, initial_state, step and flush "
            "of zoo.synths.Synth, or to derive it from zoo.synths.PitchedSynth."
        )
