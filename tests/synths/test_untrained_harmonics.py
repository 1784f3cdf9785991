"""Harmonics that were over Nyquist at every pitch of the training data stay silent, in whole clips and in steps."""

import pytest
import torch

from zoo.storage.model_range import PROBABILITIES, ModelRange, Quantiles
from zoo.synths.harmonic_noise import HarmonicNoise
from zoo.testing.synths import stream_through
from zoo.thesis.synth import ThesisHarmonicNoise

LEVELS = Quantiles((-30.0,) * len(PROBABILITIES))


def range_from(lowest_f0_hz):
    pitches = Quantiles(tuple(lowest_f0_hz * (1 + step) for step in range(len(PROBABILITIES))))
    return ModelRange(pitches, LEVELS, lowest_f0_hz)


def clip(synth, f0, frames=60):
    torch.manual_seed(0)
    f0_hz = f0 + torch.rand(1, frames)
    f0_hz[:, 20:30] = 0
    # held all through: amplitudes that step from frame to frame would splash over all frequencies
    controls = {name: torch.randn(1, 1, size).expand(1, frames, size) for name, size in synth.control_sizes.items()}
    return f0_hz, controls, torch.rand(1, frames * synth.hop) * 2 - 1


@torch.no_grad()
def high_over_whole_db(synth, given):
    spectrum = torch.fft.rfft(synth(*given).harmonic[0] * torch.hann_window(given[2].shape[1])).abs().square()
    over = spectrum[len(spectrum) // 2 :]
    return 10 * torch.log10(over.sum() / spectrum.sum())


@pytest.mark.parametrize("options", [{}, {"unvoiced": "hold"}])
def test_low_note_has_no_harmonics_that_were_never_trained(options):
    synth = HarmonicNoise(reverb_length=100, **options)
    given = clip(synth, 130.0)
    assert high_over_whole_db(synth, given) > -6
    synth.restrict(range_from(260.0))
    assert high_over_whole_db(synth, given) < -30
    distribution = synth(*given).scaled_controls["harmonic_distribution"]
    assert not distribution[..., 30:].any()
    torch.testing.assert_close(distribution.sum(-1), torch.ones(1, 60))


def test_thesis_leaves_as_much_of_them_as_of_those_over_nyquist():
    synth = ThesisHarmonicNoise(reverb_length=0)
    given = clip(synth, 130.0)
    synth.restrict(range_from(260.0))
    assert high_over_whole_db(synth, given) < -30
    assert 0 < synth(*given).scaled_controls["harmonic_distribution"][..., 30:].sum(-1).max() < 1e-3


def test_what_is_played_inside_the_range_stays_bit_for_bit():
    synth = HarmonicNoise(reverb_length=100)
    given = clip(synth, 260.0)
    before = synth(*given).audio
    synth.restrict(range_from(260.0))
    assert torch.equal(synth(*given).audio, before)


def test_everything_sounds_again_when_no_range_is_known():
    synth = HarmonicNoise(reverb_length=100)
    given = clip(synth, 130.0)
    before = synth(*given).audio
    synth.restrict(range_from(260.0))
    assert not torch.equal(synth(*given).audio, before)
    synth.restrict(None)
    assert torch.equal(synth(*given).audio, before)


@pytest.mark.parametrize("kind", [HarmonicNoise, ThesisHarmonicNoise])
def test_stream_of_a_low_note_is_the_whole_clip(kind):
    synth = kind(reverb_length=100)
    synth.restrict(range_from(260.0))
    given = clip(synth, 130.0)
    with torch.no_grad():
        whole = synth(*given).audio
        blocks = stream_through(synth, *given, pieces=(1, 7))
    torch.testing.assert_close(blocks[:, synth.latency * synth.hop :], whole, atol=2e-6, rtol=0)


def test_synth_with_fewer_harmonics_than_were_trained_plays_all_of_them():
    synth = HarmonicNoise(reverb_length=0, harmonics=10)
    given = clip(synth, 130.0)
    before = synth(*given).audio
    synth.restrict(range_from(260.0))
    assert torch.equal(synth(*given).audio, before)


def test_fundamental_sounds_whatever_the_range():
    synth = HarmonicNoise(reverb_length=0)
    synth.restrict(range_from(9000.0))
    assert synth(*clip(synth, 440.0)).audio.abs().max() > 0.01
