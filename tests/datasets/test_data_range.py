"""The range of a model is counted in what it is trained with, and is in every checkpoint of the run."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import zoo
from zoo.datasets import data_range
from zoo.datasets.data_range import range_of
from zoo.datasets.segments import Segments
from zoo.storage.config import read_config
from zoo.train import main

QUICK = ["--gin", "train/gru-S", "--set", "STEPS=2", "--set", "BATCH_SIZE=4", "--no-progress"]
QUICK += ["--set", "train.model_options={'hidden_size': 8, 'reverb_length': 200}", "--set", "train.evaluate=False"]


@pytest.fixture
def segments_of(tmp_path):
    """Make segments of 100 frames, the last one shorter, from features in a row."""

    def made(f0_hz, loudness_db):
        frames = len(f0_hz)
        save_file({"f0_hz": f0_hz, "loudness_db": loudness_db}, tmp_path / "shard.safetensors")
        entries = [
            {"shard": "shard.safetensors", "offset": at, "valid_frames": min(100, frames - at), "index": at}
            for at in range(0, frames, 100)
        ]
        return Segments(tmp_path, entries, hop=64, segment_frames=100)

    return made


def test_range_is_counted_in_frames_with_a_pitch_alone(segments_of):
    f0_hz = torch.cat([torch.linspace(200, 400, 501), torch.zeros(249)])  # from 36 cents over G3
    loudness_db = torch.cat([torch.linspace(-60, -20, 501), torch.full((249,), -80.0)])
    found = range_of(segments_of(f0_hz, loudness_db), frame_rate=250.0)
    assert found.f0_hz.values == pytest.approx((200, 202, 210, 250, 300, 350, 390, 398, 400), abs=0.011)
    assert found.loudness_db.values == pytest.approx((-60, -59.6, -58, -50, -40, -30, -22, -20.4, -20), abs=0.011)
    assert found.lowest_f0_hz == pytest.approx(200 + 0.1 * (220 * 2 ** (-1.5 / 12) - 200), abs=0.25)  # G3 ends there


def test_a_handful_of_mistracked_frames_does_not_count_as_training(segments_of):
    f0_hz = torch.full((1000,), 440.0)
    f0_hz[::250] = 55.0  # 4 of them
    found = range_of(segments_of(f0_hz, torch.full((1000,), -30.0)), frame_rate=250.0)
    assert found.lowest_f0_hz == 440.0
    assert found.f0_hz.lowest == 55.0
    f0_hz[::200] = 55.0  # 5: that is a note
    assert range_of(segments_of(f0_hz, torch.full((1000,), -30.0)), frame_rate=250.0).lowest_f0_hz == 55.0


def test_troughs_of_the_lowest_notes_vibrato_are_under_the_lowest_pitch(segments_of):
    f0_hz = torch.full((1000,), 261.6)
    f0_hz[::12] = 256.0  # there the 31st harmonic is under Nyquist
    found = range_of(segments_of(f0_hz, torch.full((1000,), -30.0)), frame_rate=250.0)
    assert found.lowest_f0_hz == pytest.approx(261.6, abs=0.011)
    assert found.harmonics_under(8000.0) == 30


def test_data_without_any_pitch_has_no_range(segments_of):
    assert range_of(segments_of(torch.zeros(250), torch.full((250,), -30.0)), frame_rate=250.0) is None


def test_range_of_more_frames_than_are_counted_is_that_of_some_from_all_segments(segments_of, monkeypatch):
    monkeypatch.setattr(data_range, "_MOST", 100)  # of 750: every eighth
    f0_hz = torch.cat([torch.linspace(200, 400, 501), torch.zeros(249)])
    found = range_of(segments_of(f0_hz, torch.full((750,), -30.0)), frame_rate=250.0)
    assert found.f0_hz.values == pytest.approx((200, 202, 210, 250, 300, 350, 390, 398, 400), abs=4)


def test_every_checkpoint_of_a_run_has_the_range_of_its_training_split(small_tones, tmp_path):
    out = tmp_path / "run"
    assert main([*QUICK, "--set", f"DATASET='{small_tones.path}'", "--out", str(out)]) == 0
    expected = range_of(small_tones.split("train"), frame_rate=250.0)
    assert read_config(out).range == expected
    assert zoo.load(out).synth.ceiling == expected.harmonics_under(8000)
    assert expected.in_words() in (out / "README.md").read_text()
    assert main(["--resume", "--out", str(out), "--set", "STEPS=4"]) == 0
    assert read_config(out).range == expected


def test_info_shows_the_range(small_tones, tmp_path, capsys):
    from zoo.__main__ import main as command

    model = zoo.create("gru-S", instrument="tones", hidden_size=8, reverb_length=100)
    model.set_range(range_of(small_tones.split("train"), frame_rate=250.0))
    zoo.save(model, tmp_path / "m")
    assert json.loads((tmp_path / "m" / "config.json").read_text())["range"]["lowest_f0_hz"] > 50
    assert command(["info", str(tmp_path / "m")]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("range"))
    assert model.config.range.in_words() in line
    assert f"{model.config.range.harmonics_under(8000)} harmonics" in line


def test_fall_is_that_of_held_notes_between_attack_and_release():
    rate, silence = 250.0, [0.0] * 25
    time = np.arange(250) / rate
    struck = -20 - 30 * time  # 30 dB per second
    blown = -20 + 3 * np.sin(2 * np.pi * 5 * time) - 200 * np.maximum(time - 0.9, 0)  # vibrato, and a release
    f0_hz = np.concatenate([part for _ in range(4) for part in (np.full(250, 220.0), silence)])
    for note, expected, tolerance in ((struck, 30.0, 0.1), (blown, 0.0, 8.0)):
        loudness_db = np.concatenate([part for _ in range(4) for part in (note, np.full(25, -80.0))])
        assert data_range.fall_of(f0_hz, loudness_db, frame_rate=rate) == pytest.approx(expected, abs=tolerance)
    again = np.tile(-20 - 30 * time[:225], 4)  # the same note, struck again and again without a pause
    assert data_range.fall_of(np.full(900, 220.0), again, frame_rate=rate) == pytest.approx(30.0, abs=0.1)
    assert data_range.fall_of(np.full(100, 220.0), np.full(100, -20.0), frame_rate=rate) is None  # too short to say
