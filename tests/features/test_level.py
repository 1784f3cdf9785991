"""A-weighted level against its standard's own form: four pairs of poles as a filter over time, and RMS."""

import math

import pytest
import scipy.signal
import torch

from zoo.errors import ConfigError
from zoo.features import a_weighted_level_db, sound_level_db
from zoo.features import loudness as level

POLES_HZ = [20.598997, 20.598997, 107.65265, 737.86223, 12194.217, 12194.217]


def filtered_level_db(audio, sample_rate):
    """IEC 61672-1's analogue filter, at 16 times the rate so that its poles keep their places, then RMS in dB."""
    finer = scipy.signal.resample(audio.double().numpy(), 16 * len(audio))
    poles = [-2 * math.pi * f for f in POLES_HZ]
    _, response = scipy.signal.freqs_zpk([0.0] * 4, poles, 1.0, [2 * math.pi * 1000])
    zeros, poles, gain = scipy.signal.bilinear_zpk([0.0] * 4, poles, 1 / abs(response[0]), 16 * sample_rate)
    weighted = scipy.signal.sosfilt(scipy.signal.zpk2sos(zeros, poles, gain), finer)
    inner = weighted[len(weighted) // 5 : -len(weighted) // 5]  # without the filter's own beginning, and the ends
    return 10 * math.log10((inner**2).mean())


def tones(*partials, sample_rate=16000, seconds=2.0):
    time = torch.arange(round(seconds * sample_rate), dtype=torch.float64) / sample_rate
    return sum(a * torch.sin(2 * torch.pi * hz * time + k) for k, (hz, a) in enumerate(partials)).float()


def mean_level_db(audio, sample_rate):
    """The frames' mean power, without the ends, where windows see silence."""
    levels = a_weighted_level_db(audio[None], sample_rate=sample_rate, hop=sample_rate // 250)[0]
    inner = levels[len(levels) // 5 : -len(levels) // 5].double()
    return float(10 * torch.log10((10 ** (inner / 10)).mean()))


@pytest.mark.parametrize("hz", [80.0, 110.0, 200.0, 440.0, 1000.0, 2500.0, 4000.0, 6900.0])
@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_level_of_a_tone_is_that_of_the_standards_filter(hz, sample_rate):
    tone = tones((hz, 0.3), sample_rate=sample_rate)
    tolerance = 0.3 if hz < 100 else 0.1  # the window's main lobe spans 62 Hz, where the curve is steep
    assert mean_level_db(tone, sample_rate) == pytest.approx(filtered_level_db(tone, sample_rate), abs=tolerance)


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_level_of_noise_is_that_of_the_standards_filter(slope):
    spectrum = torch.fft.rfft(torch.randn(64000, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    spectrum *= (torch.arange(len(spectrum)) + 160.0) ** -slope  # from 40 Hz on: white, pink, brown
    noise = torch.fft.irfft(spectrum)
    noise = (0.1 * noise / noise.std()).float()
    assert mean_level_db(noise, 16000) == pytest.approx(filtered_level_db(noise, 16000), abs=0.2)


def test_level_of_chords_is_that_of_the_standards_filter():
    for chord in (
        [(220.0, 0.3), (277.18, 0.3), (329.63, 0.3)],
        [(k * 196.0, 0.5 / k) for k in range(1, 21)],
        [(131.0, 0.2), (3000.0, 0.01), (5200.0, 0.02)],
    ):
        audio = tones(*chord)
        assert mean_level_db(audio, 16000) == pytest.approx(filtered_level_db(audio, 16000), abs=0.1)


@pytest.mark.parametrize("sample_rate", [8000, 16000, 22050, 44100, 48000])
def test_sine_of_1_khz_has_its_rms_level_at_any_rate(sample_rate):
    found = a_weighted_level_db(tones((1000.0, 1.0), sample_rate=sample_rate)[None], sample_rate=sample_rate, hop=100)
    inner = found[0, 20:-20]
    torch.testing.assert_close(inner, torch.full_like(inner, 10 * math.log10(0.5)), atol=0.03, rtol=0)
    steps = sound_level_db(0.05 * tones((1000.0, 1.0), sample_rate=sample_rate)[None], sample_rate=sample_rate)
    assert float(steps) == pytest.approx(20 * math.log10(0.05) - 3.01, abs=0.03)


def test_level_is_floored_and_has_a_finite_gradient_in_silence():
    audio = torch.zeros(1, 6400)
    audio[:, 3200:] = 0.1 * tones((500.0, 1.0))[:3200]
    audio.requires_grad_(True)
    found = a_weighted_level_db(audio, sample_rate=16000, hop=64)
    assert found.shape == (1, 100)
    assert (found[:, :40] == -80.0).all()
    found.sum().backward()
    assert torch.isfinite(audio.grad).all()
    assert (audio.grad != 0).any()


def test_level_over_full_scale_is_not_hidden():
    found = a_weighted_level_db(4 * tones((1000.0, 1.0))[None], sample_rate=16000, hop=64)
    assert float(found.max()) == pytest.approx(20 * math.log10(4) - 3.01, abs=0.03)


def test_level_does_not_depend_on_how_many_frames_are_taken_at_once(reference, monkeypatch):
    whole = a_weighted_level_db(reference["audio"], sample_rate=16000, hop=64)
    monkeypatch.setattr(level, "_CHUNK", 14)
    torch.testing.assert_close(a_weighted_level_db(reference["audio"], sample_rate=16000, hop=64), whole)


def test_uncentred_level_is_the_centred_one_half_a_window_earlier(reference):
    late = a_weighted_level_db(reference["audio"], sample_rate=16000, hop=64)
    early = a_weighted_level_db(reference["audio"], sample_rate=16000, hop=64, center=False)
    torch.testing.assert_close(late[:, 8:], early[:, :-8])  # 512 samples are 8 frames


def test_sound_level_is_the_median_without_pauses_padding_and_decay():
    sound = tones((440.0, 0.2))
    alone = sound_level_db(sound[None], sample_rate=16000)
    hidden = torch.cat([torch.zeros(32000), sound, 0.004 * tones((440.0, 1.0)), torch.zeros(64000)])
    torch.testing.assert_close(sound_level_db(hidden[None], sample_rate=16000), alone, atol=0.05, rtol=0)


def test_sound_level_moves_with_the_gain_of_quiet_sounds_too(reference):
    audio = reference["audio"]
    whole = sound_level_db(audio, sample_rate=16000)
    for gain_db in (-45.0, 12.0):
        found = sound_level_db(audio * 10 ** (gain_db / 20), sample_rate=16000)
        torch.testing.assert_close(found, whole + gain_db, atol=1e-3, rtol=0)


def test_sound_level_of_silence_is_the_floor():
    almost = 1e-6 * tones((1000.0, 1.0))[None]
    for audio in (torch.zeros(2, 16000), almost, torch.zeros(3, 10), torch.zeros(1, 0)):
        found = sound_level_db(audio, sample_rate=16000)
        assert torch.equal(found, torch.full((len(audio),), -80.0))


def test_sound_level_takes_other_quantiles_and_refuses_what_is_none():
    rising = tones((440.0, 0.3)) * torch.linspace(0.1, 1.0, 32000)
    low, high = (float(sound_level_db(rising[None], sample_rate=16000, quantile=q)) for q in (0.1, 0.9))
    assert high - low > 10.0
    with pytest.raises(ConfigError, match="from 0 to 1"):
        sound_level_db(rising[None], sample_rate=16000, quantile=50)
    with pytest.raises(ConfigError, match=r"audio\[None\]"):
        a_weighted_level_db(rising, sample_rate=16000, hop=64)
