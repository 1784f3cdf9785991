"""Folders with what is no recording, and with recordings that are odd."""

import json
import os

import numpy as np
import pytest
import soundfile

from zoo.datasets import prepare_dataset
from zoo.datasets.folder import folder
from zoo.datasets.preparation.outcome import notes_of
from zoo.errors import DatasetError
from zoo.executors import ExecutorConfig

RATE = 16000


def sound(seconds, hz=440.0):
    noise = np.random.default_rng(0).normal(size=round(seconds * RATE)) * 0.01
    return (0.4 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE) + noise).astype(np.float32)


def test_folder_with_odd_files_is_prepared_from_the_others(tmp_path, yin):
    recordings = tmp_path / "in"
    recordings.mkdir()
    for number in range(3):
        soundfile.write(recordings / f"g{number}.wav", sound(5.0, hz=300 + 50 * number), RATE)
    soundfile.write(recordings / "phase.wav", np.stack([sound(5.0, hz=220), -sound(5.0, hz=220)], axis=1), RATE)
    os.mkfifo(recordings / "pipe.wav")
    (recordings / "dangling.wav").symlink_to("nowhere")
    (recordings / "folder.wav").mkdir()
    soundfile.write(recordings / "short.wav", sound(0.001), RATE)
    (recordings / "g0.wav").rename(recordings / os.fsdecode(b"g\xf6.wav"))
    out = tmp_path / "out"
    (outcome,) = prepare_dataset(folder(recordings), out, yin, execution=ExecutorConfig(jobs=2))
    assert outcome.recordings == 4
    assert {skipped.source for skipped in outcome.skipped} == {
        "pipe.wav", "dangling.wav", "folder.wav", "short.wav"
    }  # fmt: skip
    assert outcome.notes[0].startswith("phase.wav: its 2 channels cancel")
    info = json.loads((out / "dataset.json").read_bytes().decode("utf-8"))
    assert r"g\xf6.wav" in [source["id"] for source in info["sources"]]
    json.dumps(info, ensure_ascii=False).encode()
    (again,) = prepare_dataset(folder(recordings), out, yin)
    assert not again.fresh


def test_folder_to_make_whose_name_is_not_utf8_is_refused(tmp_path, yin):
    soundfile.write(tmp_path / "a.wav", sound(5.0), RATE)
    with pytest.raises(DatasetError, match="no text in UTF-8"):
        prepare_dataset(folder(tmp_path), tmp_path / os.fsdecode(b"m\xfc"), yin)


def test_recordings_in_a_folder_whose_name_is_not_utf8_are_used(tmp_path, yin):
    place = tmp_path / os.fsdecode(b"m\xfc")
    place.mkdir()
    soundfile.write(tmp_path / "a.wav", sound(5.0), RATE)
    (tmp_path / "a.wav").rename(place / "a.wav")
    (outcome,) = prepare_dataset(folder(tmp_path), tmp_path / "out", yin)
    assert outcome.recordings == 1
    assert outcome.segments["train"] == 2


def test_oddities_of_many_recordings_are_told_once():
    told = notes_of([(f"{number}.wav", "its sound is odd") for number in range(5)])
    assert told == ["0.wav, 1.wav, 2.wav and 2 more: its sound is odd."]
