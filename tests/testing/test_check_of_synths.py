"""The check of synths can fail, and says what is promised and what was found."""

import pytest
import torch
from torch import nn

from zoo.synths import Synth, Synthesis
from zoo.testing import check_synth


class Buzz(Synth):
    """A sawtooth of a given colour and a bit of noise, which keeps every promise."""

    def __init__(self, *, sample_rate, hop):
        super().__init__(sample_rate=sample_rate, hop=hop, control_sizes={"level": 1, "air": 1})
        self.gain = nn.Parameter(torch.rand(()))

    def amplitude(self):
        return self.gain

    def tone(self, f0_hz):
        phase = (f0_hz.repeat_interleave(self.hop, 1) / self.sample_rate).cumsum(1)
        return torch.sin(2 * torch.pi * phase)

    def forward(self, f0_hz, controls, noise=None):
        if noise is None:
            noise = torch.rand(len(f0_hz), f0_hz.shape[1] * self.hop) * 2 - 1
        level, air = (controls[name].sigmoid().squeeze(-1).repeat_interleave(self.hop, 1) for name in ("level", "air"))
        audio = self.amplitude() * level * self.tone(f0_hz) + 0.1 * air * noise
        return Synthesis(audio, audio)


class OtherRate(Buzz):
    def __init__(self, *, sample_rate, hop):
        super().__init__(sample_rate=44100, hop=hop)


class NoControls(Buzz):
    def __init__(self, *, sample_rate, hop):
        super().__init__(sample_rate=sample_rate, hop=hop)
        self.control_sizes = {}


class TooShort(Buzz):
    def forward(self, f0_hz, controls, noise=None):
        audio = super().forward(f0_hz, controls, noise).audio[:, :-1]
        return Synthesis(audio, audio)


class DividesByPitch(Buzz):
    def tone(self, f0_hz):
        return super().tone(1 / (1 / f0_hz - 1 / f0_hz + 1 / f0_hz))


class Exploding(Buzz):
    def forward(self, f0_hz, controls, noise=None):
        made = super().forward(f0_hz, controls, noise)
        audio = made.audio * torch.exp(controls["level"] * 5).repeat_interleave(self.hop, 1).squeeze(-1)
        return Synthesis(audio, audio)


class IgnoresGivenNoise(Buzz):
    def forward(self, f0_hz, controls, noise=None):
        return super().forward(f0_hz, controls, None)


class RowsAreMixed(Buzz):
    def tone(self, f0_hz):
        return super().tone(f0_hz).mean(0, keepdim=True)


class DeafToAir(Buzz):
    def forward(self, f0_hz, controls, noise=None):
        return super().forward(f0_hz, {**controls, "air": 0 * controls["air"]}, noise)


class GainIsNotTrained(Buzz):
    def amplitude(self):
        return self.gain.detach()


class GainIsNotSaved(Buzz):
    def __init__(self, *, sample_rate, hop):
        super().__init__(sample_rate=sample_rate, hop=hop)
        self.colour = 1 + torch.rand(())

    def tone(self, f0_hz):
        return super().tone(f0_hz) * self.colour


def test_good_synth_passes_at_any_rate():
    check_synth(Buzz)
    check_synth(Buzz, sample_rate=44100, hop=147)


@pytest.mark.parametrize(
    ("synth", "promise", "found"),
    [
        (OtherRate, r"given, \(16000, 64\)", r"\(44100, 64\)"),
        (NoControls, "control_sizes says", "{}"),
        (TooShort, r"is \[2, 2560\]", r"\[2, 2559\]"),
        (DividesByPitch, "is finite", "NaN"),
        (Exploding, "of controls of 30 .* is finite", "infinite"),
        (IgnoresGivenNoise, "function of its inputs alone", "apart"),
        (RowsAreMixed, "do not see each other", "apart"),
        (DeafToAir, "depends on the control 'air'", "zeros"),
        (GainIsNotTrained, "gradient for every parameter", "none for gain"),
        (GainIsNotSaved, "lies in its state_dict", "apart"),
    ],
)
def test_broken_synth_fails(synth, promise, found):
    with pytest.raises(AssertionError, match=rf"synth {synth.__name__} .*Promised: .*{promise}.*Found: .*{found}"):
        check_synth(synth)
