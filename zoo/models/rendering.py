"""All that a model makes of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
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

    def row(self, place: int) -> Rendering:
        """One of a batch, as a batch of one with memory of its own."""
        return _each(lambda parts: parts[0][place : place + 1].clone(), [self])

    def followed_by(self, others: Iterable[Rendering]) -> Rendering:
        """This and others of the same fields and lengths, as one batch."""
        return _each(torch.cat, [self, *others])

    def bytes(self) -> int:
        """The memory that its tensors take."""
        own = [self.audio, self.dry, self.harmonic, self.noise, self.hidden]
        tensors = [*own, *self.controls.values(), *self.scaled_controls.values()]
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def _each(function: Callable[[list[Tensor]], Tensor], renderings: Sequence[Rendering]) -> Rendering:
    """Apply a function to each field of several renderings that have the same fields."""
    first = renderings[0]

    def part(name: str) -> Tensor | None:
        values = [getattr(one, name) for one in renderings]
        return None if values[0] is None else function(values)

    return Rendering(
        audio=function([one.audio for one in renderings]),
        dry=function([one.dry for one in renderings]),
        harmonic=part("harmonic"),
        noise=part("noise"),
        controls={name: function([one.controls[name] for one in renderings]) for name in first.controls},
        hidden=function([one.hidden for one in renderings]),
        scaled_controls={
            name: function([one.scaled_controls[name] for one in renderings]) for name in first.scaled_controls
        },
        sample_rate=first.sample_rate,
    )
