"""The thesis's synth: its quirks, in whole clips and block by block."""

import inspect

import pytest
import torch
from zoo_thesis import ThesisHarmonicNoise
from zoo_thesis.synth import CroppedNoisePart

import zoo
from zoo.errors import ConfigError
from zoo.models import ModelRange
from zoo.storage.model_range import PROBABILITIES, Quantiles
from zoo.synths import HarmonicNoise
from zoo.testing import check_synth
from zoo.testing.synths import stream_through


def clip(synth, f0, frames=60, batch=1):
    f0_hz = f0 + torch.rand(batch, frames)
    f0_hz[:, 20:30] = 0
    controls = {name: torch.randn(batch, 1, n).expand(batch, frames, n) for name, n in synth.control_sizes.items()}
    return f0_hz, controls, torch.rand(batch, frames * synth.hop) * 2 - 1


def trained_from(lowest_f0_hz):
    pitches = Quantiles(tuple(lowest_f0_hz * (1 + step) for step in range(len(PROBABILITIES))))
    return ModelRange(pitches, Quantiles((-30.0,) * len(PROBABILITIES)), lowest_f0_hz)


@torch.no_grad()
def assert_blocks_are_the_whole(synth, given):
    blocks = stream_through(synth, *given, pieces=(5, 1, 70))
    torch.testing.assert_close(blocks[:, synth.latency * synth.hop :], synth(*given).audio, atol=2e-6, rtol=0)


def test_thesis_synth_is_a_synth_as_zoo_wants_it():
    check_synth("thesis_harmonic_noise", options={"reverb_length": 300})


def test_its_options_are_those_of_harmonic_noise_and_two_quirks():
    own, others = (inspect.signature(kind).parameters for kind in (ThesisHarmonicNoise, HarmonicNoise))
    assert set(own) == {*others, "noise_filter", "above_nyquist"}
    assert own["unvoiced"].default == "hold"
    with pytest.raises(ConfigError, match="knows full, thesis"):
        ThesisHarmonicNoise(noise_filter="half")
    config = zoo.create("gru-S").config
    thesis = config.with_changes(synth=type(config.synth)("thesis_harmonic_noise"))
    assert zoo.create(thesis, harmonics=20).synth.control_sizes["harmonic_distribution"] == 20
    with pytest.raises(ConfigError, match="no option 'harmonic'"):
        zoo.create(thesis, harmonic=20)


def test_cropped_filter_is_silent_for_flat_bands():
    noise = torch.rand(1, 640) * 2 - 1
    assert CroppedNoisePart(65, hop=64)(torch.ones(1, 10, 65), noise).abs().max() < 1e-6


@pytest.mark.parametrize("frames", [1, 2, 3, 40])
@pytest.mark.parametrize("options", [{}, {"unvoiced": "mute", "above_nyquist": "zero"}, {"noise_filter": "full"}])
def test_blocks_are_the_whole_clip(options, frames):
    synth = ThesisHarmonicNoise(reverb_length=300, **options)
    assert synth.latency == 1
    assert_blocks_are_the_whole(synth, clip(synth, 300.0, frames, batch=3))


def test_harmonics_that_were_never_trained_leave_a_trace_as_those_over_nyquist_do():
    synth = ThesisHarmonicNoise(reverb_length=100)
    synth.restrict(trained_from(260.0))
    given = clip(synth, 130.0)
    assert 0 < synth(*given).scaled_controls["harmonic_distribution"][..., 30:].sum(-1).max() < 1e-3
    spectrum = torch.fft.rfft(synth(*given).harmonic[0] * torch.hann_window(given[2].shape[1])).abs().square()
    assert 10 * torch.log10(spectrum[len(spectrum) // 2 :].sum() / spectrum.sum()) < -30
    assert_blocks_are_the_whole(synth, given)


@pytest.mark.parametrize("unvoiced", ["mute", "hold"])
@pytest.mark.parametrize("f0", [0.0, -5.0, float("nan"), float("inf"), float("-inf"), 8000.0, 9000.0, 1e30, 1e-45])
def test_impossible_pitch_amid_notes_leaves_audio_and_gradients_finite(f0, unvoiced):
    synth = ThesisHarmonicNoise(reverb_length=100, unvoiced=unvoiced)
    f0_hz = torch.full((2, 12), 440.0)
    f0_hz[0, 4:7] = f0
    f0_hz[1] = f0
    controls = {n: torch.zeros(2, 12, size, requires_grad=True) for n, size in synth.control_sizes.items()}
    made = synth(f0_hz, controls)
    gradients = torch.autograd.grad(made.audio.square().sum(), [*controls.values(), *synth.parameters()])
    assert all(tensor.isfinite().all() for tensor in (made.audio, made.harmonic, *gradients))
    assert made.harmonic[0, : 3 * synth.hop].abs().max() > 0.1
    assert made.harmonic[1].abs().max() < 1e-4
