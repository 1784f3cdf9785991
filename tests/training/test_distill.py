import subprocess
import sys

import pytest

from zoo.distill import main
from zoo.storage.config import read_config


def arguments(small_tones, teacher, out):
    return [
        *("--gin", "distill/gru-L-to-gru-S.gin"),
        *("--set", f"DATASET='{small_tones.path}'"),
        *("--set", f"TEACHER={teacher}"),
        *("--set", "STEPS=2", "--gin_bindings", "BATCH_SIZE=4", "--gin_param", "SEED=3"),
        *("--set", "distill.student_options={'hidden_size': 8, 'reverb_length': 200}"),
        *("--out", str(out)),
    ]


def test_distil_as_a_command_writes_everything_and_says_what_to_do_next(small_tones, teacher_folder, tmp_path):
    command = [sys.executable, "-m", "zoo.distill", *arguments(small_tones, teacher_folder, tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for said in (
        "Distilling gru-S-tones",
        "teacher tcn-S-tones",
        "step 2 of 2: validation loss",
        "zoo evaluate",
        "zoo synth",
    ):
        assert said in done.stderr
    assert "\x1b" not in done.stderr
    assert "Warning" not in done.stderr
    assert "GPU available" not in done.stderr
    assert (tmp_path / "run" / "metrics.json").is_file()
    assert (tmp_path / "run" / "samples" / "phrase1_teacher.wav").is_file()
    assert read_config(tmp_path / "run").lineage["training"]["seed"] == 3


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("gru-L", "without trained weights"),
        ("gru-L-{instrument}", "There are no trained weights for gru-L-tones"),
        ("gru-K-tones", "Did you mean"),
        ("none/here", "none/here"),
    ],
)
def test_a_teacher_that_is_not_there_is_told_before_anything_is_written(
    small_tones, tmp_path, monkeypatch, capsys, teacher, message
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments(small_tones, teacher, tmp_path / "run")) != 0
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()
