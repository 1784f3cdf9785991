import json
import warnings

import torch

from zoo.evaluate import main
from zoo.models.creating import create
from zoo.storage import checkpoint


class Pairs(torch.nn.Module):
    """Each two samples are a vector."""

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        return audio[0, : audio.shape[1] // 2 * 2].view(-1, 2)


def test_evaluate_prints_a_table_and_writes_the_numbers(small_tones, tmp_path, capsys):
    checkpoint.save(create("gru-S", instrument="tones", hidden_size=4), tmp_path / "run")
    command = [str(tmp_path / "run"), "--data", str(small_tones.path), "--max-segments", "1", "--pitch", "yin"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["distance", "to", "the", "recordings", "student", "noise", "floor"]
    assert len(lines) == 13
    assert lines[-1] == "(test split, 1 segment) Pitch was tracked by yin."
    assert any(line.startswith("A-weighted level error (dB)") for line in lines)
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found["pitch"] == "yin"
    assert found["student"]["f0_error_cents"]["n"] == 1
    assert "Pitch was tracked by yin." in (tmp_path / "run" / "README.md").read_text()


def test_evaluate_measures_further_metrics_with_their_options(small_tones, tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(Pairs()), tmp_path / "pairs.pt")
    checkpoint.save(create("gru-S", instrument="tones", hidden_size=4), tmp_path / "run")
    command = [str(tmp_path / "run"), "--data", str(small_tones.path), "--max-segments", "2", "--pitch", "yin"]
    also = ["--also", "frechet_audio_distance", f"weights={tmp_path / 'pairs.pt'}"]
    also += ["--also", "clip_log_spectral_distance", "--also", "log_mel_distance", "mels=16"]
    assert main([*command, *also, "--set", "evaluate.seed=1"]) == 0
    assert "Fréchet audio distance" in capsys.readouterr().out
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found["student"]["level_error_db"]["mean"] > found["noise_floor"]["level_error_db"]["mean"] > 0
    assert "A-weighted level error (dB)" in (tmp_path / "run" / "README.md").read_text()
    assert found["student"]["clip_log_spectral_distance"]["n"] == 2
    # what every evaluation measures keeps its meaning
    assert found["student"]["log_mel_distance (mels=16)"]["mean"] != found["student"]["log_mel_distance"]["mean"]
    for arm in ("student", "noise_floor"):
        assert found[arm]["frechet_audio_distance"]["n"] == found[arm]["frechet_log_mel"]["n"] == 2
    assert "Fréchet audio distance" in (tmp_path / "run" / "README.md").read_text()
    for words, message in (
        (["frechet_audio_distance"], "zoo brings none"),
        (["frechet_audio_distance", "weight=x"], "Did you mean weights"),
        (["frechet_audio_distance", "weights=gone.pt"], "no file gone.pt"),
        (["frechet_audio_distanc"], "Did you mean frechet_audio_distance"),
        (["f0_error_cents"], "by itself"),
        (["mfcc_distance", "coefficients"], "no OPTION=VALUE"),
        (["mfcc_distance", "coefficients=70"], "1 to 63"),
        (["log_mel_distance", "hop=0"], "The metric log_mel_distance cannot be taken with {'hop': 0}"),
        (["mfcc_distance", "coefficients=a"], "coefficients of the metric 'mfcc_distance' must be a whole number"),
    ):
        assert main([*command, "--also", *words]) == 2
        assert message in capsys.readouterr().err


def test_evaluate_refuses_what_is_not_there(small_tones, tmp_path, capsys):
    checkpoint.save(create("gru-S", instrument="tones", hidden_size=4), tmp_path / "run")
    for arguments, message in (
        (["gru-L", "--data", str(small_tones.path)], "without trained weights"),
        ([str(tmp_path / "run"), "--data", str(tmp_path / "none")], "There is no folder"),
        ([str(tmp_path / "run"), "--data", str(small_tones.path), "--split", "tets"], "Did you mean test"),
        ([str(tmp_path / "run"), "--data", str(small_tones.path), "--pitch", "yim"], "Did you mean yin"),
        (
            [str(tmp_path / "run"), "--data", str(small_tones.path), "--set", "evaluate.also=['mfcc_distance']"],
            "also must hold metrics with their options",
        ),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
