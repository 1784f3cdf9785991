import math

import pytest
import torch

from zoo.synths.harmonic_noise import HarmonicNoise, scale_control
from zoo.synths.oscillators import forward_fill_f0, fundamental_phase, voicing_gate
from zoo.synths.reverb import Reverb


def controls(synth, batch, frames, noise=-30.0):
    sizes = synth.control_sizes
    made = {name: torch.zeros(batch, frames, size) for name, size in sizes.items()}
    made["noise_bands"] += noise
    return made


def silent_noise(synth, f0_hz):
    return torch.zeros(f0_hz.shape[0], f0_hz.shape[1] * synth.hop)


def test_scale_control_is_the_papers_function():
    x = torch.linspace(-20, 20, 101, dtype=torch.float64)
    assert torch.allclose(scale_control(x), 2 * torch.sigmoid(x) ** math.log(10) + 1e-7, rtol=1e-12)


def test_unvoiced_frames_are_exactly_silent_and_reached_without_a_click():
    synth = HarmonicNoise(reverb_length=0, harmonics=1)
    f0_hz = torch.full((1, 60), 440.0)
    f0_hz[:, 20:40] = 0
    audio = synth(f0_hz, controls(synth, 1, 60), silent_noise(synth, f0_hz)).harmonic[0]
    assert audio[20 * 64 : 40 * 64].abs().max() == 0
    assert audio[: 19 * 64].abs().max() > 0.3
    # one sine never steps by more than its slope allows; a hard gate would step by its amplitude
    amplitude = float(scale_control(torch.zeros(1)))
    slope = amplitude * (2 * math.pi * 440 / 16000 + math.pi / 64)
    assert audio.diff().abs().max() <= slope


def test_held_phase_goes_on_in_unvoiced_frames():
    synth = HarmonicNoise(reverb_length=0, unvoiced="hold")
    f0_hz = torch.full((1, 60), 440.0)
    f0_hz[:, 20:40] = 0
    audio = synth(f0_hz, controls(synth, 1, 60), silent_noise(synth, f0_hz)).harmonic[0]
    assert audio[22 * 64 : 38 * 64].diff().abs().max() < 1e-6


def test_harmonics_at_and_over_nyquist_are_silent():
    synth = HarmonicNoise(reverb_length=0, harmonics=4)
    made = controls(synth, 1, 50)
    f0_hz = torch.full((1, 50), 4000.0)  # the second harmonic stands at Nyquist exactly
    scaled = synth.scaled_controls(f0_hz, made)["harmonic_distribution"]
    assert torch.equal(scaled[0, 0], torch.tensor([1.0, 0.0, 0.0, 0.0]))
    spectrum = torch.fft.rfft(synth(f0_hz, made, silent_noise(synth, f0_hz)).harmonic[0, 320:2880]).abs()
    peak = int(spectrum.argmax())
    assert peak == 640
    assert spectrum.sum() - spectrum[peak - 3 : peak + 4].sum() < 0.05 * spectrum.sum()


@pytest.mark.parametrize("f0", [0.0, -5.0, float("nan"), float("inf"), 9000.0])
@pytest.mark.parametrize("unvoiced", ["mute", "hold"])
def test_impossible_pitch_gives_silence_never_nan(f0, unvoiced):
    synth = HarmonicNoise(reverb_length=100, unvoiced=unvoiced)
    f0_hz = torch.full((1, 20), f0)
    audio = synth(f0_hz, controls(synth, 1, 20), silent_noise(synth, f0_hz)).audio
    assert audio.abs().max() < 1e-4


def test_phase_stays_exact_over_ten_minutes():
    phase = fundamental_phase(torch.full((1, 150_000), 439.75), sample_rate=16000, hop=64)[0]
    last = phase.shape[0] - 1
    cycles = 439.75 * (last + 1) / 16000
    expected = (cycles - math.floor(cycles + 0.5)) * 2 * math.pi
    assert abs(float(phase[last]) - expected) < 1e-5
    assert phase.min() >= -math.pi
    assert phase.max() <= math.pi


def test_pitch_is_carried_through_unvoiced_frames():
    f0_hz = torch.tensor([[0.0, 0.0, 200.0, 0.0, 300.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    expected = [[200.0, 200.0, 200.0, 200.0, 300.0, 300.0], [0.0] * 6]
    assert forward_fill_f0(f0_hz).tolist() == expected


def test_gate_fades_over_the_voiced_frame_at_each_border():
    gate = voicing_gate(torch.tensor([[0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0]]), hop=8)[0].view(7, 8)
    assert gate[0].max() == gate[4].max() == gate[6].max() == 0
    assert (gate[1].diff() > 0).all()
    assert (gate[2] == 1).all()
    assert (gate[3].diff() < 0).all()
    assert 0 < gate[5].max() < 1


def test_rendering_does_not_depend_on_what_follows():
    """Frames are independent but for one frame around each, so rendering in pieces is possible."""
    synth = HarmonicNoise(reverb_length=50)
    made = {name: torch.randn(1, 40, size) for name, size in synth.control_sizes.items()}
    f0_hz, noise = 200 + 100 * torch.rand(1, 40), torch.rand(1, 2560) * 2 - 1
    whole = synth(f0_hz, made, noise).audio
    part = synth(f0_hz[:, :30], {k: v[:, :30] for k, v in made.items()}, noise[:, : 30 * 64]).audio
    assert torch.allclose(whole[:, : 28 * 64], part[:, : 28 * 64], atol=1e-5)


def test_reverb_is_linear_convolution_with_its_impulse():
    reverb = Reverb(300, sample_rate=16000)
    audio = torch.randn(2, 1000)
    impulse = reverb.impulse().detach().double()
    assert impulse[0] == 1
    padded = torch.nn.functional.pad(audio.double(), (299, 0))
    expected = torch.nn.functional.conv1d(padded[:, None], impulse.flip(0)[None, None])[:, 0]
    assert torch.allclose(reverb(audio).double(), expected, atol=1e-4)
