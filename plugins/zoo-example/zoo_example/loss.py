"""The loss `example_level`: is the student as loud as the recording?"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from zoo import Rendering
from zoo.losses import Loss, valid_mean


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
        return valid_mean(difference.abs(), batch["valid_frames"])


def _level_db(audio: Tensor, frames: int) -> Tensor:
    power = audio.reshape(len(audio), frames, -1).square().mean(dim=-1)
    return 10 * torch.log10(power + 1e-6)  # -60 dB for silence, whose logarithm has no gradient
