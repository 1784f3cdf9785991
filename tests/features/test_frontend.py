import json

import pytest
import torch

from zoo.errors import ConfigError
from zoo.features import FeatureSettings, extract_features, scale_f0, scale_loudness

YIN = FeatureSettings(tracker="yin")


def sine(seconds=1.0, hz=440.0, level=0.1):
    return level * torch.sin(2 * torch.pi * hz / 16000 * torch.arange(round(16000 * seconds)))


def test_scaling_equals_the_reference(reference):
    torch.testing.assert_close(scale_f0(reference["scale.f0_hz"]), reference["scale.f0_scaled"], atol=1e-5, rtol=0)
    found = scale_loudness(reference["scale.loudness_db"])
    torch.testing.assert_close(found, reference["scale.loudness_scaled"], atol=1e-6, rtol=0)


def test_features_have_one_length_and_audio_is_whole_frames():
    found = extract_features(sine()[:15999], sample_rate=16000, hop=64, settings=YIN)
    assert found.f0_hz.shape == found.loudness_db.shape == found.periodicity.shape == (249,)
    assert found.audio.shape == (249 * 64,)


def test_peak_normalisation_makes_features_independent_of_level():
    loud = extract_features(sine(level=0.5), sample_rate=16000, hop=64, settings=YIN)
    soft = extract_features(sine(level=0.005), sample_rate=16000, hop=64, settings=YIN)
    torch.testing.assert_close(loud.loudness_db, soft.loudness_db, atol=1e-3, rtol=0)
    assert soft.audio.abs().max() == pytest.approx(1.0)
    assert soft.gain_db - loud.gain_db == pytest.approx(40.0, abs=1e-3)


def test_normalisation_none_leaves_the_level():
    found = extract_features(
        sine(level=0.05), sample_rate=16000, hop=64, settings=FeatureSettings(tracker="yin", normalize="none")
    )
    assert found.gain_db == 0.0
    assert found.audio.abs().max() == pytest.approx(0.05, rel=1e-3)


def test_silence_is_not_amplified_and_has_no_pitch():
    found = extract_features(torch.full((16000,), 1e-9), sample_rate=16000, hop=64, settings=YIN)
    assert found.gain_db == 0.0
    assert (found.f0_hz == 0).all()
    assert torch.isfinite(found.audio).all()


def test_unvoiced_frames_have_no_pitch():
    noise = torch.randn(8000, generator=torch.Generator().manual_seed(0)) * 0.1
    found = extract_features(torch.cat([sine(0.5), noise]), sample_rate=16000, hop=64, settings=YIN)
    assert (found.f0_hz[20:100] > 0).all()
    assert (found.f0_hz[140:] == 0).float().mean() > 0.9


def test_known_pitch_is_kept():
    known = torch.linspace(100, 200, 250)
    found = extract_features(sine(), sample_rate=16000, hop=64, settings=FeatureSettings(), f0_hz=known)
    assert torch.equal(found.f0_hz, known)
    with pytest.raises(ConfigError, match="frames"):
        extract_features(sine(), sample_rate=16000, hop=64, settings=FeatureSettings(), f0_hz=known[1:])


def test_settings_survive_json_and_refuse_unknown_keys():
    settings = FeatureSettings(tracker_options={"model": "tiny"}, voicing_threshold=0.4, center=False)
    assert FeatureSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    with pytest.raises(ConfigError, match="Did you mean tracker"):
        FeatureSettings.from_dict({"traker": "yin"})
    with pytest.raises(ConfigError, match="peak or none"):
        FeatureSettings(normalize="rms")
