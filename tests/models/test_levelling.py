"""A result's level: that of the recording, never over full scale, and without a sound of the limiter's own."""

import math

import pytest
import torch

from zoo.errors import ConfigError
from zoo.features import sound_level_db
from zoo.models.levelling import CEILING, at_level, check_level, limit

RATE = 16000


def tone(seconds=2.0, hz=440.0, amplitude=0.1):
    return amplitude * torch.sin(2 * math.pi * hz * torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE)


def accents(amplitude=0.1, times=5.0):
    """A tone with a louder note of 80 ms in each second."""
    audio = tone(amplitude=amplitude)
    swell = torch.ones_like(audio)
    for start in range(8000, len(audio), 16000):
        swell[start : start + 1280] += (times - 1) * torch.hann_window(1280, dtype=torch.float64)
    return (audio * swell).float()


def level(audio):
    return float(sound_level_db(audio[None].float(), sample_rate=RATE)[0])


@pytest.mark.parametrize("level_db", [-60.0, -30.0, -12.0])
def test_audio_gets_the_level_by_one_gain(level_db):
    audio = tone().float()
    made = at_level(audio, level_db, sample_rate=RATE)
    assert level(made.audio) == pytest.approx(level_db, abs=0.05)
    torch.testing.assert_close(made.audio, audio * 10 ** (made.gain_db / 20))
    assert made.describe() == ""


def test_own_level_is_kept_where_none_is_given():
    audio = tone().float()
    assert torch.equal(at_level(audio, None, sample_rate=RATE).audio, audio)


@pytest.mark.parametrize("level_db", [-12.0, -6.0, 0.0, 20.0])
@pytest.mark.parametrize("make", [tone, accents, lambda: torch.randn(RATE)])
def test_nothing_passes_full_scale(make, level_db):
    made = at_level(make().float(), level_db, sample_rate=RATE)
    assert float(made.audio.abs().max()) <= CEILING < 1.0


def test_peaks_are_turned_down_so_that_the_level_holds():
    made = at_level(accents(), -12.0, sample_rate=RATE)
    assert level(made.audio) == pytest.approx(-12.0, abs=0.5)
    assert 6.0 < made.limited_db < 12.0
    assert made.turned_down_db < 0.5
    assert made.describe().startswith(f"peaks turned down by up to {made.limited_db:.1f} dB")


def test_steady_sound_is_turned_down_as_a_whole():
    audio = tone(amplitude=0.5).float()
    made = at_level(audio, level(audio) + 10.0, sample_rate=RATE)
    assert made.turned_down_db == pytest.approx(10.0 - 20 * math.log10(CEILING / 0.5), abs=0.1)
    assert made.describe() == f"turned down by {made.turned_down_db:.1f} dB, so as not to pass full scale"
    torch.testing.assert_close(made.audio, audio * (CEILING / 0.5), atol=1e-4, rtol=0)


def test_own_level_that_passes_full_scale_is_limited_too():
    made = at_level(accents(amplitude=0.3), None, sample_rate=RATE)
    assert float(made.audio.abs().max()) <= CEILING
    assert level(made.audio) == pytest.approx(level(accents(amplitude=0.3)), abs=0.5)


def test_limiter_adds_no_tones():
    audio = 10.0 * accents()
    limited = limit(audio, sample_rate=RATE)
    assert float(limited.abs().max()) <= CEILING + 1e-6
    spectrum = torch.fft.rfft(limited.double() * torch.hann_window(len(limited), dtype=torch.float64)).abs().square()
    hz = torch.arange(len(spectrum)) * RATE / len(limited)
    elsewhere = spectrum[(hz - 440.0).abs() > 150.0].sum() / spectrum.sum()
    assert 10 * math.log10(float(elsewhere)) < -70.0


def test_limiter_leaves_what_is_far_from_peaks_alone():
    audio = 0.5 * tone().float()
    audio[16000] = 3.0
    limited = limit(audio, sample_rate=RATE)
    reach = round(0.11 * RATE)
    assert torch.equal(limited[: 16000 - reach], audio[: 16000 - reach])
    assert torch.equal(limited[16000 + reach :], audio[16000 + reach :])
    assert float(limited[16000]) == pytest.approx(CEILING)


@pytest.mark.parametrize("samples", [1, 5, 17, 100])
def test_limiter_takes_the_shortest_sounds(samples):
    assert float(limit(torch.full((samples,), 5.0), sample_rate=RATE).abs().max()) <= CEILING


def test_silence_is_silence():
    for level_db in (-20.0, -math.inf, None):
        assert torch.equal(at_level(torch.zeros(4000), level_db, sample_rate=RATE).audio, torch.zeros(4000))
    assert torch.equal(at_level(tone().float(), -math.inf, sample_rate=RATE).audio, torch.zeros(2 * RATE))


def test_unknown_level_is_refused():
    with pytest.raises(ConfigError, match="no level 'loud'; it is 'recording' or 'normalised'"):
        check_level("loud")


def test_limiter_gives_the_same_to_the_bit_a_piece_at_a_time(monkeypatch):
    audio = torch.randn(20001)
    whole = limit(audio, sample_rate=16000)
    monkeypatch.setattr("zoo.models.levelling._SAMPLES", 777)
    assert torch.equal(limit(audio, sample_rate=16000), whole)
