"""The student's hidden features against the teacher's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.decoders.linear import FastLinear
from zoo.errors import ConfigError, listing
from zoo.losses.base import Loss, valid_mean
from zoo.losses.weights import Weight

if TYPE_CHECKING:
    from zoo.models.model import Model
    from zoo.models.rendering import Rendering

MATCHES = ("projection", "similarity")

_SMALL = 1e-12


class Feature(Loss):
    """Compare the outputs of both decoders' cores, frame by frame.

    With `match="projection"` the student's features go through a linear map to the teacher's size, which is trained
    with the student and left behind at the end. Both are centred on the batch's mean, and the value is the mean square
    error as a share of the teacher's variance: 0 where they agree, 1 (where it begins) for knowing nothing.

    With `match="similarity"` no map is needed: how alike any two moments of a clip are to the student is compared with
    how alike they are to the teacher (cosine similarities, mean square difference).

    Args:
        weight: See `Loss`.
        match: "projection" or "similarity".
        every: For "similarity": take every so many frames, since all pairs of them are compared.

    Raises:
        ConfigError: An option is out of its range.

    Source: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015; Tung and Mori, "Similarity-Preserving
    Knowledge Distillation", ICCV 2019, within a clip rather than across a batch.
    """

    name = "feature"
    needs = frozenset({"hidden"})

    def __init__(self, *, weight: Weight = 1.0, match: str = "projection", every: int = 8) -> None:
        super().__init__(weight=weight)
        if match not in MATCHES:
            raise ConfigError(f"match of feature is {match!r}; it knows {listing(MATCHES)}.")
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ConfigError(f"every of feature must be a whole number of frames, found {every!r}.")
        self.match = match
        self.every = every
        self.projection: FastLinear | None = None

    def options(self) -> dict[str, Any]:
        """See `Loss.options`."""
        return {"match": self.match, **({"every": self.every} if self.match == "similarity" else {})}

    def bind(self, student: Model, teacher: Model | None) -> None:
        """Build the projection between both sizes."""
        super().bind(student, teacher)
        if self.match == "projection" and teacher is not None:
            sizes = student.decoder.hidden_size, teacher.decoder.hidden_size
            self.projection = FastLinear(*sizes, bias=False)
            # A drawn one would begin at hundreds of the variance of a teacher whose features vary little.
            nn.init.zeros_(self.projection.weight)

    def forward(self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]) -> Tensor:
        """See `Loss.forward`."""
        if teacher is None:
            raise ConfigError(f"The loss {self.label} needs a teacher's rendering.")
        if self.match == "projection" and self.projection is None:
            raise ConfigError(f"The loss {self.label} must be bound to its pair first: loss.bind(student, teacher).")
        # under autocast, products would have three digits, fewer than what two cosines of near features differ by
        with torch.autocast(student.hidden.device.type, enabled=False):
            return self._value(student.hidden.float(), teacher.hidden.float(), batch["valid_frames"])

    def _value(self, mine: Tensor, theirs: Tensor, valid: Tensor) -> Tensor:
        if self.projection is None:
            return self._similarity(mine, theirs, valid)
        theirs = _centred(theirs, valid)
        error = valid_mean((_centred(self.projection(mine), valid) - theirs).square().mean(-1), valid)
        return error / valid_mean(theirs.square().mean(-1), valid).clamp(min=_SMALL)

    def _similarity(self, mine: Tensor, theirs: Tensor, valid_frames: Tensor) -> Tensor:
        chosen = slice(self.every // 2, None, self.every) if mine.shape[1] > self.every // 2 else slice(None)
        position = torch.arange(mine.shape[1], device=mine.device)[chosen]
        valid = position < valid_frames[:, None]
        pairs = valid[:, :, None] & valid[:, None, :]
        difference = _alike(mine[:, chosen], valid) - _alike(theirs[:, chosen], valid)
        return (difference.square() * pairs).sum() / pairs.sum().clamp(min=1)


def _centred(features: Tensor, valid_frames: Tensor) -> Tensor:
    """Features less each channel's mean over the batch's valid frames."""
    valid = (torch.arange(features.shape[1], device=features.device) < valid_frames[:, None])[..., None]
    return features - (features * valid).sum((0, 1)) / valid.sum().clamp(min=1)


def _alike(features: Tensor, valid: Tensor) -> Tensor:
    """Cosine similarities `[batch, frames, frames]`, after taking away what all frames of a clip share."""
    count = valid.sum(1).clamp(min=1)[:, None, None]
    centred = features - (features * valid[..., None]).sum(1, keepdim=True) / count
    unit = F.normalize(centred, dim=-1, eps=_SMALL)
    return unit @ unit.mT
