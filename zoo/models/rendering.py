"""All that a model makes of a batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Rendering:
    """All that a model made of a batch; audio is `[batch, samples]`, per-frame values `[batch, frames, size]`.

    Attributes:
        audio: The result.
        dry: The result before a reverb.
        harmonic: The pitched part, where the synth has parts.
        noise: The noise part, where the synth has parts.
        controls: The decoder's raw outputs by name, before any scaling.
        hidden: The output of the decoder's core.
        scaled_controls: The controls as the synth's signal path used them; empty where it does not show them.
        sample_rate: Of the audio in Hz, where it is known.
    """

    audio: Tensor
    dry: Tensor
    harmonic: Tensor | None
    noise: Tensor | None
    controls: dict[str, Tensor]
    hidden: Tensor
    scaled_controls: dict[str, Tensor] = field(default_factory=dict)
    sample_rate: int | None = None

    def _repr_html_(self) -> str:
        """As notebooks show it: a player, a spectrogram and measures."""
        from zoo.models.html import rendering_html

        return rendering_html(self)

    def only(self, fields: Iterable[str]) -> Rendering:
        """With some of its fields, of `zoo.losses.distillation.NEEDS`; the others are empty, and their memory free."""
        fields = set(fields)
        none = self.audio.new_empty(len(self.audio), 0)
        return Rendering(
            audio=self.audio if "audio" in fields else none,
            dry=self.dry if "dry" in fields else none,
            harmonic=None,
            noise=None,
            controls=self.controls if "controls" in fields else {},
            hidden=self.hidden if "hidden" in fields else none[..., None],
            scaled_controls=self.scaled_controls if "scaled_controls" in fields else {},
            sample_rate=self.sample_rate,
        )
