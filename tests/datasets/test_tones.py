import sys

import torch

from zoo.datasets import open_dataset
from zoo.datasets.tones import melody, tones
from zoo.features import track_pitch


def test_phrases_are_the_same_from_the_same_seed():
    first, again, other = (next(iter(tones(seed=seed))) for seed in (0, 0, 1))
    assert torch.equal(first.load(16000), again.load(16000))
    assert first.digest(16000) == again.digest(16000)
    assert not torch.equal(first.load(16000), other.load(16000))
    assert first.digest(16000) != other.digest(16000)


def test_the_known_pitch_is_the_one_that_sounds():
    phrase = next(iter(tones()))
    known, audio = phrase.known_f0(16000, 64), phrase.load(16000)
    assert known.shape == (2000,)
    assert audio.abs().max() < 1.0
    f0_hz, confidence = track_pitch(audio[None], sample_rate=16000, hop=64, tracker="yin", center=True)
    clear = (known > 0) & (confidence[0] > 0.9)
    cents = 1200 * torch.log2(f0_hz[0] / known)[clear]
    assert clear.float().mean() > 0.7
    assert cents.abs().median() < 3
    assert cents.median().abs() < 1


def test_phrases_have_slides_vibrato_and_breaths():
    notes = [note for phrase in tones() for note in melody(phrase)]
    assert any(note.slide > 0.05 for note in notes)
    assert any(note.vibrato_cents > 0 for note in notes)
    assert any(note.midi == 0 for note in notes)
    known = torch.stack([phrase.known_f0(16000, 64) for phrase in tones()])
    assert 0.02 < (known == 0).float().mean() < 0.3


def test_tones_are_made_once_and_kept_without_a_pitch_tracker(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcrepe", None)  # makes its import fail
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    data = open_dataset("tones")
    assert tmp_path in data.path.parents
    assert (data.name, data.instrument) == ("tones", "tones")
    assert {name: len(data.split(name)) for name in ("train", "validation", "test")} == {
        "train": 24,
        "validation": 4,
        "test": 4,
    }
    assert data.info["splits"]["train"][0]["valid_frames"] == 1000
    made = (data.path / "dataset.json").stat().st_mtime_ns
    assert (open_dataset("tones").path / "dataset.json").stat().st_mtime_ns == made
