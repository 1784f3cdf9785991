"""Each of the checks that plugins' tests call can fail, and says what is promised and what was found."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from zoo.config import ComponentConfig, ModelConfig
from zoo.datasets import Recording
from zoo.decoders import Decoded, Decoder
from zoo.errors import ConfigError
from zoo.losses.distillation import Loss
from zoo.synths import Synth, Synthesis
from zoo.testing import check_dataset, check_decoder, check_loss, check_metric, check_model, check_pitch, check_synth


class Good(Decoder):
    """A decoder with a memory of one frame, which keeps every promise; each broken one below changes one thing."""

    def __init__(self, *, control_sizes, width=6):
        super().__init__(control_sizes=control_sizes)
        self.enter = nn.Linear(2, width)
        self.leave = nn.ModuleDict({name: nn.Linear(2 * width, size) for name, size in control_sizes.items()})

    def decode(self, hidden, before):
        hidden = torch.cat([hidden, before], -1)
        return Decoded({name: layer(hidden) for name, layer in self.leave.items()}, hidden)

    def forward(self, f0_scaled, loudness_scaled):
        hidden = self.enter(torch.stack([f0_scaled, loudness_scaled], -1)).tanh()
        return self.decode(hidden, nn.functional.pad(hidden, (0, 0, 1, 0))[:, :-1])

    def initial_state(self, batch):
        return self.enter.weight.new_zeros(batch, self.enter.out_features)

    @torch.no_grad()
    def step(self, features_t, state):
        features = features_t if isinstance(features_t, torch.Tensor) else torch.stack(features_t, -1)
        hidden = self.enter(features).tanh()
        return self.decode(hidden, state), hidden


class Constructor(Good):
    def __init__(self, sizes):
        super().__init__(control_sizes=sizes)


class NotADecoder(nn.Module):
    def __init__(self, *, control_sizes):
        super().__init__()


class OtherControls(Good):
    def __init__(self, *, control_sizes):
        super().__init__(control_sizes={**control_sizes, "reed": 1})


class MissingControl(Good):
    def decode(self, hidden, before):
        decoded = super().decode(hidden, before)
        decoded.controls.pop("amplitude")
        return decoded


class WrongShape(Good):
    def forward(self, f0_scaled, loudness_scaled):
        controls, hidden = super().forward(f0_scaled, loudness_scaled)
        return Decoded({name: value[:, :-1] for name, value in controls.items()}, hidden)


class FlatHidden(Good):
    def forward(self, f0_scaled, loudness_scaled):
        controls, hidden = super().forward(f0_scaled, loudness_scaled)
        return Decoded(controls, hidden.mean(-1))


class NaNInSilence(Good):
    def forward(self, f0_scaled, loudness_scaled):
        return super().forward(f0_scaled / f0_scaled.amax(1, keepdim=True), loudness_scaled)


class Random(Good):
    def forward(self, f0_scaled, loudness_scaled):
        return super().forward(f0_scaled + 0.1 * torch.rand_like(f0_scaled), loudness_scaled)


class SeesOtherRows(Good):
    def forward(self, f0_scaled, loudness_scaled):
        return super().forward(f0_scaled - f0_scaled.mean(), loudness_scaled)


class Detached(Good):
    def decode(self, hidden, before):
        return super().decode(hidden.detach(), before.detach())


class GroupsLackOne(Good):
    def param_groups(self):
        return [{"params": list(self.leave.parameters())}]


class GroupsHoldTwice(Good):
    def param_groups(self):
        return [{"params": list(self.parameters())}, {"params": list(self.enter.parameters()), "lr": 1e-3}]


class ForgetsOnSaving(Good):
    def __init__(self, *, control_sizes):
        super().__init__(control_sizes=control_sizes)
        self.gain = 1 + torch.rand(())  # neither a parameter nor a buffer

    def forward(self, f0_scaled, loudness_scaled):
        return super().forward(self.gain * f0_scaled, loudness_scaled)


class StepDiffers(Good):
    def step(self, features_t, state):
        decoded, _ = super().step(features_t, state)
        return decoded, state  # the memory never moves on


class StepChangesState(Good):
    def step(self, features_t, state):
        decoded, after = super().step(features_t, state)
        return decoded, state.copy_(after)


class StepWithoutState(Good):
    initial_state = Decoder.initial_state


class StepTakesPairsOnly(Good):
    def step(self, features_t, state):
        f0_scaled, loudness_scaled = features_t
        return super().step((f0_scaled, loudness_scaled), state)


class StepRecordsGradients(Good):
    def step(self, features_t, state):
        with torch.enable_grad():
            return super().step.__wrapped__(self, features_t, state)


class Float32Only(Good):
    def forward(self, f0_scaled, loudness_scaled):
        controls, hidden = super().forward(f0_scaled, loudness_scaled)
        return Decoded({name: value.float() for name, value in controls.items()}, hidden)


def test_good_decoder_passes_with_and_without_options():
    check_decoder(Good)
    check_decoder(Good, options={"width": 3}, synth_options={"harmonics": 10})


@pytest.mark.parametrize(
    ("decoder", "promise", "found"),
    [
        (Constructor, "built with control_sizes=", "TypeError"),
        (NotADecoder, r"derives from zoo\.decoders\.Decoder", "Module"),
        (OtherControls, "control_sizes are those that it was given", "'reed': 1"),
        (MissingControl, "controls are exactly", r"\['harmonic_distribution', 'noise_bands'\]"),
        (WrongShape, r"'amplitude' of a clip .* is \[3, 60, 1\]", r"\[3, 59, 1\]"),
        (FlatHidden, r"hidden of a clip .* is \[3, 60, 1\]", r"\[3, 60\]"),
        (NaNInSilence, "of silence .* is finite", "NaN"),
        (Random, "deterministic", "apart"),
        (SeesOtherRows, "do not see each other", "apart"),
        (Detached, "a gradient for every parameter", r"none for enter\.bias, enter\.weight"),
        (GroupsLackOne, "every parameter exactly once", r"enter\.weight 0 times"),
        (GroupsHoldTwice, "torch.optim.AdamW takes", "more than one parameter group"),
        (ForgetsOnSaving, "lies in its state_dict", "apart"),
        (StepDiffers, "step gives frame by frame what forward gives", "apart"),
        (StepChangesState, "leaves the state that it is given", "apart"),
        (StepWithoutState, "both initial_state and step", "only step"),
        (StepTakesPairsOnly, "then step", "ValueError"),
        (StepRecordsGradients, "records no gradients", "requires_grad"),
        (Float32Only, "dtype of the inputs", "float32"),
    ],
)
def test_broken_decoder_fails(decoder, promise, found):
    with pytest.raises(AssertionError, match=rf"decoder {decoder.__name__} .*Promised: .*{promise}.*Found: .*{found}"):
        check_decoder(decoder)


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


@dataclass(frozen=True)
class Beep(Recording):
    length: float = 0.5

    def load(self, sample_rate):
        return torch.sin(2 * torch.pi * 440 * torch.arange(int(self.length * sample_rate)) / sample_rate)

    def seconds(self):
        return self.length

    def known_f0(self, sample_rate, hop):
        return torch.full((int(self.length * sample_rate) // hop,), 440.0)


class SaysAnotherLength(Beep):
    def seconds(self):
        return 3.0


class IgnoresTheRate(Beep):
    def load(self, sample_rate):
        return super().load(16000)


class Stereo(Beep):
    def load(self, sample_rate):
        return super().load(sample_rate)[None].repeat(2, 1)


class PitchASample(Beep):
    def known_f0(self, sample_rate, hop):
        return super().known_f0(sample_rate, 1)


class DigestOfChance(Beep):
    def digest(self, sample_rate):
        return f"{torch.randint(2**30, ()).item():064x}"


@dataclass(frozen=True)
class HoldsAFunction(Beep):
    source: object = dataclasses.field(default_factory=lambda: lambda: 0)


def give(kind, ids=("a", "b")):
    return lambda: [kind(id=name) for name in ids]


def test_good_dataset_passes():
    check_dataset(give(Beep))


@pytest.mark.parametrize(
    ("dataset", "promise", "found"),
    [
        (lambda: [], "at least one recording", "none"),
        (lambda: ["a.wav"], r"extends zoo\.datasets\.Recording", "str"),
        (lambda path: [], "called with the folder", "TypeError"),
        (give(Beep, ("a", "a")), "unique", "twice"),
        (lambda: [Beep(id=str(torch.rand(()).item()))], "same from call to call", "and"),
        (give(HoldsAFunction), "can be pickled", "lambda"),
        (give(Stereo), r"\[samples\]\) is", r"\[2, 8000\]"),
        (give(IgnoresTheRate), "at the rate that is asked for", "8000 samples at 16000 Hz, 8000 at 8000 Hz"),
        (give(SaysAnotherLength), "seconds", "3.0 s"),
        (give(DigestOfChance), "SHA-256", "0000"),
        (give(PitchASample), "a value for each hop samples, 125", "8000"),
    ],
)
def test_broken_dataset_fails(dataset, promise, found):
    with pytest.raises(AssertionError, match=rf"dataset .*Promised: .*{promise}.*Found: .*{found}"):
        check_dataset(dataset)


def rms_difference(a, b, *, valid_samples=None):
    counts = (
        torch.arange(a.shape[1])
        < (torch.full((len(a),), a.shape[1]) if valid_samples is None else valid_samples)[:, None]
    )
    return (((a - b) * counts).square().sum(1) / counts.sum(1)).sqrt()


def mean_of_all(a, b):
    return (a - b).abs().mean()


def unlike_itself(a, b):
    return (a - b).abs().mean(1) + 1


def relative_to_the_batch(a, b):
    return (a - b).abs().mean(1) / (a.abs().max() + b.abs().sum())


def counts_padding(a, b, *, valid_samples=None):
    return (a - b).abs().mean(1)


def test_good_metric_passes():
    check_metric(rms_difference)


@pytest.mark.parametrize(
    ("metric", "promise", "found"),
    [
        (mean_of_all, "one value a row", r"\[\]"),
        (unlike_itself, "0 between equal sounds", "apart"),
        (relative_to_the_batch, "do not see each other", "apart"),
        (counts_padding, "after valid_samples", "apart"),
        (lambda a, b: (a - b).abs().mean(1).log(), "finite", "inf"),
    ],
)
def test_broken_metric_fails(metric, promise, found):
    with pytest.raises(AssertionError, match=rf"metric .*Promised: .*{promise}.*Found: .*{found}"):
        check_metric(metric)


def by_spectrum(audio, *, sample_rate, hop, fmin, fmax, center):
    loudest = torch.fft.rfft(audio).abs().argmax(1) * sample_rate / audio.shape[1]
    frames = audio.shape[1] // hop
    return loudest[:, None].repeat(1, frames).float(), torch.ones(len(audio), frames)


def octave_too_high(audio, **options):
    f0_hz, confidence = by_spectrum(audio, **options)
    return 2 * f0_hz, confidence


def one_frame_more(audio, **options):
    return tuple(nn.functional.pad(value, (0, 1)) for value in by_spectrum(audio, **options))


def confident_in_percent(audio, **options):
    f0_hz, confidence = by_spectrum(audio, **options)
    return f0_hz, 100 * confidence


def test_good_pitch_tracker_passes():
    check_pitch(by_spectrum)


@pytest.mark.parametrize(
    ("tracker", "promise", "found"),
    [
        (octave_too_high, "220.0 Hz is found to 50 cents", "Hz"),
        (one_frame_more, r"is \[2, 32\]", r"\[2, 33\]"),
        (confident_in_percent, "from 0 to 1", "100"),
        (lambda audio, sample_rate: audio, "takes audio", "TypeError"),
    ],
)
def test_broken_pitch_tracker_fails(tracker, promise, found):
    with pytest.raises(AssertionError, match=rf"pitch tracker .*Promised: .*{promise}.*Found: .*{found}"):
        check_pitch(tracker)


def small():
    args = {"harmonics": 10, "reverb_length": 50}
    return ModelConfig("small", ComponentConfig("gru", {"hidden_size": 6}), ComponentConfig("harmonic_noise", args))


@pytest.mark.parametrize(
    ("model", "promise", "found"),
    [
        (lambda: {"architecture": "small"}, "gives a zoo.config.ModelConfig", "dict"),
        (lambda size: small(), "without arguments", "TypeError"),
        (lambda: small().with_changes(architecture="sm/all"), "config.json can hold", "sm/all"),
        (lambda: small().with_changes(decoder=ComponentConfig("grru")), "can be built", "Did you mean gru"),
        (
            lambda: small().with_changes(decoder=ComponentConfig("gru", {"hidden_size": (6, 7)})),
            "the same when it is read",
            r"\[6, 7\]",
        ),
    ],
)
def test_broken_model_fails(model, promise, found):
    with pytest.raises(AssertionError, match=rf"model .*Promised: .*{promise}.*Found: .*{found}"):
        check_model(model)


def test_good_model_passes():
    check_model(small)


def test_registered_model_has_its_own_name():
    from zoo import register, registry

    register.model("petite")(small)
    try:
        with pytest.raises(AssertionError, match=r"architecture is its registered name.*Found: small"):
            check_model("petite")
    finally:
        registry.models.unregister("petite")


def test_unknown_name_is_said_as_everywhere():
    with pytest.raises(ConfigError, match="Did you mean gru"):
        check_decoder("grru")
