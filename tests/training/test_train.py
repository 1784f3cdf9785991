import os
import signal
import subprocess
import sys
import time

import pytest

from zoo import resolve
from zoo.train import main

SMALL = ["--set", "train.model_options={'hidden_size': 8, 'reverb_length': 200}", "--no-progress"]
QUICK = ["--gin", "train/gru-S", "--set", "STEPS=2", "--set", "BATCH_SIZE=4", *SMALL, "--set", "train.evaluate=False"]


def test_train_writes_a_run_and_its_gin_files(small_tones, tmp_path, capsys):
    out = tmp_path / "run"
    assert main([*QUICK, "--set", f"DATASET='{small_tones.path}'", "--out", str(out)]) == 0
    assert resolve.load(out).name == "gru-S-tones"
    assert f"DATASET = '{small_tones.path}'" in (out / "config.gin").read_text()
    assert "trainer.precision = '32-true'" in (out / "operative.gin").read_text()


def test_resume_needs_only_the_folder(small_tones, tmp_path):
    out = tmp_path / "run"
    assert main([*QUICK, "--set", f"DATASET='{small_tones.path}'", "--out", str(out)]) == 0
    assert main(["--resume", "--out", str(out), "--set", "STEPS=4"]) == 0
    assert (out / "history.csv").read_text().splitlines()[-1].startswith("4,")
    assert main(["--resume", "--out", str(out)]) == 0  # STEPS=4 was kept: nothing is left to do


def test_config_of_a_run_makes_the_same_run(small_tones, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    assert main([*QUICK, "--set", f"DATASET='{small_tones.path}'", "--out", str(first)]) == 0
    assert main(["--gin", str(first / "config.gin"), "--out", str(second)]) == 0
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Say what to do: --gin FILE. Shipped files: "),
        (["--resume"], "--resume --out runs/NAME"),
        (["--resume", "--out", "nowhere"], "nowhere has no config.gin"),
        (["--gin", "train/gru-S"], "These must be set: DATASET"),
        (["--gin", "train/gru-S", "--set", "DATASET=nowhere"], "There is no folder nowhere"),
        (["--gin", "train/gru-X"], "There is no gin file 'train/gru-X'. Did you mean"),
        (["--gin", "train/gru-S", "--set", "trian.steps=3"], "nothing is named 'trian'. Did you mean train"),
        (["--gin", "train/gru-S", "--set", "DATASET=x", "--set", "train.losses=[@mystery()]"], "'mystery'"),
        (["--gin", "train/gru-S", "--set", "DATASET=x", "--name", "gru-S-a", "--set", "STEPS=0"], "steps must be"),
    ],
)
def test_mistakes_end_with_one_message_and_code_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT that a test can send to one process alone")
def test_ctrl_c_leaves_a_run_that_can_be_resumed(small_tones, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "zoo.train", *QUICK, "--set", f"DATASET='{small_tones.path}'", "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--set", "STEPS=100000", "--set", "VALIDATE_EVERY=5"], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (out / "history.csv").is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"zoo train --resume --out {out}" in said
    assert "Traceback" not in said
    assert "\x1b" not in said
    assert resolve.load(out).name == "gru-S-tones"


def test_help_is_quick_and_has_examples():
    command = [sys.executable, "-X", "importtime", "-m", "zoo.train", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "zoo train --gin train/" in done.stdout
    assert " torch\n" not in done.stderr
    assert "lightning" not in done.stderr
