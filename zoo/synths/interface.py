"""What a synth is: the class that one derives from, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass
class Synthesis:
    """What a synth makes of controls; audio is `[batch, samples]`.

    Attributes:
        audio: The result.
        dry: The result before a reverb; the same tensor as `audio` where there is none.
        harmonic: The pitched part, where the synth has parts.
        noise: The noise part, where the synth has parts.
    """

    audio: Tensor
    dry: Tensor
    harmonic: Tensor | None = None
    noise: Tensor | None = None


class Synth(nn.Module, ABC):
    """A differentiable signal processor from controls to audio.

    A child is registered by its name in the entry-point group `zoo_synths`, takes `sample_rate`, `hop` and its own
    keyword options, says its controls' names and sizes, and implements `forward`.

    Args:
        sample_rate: In Hz.
        hop: Samples a frame.
        control_sizes: The controls that it is driven by, name to size.
    """

    def __init__(self, *, sample_rate: int, hop: int, control_sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.hop = hop
        self.control_sizes: dict[str, int] = dict(control_sizes)

    @abstractmethod
    def forward(self, f0_hz: Tensor, controls: Mapping[str, Tensor], noise: Tensor | None = None) -> Synthesis:
        """Render audio.

        Args:
            f0_hz: `[batch, frames]` in Hz, 0 where unvoiced.
            controls: Raw controls, each `[batch, frames, size]`.
            noise: `[batch, frames * hop]` uniform in [-1, 1); drawn when not given.
        """
