"""The harmonic part against a computation of its own, and what becomes of input that makes no sense."""

import math

import numpy as np
import pytest
import torch
from zoo_kernels import harmonic_oscillators

import zoo
from zoo.synths.harmonic_noise import HarmonicNoise
from zoo.synths.oscillators import forward_fill_f0, fundamental_phase
from zoo.thesis.synth import ThesisHarmonicNoise

RATE, HOP = 16000, 64


def exact_tail(f0_hz, amplitudes, kept):
    """The last `kept` frames of a row of sines whose phase is summed up in extended precision."""
    frames = f0_hz.shape[0]
    position = (np.arange(frames * HOP) + 0.5) / HOP - 0.5
    per_sample = np.interp(position, np.arange(frames), f0_hz)
    cycles = np.cumsum(per_sample.astype(np.longdouble) / RATE)[-kept * HOP :]
    phase = ((cycles - np.floor(cycles)) * (2 * np.pi)).astype(np.float64)
    total = np.zeros_like(phase)
    for k in range(amplitudes.shape[-1]):
        total += np.repeat(amplitudes[-kept:, k].astype(np.float64), HOP) * np.sin((k + 1) * phase)
    return total


@pytest.mark.parametrize("seconds", [4, 600])
@pytest.mark.parametrize("contour", ["steady", "vibrato"])
def test_harmonic_part_is_within_88_db_of_float64_at_its_end(seconds, contour):
    # The figure, through the model's own phase and its default backend.
    frames, harmonics, kept = seconds * RATE // HOP, 100, 1000
    time = np.arange(frames) * HOP / RATE
    f0_hz = 77.7 + (3.0 * np.sin(2 * np.pi * 5.5 * time) if contour == "vibrato" else 0 * time)
    f0_hz = torch.from_numpy(f0_hz).float()
    amplitudes = torch.rand(kept, harmonics)
    whole = amplitudes.repeat(frames // kept, 1)
    phase = fundamental_phase(forward_fill_f0(f0_hz[None]), sample_rate=RATE, hop=HOP)
    found = harmonic_oscillators(phase, whole[None], hop=HOP)[0, -kept * HOP :]
    expected = exact_tail(f0_hz.double().numpy(), amplitudes.numpy(), kept)
    error = np.square(expected - found.double().numpy()).sum()
    assert 10 * math.log10(np.square(expected).sum() / error) >= 88


def test_phase_of_ten_minutes_follows_a_gliding_pitch():
    frames = 150_000
    f0_hz = torch.linspace(100, 900, frames)
    phase = fundamental_phase(f0_hz[None], sample_rate=RATE, hop=HOP)[0]
    position = (np.arange(frames * HOP) + 0.5) / HOP - 0.5
    cycles = np.cumsum(np.interp(position, np.arange(frames), f0_hz.double().numpy()).astype(np.longdouble) / RATE)
    error = phase.numpy() / (2 * np.pi) - cycles.astype(np.longdouble)
    assert np.abs(error - np.round(error)).max() < 1e-8


def made_for(synth, f0_hz, value=0.0):
    return {name: torch.full((*f0_hz.shape, size), value) for name, size in synth.control_sizes.items()}


IMPOSSIBLE = [0.0, -5.0, float("nan"), float("inf"), float("-inf"), 8000.0, 9000.0, 1e30, 1e-45]


@pytest.mark.parametrize("unvoiced", ["mute", "hold"])
@pytest.mark.parametrize("kind", [HarmonicNoise, ThesisHarmonicNoise])
@pytest.mark.parametrize("f0", IMPOSSIBLE)
def test_impossible_pitch_amid_notes_leaves_audio_and_gradients_finite(f0, unvoiced, kind):
    synth = kind(reverb_length=100, unvoiced=unvoiced)
    f0_hz = torch.full((2, 12), 440.0)
    f0_hz[0, 4:7] = f0
    f0_hz[1] = f0
    controls = {name: value.requires_grad_() for name, value in made_for(synth, f0_hz).items()}
    made = synth(f0_hz, controls)
    gradients = torch.autograd.grad(made.audio.square().sum(), [*controls.values(), *synth.parameters()])
    assert all(tensor.isfinite().all() for tensor in (made.audio, made.harmonic, *gradients))
    assert made.harmonic[0, : 3 * HOP].abs().max() > 0.1
    assert made.harmonic[1].abs().max() < 1e-4


@pytest.mark.parametrize("f0", [0.0, -5.0, float("nan"), float("inf"), 9000.0])
def test_model_plays_impossible_pitch_as_noise_alone(f0):
    model = zoo.create("gru-S").eval()
    with torch.no_grad():
        made = model(torch.full((1, 8), f0), torch.full((1, 8), -20.0))
    assert made.audio.isfinite().all()
    assert made.harmonic.eq(0).all()


@pytest.mark.parametrize(("value", "meant"), [("nan", -80.0), ("-inf", -80.0), ("inf", 0.0)])
def test_model_plays_impossible_loudness_as_the_nearest_there_is(value, meant):
    model = zoo.create("gru-S").eval()
    f0_hz, noise = torch.full((1, 8), 440.0), torch.zeros(1, 512)
    with torch.no_grad():
        made, expected = (model(f0_hz, torch.full((1, 8), level), noise).audio for level in (float(value), meant))
    assert torch.equal(made, expected)


@pytest.mark.parametrize("name", ["amplitude", "harmonic_distribution", "noise_bands"])
def test_nan_in_a_control_is_refused_by_its_name(name):
    synth = HarmonicNoise(reverb_length=0)
    f0_hz = torch.full((1, 4), 440.0)
    controls = made_for(synth, f0_hz)
    controls[name][0, 2, 0] = float("nan")
    with pytest.raises(ValueError, match=f"control '{name}' holds NaN"):
        synth(f0_hz, controls)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1e30, -1e30])
def test_controls_without_bounds_give_finite_audio(value):
    synth = HarmonicNoise(reverb_length=50)
    f0_hz = torch.full((1, 4), 440.0)
    controls = {name: tensor.requires_grad_() for name, tensor in made_for(synth, f0_hz, value).items()}
    assert synth(f0_hz, controls).audio.isfinite().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f0_hz": torch.ones(1, 4, 1)}, r"f0_hz must be \[batch, frames\].*found \[1, 4, 1\]"),
        ({"f0_hz": torch.ones(4)}, r"f0_hz must be \[batch, frames\].*found \[4\]"),
        ({"f0_hz": torch.ones(1, 0)}, r"at least one of each; found \[1, 0\]"),
        ({"f0_hz": torch.ones(0, 4)}, r"at least one of each; found \[0, 4\]"),
        ({"f0_hz": torch.ones(1, 5)}, r"'amplitude' must be .*\[1, 5, 1\], as f0_hz is \[1, 5\]; found \[1, 4, 1\]"),
        ({"amplitude": torch.ones(1, 4, 2)}, r"'amplitude' must be .*\[1, 4, 1\].*found \[1, 4, 2\]"),
        ({"noise_bands": None}, r"control 'noise_bands' is missing; there are amplitude, harmonic_distribution"),
        ({"noise": torch.ones(1, 255)}, r"noise must be .*\[1, 256\], as f0_hz is \[1, 4\]; found \[1, 255\]"),
    ],
)
def test_shapes_that_disagree_are_refused_with_both_named(change, message):
    synth = HarmonicNoise(reverb_length=0)
    f0_hz = torch.full((1, 4), 440.0)
    controls = made_for(synth, f0_hz)
    for name in synth.control_sizes:
        if name in change:
            controls[name] = change[name]
    controls = {name: value for name, value in controls.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        synth(change.get("f0_hz", f0_hz), controls, change.get("noise"))


def test_phase_keeps_its_digits_under_autocast():
    f0_hz = 200 + 100 * torch.rand(2, 50)
    expected = fundamental_phase(f0_hz, sample_rate=RATE, hop=HOP)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(fundamental_phase(f0_hz, sample_rate=RATE, hop=HOP), expected)


@pytest.mark.parametrize("hop", [1, 2, 7, 64])
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_phase_follows_pitch_interpolated_between_the_frames_centres(hop, frames):
    f0_hz = 200 + 100 * torch.rand(1, frames, dtype=torch.float64)
    position = (np.arange(frames * hop) + 0.5) / hop - 0.5
    cycles = np.cumsum(np.interp(position, np.arange(frames), f0_hz[0].numpy())) / RATE
    error = fundamental_phase(f0_hz, sample_rate=RATE, hop=hop)[0].numpy() / (2 * np.pi) - cycles
    assert np.abs(error - np.round(error)).max() < 1e-12
