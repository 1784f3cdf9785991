import pytest
from flat_calls import distill
from torch.utils.data import default_collate

from zoo import resolve
from zoo.errors import ConfigError, ModelNotFoundError
from zoo.losses.distillation import OutputAudio, Reconstruction
from zoo.models.creating import create
from zoo.models.loading import load_folder
from zoo.storage import checkpoint
from zoo.training.config import OptimizerConfig
from zoo.training.task import Task
from zoo.training.teacher import Teacher, find_teacher


@pytest.fixture
def teacher(teacher_folder):
    return Teacher(load_folder(teacher_folder), found=resolve.find(teacher_folder))


@pytest.fixture
def batch(small_tones):
    segments = small_tones.split("train")
    return default_collate([segments[i] for i in range(4)])


def test_teacher_is_frozen_and_no_part_of_the_task(teacher):
    student = create("gru-S", hidden_size=8, reverb_length=200)
    task = Task(student, [Reconstruction(), OutputAudio()], teacher)
    assert not teacher.model.training
    assert not any(p.requires_grad for p in teacher.model.parameters())
    mine = {id(p) for p in teacher.model.parameters()}
    assert not mine & {id(p) for p in task.parameters()}
    grouped = task.optimizer(OptimizerConfig()).param_groups
    assert not mine & {id(p) for group in grouped for p in group["params"]}
    assert sum(p.numel() for group in grouped for p in group["params"]) == student.num_parameters
    assert not any("teacher" in name for name in task.state_dict())
    task.train()
    assert not teacher.model.training


def test_student_is_in_eval_mode_while_it_is_validated(teacher, batch):
    student = create("tcn-S", channels=8, blocks=2, reverb_length=200)  # with dropout
    task = Task(student, [Reconstruction(), OutputAudio()], teacher).train()
    first, second = task.evaluate_losses([batch]), task.evaluate_losses([batch])
    assert first == second
    assert task.training
    assert student.training


def test_architecture_is_no_teacher(small_tones, tmp_path):
    with pytest.raises(ModelNotFoundError, match="without trained weights"):
        distill(teacher="gru-L", student="gru-S", dataset=small_tones.path, steps=1, out=tmp_path / "run")
    with pytest.raises(ModelNotFoundError, match="no trained weights for gru-L-tones"):
        distill(teacher="gru-L-{instrument}", student="gru-S", dataset=small_tones.path, steps=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_teacher_of_another_instrument_is_refused_unless_allowed(small_tones, tmp_path):
    checkpoint.save(create("gru-S", instrument="flute", hidden_size=8), tmp_path / "flute")
    with pytest.raises(ConfigError, match="plays flute, and the data is tones"):
        find_teacher(str(tmp_path / "flute"), dataset=small_tones, instrument="tones")
    found = find_teacher(str(tmp_path / "flute"), dataset=small_tones, instrument="tones", allow_other_instrument=True)
    assert found.model.name == "gru-S-flute"


def test_teacher_of_another_rate_is_refused(small_tones, tmp_path):
    checkpoint.save(create("gru-S", instrument="tones", hidden_size=8, sample_rate=44100), tmp_path / "teacher")
    with pytest.raises(ConfigError, match="44100 Hz"):
        find_teacher(str(tmp_path / "teacher"), dataset=small_tones, instrument="tones")
