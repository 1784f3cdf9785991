import json

from zoo import checkpoint
from zoo.evaluate import main
from zoo.model import create


def test_evaluate_prints_a_table_and_writes_the_numbers(small_tones, tmp_path, capsys):
    checkpoint.save(create("gru-S", instrument="tones", hidden_size=4), tmp_path / "run")
    command = [str(tmp_path / "run"), "--data", str(small_tones.path), "--max-segments", "1", "--pitch", "yin"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["distance", "to", "the", "recording", "student", "noise", "floor"]
    assert len(lines) == 7
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["student"]["f0_error_cents"]["n"] == 1


def test_evaluate_refuses_what_is_not_there(small_tones, tmp_path, capsys):
    checkpoint.save(create("gru-S", instrument="tones", hidden_size=4), tmp_path / "run")
    for arguments, message in (
        (["gru-L", "--data", str(small_tones.path)], "without trained weights"),
        ([str(tmp_path / "run"), "--data", str(tmp_path / "none")], "There is no folder"),
        ([str(tmp_path / "run"), "--data", str(small_tones.path), "--split", "tets"], "Did you mean test"),
        ([str(tmp_path / "run"), "--data", str(small_tones.path), "--pitch", "yim"], "Did you mean yin"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
