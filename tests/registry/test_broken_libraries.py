"""A library that is broken stops what needs it, and nothing else.

A new release of torchaudio once did not load beside the torch that was installed, and with it went every command that
tracks pitch, none of which needs it.
"""

import os
import subprocess
import sys

import pytest
import torch

from zoo.features import write_wav
from zoo.train import main

# What playing, listing and preparing must do without, whatever their state.
UNNEEDED = (
    *("torchaudio", "torchcrepe", "lightning_fabric", "librosa", "matplotlib", "jinja2", "gin", "sklearn"),
    *("huggingface_hub", "resampy", "joblib", "yaml", "soxr"),
)

pytestmark = pytest.mark.smoke


@pytest.fixture(scope="module")
def tone(tmp_path_factory):
    path = tmp_path_factory.mktemp("tones") / "tone.wav"
    time = torch.arange(24000) / 16000
    harmonics = sum(torch.sin(2 * torch.pi * 330 * k * time) / k for k in range(1, 6))
    write_wav(path, 0.3 * harmonics, sample_rate=16000)
    return path


def run(arguments, broken, error, folder):
    """A command in a process where importing these libraries raises."""
    stubs = folder / "stubs"
    stubs.mkdir()
    for name in broken:
        (stubs / f"{name}.py").write_text(f"raise {error}")
    environment = {**os.environ, "PYTHONPATH": str(stubs), "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


PLAYS = "import zoo; assert zoo.Player(zoo.load('gru-S-violin')).process(440.0, -20.0).shape == (64,)"


@pytest.mark.parametrize("error", ["OSError('undefined symbol: torch_exception')", "ModuleNotFoundError('gone')"])
@pytest.mark.parametrize("command", ["list", "play", "synth", "prepare"])
def test_what_a_command_does_not_need_cannot_break_it(command, error, tone, tmp_path):
    arguments = {
        "list": ["-m", "zoo", "list"],
        "play": ["-c", PLAYS],
        "synth": ["-m", "zoo", "synth", "gru-S-violin", tone, "violin.wav", "--pitch-model", "tiny"],
        "prepare": ["-m", "zoo.prepare", tone.parent, "data", "--instrument", "tone"],
    }[command]
    done = run(arguments, UNNEEDED, error, tmp_path)
    assert done.returncode == 0, done.stderr


def test_models_play_without_numba(tmp_path):
    code = (
        "import torch, zoo, sys; model = zoo.load('s4-S-violin'); curve = torch.full((1, 40), 440.0);"
        "assert model(curve, curve - 460).audio.isfinite().all()"
    )
    done = run(["-c", code], ["numba"], "OSError('no LLVM')", tmp_path)
    assert done.returncode == 0, done.stderr


def test_tracker_whose_library_is_broken_says_so_in_one_line(tone, tmp_path):
    arguments = ["-m", "zoo", "synth", "gru-S-violin", tone, "violin.wav", "--pitch", "pyin"]
    done = run(arguments, ["librosa"], "OSError('undefined symbol')", tmp_path)
    assert done.returncode == 2
    assert "The pitch tracker pyin needs librosa, which cannot be imported here" in done.stderr
    assert "pip install --force-reinstall librosa" in done.stderr
    assert "Traceback" not in done.stderr


def test_training_outlives_broken_libraries_of_its_pictures_its_card_and_one_measure(
    small_tones, tmp_path, monkeypatch, caplog
):
    for name in ("matplotlib.backends.backend_agg", "jinja2", "librosa.onset"):
        monkeypatch.setitem(sys.modules, name, None)  # makes its import fail
    small = "train.model_options={'hidden_size': 8, 'reverb_length': 200}"
    arguments = ["--gin", "train/gru-S", "--set", "STEPS=2", "--set", "BATCH_SIZE=4", "--set", small]
    out = tmp_path / "run"
    with caplog.at_level("WARNING"):
        assert main([*arguments, "--set", f"DATASET='{small_tones.path}'", "--out", str(out)]) == 0
    assert (out / "model.safetensors").is_file()
    assert "multi_scale_spectral" in (out / "metrics.json").read_text()
    for left_out in ("plots/loss.png", "plots/spectrograms.png", "the card"):
        assert f"{left_out} could not be made" in caplog.text
    assert "onset_flux_distance is left out" in caplog.text
