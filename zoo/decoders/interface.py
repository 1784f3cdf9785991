"""What a decoder is: the class that one derives from, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn


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
    keyword options, and implements `forward`.

    Args:
        control_sizes: The synth's controls, name to size; the controls returned must be exactly these.
    """

    def __init__(self, *, control_sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.control_sizes: dict[str, int] = dict(control_sizes)

    @abstractmethod
    def forward(self, f0_scaled: Tensor, loudness_scaled: Tensor) -> Decoded:
        """Turn features into controls.

        Args:
            f0_scaled: `[batch, frames]`, MIDI / 127 (0 where unvoiced).
            loudness_scaled: `[batch, frames]`, dB / 80 + 1.
        """

    def param_groups(self) -> list[dict[str, Any]]:
        """The parameters as an optimizer takes them, with options of their own where a part needs them.

        A group may set `lr`, `weight_decay` and the like; what it leaves out is the trainer's choice.
        """
        return [{"params": list(self.parameters())}]
