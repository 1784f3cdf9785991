import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import zoo_player
from programs import phrase, small_file


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.zoo").write_bytes(small_file("gru"))
    f0, loudness = phrase(50)
    lines = [f"{db},{hz}" for hz, db in zip(f0, loudness, strict=True)]
    (tmp_path / "features.csv").write_text("\n".join(["loudness_db, f0_hz", *lines]) + "\n")
    return tmp_path


def run(folder, *words):
    command = [sys.executable, "-m", "zoo_player", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_command_plays_curves_into_a_wav_file(folder):
    done = run(folder, "a.zoo", "features.csv", "out.wav")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out.wav: 0.20 s at 16000 Hz, 64 samples late\n"
    audio, rate = soundfile.read(folder / "out.wav", dtype="float32")
    assert rate == 16000
    assert np.array_equal(audio, zoo_player.Instrument(small_file("gru")).process(*phrase(50)))
    assert sorted(path.name for path in folder.iterdir()) == ["a.zoo", "features.csv", "out.wav"]


def test_command_says_what_a_file_is(folder):
    told = json.loads(run(folder, "--info", "a.zoo").stdout)
    assert told["name"] == "gru-S"
    assert (told["sample_rate"], told["hop"], told["latency"]) == (16000, 64, 64)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks the column f0_hz, loudness_db"),
        ("f0_hz\n1\n", "lacks the column loudness_db"),
        ("f0_hz,loudness_db\n1,2\nx,3\n", "line 3: 'x' is no number for f0_hz"),
    ],
)
def test_curves_that_cannot_be_read_are_plain_errors(folder, text, message):
    (folder / "bad.csv").write_text(text)
    done = run(folder, "a.zoo", "bad.csv", "out.wav")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "out.wav").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("missing.zoo", "features.csv", "out.wav"), 2, "cannot read 'missing.zoo'"),
        (("features.csv", "features.csv", "out.wav"), 2, "no instrument file"),
        (("a.zoo", "missing.csv", "out.wav"), 2, "cannot read 'missing.csv'"),
        (("a.zoo", "a.zoo", "out.wav"), 2, "cannot read 'a.zoo'"),
        (("a.zoo", "features.csv", "out.xyz"), 2, "must end in .wav or .flac"),
        (("a.zoo", "features.csv", "nowhere/out.wav"), 1, "cannot write"),
        (("a.zoo",), 2, "needed"),
    ],
)
def test_command_fails_plainly(folder, words, code, message):
    done = run(folder, *words)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_unvoiced_frames_may_be_left_empty(folder):
    (folder / "gaps.csv").write_text("f0_hz,loudness_db\n300,-20\n,-80\n0,-80\n")
    assert run(folder, "a.zoo", "gaps.csv", "out.flac").returncode == 0
    assert len(soundfile.read(folder / "out.flac")[0]) == 3 * 64


def test_package_needs_no_torch():
    code = "import sys, zoo_player, zoo_player.__main__; print('torch' in sys.modules, 'zoo' in sys.modules)"
    assert run(".", "-c", code).returncode == 2  # not an option of the command
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
