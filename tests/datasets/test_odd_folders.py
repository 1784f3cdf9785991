"""Folders with what is no recording, and with recordings that are odd."""

import json
import os
import re

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


def test_audio_of_other_formats_is_told_in_one_line_and_other_files_are_not(tmp_path, caplog):
    soundfile.write(tmp_path / "a.wav", sound(1.0), RATE)
    (tmp_path / "notes.txt").write_text("")
    assert len(folder(tmp_path)) == 1
    assert not caplog.messages
    (tmp_path / "song.M4A").write_bytes(b"x")
    (tmp_path / "._song.m4a").write_bytes(b"x")
    folder(tmp_path)
    assert caplog.messages == ["1 file ending in .m4a was not read: convert it to wav or flac."]
    caplog.clear()
    (tmp_path / "b.wma").write_bytes(b"x")
    folder(tmp_path)
    assert caplog.messages == ["2 files ending in .m4a or .wma were not read: convert them to wav or flac."]


def test_clipped_recording_is_told_and_one_that_only_reaches_full_scale_is_not(tmp_path, yin):
    clean = sound(5.0) / np.abs(sound(5.0)).max()
    soundfile.write(tmp_path / "clean.wav", clean, RATE)
    soundfile.write(tmp_path / "low.wav", 0.3 * np.sin(2 * np.pi * 80 * np.arange(5 * 48_000) / 48_000), 48_000)
    soundfile.write(tmp_path / "loud.mp3", clean, RATE)  # peaks of the codec are over full scale
    soundfile.write(tmp_path / "clipped.wav", (8 * clean).clip(-1, 1), RATE)
    soundfile.write(tmp_path / "turned-down.flac", 0.5 * (2 * clean).clip(-1, 1), RATE)
    (outcome,) = prepare_dataset(folder(tmp_path), tmp_path / "out", yin)
    told = [re.fullmatch(r"(\S+): ([\d.]+) % of its samples are clipped\. .*", note) for note in outcome.notes]
    found = {match[1]: float(match[2]) for match in told if match}
    assert found == {"clipped.wav": pytest.approx(91.5, abs=1), "turned-down.flac": pytest.approx(65, abs=3)}


def test_pauses_over_a_small_constant_are_silence(tmp_path, yin):
    pause = np.zeros(3 * RATE)
    soundfile.write(tmp_path / "a.wav", np.concatenate([pause, 0.1 * sound(4.0), pause]) + 0.003, RATE)
    (outcome,) = prepare_dataset(folder(tmp_path), tmp_path / "out", yin)
    assert sum(outcome.minutes.values()) * 60 == pytest.approx(4.0, abs=0.2)
    assert [skipped.reason for skipped in outcome.skipped if skipped.seconds > 1] == ["silence"]


def test_recording_in_two_formats_is_used_once(tmp_path, yin):
    for name in ("a.flac", "a.wav", "b.wav"):
        samples = 30_000 * sound(3.0, hz=440.0 if name[0] == "a" else 330.0)
        soundfile.write(tmp_path / name, samples.astype(np.int16), RATE)
    (outcome,) = prepare_dataset(folder(tmp_path), tmp_path / "out", yin)
    assert [(skipped.source, skipped.reason) for skipped in outcome.skipped] == [("a.wav", "the same as a.flac")]


def test_note_on_a_recording_of_which_nothing_is_kept_is_not_told(tmp_path, yin):
    for name, seconds in (("used", 5.0), ("short", 0.3)):
        soundfile.write(tmp_path / f"{name}.wav", np.stack([sound(seconds), 0.0 * sound(seconds)], axis=1), RATE)
    (outcome,) = prepare_dataset(folder(tmp_path), tmp_path / "out", yin)
    assert "short.wav" in [skipped.source for skipped in outcome.skipped]
    assert "used.wav: channel 2 of 2 is silent, and is left out." in outcome.notes
    assert not any("short.wav" in note for note in outcome.notes)


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
