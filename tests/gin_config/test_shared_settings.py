"""What training and distillation share is bound once; what gin files of earlier versions say is still understood."""

import pytest

from zoo.commands.gin_program import main_functions
from zoo.errors import ConfigError
from zoo.gin_config.configure import configure
from zoo.gin_config.files import find_gin_file
from zoo.losses.weights import Step
from zoo.registry import paths

FUNCTIONS = main_functions()
PAIR = ["distill.teacher='a'", "distill.student='gru-S'", "train.model='gru-S'", "run.dataset='d'"]


def make(command, bindings=(), *, files=(), outside=False):
    return configure(list(files), [*PAIR, *bindings], functions=FUNCTIONS, outside=outside).make(command)


def test_shared_setting_counts_for_both_programs_unless_one_has_its_own():
    bindings = ["run.steps=5", "optimizer.lr_decay=0.5", "trainer.precision='auto'", "distill.lr_decay=0.25"]
    student, model = make("distill", bindings), make("train", bindings)
    assert (student.steps, student.optimizer.lr_decay, student.trainer.precision) == (5, 0.25, "auto")
    assert (model.steps, model.optimizer.lr_decay, model.trainer.precision) == (5, 0.5, "auto")
    assert make("train", [*bindings, "run.learning_rate=0.125"]).optimizer.learning_rate == 0.125


def test_settings_of_how_a_student_is_taught_are_distillations_own():
    student = make("distill", ["distill.teacher_cache=False", "distill.assistants=['gru-M']"])
    assert not student.teaching.teacher_cache
    assert list(student.teaching.assistants) == ["gru-M"]
    with pytest.raises(ConfigError, match="train has no parameter 'teacher_cache'"):
        make("train", ["train.teacher_cache=False"])


def test_operative_settings_alone_make_the_same_configuration(tmp_path):
    first = configure([], [*PAIR, "distill.lr_decay=0.25", "run.seed=3"], functions=FUNCTIONS)
    made = first.make("distill")
    (tmp_path / "operative.gin").write_text(first.operative)
    assert configure([str(tmp_path / "operative.gin")], functions=FUNCTIONS).make("distill") == made


def test_derived_run_has_gin_files_of_its_own(tmp_path):
    losses = "distill.losses=[@reconstruction(), @output_audio()]"
    first = configure([], [*PAIR, losses, "reconstruction.weight=0.5"], functions=FUNCTIONS)
    baseline = first.make("distill").baseline()
    derived = first.with_settings("train", baseline.to_flat())
    (tmp_path / "config.gin").write_text(derived.config)
    again = configure([str(tmp_path / "config.gin")], functions=FUNCTIONS).make("train")
    assert [loss.describe() for loss in again.losses] == [loss.describe() for loss in baseline.losses]
    assert {**again.to_flat(), "losses": None} == {**baseline.to_flat(), "losses": None}


OLDER = """
START = 'gru-S-flute'
distill.start_from = %START
distill.via = ['gru-M']
distill.teacher_draws = 2
TEACHER = 'gru-L-flute'
distill.teacher_reverb = True
distill.lr_decay_steps = 13
distill.early_stopping = None
train.early_stopping = 7
distill.losses = [@reconstruction()]
reconstruction.weight = @step()
step.values = (1.0, 0.5)
step.at_shares = (0.25,)
distill.name = None
distill.force = False
distill.records = None
"""


def test_names_of_earlier_versions_are_read(tmp_path):
    (tmp_path / "config.gin").write_text(OLDER)
    student = make("distill", files=[str(tmp_path / "config.gin")])
    assert (student.init_from, student.reverb_from) == ("gru-S-flute", "gru-L-flute")
    assert (list(student.teaching.assistants), student.teaching.teacher_noise_seeds) == (["gru-M"], 2)
    assert (student.optimizer.lr_decay_steps, student.trainer.early_stopping) == (13, None)
    assert student.losses[0].schedule == Step((1.0, 0.5), (0.25,))
    assert make("train", files=[str(tmp_path / "config.gin")]).trainer.early_stopping == 7


def test_where_a_run_goes_is_said_on_the_command_line(tmp_path):
    file = tmp_path / "mine.gin"
    file.write_text("distill.out = 'runs/x'\n")
    with pytest.raises(ConfigError, match=r"line 1: distill\.out is an option of the command line now: --out"):
        make("distill", files=[str(file)])
    assert make("distill", files=[str(file)], outside=True).student == "gru-S"


@pytest.mark.parametrize("name", ["config.gin", "operative.gin"])
def test_gin_files_of_shipped_models_are_whole(name, caplog):
    found = [file for folder in paths.model_card_folders() for file in sorted(folder.glob(f"*/{name}"))]
    assert found
    for file in found:
        command = "distill" if "distill.student" in file.read_text() else "train"
        if "ddx7" not in file.parent.name:  # their plugin tests them
            made = configure([str(file)], functions=FUNCTIONS, outside=True).make(command)
            assert made.faults() == []
            assert made.losses


def test_default_file_binds_each_value_once():
    lines = [line.partition("#")[0] for line in find_gin_file("train/default.gin").read_text().splitlines()]
    bound = [line.partition("=")[0].strip() for line in lines if "=" in line]
    settings = [name.rpartition(".")[2] for name in bound if "." in name]
    assert len(bound) == len(set(bound))
    assert len(settings) == len(set(settings)) == 9
