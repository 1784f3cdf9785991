"""Synths block by block: they give what they give for the whole clip, as graphs too."""

import warnings

import onnxruntime
import pytest
import torch
import zoo_player
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from zoo import registry
from zoo.synths import Synth
from zoo.synths.harmonic_noise import HarmonicNoise
from zoo.synths.oscillators import fundamental_phase, phase_between, phase_weights
from zoo.synths.reverb import Reverb
from zoo.testing.synths import stream_through
from zoo.thesis.synth import ThesisHarmonicNoise

EVERY_SYNTH = registry.synths.names()


def clip(synth, frames, *, voiced=None, batch=3):
    f0_hz = 110 + 400 * torch.rand(batch, 1) + 30 * torch.rand(batch, frames)
    voiced = torch.rand(batch, frames) > 0.3 if voiced is None else voiced
    controls = {name: torch.randn(batch, frames, size) for name, size in synth.control_sizes.items()}
    return f0_hz * voiced, controls, torch.rand(batch, frames * synth.hop) * 2 - 1


@torch.no_grad()
def assert_blocks_are_the_whole(synth, given, atol=2e-6):
    whole = synth(*given).audio
    late = synth.latency * synth.hop
    for pieces in ((1,), (3,), (64,), (5, 1, 70)):
        blocks = stream_through(synth, *given, pieces=pieces)
        assert not blocks[:, :late].any()
        torch.testing.assert_close(blocks[:, late:], whole, atol=atol, rtol=0)


@pytest.mark.parametrize("name", EVERY_SYNTH)
def test_blocks_are_the_whole_clip(name):
    synth = registry.synths.get(name)()
    assert synth.latency == 1
    assert_blocks_are_the_whole(synth, clip(synth, 120))


@pytest.mark.parametrize("frames", [1, 2, 3, 40])
@pytest.mark.parametrize(
    ("options", "latency"),
    [
        ({"unvoiced": "hold"}, 1),
        ({"noise_bands": 200}, 4),  # reaches over four frames
        ({"noise_bands": 9, "reverb_length": 0}, 1),
        ({"reverb_length": 1}, 1),
        ({"hop": 50, "reverb_length": 1234}, 2),  # neither pieces nor the noise's reach fit the frame
        ({"hop": 480, "reverb_length": 700}, 1),
    ],
)
def test_blocks_are_the_whole_clip_with_other_options(options, latency, frames):
    synth = HarmonicNoise(**options)
    assert synth.latency == latency
    assert_blocks_are_the_whole(synth, clip(synth, frames))


@pytest.mark.parametrize("frames", [1, 2, 3, 40])
@pytest.mark.parametrize("options", [{}, {"unvoiced": "mute", "above_nyquist": "zero"}, {"noise_filter": "full"}])
def test_blocks_are_the_whole_clip_with_the_quirks_of_the_thesis(options, frames):
    synth = ThesisHarmonicNoise(reverb_length=300, **options)
    assert synth.latency == 1
    assert_blocks_are_the_whole(synth, clip(synth, frames))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_pauses_may_be_anywhere(voiced):
    synth = HarmonicNoise(reverb_length=200, harmonics=20)
    # the second voice is the other way round: rows do not see each other
    pattern = torch.tensor([voiced, [not v for v in voiced]])
    assert_blocks_are_the_whole(synth, clip(synth, len(voiced), voiced=pattern, batch=2))


def test_phase_is_the_exact_one_after_ten_minutes():
    frames, hop, rate = 150_000, 64, 16000
    f0_hz = (439.75 + 20 * torch.sin(torch.arange(frames, dtype=torch.float64) / 40))[None]
    whole = fundamental_phase(f0_hz, sample_rate=rate, hop=hop)
    around = torch.cat([f0_hz[:, :1], f0_hz, f0_hz[:, -1:]], 1)
    turns, apart = torch.zeros(1, dtype=torch.float64), 0.0
    weights = phase_weights(sample_rate=rate, hop=hop, device=f0_hz.device)
    for begin in range(0, frames, 10):
        phase, turns = phase_between(around[:, begin : begin + 12], turns, weights=weights)
        away = (phase - whole[:, begin * hop : (begin + 10) * hop]) / (2 * torch.pi)
        apart = max(apart, float((away - away.round()).abs().max()))
    assert apart < 1e-9


def inputs_of(given, frames):
    f0_hz, controls, noise = given
    hop = noise.shape[1] // f0_hz.shape[1]
    now = {name: value[:, frames] for name, value in {"f0_hz": f0_hz, **controls}.items()}
    return {**now, "noise": noise[:, frames.start * hop : frames.stop * hop]}


@torch.no_grad()
def test_state_that_is_kept_can_be_gone_on_from_again():
    synth = HarmonicNoise(reverb_length=500)
    given = clip(synth, 4)

    def play(frame, state):
        return synth.stream(inputs_of(given, slice(frame, frame + 1)), state)

    _, kept = play(0, synth.stream_state(3))
    first, _ = play(1, kept)
    other, _ = play(2, kept)
    again, _ = play(1, kept)
    assert torch.equal(first.audio, again.audio)
    assert not torch.equal(first.audio, other.audio)
    assert first.scaled_controls["amplitude"].shape == (3, 1, 1)


def test_pitch_that_is_none_is_unvoiced():
    synth = HarmonicNoise(reverb_length=0)
    f0_hz, controls, noise = clip(synth, 6, batch=1)
    f0_hz[0, :4] = torch.tensor([-1.0, torch.nan, torch.inf, 1e9])
    assert_blocks_are_the_whole(synth, (f0_hz, controls, noise))
    clean = torch.tensor([[0.0, 0.0, 0.0, 8000.0, *f0_hz[0, 4:]]])
    torch.testing.assert_close(synth(f0_hz, controls, noise).audio, synth(clean, controls, noise).audio)


def test_what_does_not_fit_is_refused():
    synth = HarmonicNoise(reverb_length=0)
    inputs = inputs_of(clip(synth, 1), slice(0, 1))
    state = synth.stream_state(3)
    with pytest.raises(ValueError, match="a batch of 3"):
        synth.stream({name: value[:2] for name, value in inputs.items()}, state)
    with pytest.raises(ValueError, match="amplitude"):
        synth.stream({**inputs, "amplitude": inputs["amplitude"][:2]}, state)
    with pytest.raises(ValueError, match="noise must be"):
        synth.stream({**inputs, "noise": inputs["noise"][:, :10]}, state)
    with pytest.raises(ValueError, match=r"input 'noise' is missing; there are .*f0_hz"):
        synth.stream({name: value for name, value in inputs.items() if name != "noise"}, state)
    with pytest.raises(ValueError, match="'noise_bands' is missing"):
        synth.stream({name: value for name, value in inputs.items() if name != "noise_bands"}, state)
    with pytest.raises(ValueError, match="at least 1"):
        synth.stream_state(0)


def test_synth_without_a_streaming_interface_or_a_c_form_says_so():
    class Whole(Synth):
        def forward(self, f0_hz, controls, noise=None):
            raise AssertionError

    synth = Whole(sample_rate=16000, hop=64, control_sizes={"a": 1})
    for call in (lambda: synth.latency, lambda: synth.stream_state(1), lambda: synth.stream({}, {})):
        with pytest.raises(NotImplementedError, match=r"Whole has no streaming interface.*PitchedSynth"):
            call()
    with pytest.raises(NotImplementedError, match=r"Whole has no C form: Python with torch plays it"):
        synth.describe(zoo_player.Program(sample_rate=16000, hop=64), {})


class Graph(nn.Module):
    """A synth's stream as exporters are given it: tensors in a row."""

    def __init__(self, synth):
        super().__init__()
        self.synth = synth
        self.constants = {name: value.detach() for name, value in synth.stream_constants().items()}
        self.names = list(synth.stream_state(1))

    def forward(self, inputs, *state):
        made, after = self.synth.stream(inputs, dict(zip(self.names, state, strict=True)), self.constants)
        return made.audio, *after.values()


def as_exported(graph, arguments, how):
    if how == "onnx":
        program = torch.onnx.export(graph, arguments, dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
        names = [given.name for given in session.get_inputs()]

        def run(inputs, *state):
            values = dict(zip(names, (value.numpy() for value in (*inputs.values(), *state)), strict=True))
            return [torch.from_numpy(value) for value in session.run(None, values)]

        return run
    if how == "trace":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.jit.trace(graph, arguments, check_trace=False)
    return torch.export.export(graph, arguments, strict=how == "strict").module()


@pytest.mark.parametrize("how", ["strict", "trace", "onnx"])
@pytest.mark.parametrize("name", EVERY_SYNTH)
@torch.no_grad()
def test_exported_stream_plays_on(name, how):
    synth = registry.synths.get(name)(reverb_length=150).eval()
    given = clip(synth, 18, batch=1)
    graph, state = Graph(synth).eval(), list(synth.stream_state(1).values())
    exported = as_exported(graph, (inputs_of(given, slice(0, 2)), *state), how)
    found = state
    for begin in range(0, 18, 2):
        inputs = inputs_of(given, slice(begin, begin + 2))
        expected, *state = graph(inputs, *state)
        audio, *found = exported(inputs, *found)
        torch.testing.assert_close(audio, expected, atol=5e-6, rtol=0)


@settings(deadline=None, max_examples=30)
@given(length=st.integers(1, 300), block=st.integers(1, 64), blocks=st.integers(1, 40), at_once=st.integers(1, 40))
def test_reverb_in_blocks_is_the_reverb(length, block, blocks, at_once):
    reverb = Reverb(length, sample_rate=16000)
    with torch.no_grad():
        reverb.wet.fill_(0.0)
        audio = torch.rand(2, block * blocks) * 2 - 1
        whole = reverb(audio)
        state, constants, found = reverb.stream_state(2, block=block), reverb.stream_constants(block=block), []
        for piece in torch.split(audio, block * at_once, 1):
            made, state = reverb.stream(piece, state, constants)
            found.append(made)
    torch.testing.assert_close(torch.cat(found, 1), whole, atol=2e-5, rtol=0)


def test_reverb_of_a_long_sound_in_pieces_is_that_of_the_whole(monkeypatch):
    reverb = Reverb(1600, sample_rate=16000)
    audio = torch.randn(2, 20001)
    whole = reverb(audio).detach()
    monkeypatch.setattr("zoo.synths.reverb._WHOLE", 1000)
    monkeypatch.setattr("zoo.synths.reverb._PIECE", 700)
    with torch.no_grad():
        torch.testing.assert_close(reverb(audio), whole, rtol=0, atol=1e-5)
