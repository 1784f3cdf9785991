"""A prepared dataset's picture and numbers: what pitches and levels are in it."""

import json
import sys
from dataclasses import replace

import pytest
import soundfile
import torch

from zoo.datasets import open_dataset, prepare_dataset
from zoo.datasets.preparation.picture import PICTURE_NAME, draw_dataset, note_name
from zoo.prepare import main


def test_numbers_are_those_of_the_frames(tmp_path, notes, yin):
    sounds = [notes(name, notes=((4.0, hz),)) for name, hz in (("a", 110.0), ("b", 220.0), ("c", 440.0))]
    prepare_dataset(sounds, tmp_path / "o", yin)
    data = open_dataset(tmp_path / "o")
    statistics = data.info["statistics"]
    middle = statistics["quantiles"].index(0.5)
    for name in ("train", "validation", "test"):
        (item,) = data.split(name)
        valid = int(item["valid_frames"])
        voiced = item["f0_hz"][:valid][item["f0_hz"][:valid] > 0]
        assert statistics[name]["f0_hz"][middle] == pytest.approx(float(voiced.median()), abs=0.2)
        assert statistics[name]["loudness_db"][0] == pytest.approx(float(item["loudness_db"][:valid].min()), abs=0.01)
        assert statistics[name]["voiced"] == pytest.approx(len(voiced) / valid, abs=1e-4)


def test_a_picture_is_drawn_with_the_same_bytes_each_time(tmp_path, notes, yin):
    prepare_dataset([notes("a"), notes("b", notes=((3.0, 440.0),))], tmp_path / "o", yin)
    assert draw_dataset(tmp_path / "o") == ""
    first = (tmp_path / "o" / PICTURE_NAME).read_bytes()
    assert first.startswith(b"\x89PNG")
    draw_dataset(tmp_path / "o")
    assert (tmp_path / "o" / PICTURE_NAME).read_bytes() == first
    assert note_name(69) == "A4"
    assert note_name(60) == "C4"


@pytest.mark.filterwarnings("error")
def test_names_in_other_letters_and_signs_are_drawn_without_a_warning(tmp_path, notes, yin):
    names = ["小提琴", "скрипка", r"$\frac$", "a_b^{"]
    sounds = [notes(name, notes=((3.0, 200.0 + 20 * k),)) for k, name in enumerate(names)]
    prepare_dataset(sounds, tmp_path / "$小$", yin)
    assert draw_dataset(tmp_path / "$小$") == ""
    assert (tmp_path / "$小$" / PICTURE_NAME).read_bytes().startswith(b"\x89PNG")


def test_data_without_any_pitch_and_many_recordings_can_be_drawn(tmp_path, notes, yin):
    whole = replace(yin, whole=True)
    prepare_dataset([notes(f"rest{k}", notes=((0.5, 0.0),)) for k in range(2)], tmp_path / "rests", whole)
    assert draw_dataset(tmp_path / "rests") == ""
    prepare_dataset([notes(f"n{k}", notes=((1.1, 200.0 + k),)) for k in range(30)], tmp_path / "many", whole)
    assert draw_dataset(tmp_path / "many") == ""


def test_preparing_goes_on_without_matplotlib_and_says_so(tmp_path, monkeypatch, capsys, notes):
    (tmp_path / "in").mkdir()
    for k, name in enumerate("ab"):
        sound = notes(name, notes=((3.0, 200.0 + k),)).load(16000)
        soundfile.write(tmp_path / "in" / f"{name}.wav", sound.numpy(), 16000)
    assert main([str(tmp_path / "in"), str(tmp_path / "with"), "--pitch", "yin"]) == 0
    assert (tmp_path / "with" / PICTURE_NAME).is_file()
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    capsys.readouterr()
    assert main([str(tmp_path / "in"), str(tmp_path / "without"), "--pitch", "yin"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "picture" in line]
    assert len(lines) == 1
    assert "matplotlib" in lines[0]
    assert not (tmp_path / "without" / PICTURE_NAME).exists()
    infos = [json.loads((tmp_path / name / "dataset.json").read_text()) for name in ("with", "without")]
    assert infos[0] | {"name": ""} == infos[1] | {"name": ""}


def test_digital_silence_stays_silent(tmp_path, notes, yin):
    sound = notes("a", notes=((1.0, 220.0), (1.0, 0.0), (1.0, 220.0)))
    bridging = replace(yin, whole=True, features=replace(yin.features, bridge_ms=40.0))
    prepare_dataset([sound], tmp_path / "o", bridging)
    (item,) = open_dataset(tmp_path / "o").split("test")
    assert not item["audio"][16000:32000].any()
    silent = slice(250 + 17, 500 - 17)  # frames whose windows hold nothing of the notes
    assert not item["f0_hz"][silent].any()
    assert (item["loudness_db"][silent] == -80.0).all()
    assert torch.isfinite(item["f0_hz"]).all()
