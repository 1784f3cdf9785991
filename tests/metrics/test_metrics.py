import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoo import metrics, registry
from zoo.errors import ConfigError
from zoo.metrics.measures import Found

PAIRS = {
    "clip_log_spectral_distance": {},
    "log_spectral_distance": {},
    "multi_scale_spectral_distance": {},
    "onset_flux_distance": {"sample_rate": 16000},
    "loudness_error_db": {"sample_rate": 16000, "hop": 64},
    "level_error_db": {"sample_rate": 16000, "hop": 64},
    "multi_scale_spectral_held_out": {},
    "log_mel_distance": {"sample_rate": 16000},
    "mfcc_distance": {"sample_rate": 16000},
}


@pytest.fixture(scope="module")
def signals():
    return load_file(Path(__file__).parents[1] / "data" / "spectral-reference.safetensors")


def tone(f0_hz, hop=64, rate=16000):
    """A few harmonics at the pitch of each frame, [1, frames * hop]."""
    phase = torch.cumsum(2 * math.pi * f0_hz.double().repeat_interleave(hop, dim=1) / rate, dim=1)
    return sum(0.3 / k * torch.sin(k * phase) for k in range(1, 6)).float()


@pytest.mark.parametrize(
    ("name", "key", "tolerance"),
    [
        ("clip_log_spectral_distance", "log_spectral_distance_l1_each_row", 1e-4),
        ("onset_flux_distance", "onset_flux_distance_each_row", 1e-3),
        ("multi_scale_spectral_distance", "multi_scale_spectral_each_row", 1e-5),
    ],
)
def test_measures_equal_the_reference(signals, name, key, tolerance):
    found = getattr(metrics, name)(signals["a"], signals["b"], **PAIRS[name])
    torch.testing.assert_close(found, signals[key], rtol=tolerance, atol=0)


@pytest.mark.parametrize("name", PAIRS)
def test_measures_of_equal_sounds_are_zero(signals, name):
    measure, options = getattr(metrics, name), PAIRS[name]
    assert measure(signals["a"], signals["a"].clone(), **options).eq(0).all()
    silence = torch.zeros(2, 4000)
    assert measure(silence, silence, **options).eq(0).all()


@pytest.mark.parametrize("name", PAIRS)
def test_measures_leave_the_padding_out(signals, name):
    measure, options = getattr(metrics, name), PAIRS[name]
    a, b = signals["a"][:, :8192].clone(), signals["b"][:, :8192].clone()
    valid = torch.tensor([8192, 5000])
    first = measure(a, b, valid_samples=valid, **options)
    a[1, 5000:] = 0.9
    b[1, 5000:] = 0.0
    second = measure(a, b, valid_samples=valid, **options)
    assert first.shape == (2,)
    assert torch.equal(first, second)
    assert first.gt(0).all()


@pytest.mark.parametrize("name", PAIRS)
def test_row_that_is_all_padding_has_no_value(signals, name):
    a, b = signals["a"][:, :8192], signals["b"][:, :8192]
    found = getattr(metrics, name)(a, b, valid_samples=torch.tensor([8192, 0]), **PAIRS[name])
    assert found.isnan().tolist() == [False, True]


@pytest.mark.parametrize("name", ["loudness_error_db", "level_error_db"])
def test_row_without_a_whole_frame_has_no_level(signals, name):
    a, b = signals["a"][:, :8192], signals["b"][:, :8192]
    found = getattr(metrics, name)(a, b, valid_samples=torch.tensor([8192, 63]), **PAIRS[name])
    assert found.isnan().tolist() == [False, True]


@pytest.mark.parametrize("name", PAIRS)
def test_measures_refuse_bad_input(name):
    measure, options = getattr(metrics, name), PAIRS[name]
    sound = torch.ones(2, 4000)
    with pytest.raises(ConfigError, match=r"a is \[2, 4000\] and b \[2, 3000\]"):
        measure(sound, sound[:, :3000], **options)
    with pytest.raises(ConfigError, match=r"a must be audio \[batch, samples\]"):
        measure(sound[0], sound[0], **options)
    with pytest.raises(ConfigError, match="b holds NaN"):
        measure(sound, sound * float("nan"), **options)
    with pytest.raises(ConfigError, match="valid_samples must be integers"):
        measure(sound, sound, valid_samples=torch.ones(3).long(), **options)


def test_log_spectral_distance_of_a_gain_is_its_decibels():
    sound = torch.randn(1, 16000)
    found = metrics.log_spectral_distance(sound, sound * 10 ** (-6 / 20), floor_db=-300.0)
    assert found.item() == pytest.approx(6.0, abs=1e-3)


def test_log_spectral_distance_ignores_what_is_under_the_floor():
    quiet = 1e-7 * torch.randn(1, 8000)
    assert metrics.log_spectral_distance(quiet, torch.zeros(1, 8000)).item() == 0


def test_loudness_error_of_a_gain_is_its_decibels():
    sound = torch.randn(2, 16000)
    found = metrics.loudness_error_db(sound, sound * 0.5, sample_rate=16000, hop=64)
    torch.testing.assert_close(found, torch.full((2,), 6.02), atol=0.05, rtol=0)


def test_level_error_of_a_gain_is_its_decibels_without_the_pauses():
    sound = torch.randn(2, 16000)
    sound[:, 8000:] = 0
    other = 0.5 * sound
    other[:, 12000:] = 0.5 * torch.randn(2, 4000)  # what sounds in a pause is no error of the level
    found = metrics.level_error_db(other, sound, sample_rate=16000, hop=64)
    torch.testing.assert_close(found, torch.full((2,), 6.02), atol=0.05, rtol=0)


def test_level_error_hears_what_the_loudness_error_does_not(signals):
    tone_alone = tone(torch.full((1, 250), 300.0))
    noise = 1e-3 * torch.randn(1, 16000)
    softer = 0.25 * tone_alone
    rates = {"sample_rate": 16000, "hop": 64}
    assert metrics.level_error_db(softer + noise, tone_alone + noise, **rates).item() == pytest.approx(12.0, abs=0.1)
    assert metrics.loudness_error_db(softer + noise, tone_alone + noise, **rates).item() < 4


def test_level_error_with_a_silent_recording_is_over_what_sounds_instead():
    found = metrics.level_error_db(0.1 * torch.randn(1, 16000), torch.zeros(1, 16000), sample_rate=16000)
    assert found.item() > 40


def test_log_mel_and_mfcc_distances_are_those_of_librosa(signals):
    import librosa
    import numpy as np

    def levels(signal):
        power = librosa.feature.melspectrogram(
            y=signal.double().numpy(), sr=16000, n_fft=1024, hop_length=256, n_mels=64, norm=None
        )
        return 10 * np.log10(np.maximum(power / 256**2, 1e-8))  # a full-scale sine has a magnitude of 1024 / 4

    pairs = [[levels(x) for x in pair] for pair in zip(signals["a"], signals["b"], strict=True)]
    expected = torch.tensor([np.abs(x - y).mean() for x, y in pairs])
    found = metrics.log_mel_distance(signals["a"].double(), signals["b"].double(), sample_rate=16000)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)
    cepstra = [[librosa.feature.mfcc(S=x, n_mfcc=13)[1:] for x in pair] for pair in pairs]
    expected = torch.tensor([np.linalg.norm(x - y, axis=0).mean() for x, y in cepstra])
    found = metrics.mfcc_distance(signals["a"].double(), signals["b"].double(), sample_rate=16000)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_mfcc_distance_does_not_hear_the_level():
    sound = torch.randn(1, 16000)
    found = metrics.mfcc_distance(sound, 0.5 * sound, sample_rate=16000, floor_db=-300.0)
    assert found.item() == pytest.approx(0, abs=1e-3)
    assert metrics.log_mel_distance(sound, 0.5 * sound, sample_rate=16000).item() == pytest.approx(6.02, abs=0.01)


def test_held_out_windows_are_the_multi_scale_distance_at_other_sizes(signals):
    found = metrics.multi_scale_spectral_held_out(signals["a"], signals["b"])
    sizes = [
        metrics.multi_scale_spectral_distance(signals["a"], signals["b"], fft_sizes=(n,)) for n in (1536, 768, 384)
    ]
    torch.testing.assert_close(found, torch.stack(sizes).sum(dim=0))


def test_too_many_bands_or_coefficients_are_refused():
    sound = torch.randn(1, 4000)
    with pytest.raises(ConfigError, match="too narrow"):
        metrics.log_mel_distance(sound, sound, sample_rate=16000, mels=200, n_fft=256)
    with pytest.raises(ConfigError, match="1 to 63"):
        metrics.mfcc_distance(sound, sound, sample_rate=16000, coefficients=64)


def test_measures_accept_sounds_shorter_than_a_window():
    a, b = torch.randn(1, 300), torch.randn(1, 300)
    for name in (
        "clip_log_spectral_distance",
        "log_spectral_distance",
        "onset_flux_distance",
        "loudness_error_db",
        "level_error_db",
        "log_mel_distance",
        "mfcc_distance",
    ):
        assert getattr(metrics, name)(a, b, **PAIRS[name]).isfinite().all(), name
    with pytest.raises(ConfigError, match="too short for FFT sizes"):
        metrics.multi_scale_spectral_distance(a, b)


@pytest.mark.parametrize("tracker", ["torchcrepe", "yin"])
def test_f0_error_is_small_where_the_sound_has_its_pitch(tracker):
    f0_hz = torch.linspace(300, 400, 250)[None]
    found = metrics.f0_error_cents(tone(f0_hz), f0_hz, sample_rate=16000, hop=64, tracker=tracker)
    assert found.median_cents.item() < 15
    assert found.fraction_over_50.item() < 0.1


def test_f0_error_counts_octaves_and_leaves_out_unvoiced_frames():
    f0_hz = torch.full((3, 250), 300.0)
    sound = tone(f0_hz)
    f0_hz[0, 100:] = 600.0
    f0_hz[1, 125:] = 0.0
    f0_hz[2] = 0.0
    found = metrics.f0_error_cents(sound, f0_hz, sample_rate=16000, hop=64, tracker="yin")
    assert found.fraction_over_50[0].item() == pytest.approx(0.6, abs=0.05)
    assert found.median_cents[0].item() == pytest.approx(1200, abs=10)
    assert found.fraction_over_50[1].item() == 0
    assert found.voiced_frames.tolist()[1:] == [32, 0]
    assert found.median_cents[2].isnan()
    assert found.fraction_over_50[2].isnan()


def test_f0_error_leaves_the_padding_out():
    f0_hz = torch.full((1, 250), 300.0)
    sound = tone(f0_hz)
    sound[:, 8000:] = 0
    found = metrics.f0_error_cents(
        sound, f0_hz, sample_rate=16000, hop=64, tracker="yin", valid_samples=torch.tensor([8000])
    )
    assert found.voiced_frames.item() == 31
    assert found.fraction_over_50.item() < 0.1


def test_f0_error_refuses_shapes_that_disagree():
    with pytest.raises(ConfigError, match=r"audio \[1, 6400\] and f0_hz \[1, 99\] do not agree"):
        metrics.f0_error_cents(torch.ones(1, 6400), torch.ones(1, 99), sample_rate=16000, hop=64)


def test_every_measure_is_found_by_name():
    for name in ("f0_error_cents", "multi_scale_spectral", *(set(PAIRS) - {"multi_scale_spectral_distance"})):
        assert callable(registry.metrics.get(name))


def test_infinite_values_of_a_measure_are_told_and_rows_without_a_value_are_not(caplog):
    found = Found()
    found.add_rows("ratio", torch.tensor([1.0, math.inf]))
    found.add_rows("ratio", torch.tensor([2.0, math.nan]))
    found.add_rows("pitch", torch.tensor([3.0, math.nan]))
    summary = found.summary()
    assert (summary["ratio"]["mean"], summary["ratio"]["n"], summary["pitch"]["n"]) == (1.5, 2, 1)
    assert caplog.messages == ["ratio is infinite for 1 of 4 segments: its mean is without them."]
