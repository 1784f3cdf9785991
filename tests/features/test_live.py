"""What the player hears live, on recordings: as components, and through `prepare`."""

import numpy as np
import pytest
import torch
import zoo_player

from zoo.errors import ConfigError
from zoo.features import FeatureSettings, extract_features, track_pitch
from zoo.features.live import live_loudness
from zoo.features.loudness import a_weighted


def melody():
    f0_hz = np.repeat([262.0, 330.0, 392.0, 294.0], 8000)
    turns = np.cumsum(f0_hz) / 16000
    level = np.minimum(np.arange(8000) / 800, 1) * np.linspace(1, 0.05, 8000)
    return torch.tensor(0.3 * np.tile(level, 4) * sum(np.sin(2 * np.pi * k * turns) / k for k in range(1, 8))), f0_hz


def test_values_are_those_that_the_player_hears_moved_to_where_they_belong():
    audio, _ = melody()
    options = {"sample_rate": 16000, "hop": 64, "fmin": 196.0, "fmax": 2000.0}
    found, sure = track_pitch(audio[None].float(), tracker="live", center=True, **options)
    heard, _, _ = zoo_player.live_features(audio.numpy(), **options)
    late = round(zoo_player.live_features_latency(**options)["pitch"] / 64) - 1
    assert (found[0].numpy()[: 500 - late] == heard[late:]).all()
    assert ((found > 0) == (sure >= 0.5)).all()


def test_features_lie_where_the_sound_is():
    audio, f0_hz = melody()
    settings = FeatureSettings(tracker="live", loudness="live", fmin=196.0, normalize="none")
    found = extract_features(audio.float(), sample_rate=16000, hop=64, settings=settings)
    truth = torch.tensor(f0_hz[::64])
    cents = 1200 * (found.f0_hz / truth).log2()
    assert (cents.abs() < 10).float().mean() > 0.93
    offline = a_weighted(audio[None].float(), sample_rate=16000, hop=64)[0]
    loud = offline > -50
    assert (found.loudness_db - offline)[loud].abs().mean() < 1.5
    assert found.loudness_db.shape == found.f0_hz.shape == (500,)


def test_batch_and_odd_lengths():
    audio = torch.zeros(3, 1000)
    assert live_loudness(audio, sample_rate=16000, hop=64).tolist() == [[-80.0] * 15] * 3
    f0_hz, sure = track_pitch(audio[:, :63], sample_rate=16000, hop=64, tracker="live")
    assert f0_hz.shape == sure.shape == (3, 0)
    assert live_loudness(audio[:0], sample_rate=16000, hop=64).shape == (0, 15)


def test_what_the_player_cannot_measure_is_refused():
    with pytest.raises(ConfigError, match="fmin must be at least 20"):
        track_pitch(torch.zeros(1, 1000), sample_rate=16000, hop=64, tracker="live", fmin=10.0)
