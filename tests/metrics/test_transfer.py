import math

import pytest
import torch

from zoo.errors import ConfigError
from zoo.features import FeatureSettings, a_weighted_level_db, loudness_db
from zoo.metrics import tracking_error

RATE, HOP, FRAMES = 16000, 64, 500
TRACKERS = {
    "yin": FeatureSettings(tracker="yin"),
    "torchcrepe": FeatureSettings(tracker_options={"model": "tiny"}),
}


def bank(f0_hz, cents=0.0):
    """A sine bank that has a pitch's harmonics, with enough noise under it that no bin is at the floor of loudness."""
    phase = torch.cumsum(2 * math.pi * (f0_hz * 2 ** (cents / 1200)).double().repeat_interleave(HOP) / RATE, dim=0)
    swell = torch.linspace(0.3, 1.0, len(phase)).double()
    tone = sum(0.2 / k * torch.sin(k * phase) for k in range(1, 11))
    noise = torch.rand(len(phase), generator=torch.Generator().manual_seed(0)) - 0.5
    return (swell * tone + 0.02 * noise).float()


@pytest.fixture(scope="module")
def asked():
    """A slow glide, and the loudness of what plays it exactly."""
    f0_hz = torch.linspace(300.0, 400.0, FRAMES)
    return f0_hz, a_weighted_level_db(bank(f0_hz)[None], sample_rate=RATE, hop=HOP)[0]


@pytest.mark.parametrize(("tracker", "tolerance"), [("yin", 2.0), ("torchcrepe", 6.0)])
def test_sound_that_has_the_pitch_and_loudness_follows(asked, tracker, tolerance):
    found = tracking_error(bank(asked[0]), *asked, sample_rate=RATE, hop=HOP, settings=TRACKERS[tracker])
    assert found.pitch_cents < tolerance
    assert (found.expected_frames, found.heard_frames) == (FRAMES // 4, FRAMES)
    assert found.pitch_frames > 0.9 * found.expected_frames
    assert found.loudness_error_db < 1e-3
    assert not found.silent
    assert not found.clips


@pytest.mark.parametrize("cents", [50.0, -50.0, 1200.0])
def test_sound_out_of_tune_is_so_many_cents_off(asked, cents):
    found = tracking_error(bank(asked[0], cents), *asked, sample_rate=RATE, hop=HOP, settings=TRACKERS["yin"])
    assert found.pitch_cents == pytest.approx(abs(cents), abs=2.0)


def test_softer_sound_is_so_many_decibels_off_all_of_them_its_level(asked):
    sound = bank(asked[0]) * 10 ** (-6 / 20)
    found = tracking_error(sound, *asked, sample_rate=RATE, hop=HOP, settings=TRACKERS["yin"])
    assert found.loudness_error_db == pytest.approx(6.0, abs=0.05)
    assert found.loudness_offset_db == pytest.approx(-6.0, abs=0.05)
    assert found.loudness_shape_db < 0.05
    assert found.pitch_cents < 2.0


def test_sound_that_has_a_recordings_level_back_is_as_loud_as_asked(asked):
    sound = bank(asked[0]) * 10 ** (-30 / 20)
    found = tracking_error(sound, *asked, sample_rate=RATE, hop=HOP, settings=TRACKERS["yin"], level_db=-30.0)
    assert found.loudness_error_db < 1e-2
    assert found.peak == pytest.approx(float(sound.abs().max()))


def test_silence_is_silent_and_has_no_pitch(asked):
    found = tracking_error(torch.zeros(FRAMES * HOP), *asked, sample_rate=RATE, hop=HOP)
    assert found.silent
    assert (found.peak, found.pitch_frames) == (0.0, 0)
    assert math.isnan(found.pitch_cents)
    assert found.loudness_offset_db < -20


def test_noise_has_no_pitch(asked):
    noise = torch.rand(FRAMES * HOP) - 0.5
    found = tracking_error(noise, *asked, sample_rate=RATE, hop=HOP)
    assert found.pitch_frames < 20
    assert math.isnan(found.pitch_cents)


def test_full_scale_clips(asked):
    sound = bank(asked[0])
    found = tracking_error(sound / sound.abs().max(), *asked, sample_rate=RATE, hop=HOP, settings=TRACKERS["yin"])
    assert found.clips


def test_pauses_and_unvoiced_frames_are_left_out(asked):
    f0_hz, loudness = (values.clone() for values in asked)
    f0_hz[:250], loudness[:250] = 0.0, -80.0
    found = tracking_error(bank(asked[0]), f0_hz, loudness, sample_rate=RATE, hop=HOP, settings=TRACKERS["yin"])
    assert (found.expected_frames, found.heard_frames) == (62, 250)
    assert found.pitch_cents < 2.0
    assert found.loudness_error_db < 1e-3
    nothing = torch.full((FRAMES,), -80.0)
    found = tracking_error(bank(asked[0]), f0_hz, nothing, sample_rate=RATE, hop=HOP, settings=TRACKERS["yin"])
    assert found.heard_frames == 0
    assert math.isnan(found.loudness_error_db)


def test_loudness_is_measured_as_the_settings_say(asked):
    sound = bank(asked[0])
    thesis = loudness_db(sound[None], sample_rate=RATE, hop=HOP, center=True)[0]
    settings = FeatureSettings(tracker="yin", loudness="mean_db")
    options = {"sample_rate": RATE, "hop": HOP, "settings": settings}
    assert tracking_error(sound, asked[0], thesis, **options).loudness_error_db < 1e-3
    assert tracking_error(sound, *asked, **options).loudness_error_db > 10


@pytest.mark.parametrize("kind", ["mean_db", "a_weighted"])
def test_level_is_that_which_people_hear_whatever_the_model_was_trained_with(asked, kind):
    settings = FeatureSettings(tracker="yin", loudness=kind)
    recording = bank(asked[0])
    options = {"sample_rate": RATE, "hop": HOP, "settings": settings, "recording": recording, "every": 100}
    same = tracking_error(recording, *asked, **options)
    assert (same.level_offset_db, same.level_error_db) == (0.0, 0.0)
    softer = tracking_error(0.25 * recording, *asked, **options)
    assert softer.level_offset_db == pytest.approx(-12.04, abs=0.01)
    assert softer.level_error_db == pytest.approx(12.04, abs=0.01)
    assert softer.sound_level_db == pytest.approx(same.sound_level_db - 12.04, abs=0.01)
    back = tracking_error(0.25 * recording, *asked, **options, level_db=-12.04)
    assert back.level_offset_db == pytest.approx(0.0, abs=0.01)
    assert back.sound_level_db == pytest.approx(softer.sound_level_db)


def test_level_needs_a_recording_that_sounds_and_is_as_long(asked):
    sound = bank(asked[0])
    options = {"sample_rate": RATE, "hop": HOP, "settings": TRACKERS["yin"], "every": 100}
    for recording in (None, torch.zeros_like(sound)):
        found = tracking_error(sound, *asked, **options, recording=recording)
        assert math.isnan(found.level_offset_db)
        assert math.isnan(found.level_error_db)
        assert -25 < found.sound_level_db < -5
    with pytest.raises(ConfigError, match=r"recording \[100\] and the audio \[32000\]"):
        tracking_error(sound, *asked, **options, recording=sound[:100])


def test_shapes_that_disagree_are_refused(asked):
    with pytest.raises(ConfigError, match=r"audio \[100\], f0_hz \[500\] and loudness_db \[500\] do not agree"):
        tracking_error(torch.ones(100), *asked, sample_rate=RATE, hop=HOP)
