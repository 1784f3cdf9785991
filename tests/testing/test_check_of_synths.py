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


class ReturnsItsAudio(Buzz):
    def forward(self, f0_hz, controls, noise=None):
        return super().forward(f0_hz, controls, noise).audio


class ReturnsNoDrySound(Buzz):
    def forward(self, f0_hz, controls, noise=None):
        return Synthesis(super().forward(f0_hz, controls, noise).audio)


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


class Streaming(Buzz):
    """A buzz that plays block by block, one frame late though it need not be."""

    latency = 1

    def stream_state(self, batch):
        return {"late": torch.zeros(batch, self.hop), "turns": torch.zeros(batch, 1)}

    def stream(self, inputs, state, constants=None):
        cycles = (inputs["f0_hz"].repeat_interleave(self.hop, 1) / self.sample_rate).cumsum(1) + state["turns"]
        level, air = (inputs[name].sigmoid()[..., 0].repeat_interleave(self.hop, 1) for name in ("level", "air"))
        now = self.amplitude() * level * torch.sin(2 * torch.pi * cycles) + 0.1 * air * inputs["noise"]
        audio = torch.cat([state["late"], now], 1)
        after = {"late": audio[:, -self.hop :], "turns": cycles[:, -1:] % 1}
        return Synthesis(audio[:, : -self.hop], audio[:, : -self.hop]), after


class StreamsWithoutItsPhase(Streaming):
    def stream(self, inputs, state, constants=None):
        return super().stream(inputs, {**state, "turns": torch.zeros_like(state["turns"])})


class StreamsAtOnce(Streaming):
    def stream_state(self, batch):
        return {**super().stream_state(batch), "late": torch.ones(batch, self.hop)}


class StreamsInItsState(Streaming):
    def stream(self, inputs, state, constants=None):
        made, after = super().stream(inputs, state)
        audio = made.audio.clone()
        state["late"].copy_(after["late"])
        return Synthesis(audio, audio), {**after, "late": state["late"]}


class StreamsByTheFrame(Streaming):
    def stream(self, inputs, state, constants=None):
        made, after = super().stream(inputs, state)
        return Synthesis(made.audio[:, : self.hop], made.dry), after


class StreamsWithAGrowingState(Streaming):
    def stream_state(self, batch):
        return {**super().stream_state(batch), "pitches": torch.zeros(batch, 1)}

    def stream(self, inputs, state, constants=None):
        made, after = super().stream(inputs, state)
        return made, {**after, "pitches": torch.cat([state["pitches"], inputs["f0_hz"]], 1)}


class StreamsByValue(Streaming):
    def stream(self, inputs, state, constants=None):
        made, after = super().stream(inputs, state)
        return (made, after) if bool((inputs["f0_hz"] >= 0).all()) else (Synthesis(0 * made.audio, made.dry), after)


class StreamsAnotherWayInTraining(Streaming):
    def stream(self, inputs, state, constants=None):
        made, after = super().stream(inputs, state)
        return Synthesis(made.audio * (0.5 if self.training else 1), made.dry), after


class CannotBegin(Streaming):
    stream_state = Synth.stream_state


def test_good_synth_passes_at_any_rate():
    for synth in (Buzz, Streaming):
        check_synth(synth)
        check_synth(synth, sample_rate=44100, hop=147)


@pytest.mark.parametrize(
    ("synth", "promise", "found"),
    [
        (ReturnsItsAudio, "forward must return a zoo.synths.Synthesis", "Tensor"),
        (ReturnsNoDrySound, "returns a zoo.synths.Synthesis of audio and dry", "missing .* 'dry'"),
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
        (StreamsWithoutItsPhase, "blocks are what forward gives for a clip", "apart"),
        (StreamsAtOnce, "first `latency` blocks are silence", "sound"),
        (StreamsInItsState, "leaves the state that it is given as it was", "another one"),
        (StreamsByTheFrame, "any number of frames", r"\[2, 2624\]"),
        (StreamsWithAGrowingState, "same names, shapes and dtypes", r"pitches: .*\[2, 1\].*, then .*\[2, 4\]"),
        (StreamsByValue, "torch.export takes stream as a graph", "data-dependent"),
        (StreamsAnotherWayInTraining, "In training mode, stream gives the same audio", "apart"),
        (CannotBegin, "or none of them", "only latency, stream"),
    ],
)
def test_broken_synth_fails(synth, promise, found):
    with pytest.raises(AssertionError, match=rf"synth {synth.__name__} .*Promised: .*{promise}.*Found: .*{found}"):
        check_synth(synth)
