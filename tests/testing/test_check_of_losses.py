"""The check of losses can fail, and says what is promised and what was found."""

import pytest
import torch
from torch import nn

from zoo.losses.distillation import Loss
from zoo.testing import check_loss


class Level(Loss):
    """Compares levels with the teacher's, frame by frame, and leaves padding out: keeps every promise."""

    name = "level"
    needs = frozenset({"audio"})

    def of(self, rendering, batch):
        frames = rendering.audio.unflatten(1, (batch["f0_hz"].shape[1], -1))
        levels = (frames.square().mean(-1) + 1e-6).sqrt()
        return levels * (torch.arange(levels.shape[1]) < batch["valid_frames"][:, None])

    def forward(self, student, teacher, batch):
        return (self.of(student, batch) - self.of(teacher, batch)).square().mean()


class Nameless(Level):
    name = ""


class AsksForMore(Level):
    needs = frozenset({"audio", "sheet_music"})


class LosesWeight(Level):
    def __init__(self, *, weight=1.0):
        super().__init__()


class TakesNoTeacher(Level):
    def bind(self, student, teacher):
        pass


class OneValueARow(Level):
    def forward(self, student, teacher, batch):
        return (self.of(student, batch) - self.of(teacher, batch)).square().mean(1)


class Drawn(Level):
    def forward(self, student, teacher, batch):
        return super().forward(student, teacher, batch) + torch.rand(())


class Constant(Level):
    def forward(self, student, teacher, batch):
        return super().forward(student, teacher, batch).detach()


class NaNOfSilence(Level):
    def of(self, rendering, batch):
        return super().of(rendering, batch) + rendering.audio.square().sum().sqrt()


class CountsPadding(Level):
    def forward(self, student, teacher, batch):
        return (student.audio - teacher.audio).square().mean()


class ForgetsItsScale(Level):
    def bind(self, student, teacher):
        super().bind(student, teacher)
        self.scale = 1 + torch.rand(())

    def forward(self, student, teacher, batch):
        return self.scale * super().forward(student, teacher, batch)


class HasADeadParameter(Level):
    def __init__(self, *, weight=1.0):
        super().__init__(weight=weight)
        self.projection = nn.Linear(3, 3)


def test_good_loss_passes():
    check_loss(Level)
    check_loss(Level, options={"weight": 0.25}, student="tcn-S", teacher="tcn-S")


@pytest.mark.parametrize(
    ("loss", "promise", "found"),
    [
        (Nameless, "sets name", "''"),
        (AsksForMore, "out of audio, controls, dry, hidden", "sheet_music"),
        (LosesWeight, "weight= is handed", "1.0"),
        (TakesNoTeacher, "refuses a missing teacher", "no error"),
        (OneValueARow, r"value is \[\]", r"\[2\]"),
        (Drawn, "same twice", "apart"),
        (Constant, "has a gradient", "a constant"),
        (NaNOfSilence, "all zeros, its gradient is finite", "NaN"),
        (CountsPadding, "is padding, and does not count", "apart"),
        (ForgetsItsScale, "lies in its state_dict", "apart"),
        (HasADeadParameter, "gradient for every parameter", "none for projection"),
    ],
)
def test_broken_loss_fails(loss, promise, found):
    options = {"weight": 0.5} if loss is LosesWeight else {}
    with pytest.raises(AssertionError, match=rf"loss {loss.__name__} .*Promised: .*{promise}.*Found: .*{found}"):
        check_loss(loss, options=options)
