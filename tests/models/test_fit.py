"""Into a model's range: by which octaves, by how much loudness, and how pauses stay quiet."""

import math
from dataclasses import replace

import pytest
import torch
from ranges import SPAN

from zoo.errors import ConfigError
from zoo.features import Features
from zoo.models.fit import Fit, check_fit, into_range, octaves_into, quiet_gain
from zoo.storage.model_range import Quantiles

RATE, HOP = 16000, 64


def sine(hz, *, seconds=1.0, amplitude=0.5):
    return amplitude * torch.sin(2 * math.pi * hz * torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE)


def features_of(audio, *, f0_hz=220.0, loudness_db=-30.0):
    frames = len(audio) // HOP
    return Features(
        torch.full((frames,), f0_hz), torch.full((frames,), loudness_db), torch.ones(frames), audio.float(), 0.0
    )


@pytest.mark.parametrize(
    ("f0_hz", "octaves"),
    [([300.0, 1000.0], 0), ([110.0, 200.0], 2), ([150.0, 250.0], 1), ([2000.0, 3000.0], -1), ([40.0], 3)],
)
def test_pitch_moves_by_as_few_octaves_as_bring_it_into_the_range(f0_hz, octaves):
    assert octaves_into(torch.tensor(f0_hz).repeat(20), SPAN) == octaves


def test_pitches_that_no_octave_brings_into_a_narrow_range_move_next_to_it():
    narrow = replace(SPAN, f0_hz=Quantiles((500.0, *[550.0] * 7, 600.0)))
    assert octaves_into(torch.tensor([100.0, 105.0] * 20), narrow) == 2
    assert octaves_into(torch.tensor([1700.0, 1800.0] * 20), narrow) == -2
    assert octaves_into(torch.tensor([137.0] * 20), narrow) == 2


def test_few_pitches_move_nothing():
    assert octaves_into(torch.tensor([50.0] * 5), SPAN) == 0


def test_few_frames_out_of_the_range_do_not_move_the_rest():
    assert octaves_into(torch.tensor([200.0] * 5 + [500.0] * 95), SPAN) == 0


@pytest.mark.parametrize(("loudness_db", "shift_db"), [(-42.0, 0.0), (-37.0, -2.5), (-20.0, -15.75), (-78.0, 24.75)])
def test_loudness_moves_halfway_to_the_median_and_well_into_the_range(loudness_db, shift_db):
    fitted = into_range(features_of(sine(220), loudness_db=loudness_db), SPAN, sample_rate=RATE, hop=HOP)
    assert fitted.fit.loudness_db == pytest.approx(shift_db)
    torch.testing.assert_close(fitted.loudness_db, torch.full((250,), loudness_db + shift_db))


def test_fitted_features_say_how_far_they_were_moved():
    fitted = into_range(features_of(sine(220), loudness_db=-20.0), SPAN, sample_rate=RATE, hop=HOP)
    assert fitted.fit == Fit(octaves=1, loudness_db=fitted.fit.loudness_db)
    assert fitted.f0_hz[0] == 440.0
    assert (
        fitted.fit.describe("gru-S-flute") == "pitch moved up 1 octave, loudness -16 dB, into the range of gru-S-flute"
    )


@pytest.mark.parametrize(
    ("fit", "said"),
    [
        (Fit(0, 0.0), "pitch and loudness are in the range of x"),
        (Fit(-2, 0.2), "pitch moved down 2 octaves, into the range of x"),
        (Fit(0, 6.4), "loudness +6 dB, into the range of x"),
    ],
)
def test_fit_is_described_in_a_line(fit, said):
    assert fit.describe("x") == said


def test_loudness_out_of_the_range_is_held_at_its_ends():
    features = features_of(sine(220))
    features.loudness_db[:50], features.loudness_db[200:] = -80.0, -5.0
    fitted = into_range(features, SPAN, sample_rate=RATE, hop=HOP)
    assert fitted.loudness_db.min() == SPAN.loudness_db.at(0.01)
    assert fitted.loudness_db.max() == SPAN.loudness_db.highest


def quiet_in_the_middle(softer_db):
    audio = sine(440, seconds=3.0)
    audio[16000:32000] *= 10 ** (-softer_db / 20)
    return features_of(audio)


@pytest.mark.parametrize(("softer_db", "least_db", "most_db"), [(10, -0.1, 0.1), (50, 45.0, 51.0)])
def test_quiet_stretch_of_a_recording_is_as_quiet_in_the_result(softer_db, least_db, most_db):
    fitted = into_range(quiet_in_the_middle(softer_db), SPAN, sample_rate=RATE, hop=HOP)
    gain = quiet_gain(sine(440, seconds=3.0).float(), fitted.level_db, sample_rate=RATE, hop=HOP)
    assert gain.shape == (48000,)
    torch.testing.assert_close(gain[:14000], torch.ones(14000), atol=0.02, rtol=0)
    turned_down_db = -20 * math.log10(float(gain[24000]))
    assert least_db < turned_down_db < most_db


def test_silence_within_a_recording_is_silence_and_comes_and_goes_without_a_click():
    fitted = into_range(quiet_in_the_middle(200), SPAN, sample_rate=RATE, hop=HOP)
    gain = quiet_gain(sine(440, seconds=3.0).float(), fitted.level_db, sample_rate=RATE, hop=HOP)
    assert torch.equal(gain[17000:31000], torch.zeros(14000))
    assert float(gain.diff().abs().max()) < 0.01


def test_result_that_is_as_quiet_by_itself_is_left_alone():
    features = quiet_in_the_middle(40)
    fitted = into_range(features, SPAN, sample_rate=RATE, hop=HOP)
    gain = quiet_gain(features.audio, fitted.level_db, sample_rate=RATE, hop=HOP)
    torch.testing.assert_close(gain, torch.ones(48000))


def test_unknown_fit_is_refused():
    with pytest.raises(ConfigError, match="no fit 'best'; it is 'auto' or 'off'"):
        check_fit("best")


def test_gain_of_a_long_sound_in_pieces_is_that_of_the_whole(monkeypatch):
    level_db = -20.0 - 40.0 * (torch.arange(750) % 100 > 60)
    dry = sine(440, seconds=3.0).float()
    whole = quiet_gain(dry, level_db, sample_rate=RATE, hop=HOP)
    assert 0.0 < float(whole.min()) < 0.1 < float(whole.max())
    monkeypatch.setattr("zoo.models.fit._FRAMES", 70)
    torch.testing.assert_close(quiet_gain(dry, level_db, sample_rate=RATE, hop=HOP), whole, rtol=0, atol=1e-5)
