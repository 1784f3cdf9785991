"""What a synth is: the class that one derives from, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zoo.errors import listing
from zoo.storage.model_range import ModelRange
from zoo.synths.reverb import Reverb

if TYPE_CHECKING:
    from zoo_player import Program, Register


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
    keyword options, says its controls' names and sizes, and implements `forward`; and `latency`, `stream_state`,
    `stream_constants` and `stream` where it can play block by block, and `describe` where the player library can play
    it. One that is a tone with a pitch, with noise and a reverb where wanted, has all of that from
    `zoo.synths.PitchedSynth`.

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
        """Keep silent from now on, in `forward` and `stream`, what never sounded in a model's training data.

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
        self.check_shapes(f0_hz, controls, noise)
        if f0_hz.is_cuda and torch.cuda.is_current_stream_capturing():
            return  # a graph cannot wait for the device's answer
        for name in self.control_sizes:
            value = controls[name].detach()
            if value.sum().isnan() and value.isnan().any():  # infinities may cancel in the sum
                raise ValueError(
                    f"The control {name!r} holds NaN: "
                    "the decoder's weights or the features that drive it are not finite."
                )

    def check_shapes(self, f0_hz: Tensor, controls: Mapping[str, Tensor], noise: Tensor | None = None) -> None:
        """Refuse what does not fit, without a look at any value; a child's `stream` may call this first.

        Args:
            f0_hz: As `forward` takes it.
            controls: As `forward` takes them.
            noise: As `forward` takes it.

        Raises:
            ValueError: Shapes disagree, or a control is missing.
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
        """Frames that `stream` is behind: a frame's audio depends on so many frames after it.

        Raises:
            NotImplementedError: The synth has no streaming interface.
        """
        raise self._no_streaming()

    def stream_state(self, batch: int) -> dict[str, Tensor]:
        """The state before the first frame, for `stream`: named real tensors, whose shapes stay as they are.

        Args:
            batch: Voices that are played at the same time.

        Raises:
            NotImplementedError: The synth has no streaming interface.
            ValueError: `batch` is not at least 1.
        """
        raise self._no_streaming()

    def stream_constants(self) -> dict[str, Tensor]:
        """What the parameters alone give, for `stream`: worked out once, and good as long as they stay as they are."""
        return {}

    def stream(
        self,
        inputs: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        constants: Mapping[str, Tensor] | None = None,
    ) -> tuple[Synthesis, dict[str, Tensor]]:
        """Render the next frames: what `forward` gives for a whole clip, piece by piece and `latency` frames late.

        To hear the end of a clip, go on with its last frame's pitch and controls for `latency` frames more, and noise
        of zeros. The state that is given stays as it was. Nothing here may branch on a value or use complex numbers, so
        that `torch.export` and others can take it as a graph for a number of frames. Values are not checked.

        Example:
            >>> synth = zoo.create("gru-S").synth
            >>> state, constants = synth.stream_state(1), synth.stream_constants()
            >>> inputs = {name: torch.randn(1, 4, size) for name, size in synth.control_sizes.items()}
            >>> inputs |= {"f0_hz": torch.full((1, 4), 440.0), "noise": torch.rand(1, 4 * synth.hop) * 2 - 1}
            >>> made, state = synth.stream(inputs, state, constants)
            >>> made.audio.shape
            torch.Size([1, 256])

        Args:
            inputs: `f0_hz` `[batch, frames]` in Hz, 0 where unvoiced; `noise` `[batch, frames * hop]` uniform in
                [-1, 1); and each raw control by its name, `[batch, frames, size]`. Any number of frames from one on.
            state: From `stream_state`, or from the frames before.
            constants: From `stream_constants`; worked out here where not given, which takes longer than the frames.

        Returns:
            As `forward`, each part `[batch, frames * hop]` of audio that began `latency` frames earlier (the first
            `latency` frames of all are silence) and `scaled_controls` of these frames; and the state after them.

        Raises:
            NotImplementedError: The synth has no streaming interface.
            ValueError: Shapes disagree, or an input is missing.
        """
        raise self._no_streaming()

    def describe(self, program: Program, controls: Mapping[str, Register]) -> Register:
        """Write the synth as operations of the player library, which plays it in C, as `stream` does.

        Args:
            program: What is written to; `program.input` gives the pitch.
            controls: The raw controls.

        Returns:
            The frame's audio, `latency` frames late.

        Raises:
            NotImplementedError: The synth has no C form.
        """
        raise self._no_c_form()

    def _no_c_form(self) -> NotImplementedError:
        return NotImplementedError(
            f"{type(self).__name__} has no C form: Python with torch plays it. To have one, its author has to "
            "implement describe of zoo.synths.Synth, or describe_controls and describe_tone of "
            "zoo.synths.PitchedSynth."
        )

    def _no_streaming(self) -> NotImplementedError:
        return NotImplementedError(
            f"{type(self).__name__} has no streaming interface: it renders whole clips only (call it with [batch, "
            "frames]). To play it block by block, its author has to implement latency, stream_state and stream of "
            "zoo.synths.Synth, or to derive it from zoo.synths.PitchedSynth."
        )
