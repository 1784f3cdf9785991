"""`zoo half`: what it copies, what it measures, and what it refuses."""

import json

import pytest
import soundfile
import torch
from torch import nn

import zoo
from zoo.__main__ import main
from zoo.cards import card_text, write_card
from zoo.export.half import Phrases, difference_db, halve
from zoo.registry import paths
from zoo.storage.checkpoint import weights_hash
from zoo.storage.config import read_config
from zoo.storage.lineage import rounding_difference_db, weights_before_rounding
from zoo.storage.run_files import published_files


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return zoo.create("gru-S", instrument="tones", reverb_length=1200)


@pytest.fixture
def run(model, tmp_path):
    """A run as a training leaves it, with a teacher in a folder of this machine, and a private file."""
    folder = tmp_path / "runs" / "gru-S-tones"
    teacher = {
        "id": "gru-L-tones",
        "name": "gru-L-tones",
        "path": str(tmp_path / "runs" / "teacher"),
        "weights": "0" * 64,
    }
    model.config = model.config.with_changes(lineage={"teacher": teacher})
    zoo.save(model, folder)
    (folder / "metrics.json").write_text(json.dumps({"student": {"mfcc_distance": {"mean": 1.5, "std": 0.5, "n": 3}}}))
    (folder / "config.gin").write_text(f"DATASET = '{tmp_path}/data/tones'\n")
    for place, name in (("samples", "phrase1"), ("samples", "phrase2"), ("samples", "phrase10")):
        (folder / place).mkdir(exist_ok=True)
        for role in ("recording", "student"):
            soundfile.write(folder / place / f"{name}_{role}.wav", [0.0] * 64, 16000)
    for private in ("plots/loss.png", "checkpoints/last.ckpt", "notes.txt"):
        (folder / private).parent.mkdir(exist_ok=True)
        (folder / private).write_bytes(b"")
    write_card(folder)
    return folder


def test_half_halves_the_weights_and_the_sound_stays(run, model, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["half", str(run), str(out)]) == 0
    said = capsys.readouterr().out
    config = read_config(out)
    difference = rounding_difference_db(config)
    assert -100 < difference < -60
    assert f"differs by {difference:.1f} dB, on built-in phrases" in said
    small, large = ((folder / "model.safetensors").stat().st_size for folder in (out, run))
    assert small < 0.65 * large
    assert config.weights_dtype == "float16"
    assert weights_before_rounding(config) == weights_hash(model)
    loaded = zoo.load(out)
    assert difference_db(model.eval(), loaded, Phrases(250.0)) == pytest.approx(difference, abs=0.01)
    text = (out / "README.md").read_text()
    assert text == card_text(out)
    assert (
        f"stored as float16 (the sound differs from that of the weights before rounding by {difference:.1f} dB)" in text
    )


def test_half_measures_on_the_held_out_segments_of_data(run, small_tones, tmp_path, capsys):
    assert main(["half", str(run), str(tmp_path / "out"), "--data", str(small_tones.path)]) == 0
    assert "test segments of tones." in capsys.readouterr().out


def test_copy_holds_what_is_for_others_and_no_path_of_this_machine(run, tmp_path):
    halve(run, tmp_path / "out", limit_db=-60, samples=2)
    names = set(published_files(tmp_path / "out"))
    assert {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")} == names
    assert names >= {"config.gin", "metrics.json", "samples/phrase1_student.wav", "samples/phrase2_student.wav"}
    assert not [name for name in names if name.endswith("_recording.wav")]  # somebody else's
    assert not [name for name in names if name.startswith(("plots/", "samples/phrase10"))]
    assert not [name for name in names if str(tmp_path).encode() in (tmp_path / "out" / name).read_bytes()]
    assert read_config(tmp_path / "out").lineage["teacher"] == {
        "id": "gru-L-tones",
        "name": "gru-L-tones",
        "weights": "0" * 64,
    }
    halve(run, tmp_path / "with-recordings", limit_db=-60, samples=1, recordings=True)
    assert (tmp_path / "with-recordings" / "samples" / "phrase1_recording.wav").is_file()
    halve(run, tmp_path / "with-plots", limit_db=-60, samples=0, plots=True)
    names = set(published_files(tmp_path / "with-plots"))
    assert [name for name in names if "/" in name] == ["plots/loss.png"]


def test_difference_over_the_limit_is_refused_and_nothing_is_left(run, tmp_path, capsys):
    assert main(["half", str(run), str(tmp_path / "new" / "out"), "--limit-db", "-100"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: Nothing was written: with weights of float16, the sound of gru-S-tones differs by -")
    assert "the limit is -100 dB. Allow more with --limit-db -" in said
    assert list((tmp_path / "new").iterdir()) == []


def test_what_is_there_stays_unless_it_is_a_model_and_force_is_given(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["half", str(run), str(out)]) == 0
    card = out / "README.md"
    card.write_text(card.read_text().replace("<!-- end of", "Mine.\n<!-- end of"))
    assert main(["half", str(run), str(out)]) == 2
    assert "holds a model already. Replace it with --force" in capsys.readouterr().err
    assert main(["half", str(run), str(out), "--force"]) == 0
    assert "Mine." in card.read_text()
    (out / "diary.txt").write_text("precious")
    assert main(["half", str(run), str(out), "--force"]) == 2
    assert "other files than a model's, which would be lost: diary.txt" in capsys.readouterr().err
    assert (out / "diary.txt").read_text() == "precious"
    assert main(["half", str(run), str(run), "--force"]) == 2
    assert "is the run itself" in capsys.readouterr().err


def test_folder_that_ships_is_called_what_the_model_is_called(run, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "model_card_folders", lambda: [tmp_path / "model_cards"])
    monkeypatch.setattr(paths, "origin_of", lambda folder: "ddsp-zoo-models" if folder.name == "gru-S-tones" else "?")
    with pytest.raises(zoo.errors.ConfigError, match=r"is called what the model is called: .*gru-S-tones, not flute"):
        halve(run, tmp_path / "model_cards" / "flute", limit_db=-60)
    made = halve(run, tmp_path / "model_cards" / "gru-S-tones", limit_db=-60)
    text = (made.folder / "README.md").read_text()
    assert 'zoo.load("gru-S-tones")' in text
    assert "Both need ddsp-zoo and ddsp-zoo-models: `pip install ddsp-zoo ddsp-zoo-models`" in text


def test_halving_twice_keeps_the_first_record_and_the_same_weights(run, tmp_path):
    first = halve(run, tmp_path / "first", limit_db=-60)
    second = halve(first.folder, tmp_path / "second", limit_db=-60)
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (second.folder / name).read_bytes() == (first.folder / name).read_bytes()


def test_path_of_this_machine_in_notes_is_refused_by_its_line(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "jane"))
    card = run / "README.md"
    card.write_text(card.read_text().replace("<!-- end of", f"See {tmp_path / 'jane'}/mics\n<!-- end of"))
    with pytest.raises(zoo.errors.ConfigError, match=r"Nothing was written: README.md, line \d+, holds a path of this"):
        halve(run, tmp_path / "out", limit_db=-60)
    assert not (tmp_path / "out").exists()


class Silent(nn.Module):
    """A model that plays what it is told to."""

    hop = 64

    def __init__(self, gains):
        super().__init__()
        self.gains = nn.Parameter(torch.tensor(gains))

    def forward(self, f0_hz, loudness_db, noise):
        return type("Rendering", (), {"audio": self.gains[: len(f0_hz), None] * torch.ones_like(noise)})

    def further(self, batch):
        return {}


def test_difference_is_the_mean_of_the_segments_ratios_and_leaves_padding_out():
    segments = [
        {"f0_hz": torch.ones(10), "valid_frames": torch.tensor(valid), "index": torch.tensor(i)}
        for i, valid in enumerate((10, 4))
    ]
    for segment in segments:
        segment["loudness_db"] = segment["f0_hz"]
    assert difference_db(Silent([1.0, 0.01]), Silent([1.0, 0.011]), segments) == pytest.approx(-23.01, abs=0.01)
    assert difference_db(Silent([1.0, 0.0]), Silent([1.0, 0.0]), segments) == -200
    assert difference_db(Silent([1.0, 0.0]), Silent([1.0, 0.1]), segments) == torch.inf
    assert difference_db(Silent([1.0, 1.0]), Silent([1.0, torch.nan]), segments) == torch.inf


def test_built_in_phrases_cover_the_range_of_instruments():
    phrases = Phrases(250.0)
    f0_hz = torch.cat([phrase["f0_hz"] for phrase in phrases])
    sounding = torch.cat([phrase["loudness_db"] for phrase in phrases])[f0_hz > 0]
    assert f0_hz[f0_hz > 0].min() < 60
    assert f0_hz.max() > 1600
    assert (sounding.min(), sounding.max()) == (pytest.approx(-60, abs=0.1), pytest.approx(-10, abs=0.1))
    assert 0.05 < (f0_hz == 0).float().mean() < 0.2
