import base64
import io
import math
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
import torch
from zoo_report.curves import round_values, value_axis
from zoo_report.phrases import Phrase, RunSample, choose, read_phrases
from zoo_report.players import view_phrase
from zoo_report.runs import Run
from zoo_report.sounds import Sound, gain_between, levels_db, read_sound

from zoo.features.audio import write_wav
from zoo.storage.config import ComponentConfig, ModelConfig
from zoo.storage.store import ModelInfo


@pytest.fixture
def recordings(small_tones):
    segments = small_tones.split("train")
    return [segments[number]["audio"] for number in range(4)]


def sound(audio):
    return Sound(np.round(audio.double().numpy() * 32768).clip(-32768, 32767).astype(np.int16), 16000)


def run(folder, label, sounds):
    """A run as far as its samples go; `sounds` are `[samples]` by phrase and role, turned down as a run does it."""
    samples = {}
    for number, roles in enumerate(sounds, start=1):
        peak = max(1.0, *(float(audio.abs().max()) for audio in roles.values()))
        for role, audio in roles.items():
            path = folder / label / f"phrase{number}_{role}.wav"
            write_wav(path, audio / peak, sample_rate=16000)
            samples.setdefault(number, {})[role] = path
    return Run(label, None, label, [], samples)


def test_recordings_are_one_whatever_their_level(recordings):
    a, other = recordings[:2]
    assert gain_between(sound(a), sound(a)) == 1.0
    assert gain_between(sound(a), sound(a * 0.3)) == pytest.approx(0.3, rel=1e-3)
    assert gain_between(sound(a * 0.3), sound(a)) == pytest.approx(1 / 0.3, rel=1e-3)
    assert gain_between(sound(a), sound(other)) is None
    assert gain_between(sound(a), sound(-a)) is None
    assert gain_between(sound(a), sound(a[:-1])) is None
    assert gain_between(sound(a), sound(a * 0)) is None
    assert gain_between(sound(a * 0), sound(a * 0)) == 1.0
    noisy = a + 0.001 * (2 * (a * 1e5 % 1) - 1)
    assert gain_between(sound(a), sound(noisy)) is None


def test_run_that_turned_its_phrases_down_is_matched_and_all_have_one_level(recordings, tmp_path):
    a, b = recordings[:2]
    loud = b * (2.0 / float(b.abs().max()))  # would clip, so this run's phrase stands at half its level
    first = run(tmp_path, "first", [{"recording": a, "student": 0.5 * b}])
    second = run(tmp_path, "second", [{"recording": a, "student": loud}])
    (phrase,), complaints = read_phrases([first, second])
    assert complaints == []
    held = phrase.level_matched()
    assert [one.gain for one in held] == [pytest.approx(0.5, rel=1e-3), 1.0]
    softer, kept = held
    assert np.abs(softer.sounds["recording"].samples - kept.sounds["recording"].samples).max() <= 1
    assert np.array_equal(kept.sounds["student"].samples, read_sound(second.samples[1]["student"]).samples)
    assert np.abs(softer.sounds["student"].samples - sound(0.25 * b).samples).max() <= 1


def test_other_recordings_and_missing_ones_are_phrases_of_their_own(recordings, tmp_path):
    a, b, c, _ = recordings
    first = run(tmp_path, "first", [{"recording": a, "student": c}, {"recording": b, "student": c}])
    second = run(tmp_path, "second", [{"recording": b, "student": c}, {"student": c}])
    phrases, _ = read_phrases([first, second])
    assert [[(one.run, one.number) for one in phrase.samples] for phrase in phrases] == [
        [(0, 1)],
        [(0, 2), (1, 1)],
        [(1, 2)],
    ]


def test_chosen_phrases_let_every_run_be_heard():
    def phrase(*places):
        return Phrase([RunSample(place, 1, {}) for place in places])

    alone, shared, other, rare = phrase(0), phrase(0, 1), phrase(0, 1), phrase(2)
    assert choose([alone, shared, other, rare], count=1) == [shared]
    assert choose([alone, shared, other, rare], count=2) == [shared, rare]
    assert choose([alone, shared, other, rare], count=3) == [shared, other, rare]
    assert choose([alone, shared], count=9) == [alone, shared]


def test_spectrogram_has_a_tone_where_it_is():
    time = np.arange(16000) / 16000
    tone = Sound((8000 * np.sin(2 * math.pi * 2000 * time) * (time < 0.5)).astype(np.int16), 16000)
    levels = levels_db(tone, seconds=2.0)
    rows, columns = levels.shape
    row, column = np.unravel_index(levels.argmax(), levels.shape)
    assert (row + 0.5) / rows * 8000 == pytest.approx(2000, abs=50)
    assert column / columns < 0.25
    assert levels[:, round(0.3 * columns) :].max() < levels.max() - 80


def test_silence_is_dark_and_called_so(tmp_path):
    quiet = run(tmp_path, "quiet", [{"student": torch.zeros(800)}])
    config = ModelConfig("gru-S", ComponentConfig("gru"), ComponentConfig("harmonic_noise"))
    quiet = replace(quiet, known=ModelInfo("gru-S", "folder", tmp_path, config))
    ((phrase,), _) = read_phrases([quiet])
    (player,) = view_phrase(phrase, [quiet], place=0).players
    assert player.alt.endswith("silence")
    picture = matplotlib.image.imread(io.BytesIO(base64.b64decode(player.picture.partition(",")[2])))
    assert float(picture[..., :3].max()) < 0.1


@pytest.mark.parametrize(("low", "high"), [(28.0, 42.0), (4.6, 46.0), (1e-4, 3.0), (-2.0, 5.0), (3.0, 3.0), (0.0, 0.0)])
def test_axis_of_values_holds_them_and_has_marks(low, high):
    height, marks = value_axis(low, high)
    assert 0 < height(low) <= height(high) < 100
    assert 2 <= len(marks) <= 8
    assert all(0 <= mark.at <= 100 for mark in marks)
    assert len({mark.text for mark in marks}) == len(marks)


def test_steps_are_marked_in_whole_numbers():
    assert round_values(0, 2, whole=True) == [0, 1, 2]
    assert round_values(0, 250, whole=True) == [0, 50, 100, 150, 200, 250]
    assert round_values(0.0, 0.512) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
