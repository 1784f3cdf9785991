"""What the FM model sounds like: as the thesis's does, in tune for long, and learnable."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from zoo_ddx7.synth import QUIET

import zoo
from zoo.__main__ import main
from zoo.datasets import open_dataset

REFERENCE = Path(__file__).parent / "data" / "thesis-ddx7-flute.safetensors"


def test_model_of_the_thesis_gives_its_levels_and_its_audio():
    model = zoo.import_thesis(REFERENCE, model="ddx7-flute")
    data = {name: tensor.squeeze(-1) for name, tensor in load_file(REFERENCE).items() if not name.startswith("state.")}
    with torch.no_grad():
        made = model(data["in.f0_hz"], data["in.loudness_db"])
    torch.testing.assert_close(made.controls["ol"], data["controls.ol"], atol=1e-5, rtol=0)
    torch.testing.assert_close(made.scaled_controls["ol"], data["out.ol"], atol=1e-6, rtol=0)
    torch.testing.assert_close(made.dry, data["out.dry"], atol=1e-5, rtol=0)
    torch.testing.assert_close(made.audio, data["out.audio"], atol=1e-4, rtol=0)


def steady(patch, *, f0_hz, seconds, level, sample_rate=16000, hop=160):
    synth = zoo.create(f"ddx7-{patch}", reverb_length=0, hop=hop).synth
    frames = seconds * sample_rate // hop
    raw = math.log(level / (synth.max_ol - level))
    controls = {"ol": torch.full((1, frames, len(synth.ratios)), raw)}
    with torch.no_grad():
        return synth, synth(torch.full((1, frames), f0_hz), controls).dry[0]


def test_ratio_that_is_no_whole_number_stays_in_tune_for_ten_minutes():
    rate, seconds, f0_hz, level = 16000, 600, 441.7, 0.05
    synth, audio = steady("ablated-brass", f0_hz=f0_hz, seconds=seconds, level=level)
    # The last second, computed with exact phases: pitch and ratios are float32 numbers, so their products are exact.
    n = np.arange((seconds - 1) * rate + 1, seconds * rate + 1, dtype=np.longdouble)
    one, two, three, four = (
        np.longdouble(float(np.float32(f0_hz))) * np.longdouble(ratio) * n / rate % 1 for ratio in synth.ratios.tolist()
    )

    def sine(turns):
        return level * np.sin(2 * np.pi * turns.astype(np.float64))

    expected = sine(one + sine(three + sine(four)) + sine(two)) / synth.max_ol
    assert np.abs(audio[-rate:].numpy() - expected).max() < 1e-5


def test_two_operators_have_the_sidebands_that_bessel_functions_give():
    rate, f0_hz, level = 16000, 250.0, 0.1
    _, audio = steady("1stack2", f0_hz=f0_hz, seconds=1, level=level)
    spectrum = torch.fft.rfft(audio.double()).abs() / (rate / 2)
    index = 2 * math.pi * level
    from scipy.special import jv

    # A carrier and a modulator at one pitch: the n-th harmonic is J(n-1) and, folded back from below 0, J(n+1).
    for n in range(1, 6):
        expected = abs(jv(n - 1, index) + (-1) ** n * jv(n + 1, index)) * level / 0.32
        assert float(spectrum[round(n * f0_hz)]) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("unvoiced", ["mute", "hold"])
def test_unvoiced_frames_are_silent_or_stand_still(unvoiced):
    model = zoo.create("ddx7-flute", reverb_length=0, unvoiced=unvoiced)
    f0_hz = torch.full((1, 60), 300.0)
    f0_hz[:, 20:40] = 0
    with torch.no_grad():
        audio = model.synth(f0_hz, {"ol": torch.zeros(1, 60, 6)}).dry[0]
    middle = audio[21 * 64 : 39 * 64]
    if unvoiced == "mute":
        assert torch.all(middle == 0)
        assert audio.diff().abs().max() < 1.0  # faded, not cut
    else:
        assert middle.diff().abs().max() < 1e-6
        assert middle.abs().max() > 0
    assert torch.isfinite(audio).all()


def test_noise_is_that_of_the_harmonic_synth_and_sounds_where_nothing_is_voiced():
    torch.manual_seed(0)
    f0_hz = torch.full((1, 60), 300.0)
    f0_hz[:, 20:40] = 0
    noise = torch.rand(1, 60 * 64) * 2 - 1
    levels = torch.zeros(1, 60, 2)
    bands = torch.randn(1, 60, 65)
    with torch.no_grad():
        plain = zoo.create("ddx7-1stack2", reverb_length=0).synth(f0_hz, {"ol": levels})
        made = zoo.create("ddx7-1stack2", reverb_length=0, noise_bands=65).synth(
            f0_hz, {"ol": levels, "noise_bands": bands - QUIET}, noise
        )
        harmonic = zoo.create("gru-S", reverb_length=0).synth(
            f0_hz,
            {"amplitude": torch.zeros(1, 60, 1), "harmonic_distribution": torch.zeros(1, 60, 100)}
            | {"noise_bands": bands},
            noise,
        )
    assert torch.equal(made.harmonic, plain.audio)
    torch.testing.assert_close(made.noise, harmonic.noise, rtol=0, atol=1e-5)
    torch.testing.assert_close(made.scaled_controls["noise_bands"], harmonic.scaled_controls["noise_bands"])
    torch.testing.assert_close(made.audio, plain.audio + harmonic.noise, rtol=0, atol=1e-5)
    assert made.audio[0, 21 * 64 : 39 * 64].abs().max() > 0.1


def test_student_learns_from_a_teacher_of_another_kind(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    zoo.save(zoo.create("gru-S-tones", features=open_dataset("tones").features), tmp_path / "teacher")
    command = ["distill", "--gin", "distill/gru-L-to-ddx7.gin", "--out", str(tmp_path / "run")]
    settings = {
        "DATASET": "'tones'",
        "INSTRUMENT": "'tones'",
        "TEACHER": repr(str(tmp_path / "teacher")),
        "STUDENT": "'ddx7-1stack2'",
        "STEPS": "12",
        "BATCH_SIZE": "2",
        "VALIDATE_EVERY": "12",
        "distill.evaluate": "False",
    }
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    assert main(command) == 0, capsys.readouterr().err
    history = (tmp_path / "run" / "history.csv").read_text().splitlines()
    rows = [dict(zip(history[0].split(","), line.split(","), strict=True)) for line in history[1:]]
    assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])
    model = zoo.load(tmp_path / "run")
    assert model.name == "ddx7-1stack2-tones"
    assert model.config.requires["ddsp-zoo-ddx7"]


def test_loss_of_controls_is_refused_between_fm_and_harmonics(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    zoo.save(zoo.create("gru-S-tones", features=open_dataset("tones").features), tmp_path / "teacher")
    command = ["distill", "--gin", "distill/gru-L-to-ddx7.gin", "--gin", "losses/control.gin"]
    command += ["--out", str(tmp_path / "run")]
    for setting in ("DATASET='tones'", "INSTRUMENT='tones'", "STUDENT='ddx7-1stack2'", f"TEACHER='{tmp_path}/teacher'"):
        command += ["--set", setting]
    assert main(command) == 2
    message = capsys.readouterr().err
    assert "control" in message
    assert "output_audio" in message
    assert "feature" in message


def test_noise_is_what_fm_and_harmonics_share(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    zoo.save(zoo.create("gru-S-tones", features=open_dataset("tones").features), tmp_path / "teacher")
    command = ["distill", "--gin", "distill/gru-L-to-ddx7.gin", "--gin", "cpu/ddx7-student.gin"]
    command += ["--gin", "losses/control-first.gin", "--out", str(tmp_path / "run")]
    for setting in ("DATASET='tones'", "INSTRUMENT='tones'", "STUDENT='ddx7-1stack2'", f"TEACHER='{tmp_path}/teacher'"):
        command += ["--set", setting]
    command += ["--set", "STEPS=12", "--set", "VALIDATE_EVERY=12", "--set", "distill.evaluate=False"]
    assert main(command) == 0, capsys.readouterr().err
    history = (tmp_path / "run" / "history.csv").read_text().splitlines()
    rows = [dict(zip(history[0].split(","), line.split(","), strict=True)) for line in history[1:]]
    assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])
    assert max(float(row["control"]) for row in rows if row["control"]) > 0
    assert zoo.load(tmp_path / "run").synth.control_sizes == {"ol": 2, "noise_bands": 65}
