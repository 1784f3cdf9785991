"""Synths frame by frame: block by block they give what they give for the whole clip."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo import registry
from zoo.synths import Synth
from zoo.synths.harmonic_noise import HarmonicNoise
from zoo.synths.oscillators import fundamental_phase, phase_between
from zoo.synths.reverb import Reverb
from zoo.testing.synths import step_through
from zoo.thesis.synth import ThesisHarmonicNoise

EVERY_SYNTH = registry.synths.names()


def clip(synth, frames, *, voiced=None, batch=3):
    f0_hz = 110 + 400 * torch.rand(batch, 1) + 30 * torch.rand(batch, frames)
    voiced = torch.rand(batch, frames) > 0.3 if voiced is None else voiced
    controls = {name: torch.randn(batch, frames, size) for name, size in synth.control_sizes.items()}
    return f0_hz * voiced, controls, torch.rand(batch, frames * synth.hop) * 2 - 1


@torch.no_grad()
def assert_steps_are_the_whole(synth, given, atol=2e-6):
    whole = synth(*given).audio
    late = synth.latency * synth.hop
    for pieces in ((1,), (5, 1, 70)):
        blocks, _ = step_through(synth, *given, pieces=pieces)
        assert not blocks[:, :late].any()
        torch.testing.assert_close(blocks[:, late:], whole, atol=atol, rtol=0)


@pytest.mark.parametrize("name", EVERY_SYNTH)
def test_blocks_are_the_whole_clip(name):
    synth = registry.synths.get(name)()
    assert synth.latency == 1
    assert_steps_are_the_whole(synth, clip(synth, 120))


@pytest.mark.parametrize("frames", [1, 2, 3, 40])
@pytest.mark.parametrize(
    "options",
    [
        {"unvoiced": "hold"},
        {"noise_bands": 200},  # reaches over four frames
        {"noise_bands": 9, "reverb_length": 0},
        {"reverb_length": 1},
        {"hop": 50, "reverb_length": 1234},  # neither pieces nor the noise's reach fit the frame
    ],
)
def test_blocks_are_the_whole_clip_with_other_options(options, frames):
    synth = HarmonicNoise(**options)
    assert (
        synth.latency
        == {"noise_bands": 4, "hop": 2}.get(next(iter(options)), 1) - (options.get("noise_bands") == 9) * 3
    )
    assert_steps_are_the_whole(synth, clip(synth, frames))


@pytest.mark.parametrize("frames", [1, 2, 3, 40])
@pytest.mark.parametrize("options", [{}, {"unvoiced": "mute", "above_nyquist": "zero"}, {"noise_filter": "full"}])
def test_blocks_are_the_whole_clip_with_the_quirks_of_the_thesis(options, frames):
    synth = ThesisHarmonicNoise(reverb_length=300, **options)
    assert synth.latency == 1
    assert_steps_are_the_whole(synth, clip(synth, frames))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_pauses_may_be_anywhere(voiced):
    synth = HarmonicNoise(reverb_length=200, harmonics=20)
    # the second voice is the other way round: rows do not see each other
    pattern = torch.tensor([voiced, [not v for v in voiced]])
    assert_steps_are_the_whole(synth, clip(synth, len(voiced), voiced=pattern, batch=2))


def test_phase_is_the_exact_one_after_ten_minutes():
    frames, hop, rate = 150_000, 64, 16000
    f0_hz = (439.75 + 20 * torch.sin(torch.arange(frames, dtype=torch.float64) / 40))[None]
    whole = fundamental_phase(f0_hz, sample_rate=rate, hop=hop)
    around = torch.cat([f0_hz[:, :1], f0_hz, f0_hz[:, -1:]], 1)
    turns, apart = torch.zeros(1, dtype=torch.float64), 0.0
    for begin in range(0, frames, 10):
        phase, turns = phase_between(around[:, begin : begin + 12], turns, sample_rate=rate, hop=hop)
        away = (phase - whole[:, begin * hop : (begin + 10) * hop]) / (2 * torch.pi)
        apart = max(apart, float((away - away.round()).abs().max()))
    assert apart < 1e-9


def test_state_that_is_kept_can_be_gone_on_from_again():
    synth = HarmonicNoise(reverb_length=500)
    f0_hz, controls, noise = clip(synth, 4)

    def play(frame, state):
        now = {name: value[:, frame : frame + 1] for name, value in controls.items()}
        return synth.step(f0_hz[:, frame : frame + 1], now, noise[:, frame * 64 : (frame + 1) * 64], state)

    _, kept = play(0, synth.initial_state(3))
    first, _ = play(1, kept)
    other, _ = play(2, kept)
    again, _ = play(1, kept)
    assert torch.equal(first.audio, again.audio)
    assert not torch.equal(first.audio, other.audio)
    assert first.scaled_controls["amplitude"].shape == (3, 1, 1)


def test_what_does_not_fit_is_refused():
    synth = HarmonicNoise(reverb_length=0)
    f0_hz, controls, noise = clip(synth, 1)
    state = synth.initial_state(3)
    two = {name: value[:2] for name, value in controls.items()}
    with pytest.raises(ValueError, match="a batch of 3"):
        synth.step(f0_hz[:2], two, noise[:2], state)
    with pytest.raises(ValueError, match="amplitude"):
        synth.step(f0_hz, {**controls, "amplitude": controls["amplitude"][:2]}, noise, state)
    with pytest.raises(ValueError, match="noise must be"):
        synth.step(f0_hz, controls, noise[:, :10], state)
    with pytest.raises(ValueError, match="holds NaN"):
        synth.step(f0_hz, {**controls, "amplitude": controls["amplitude"] * float("nan")}, noise, state)
    with pytest.raises(ValueError, match="at least 1"):
        synth.initial_state(0)


def test_synth_without_a_step_form_says_so():
    class Whole(Synth):
        def forward(self, f0_hz, controls, noise=None):
            raise AssertionError

    synth = Whole(sample_rate=16000, hop=64, control_sizes={"a": 1})
    for call in (
        lambda: synth.latency,
        lambda: synth.initial_state(1),
        lambda: synth.step(torch.zeros(1), {}, torch.zeros(1, 64), None),
        lambda: synth.flush(None),
    ):
        with pytest.raises(NotImplementedError, match=r"Whole has no streaming interface.*PitchedSynth"):
            call()


@settings(deadline=None, max_examples=30)
@given(length=st.integers(1, 300), block=st.integers(1, 64), blocks=st.integers(1, 40), at_once=st.integers(1, 40))
def test_reverb_in_blocks_is_the_reverb(length, block, blocks, at_once):
    reverb = Reverb(length, sample_rate=16000)
    with torch.no_grad():
        reverb.wet.fill_(0.0)
        audio = torch.rand(2, block * blocks) * 2 - 1
        whole = reverb(audio)
    state, found = reverb.initial_state(2, block=block), []
    for piece in torch.split(audio, block * at_once, 1):
        made, state = reverb.step(piece, state)
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
