import json
import math

import pytest
import torch

import zoo
from zoo import registry
from zoo.errors import ConfigError
from zoo.features import (
    FeatureSettings,
    a_weighted_level_db,
    extract_features,
    loudness_db,
    measure_loudness,
    scale_f0,
    scale_loudness,
    sound_level_db,
)
from zoo.features.frontend import LEVEL_QUANTILE, LEVEL_TARGET_DB, normalize

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


@pytest.mark.parametrize("kind", ["mean_db", "a_weighted"])
@pytest.mark.parametrize("normalize", ["peak", "loudness"])
def test_normalisation_makes_features_independent_of_level(normalize, kind):
    settings = FeatureSettings(tracker="yin", normalize=normalize, loudness=kind)
    loud = extract_features(sine(level=0.5), sample_rate=16000, hop=64, settings=settings)
    soft = extract_features(sine(level=0.005), sample_rate=16000, hop=64, settings=settings)
    torch.testing.assert_close(loud.loudness_db, soft.loudness_db, atol=1e-3, rtol=0)
    torch.testing.assert_close(loud.audio, soft.audio, atol=1e-5, rtol=0)
    assert soft.gain_db - loud.gain_db == pytest.approx(40.0, abs=1e-3)


def test_normalisation_none_leaves_the_level():
    found = extract_features(
        sine(level=0.05), sample_rate=16000, hop=64, settings=FeatureSettings(tracker="yin", normalize="none")
    )
    assert found.gain_db == 0.0
    assert found.audio.abs().max() == pytest.approx(0.05, rel=1e-3)


def test_features_of_old_settings_are_those_of_before(reference):
    """Bit for bit what zoo measured when there was one loudness and one normalisation."""
    old = {"tracker": "yin", "tracker_options": {}, "fmin": 50.0, "fmax": 2000.0, "center": True, "normalize": "peak"}
    old |= {"voicing_threshold": None, "n_fft": 2048}
    settings = FeatureSettings.from_dict(old)
    assert settings.to_dict() == old  # so that datasets and configs keep their bytes
    assert settings == FeatureSettings(tracker="yin", normalize="peak", loudness="mean_db")
    for recording in reference["audio"]:
        found = extract_features(recording, sample_rate=16000, hop=64, settings=settings)
        peak = float(recording.abs().max())
        audio = recording / peak
        assert torch.equal(found.audio, audio[: len(found.audio)])
        assert found.gain_db == -20.0 * math.log10(peak)
        assert torch.equal(found.loudness_db, loudness_db(audio[None], sample_rate=16000, hop=64, center=True)[0])


def test_new_settings_are_driven_by_what_people_hear():
    found = extract_features(sine(hz=1000.0, level=0.02), sample_rate=16000, hop=64, settings=YIN)
    inner = found.loudness_db[20:-20]
    torch.testing.assert_close(inner, torch.full_like(inner, -20.0), atol=0.05, rtol=0)
    level = a_weighted_level_db(found.audio[None], sample_rate=16000, hop=64)[0]
    torch.testing.assert_close(found.loudness_db, level, atol=1e-3, rtol=0)
    assert found.gain_db == pytest.approx(-20.0 - (20 * math.log10(0.02) - 3.01), abs=0.05)


@pytest.mark.parametrize("sample_rate", [16000, 48000])
def test_loudness_normalisation_brings_the_stated_quantile_to_the_stated_level(sample_rate):
    time = torch.arange(3 * sample_rate) / sample_rate
    decaying = torch.exp(-3 * time) * torch.sin(2 * torch.pi * 500 * time)
    audio, gain_db = normalize(decaying, "loudness", sample_rate=sample_rate)
    level = sound_level_db(audio[None], sample_rate=sample_rate, quantile=LEVEL_QUANTILE)
    assert float(level) == pytest.approx(LEVEL_TARGET_DB, abs=0.01)
    torch.testing.assert_close(audio, decaying * 10 ** (gain_db / 20))
    with pytest.raises(ConfigError, match="sample_rate"):
        normalize(decaying, "loudness")


@pytest.mark.parametrize("normalize", ["peak", "loudness"])
@pytest.mark.parametrize("level", [1e-9, 0.0])
def test_silence_is_not_amplified_and_has_no_pitch(level, normalize):
    settings = FeatureSettings(tracker="yin", normalize=normalize)
    found = extract_features(torch.full((16000,), level), sample_rate=16000, hop=64, settings=settings)
    assert found.gain_db == 0.0
    assert (found.loudness_db == -80.0).all()
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
    thesis = FeatureSettings(loudness="mean_db", normalize="none")
    assert FeatureSettings.from_dict(json.loads(json.dumps(thesis.to_dict()))) == thesis
    with pytest.raises(ConfigError, match="Did you mean tracker"):
        FeatureSettings.from_dict({"traker": "yin"})
    with pytest.raises(ConfigError, match="loudness, peak or none"):
        FeatureSettings(normalize="rms")


def test_a_loudness_of_ones_own_is_measured_by_its_name_and_options():
    @zoo.register.loudness("rms")
    def rms(audio, *, sample_rate, hop, center, floor=-80.0):
        return audio.unfold(1, hop, hop).square().mean(-1).log10().mul(10).clamp(min=floor)

    try:
        settings = FeatureSettings(tracker="yin", loudness="rms", loudness_options={"floor": -60.0})
        found = extract_features(torch.cat([sine(), torch.zeros(8000)]), sample_rate=16000, hop=64, settings=settings)
        assert found.loudness_db.min() == -60.0
        assert FeatureSettings.from_dict(settings.to_dict()) == settings
        settings = FeatureSettings(loudness="rms", loudness_options={"flor": 1})
        with pytest.raises(ConfigError, match="Did you mean floor"):
            measure_loudness(sine()[None], sample_rate=16000, hop=64, settings=settings)
    finally:
        registry.loudness.unregister("rms")
    with pytest.raises(ConfigError, match=r"no loudness named 'a_weigted'.*Did you mean a_weighted"):
        measure_loudness(sine()[None], sample_rate=16000, hop=64, settings=FeatureSettings(loudness="a_weigted"))
