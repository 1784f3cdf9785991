"""The loss `example_level`: is the student as loud as the recording?"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from zoo.losses.distillation import Loss
from zoo.models.model import Rendering


class ExampleLevel(Loss):
    """Mean absolute difference of the frames' levels, in dB, to the recording's.

    Args:
        weight: Factor of this term in the sum that is minimised.
    """

    name = "example_level"

    def forward(self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]) -> Tensor:
        """Compare `student.audio` with `batch["audio"]`, `[batch, samples]` each."""
        frames = batch["f0_hz"].shape[1]
        difference = _level_db(student.audio, frames) - _level_db(batch["audio"], frames)
        valid = torch.arange(frames, device=difference.device) < batch["valid_frames"][:, None]
        return (difference.abs() * valid).sum() / valid.sum().clamp(min=1)


def _level_db(audio: Tensor, frames: int) -> Tensor:
    power = audio.reshape(len(audio), frames, -1).square().mean(dim=-1)
    return 10 * torch.log10(power + 1e-6)  # -60 dB for silence, whose logarithm has no gradient
