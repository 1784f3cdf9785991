import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import zoo
from zoo.datasets import FeatureConfig, PrepareConfig, Recording, open_dataset
from zoo.prepare import main


def write(path, seconds=4.0, hz=220.0, rate=16000, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 5)) * 0.2
    soundfile.write(path, np.stack([wave] * channels, axis=1), rate)


def prepare(*words):
    return main([str(word) for word in words])


def test_a_folder_of_mixed_formats_becomes_a_dataset(tmp_path, capsys):
    source = tmp_path / "in"
    write(source / "a.wav", rate=44100, channels=2)
    write(source / "deep" / "b.flac", hz=300.0)
    write(source / "c.ogg", hz=330.0, rate=22050)
    write(source / "d.mp3", hz=440.0, rate=48000)
    write(source / "e.aiff", hz=350.0)
    wave = np.sin(2 * np.pi * 370.0 * np.arange(96_000) / 48_000)
    soundfile.write(source / "f.opus", wave, 48_000, format="OGG", subtype="OPUS")
    (source / "notes.txt").write_text("not audio")
    (source / ".hidden.wav").write_bytes(b"")
    assert prepare(source, tmp_path / "out", "--pitch", "yin", "--instrument", "flute") == 0
    data = open_dataset(tmp_path / "out")
    assert data.instrument == "flute"
    assert {s["id"] for s in data.info["sources"]} == {"a.wav", "c.ogg", "d.mp3", "deep/b.flac", "e.aiff", "f.opus"}
    assert data.features.tracker == "yin"
    assert (data.features.loudness, data.features.normalize) == ("a_weighted", "loudness")
    out, err = capsys.readouterr()
    assert "train" in out
    assert "\r" not in err
    assert "\x1b" not in out + err


def test_features_live_are_those_that_the_player_hears(tmp_path):
    write(tmp_path / "in" / "a.wav")
    assert prepare(tmp_path / "in", tmp_path / "out", "--features", "live", "--fmin", "100") == 0
    data = open_dataset(tmp_path / "out")
    assert (data.features.tracker, data.features.loudness, data.features.fmin) == ("live", "live", 100.0)
    heard = np.asarray(data.split("train")[0]["f0_hz"])[50:-50]
    assert np.abs(1200 * np.log2(heard / 220)).max() < 5


def test_unusable_recordings_are_listed_with_reasons_and_the_rest_is_used(tmp_path, capsys):
    source = tmp_path / "in"
    write(source / "good.wav", seconds=6.0)
    write(source / "short.wav", seconds=0.5)
    write(source / "silent.wav", hz=0.0)
    (source / "broken.flac").write_bytes(b"fLaC and nothing more")
    (source / "empty.wav").write_bytes(b"")
    assert prepare(source, tmp_path / "out", "--pitch", "yin") == 0
    out = capsys.readouterr().out
    for name, reason in {
        "short.wav": "too short: 0.50 s",
        "silent.wav": "silent",
        "broken.flac": "cannot be read as audio",
        "empty.wav": "0 bytes",
    }.items():
        assert any(name in line and reason in line for line in out.splitlines()), (name, out)
    skipped = json.loads((tmp_path / "out" / "dataset.json").read_text())["skipped"]
    assert {s["source"] for s in skipped} >= {"short.wav", "silent.wav", "broken.flac", "empty.wav"}
    assert str(tmp_path) not in (tmp_path / "out" / "dataset.json").read_text()


@pytest.mark.parametrize("name", ["short", "silent", "broken", "empty"])
def test_nothing_left_exits_2_with_the_reason(tmp_path, capsys, name):
    source = tmp_path / "in" / f"{name}.wav"
    if name in ("short", "silent"):
        write(source, seconds=0.5 if name == "short" else 3.0, hz=0.0 if name == "silent" else 220.0)
    else:
        source.parent.mkdir()
        source.write_bytes(b"" if name == "empty" else b"RIFF, not really")
    assert prepare(source.parent, tmp_path / "out", "--pitch", "yin") == 2
    err = capsys.readouterr().err
    assert f"{name}.wav" in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in"], "RECORDINGS in"),
        (["gone", "out"], "no folder"),
        (["empty", "out"], "no audio"),
        (["in", "in"], "both"),
        (["in", "out", "--segment-seconds", "1.001"], "Nearest"),
        (["in", "out", "--pitch", "ying"], "Did you mean yin"),
        (["in", "out", "--pitch-model", "huge"], "full and tiny"),
        (["in", "out", "--pitch", "yin", "--pitch-model", "tiny"], "no option 'model'"),
        (["in", "out", "--dataset", "foldr"], "Did you mean folder"),
        (["in", "out", "--dataset", "urmp"], "AuSep"),
        (["in", "out", "--pitch", "yin", "--jobs", "0"], "--jobs"),
    ],
)
def test_mistakes_get_one_message_and_exit_code_2(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in" / "a.wav")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("")
    assert prepare(*words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_attribution_is_read_from_an_index_above_or_given(tmp_path):
    source = tmp_path / "all" / "flute"
    for k, name in enumerate("abc"):
        write(source / f"{name}.wav", hz=200.0 + 50 * k)
    (tmp_path / "all" / "INDEX.tsv").write_text(
        'path\tinstrument\tlicence\tauthor\tsource\nflute/a.wav\tflute\tCC0\tSomeone "else"\there\n'
    )
    assert prepare(source, tmp_path / "out", "--pitch", "yin") == 0
    sources = open_dataset(tmp_path / "out").info["sources"]
    assert sources[0]["attribution"] == {"licence": "CC0", "author": 'Someone "else"', "source": "here"}
    assert sources[1]["attribution"] == {}
    assert prepare(source, tmp_path / "two", "--pitch", "yin", "--attribution", "me, CC0") == 0
    assert open_dataset(tmp_path / "two").info["sources"][2]["attribution"] == {"text": "me, CC0"}


def test_urmp_gives_one_dataset_for_each_instrument(tmp_path):
    source = tmp_path / "urmp"
    hz = 200.0
    for number, piece in enumerate(["01_Jupiter_vn_fl", "02_Sonata_vn_vn", "03_Dance_tpt_fl", "04_Allegro_fl_vn"]):
        for track, short in enumerate(piece.split("_")[2:], start=1):
            hz += 20
            write(source / piece / f"AuSep_{track}_{short}_{number + 1:02d}_{piece.split('_')[1]}.wav", hz=hz)
        write(source / piece / f"AuMix_{number + 1:02d}.wav")
    write(source / "04_Allegro_fl_vn" / "AuSep_3_vc_04_Allegro.wav")
    assert prepare("--dataset", "urmp", source, tmp_path / "out", "--pitch", "yin") == 0
    found = {name: open_dataset(tmp_path / "out" / name) for name in ("violin", "flute", "trumpet")}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["flute", "trumpet", "violin"]
    assert [len(d.info["sources"]) for d in found.values()] == [4, 3, 1]
    assert {d.instrument for d in found.values()} == {"violin", "flute", "trumpet"}
    for data in found.values():
        group = {s["id"]: s["group"] for s in data.info["sources"]}
        homes = {}
        for split, entries in data.info["splits"].items():
            for entry in entries:
                homes.setdefault(group[entry["source"]], set()).add(split)
        assert all(len(splits) == 1 for splits in homes.values())


def test_tones_need_no_recordings(tmp_path):
    assert prepare("--dataset", "tones", tmp_path / "tones", "--segment-seconds", "2") == 0
    assert len(open_dataset(tmp_path / "tones").split("train")) == 48


def test_ctrl_c_stops_all_processes_and_the_next_run_goes_on(tmp_path):
    source = tmp_path / "in"
    for k in range(40):
        write(source / f"{k:02d}.wav", seconds=2.0, hz=200.0 + 10 * k)
    command = [sys.executable, "-m", "zoo.prepare", source, tmp_path / "out", "--pitch", "yin", "--whole"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What a shell has put into the background ignores Ctrl-C, and hands that on to what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not any(line.startswith("2/40") for line in process.stderr):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    deadline = time.monotonic() + 10
    while _alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(process.pid)
    done = len(list((tmp_path / "out" / ".work").glob("*.safetensors")))
    assert 2 <= done < 40
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{done}/40 done before" in again.stderr
    assert len(open_dataset(tmp_path / "out").info["sources"]) == 40


def _alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_gin_decides_what_was_not_typed(tmp_path, capsys):
    out = tmp_path / "tones"
    bindings = ["--set", "prepare.dataset_options={'phrases': 3, 'seconds': 2.0}", "--set", "prepare.hop=128"]
    assert main([str(out), "--gin", "data/tones.gin", *bindings, "--segment-seconds", "1.024"]) == 0
    made = open_dataset(out)
    assert (made.hop, made.segment_frames) == (128, 128)
    assert len(made.info["sources"]) == 3
    assert main(["--gin", "data/tones.gin", "--set", f"DATASET='{out}'", *bindings, "--hop", "64"]) == 2
    assert "otherwise than asked" in capsys.readouterr().err


def test_loudness_is_chosen_by_name_and_options(tmp_path, capsys):
    write(tmp_path / "in" / "a.wav", seconds=1.5)
    words = (
        tmp_path / "in",
        tmp_path / "old",
        "--pitch",
        "yin",
        "--whole",
        "--loudness",
        "mean_db",
        "--normalize",
        "peak",
    )
    assert prepare(*words) == 0
    old = open_dataset(tmp_path / "old")
    assert (old.features.loudness, old.features.normalize) == ("mean_db", "peak")
    assert old.split("test")[0]["audio"].abs().max() == 1.0
    bindings = ("--set", "prepare.loudness_options={'window_seconds': 0.032}", "--set", "prepare.normalize='none'")
    assert prepare(tmp_path / "in", tmp_path / "new", "--pitch", "yin", "--whole", *bindings) == 0
    new = open_dataset(tmp_path / "new")
    assert new.features.loudness_options == {"window_seconds": 0.032}
    assert "Hann window of 0.032 s" in new.info["definitions"]["loudness_db"]
    assert new.split("test")[0]["loudness_db"].max() > old.split("test")[0]["loudness_db"].max()
    capsys.readouterr()
    assert prepare(tmp_path / "in", tmp_path / "x", "--loudness", "mean-db") == 2
    assert "Did you mean mean_db" in capsys.readouterr().err


def test_options_of_a_pitch_tracker_are_used_and_stored(tmp_path, capsys):
    @zoo.register.pitch("buzz")
    def buzz(audio, *, sample_rate, hop, fmin, fmax, center, hz=100.0, label: "str | None" = None):
        frames = torch.full((len(audio), audio.shape[-1] // hop), hz)
        return frames, torch.ones_like(frames)

    write(tmp_path / "in" / "a.wav")
    try:
        words = (tmp_path / "in", tmp_path / "out", "--pitch", "buzz", "--whole")
        assert prepare(*words, "--set", "prepare.pitch_options={'hz': 123.0}") == 0
        made = open_dataset(tmp_path / "out")
        assert made.features.tracker_options == {"hz": 123.0}
        assert (made.split("test")[0]["f0_hz"] == 123.0).all()
        assert "pitch by buzz 123.0" in capsys.readouterr().out
    finally:
        zoo.registry.pitch.unregister("buzz")
    full = PrepareConfig(out="x", features=FeatureConfig(pitch_options={"with_yin": False}, pitch_model="tiny"))
    assert full.preparation().features.tracker_options == {"model": "tiny", "with_yin": False}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("pitch_options={'threshhold': 0.2}", "Did you mean threshold"),
        ("pitch_options={'threshold': 'low'}", "threshold of the pitch tracker 'yin' must be a finite number"),
        ("loudness_options={'window_seconds': 'xx'}", "window_seconds of the loudness 'a_weighted' must be a finite"),
        ("pitch_options=3", "pitch_options must be a dictionary"),
        ("loudness_options=3", "loudness_options must be a dictionary"),
    ],
)
def test_wrong_options_of_a_component_are_refused_before_anything_is_written(tmp_path, capsys, setting, message):
    write(tmp_path / "in" / "a.wav")
    assert prepare(tmp_path / "in", tmp_path / "out", "--pitch", "yin", "--set", f"prepare.{setting}") == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


@dataclass(frozen=True)
class Listed(Recording):
    """Of a plugin whose library raises what it likes."""

    path: str = ""

    def load(self, sample_rate):
        if not Path(self.path).exists():
            raise RuntimeError(f"Error opening '{self.path}': System error.")
        return torch.from_numpy(soundfile.read(self.path, dtype="float32")[0])

    def seconds(self):
        return soundfile.info(self.path).duration


def listed(path, *, column="path", extra=None):
    for line in (path / "list.csv").read_text().splitlines():
        name = {"path": line}[column]
        yield Listed(id=name, path=f"{path}/{name}")
    if extra is not None:
        yield extra


@pytest.fixture
def csvlist(tmp_path):
    """The dataset `csvlist`, with a folder of recordings of which the last one is missing."""
    zoo.register.dataset("csvlist")(listed)
    write(tmp_path / "my recordings" / "a.wav")
    (tmp_path / "my recordings" / "list.csv").write_text("a.wav\ngone.wav\n")
    yield tmp_path / "my recordings"
    zoo.registry.datasets.unregister("csvlist")


def test_recording_of_a_plugin_that_cannot_be_loaded_is_left_out_with_the_reason(csvlist, tmp_path, capsys):
    assert prepare("--dataset", "csvlist", csvlist, tmp_path / "out", "--pitch", "yin") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "cannot be loaded (RuntimeError: Error opening 'gone.wav': System error)" in next(
        line for line in lines if "gone.wav" in line
    )
    assert str(tmp_path) not in (tmp_path / "out" / "dataset.json").read_text()


@pytest.mark.parametrize(
    ("unknown", "said"),
    [
        (["gone.wav"], "Analysing 2 recordings (at least 1 s of audio); pitch by yin, at least 1 s on this machine."),
        (["a.wav", "gone.wav"], "Analysing 2 recordings; pitch by yin."),
    ],
)
def test_lengths_that_recordings_do_not_say_are_not_made_up(csvlist, tmp_path, capsys, monkeypatch, unknown, said):
    monkeypatch.setattr(Listed, "seconds", lambda self: None if self.id in unknown else 1.0)
    assert prepare("--dataset", "csvlist", csvlist, tmp_path / "out", "--pitch", "yin") == 0
    assert said in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{'column': 'file'}", "before its first recording, fails: KeyError: 'file'. Check the recordings and prepare"),
        ("{'extra': 'b.wav'}", "after the recording 'gone.wav', gives 'b.wav', and must give objects of a class that"),
    ],
)
def test_dataset_component_that_fails_is_named_with_what_to_do(csvlist, tmp_path, capsys, options, message):
    words = ("--dataset", "csvlist", csvlist, tmp_path / "out", "--set", f"prepare.dataset_options={options}")
    assert prepare(*words) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: The dataset 'csvlist' of this process ({__name__}:listed), ")
    assert message in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", ["known_f0", "known_inputs"])
def test_recording_of_a_plugin_that_is_broken_is_named(csvlist, tmp_path, capsys, monkeypatch, method):
    monkeypatch.setattr(Listed, method, lambda self, sample_rate, hop: {}["gone"])
    assert prepare("--dataset", "csvlist", csvlist, tmp_path / "out", "--pitch", "yin") == 2
    err = capsys.readouterr().err
    assert f"The recording 'a.wav' fails in {method} of {__name__}:Listed: KeyError: 'gone'. Check" in err


def test_wrong_type_of_a_dataset_s_option_is_refused(tmp_path, capsys):
    assert prepare("--dataset", "tones", tmp_path / "x", "--set", "prepare.dataset_options={'phrases': 'three'}") == 2
    assert "phrases of the dataset 'tones' must be a whole number" in capsys.readouterr().err


def test_two_models_for_one_tracker_are_refused(tmp_path, capsys):
    bindings = ("--pitch-model", "full", "--set", "prepare.pitch_options={'model': 'tiny'}")
    assert prepare(tmp_path / "in", tmp_path / "out", *bindings) == 2
    assert "pitch_model is 'full', and pitch_options name the model 'tiny'" in capsys.readouterr().err


def test_unknown_option_of_a_dataset_gives_near_matches(tmp_path, capsys):
    assert main([str(tmp_path / "x"), "--gin", "data/tones.gin", "--set", "prepare.dataset_options={'phases': 3}"]) == 2
    assert "Did you mean phrases" in capsys.readouterr().err
