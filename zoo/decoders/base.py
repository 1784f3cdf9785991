"""What a decoder is: the class that one derives from, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from zoo_kernels import exporting

from zoo.errors import listing

if TYPE_CHECKING:
    from zoo_player import Program, Register


class Decoded(NamedTuple):
    """What a decoder makes of features.

    Attributes:
        controls: The synth's raw parameters by name, each `[batch, frames, size]`.
        hidden: The core's output `[batch, frames, hidden]`, which feature distillation compares.
    """

    controls: dict[str, Tensor]
    hidden: Tensor


class Decoder(nn.Module, ABC):
    """A network from scaled features to a synth's controls.

    A child is registered by its name in the entry-point group `zoo_decoders`, takes `control_sizes` and its own
    keyword options, and implements `forward`; `stream_state` and `stream` where it can play block by block; and
    `describe` where the player library has its operations, so that it plays without torch.

    Args:
        control_sizes: The synth's controls, name to size; the controls returned must be exactly these.

    Attributes:
        inputs: Names of the values per frame that it is driven by. The first two are always pitch and loudness, scaled.
            Further ones (a velocity, an instrument's number) go by these names from the caller of a model to here, as
            they are; what is not finite is 0.
    """

    inputs: tuple[str, ...] = ("f0", "loudness")

    def __init__(self, *, control_sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.control_sizes: dict[str, int] = dict(control_sizes)

    @property
    def further_inputs(self) -> tuple[str, ...]:
        """The names in `inputs` after pitch and loudness."""
        return self.inputs[2:]

    @property
    def hidden_size(self) -> int:
        """Channels of `Decoded.hidden`. Found by decoding one frame; a child that knows it may say so."""
        training = self.training
        frame = next(self.parameters()).new_zeros(1, 1)
        try:
            with torch.no_grad():
                further = dict.fromkeys(self.further_inputs, frame)
                return int(self.eval()(frame, frame, **further).hidden.shape[-1])
        finally:
            self.train(training)

    @abstractmethod
    def forward(
        self,
        f0_scaled: Tensor,
        loudness_scaled: Tensor,
        *args: Any,  # noqa: ANN401 - so that a child's signature is free after the first two
        **inputs: Any,  # noqa: ANN401 - as above
    ) -> Decoded:
        """Turn features into controls.

        Args:
            f0_scaled: `[batch, frames]`, MIDI / 127 (0 where unvoiced).
            loudness_scaled: `[batch, frames]`, dB / 80 + 1.
            *args: None. (A child leaves this out, and `inputs` where it has no further ones.)
            **inputs: The further inputs by name, each `[batch, frames]`.
        """

    def stream_state(self, batch: int) -> dict[str, Tensor]:
        """The state before the first frame: named real tensors, whose shapes never change.

        Args:
            batch: Voices that are played at the same time.

        Raises:
            NotImplementedError: The decoder has no streaming interface.
            ValueError: `batch` is not at least 1.
        """
        raise self._no_streaming()

    def stream_constants(self) -> dict[str, Tensor]:
        """What `stream` needs that the parameters alone give (normalised weights, a recurrence), by name; real tensors.

        They are good as long as the parameters, their dtype and their device stay as they are.
        """
        return {}

    def stream(
        self,
        inputs: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        constants: Mapping[str, Tensor] | None = None,
    ) -> tuple[Decoded, dict[str, Tensor]]:
        """Decode the next frames: what `forward` gives for them in eval mode, whatever mode the decoder is in.

        It can be recorded as a graph (`torch.export`, ONNX, `torch.jit.trace`) for a number of frames: real tensors
        only, and no branch on their values. The state that it is given stays as it was, so that it can be kept and
        continued from again.

        Example:
            >>> decoder = zoo.create("gru-S").decoder
            >>> state, constants = decoder.stream_state(1), decoder.stream_constants()
            >>> for _ in range(3):
            ...     inputs = {"f0": torch.rand(1, 8), "loudness": torch.rand(1, 8)}
            ...     decoded, state = decoder.stream(inputs, state, constants)
            >>> decoded.controls["harmonic_distribution"].shape
            torch.Size([1, 8, 100])

        Args:
            inputs: Each `[batch, frames]`, of at least one frame, under the names of the class's `inputs`.
            state: From `stream_state`, or from the block before.
            constants: From `stream_constants`; worked out here by default.

        Returns:
            The frames, and the state after them.

        Raises:
            NotImplementedError: The decoder has no streaming interface.
            ValueError: An input is missing or unknown, or of another shape.
        """
        raise self._no_streaming()

    def describe(self, program: Program) -> dict[str, Register]:
        """Write the decoder as operations of the player library, which plays it without torch.

        Args:
            program: What the operations are added to; see `zoo_player.Program`.

        Returns:
            The controls, by name.

        Raises:
            NotImplementedError: The decoder has no C form.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no C form: only Python with torch plays it. For the player library, its author "
            "has to implement describe of zoo.decoders.Decoder."
        )

    def features(self, inputs: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """What `stream` is given, in the order of the class's `inputs`, once it is sure that it fits.

        Args:
            inputs: As `stream` takes them.
            state: As `stream` takes it, each tensor with one row per voice.

        Raises:
            ValueError: It does not fit.
        """
        if set(inputs) != set(self.inputs):
            raise ValueError(f"{type(self).__name__} is driven by {listing(self.inputs)}; found {listing(inputs)}.")
        values = tuple(inputs[name] for name in self.inputs)
        if not exporting():  # a tracer takes shapes for data
            batch = next((len(tensor) for tensor in state.values()), len(values[0]))
            shape = values[0].shape
            fits = len(shape) == 2 and shape[0] == batch and shape[1] > 0
            if not fits or any(value.shape != shape for value in values):
                found = " and ".join(str(list(value.shape)) for value in values)
                raise ValueError(
                    f"Each input must be [batch, frames] of at least one frame, with the batch that stream_state was "
                    f"given, {batch}; found {found}."
                )
        return values

    def registers(self, program: Program) -> tuple[Register, ...]:
        """What drives the decoder, in the order of the class's `inputs`, for `describe`."""
        first = program.input("f0_hz", "f0_midi"), program.input("loudness_db", "loudness")
        return *first, *(program.input(name) for name in self.further_inputs)

    def _no_streaming(self) -> NotImplementedError:
        return NotImplementedError(
            f"{type(self).__name__} has no streaming interface: it decodes whole clips only (call it with [batch, "
            "frames]). To play it block by block, its author has to implement stream_state and stream of "
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
        raise ValueError(f"stream_state needs a batch of at least 1, found {batch}.")
