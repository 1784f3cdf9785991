"""Function matching through a whole run: what a student does where the recordings say nothing."""

import pytest
import torch
from flat_calls import distill

from zoo import distill as program
from zoo.errors import ConfigError
from zoo.losses.distillation import Control, FunctionMatching, Reconstruction
from zoo.models.loading import load_folder


@pytest.fixture
def recipe(small_tones, teacher_folder):
    return {
        "student": "gru-S",
        "student_options": {"hidden_size": 8, "reverb_length": 200},
        "teacher": str(teacher_folder),
        "dataset": small_tones.path,
        "batch_size": 4,
        "evaluate": False,
        "progress": False,
        "accelerator": "cpu",
    }


@torch.no_grad()
def apart(student, teacher):
    """How far two models are from each other where neither was trained: breath, and two octaves up, at any level."""
    levels = torch.linspace(-70, -10, 60).repeat(2, 1)
    pitches = torch.cat([torch.zeros(1, 60), torch.full((1, 60), 1760.0)])
    batch = {"f0_hz": pitches, "loudness_db": levels, "valid_frames": torch.tensor([60, 60])}
    control = Control(relative=True)
    control.bind(student, teacher)
    return control(*(model.eval()(pitches, levels) for model in (student, teacher)), batch).item()


def test_student_does_what_its_teacher_does_where_no_recording_tells(recipe, teacher_folder, tmp_path):
    fast = {"steps": 60, "learning_rate": 1e-2, "validate_every": 60}
    losses = {
        "recordings": [Control(relative=True)],
        "beyond": [Control(relative=True), FunctionMatching(semitones=24.0, decibels=30.0, weight=3.0)],
    }
    found = {}
    for name, chosen in losses.items():
        folder = distill(**recipe, **fast, losses=chosen, out=tmp_path / name).folder
        found[name] = apart(load_folder(folder), load_folder(teacher_folder))
    # Not much: a teacher of random weights does little out there that its student could not have guessed.
    assert found["beyond"] < 0.95 * found["recordings"]


def test_recorded_decoder_is_refused_before_anything_is_written(recipe, tmp_path):
    losses = [Reconstruction(), FunctionMatching()]
    with pytest.raises(ConfigError, match="cuda_graphs = True does not go with"):
        distill(**recipe, steps=1, losses=losses, cuda_graphs=True, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_shipped_file_trains_with_it(small_tones, teacher_folder, tmp_path, capsys):
    command = ["--gin", "distill/gru-L-to-gru-S.gin", "--gin", "losses/function-matching.gin"]
    for setting in (
        f"DATASET='{small_tones.path}'",
        f"TEACHER='{teacher_folder}'",
        "STEPS=2",
        "BATCH_SIZE=4",
        "distill.student_options={'hidden_size': 8, 'reverb_length': 200}",
        "distill.evaluate=False",
    ):
        command += ["--set", setting]
    assert program.main([*command, "--out", str(tmp_path / "run")]) == 0
    first = (tmp_path / "run" / "history.csv").read_text().splitlines()[0]
    assert "reconstruction,control,function_matching" in first
    # a weight that is meant for the other control is told apart
    assert program.main([*command, "--set", "matched/control.weight=3.0", "--out", str(tmp_path / "other")]) != 0
    assert "@matched/control()" in capsys.readouterr().err
