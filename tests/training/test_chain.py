import pytest
import torch
from flat_calls import distill
from stopping import stopped_at

from zoo.commands.gin_program import main_functions
from zoo.distill import main
from zoo.errors import ConfigError
from zoo.gin_config.configure import configure
from zoo.losses.distillation import Feature, OutputAudio, Reconstruction
from zoo.storage.config import read_config
from zoo.storage.lineage import teachers_of
from zoo.train import main as train_main
from zoo.training.run_folder import assistants_folder


@pytest.fixture
def chain(small_tones, teacher_folder):
    def run(out, **options):
        fixed = {
            "teacher": str(teacher_folder),
            "assistants": ["tcn-S"],
            "student": "gru-S",
            "student_options": {"hidden_size": 8, "reverb_length": 200},
            "dataset": small_tones.path,
            "steps": 3,
            "batch_size": 4,
            "validate_every": 2,
            "evaluate": False,
            "progress": False,
            "accelerator": "cpu",
        }
        return distill(out=out, **{**fixed, **options})

    return run


def links(folder):
    return sorted(assistants_folder(folder).iterdir())


def history(folder):
    return [line.rsplit(",", 3)[0] for line in (folder / "history.csv").read_text().splitlines()]


def test_each_assistant_is_a_run_with_its_lineage(chain, tmp_path):
    losses = [Reconstruction(weight=0.5), OutputAudio(weight=0.5), Feature()]
    done = chain(tmp_path / "run", losses=losses, records=lambda config: {"config.gin": config.student})
    assert done.folder == tmp_path / "run"
    (middle,) = links(done.folder)
    assert middle == tmp_path / "run" / "assistants" / "1-tcn-S"
    config = read_config(done.folder)
    assert [teacher["name"] for teacher in teachers_of(config)] == ["tcn-S-tones", "tcn-S-tones"]
    assert config.lineage["teacher"]["path"] == str(middle)
    assert read_config(middle).architecture == "tcn-S"
    assert (middle / "config.gin").read_text() == "tcn-S"
    assert (done.folder / "config.gin").read_text() == "gru-S"


def test_run_that_was_stopped_in_its_assistant_goes_on_where_it_was(chain, tmp_path):
    whole = chain(tmp_path / "whole")
    stopped_at(2, lambda: chain(tmp_path / "parts"))  # in its first link
    assert not (tmp_path / "parts" / "history.csv").exists()
    before = (tmp_path / "parts" / "assistants" / "1-tcn-S" / "history.csv").read_text()
    parts = chain(tmp_path / "parts", resume=True)
    assert before in (links(parts.folder)[0] / "history.csv").read_text()
    states = [torch.load(run.folder / "checkpoints/last.ckpt", weights_only=True)["model"] for run in (whole, parts)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_assistant_that_is_done_is_left_as_it_is(chain, tmp_path):
    chain(tmp_path / "run")
    middle = tmp_path / "run" / "assistants" / "1-tcn-S"
    times = {path: path.stat().st_mtime_ns for path in middle.rglob("*") if path.is_file()}
    assert chain(tmp_path / "run", steps=5, resume=True).steps == 5
    assert {path: path.stat().st_mtime_ns for path in middle.rglob("*") if path.is_file()} == times


def test_assistant_that_was_made_with_other_settings_is_not_taken_for_one_of_these(chain, tmp_path):
    chain(tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "last.ckpt").unlink()  # as where it was stopped between both
    with pytest.raises(
        ConfigError, match=r"1-tcn-S began with other settings: learning_rate was 0\.001 and is now 0\.5"
    ):
        chain(tmp_path / "run", resume=True, learning_rate=0.5)


def test_mistake_in_a_later_assistant_is_told_before_the_first_one_runs(chain, tmp_path):
    for options, message in (
        ({"student": "gru-Z"}, "gru-Z"),
        ({"assistants": ["tcn-S", "gru-Z"]}, "gru-Z"),
        ({"student_options": {"hiden_size": 3}}, "hidden_size"),
        ({"assistants": "gru-M"}, "list of architectures"),
    ):
        with pytest.raises((ConfigError, LookupError), match=message):
            chain(tmp_path / "run", **options)
        assert not (tmp_path / "run").exists()


def test_assistant_has_a_recipe_that_makes_it_again(small_tones, teacher_folder, tmp_path, capsys):
    arguments = [
        *("--gin", "distill/gru-L-to-gru-S.gin"),
        *("--set", f"DATASET='{small_tones.path}'"),
        *("--set", f"TEACHER='{teacher_folder}'"),
        *("--set", "distill.assistants=['tcn-S']"),
        *("--set", "STEPS=1", "--set", "BATCH_SIZE=2", "--set", "distill.evaluate=False"),
        *("--set", "distill.student_options={'hidden_size': 8}", "--out", str(tmp_path / "run")),
    ]
    assert main(arguments) == 0
    (middle,) = links(tmp_path / "run")
    again = configure([str(middle / "config.gin")], functions=main_functions()).make("distill")
    assert (again.student, again.teacher, again.teaching.assistants) == ("tcn-S", str(teacher_folder), ())
    assert main(["--resume", "--out", str(tmp_path / "run")]) == 0
    assert train_main(["--resume", "--out", str(tmp_path / "run")]) == 2
    assert f"was made by zoo distill. Type: zoo distill --resume --out {tmp_path / 'run'}" in capsys.readouterr().err
