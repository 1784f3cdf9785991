import pytest
import torch
from stopping import stopped_at

from zoo.distill import main
from zoo.errors import ConfigError
from zoo.gin_config.configure import configure
from zoo.losses.distillation import Feature, OutputAudio, Reconstruction
from zoo.storage.config import read_config
from zoo.storage.lineage import teachers_of
from zoo.training.chain import links
from zoo.training.loop import distill, train


@pytest.fixture
def chain(small_tones, teacher_folder):
    def run(out, **options):
        fixed = {
            "teacher": str(teacher_folder),
            "via": ["tcn-S"],
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


def history(folder):
    return [line.rsplit(",", 3)[0] for line in (folder / "history.csv").read_text().splitlines()]


def test_chain_is_a_run_for_each_link_with_its_lineage(chain, tmp_path):
    losses = [Reconstruction(weight=0.5), OutputAudio(weight=0.5), Feature()]
    done = chain(tmp_path / "run", losses=losses, records={"config.gin": "# chain\n"})
    assert done.folder == tmp_path / "run"
    (middle,) = links(done.folder)
    assert middle == tmp_path / "run" / "via" / "1-tcn-S"
    config = read_config(done.folder)
    assert [teacher["name"] for teacher in teachers_of(config)] == ["tcn-S-tones", "tcn-S-tones"]
    assert config.lineage["teacher"]["path"] == str(middle)
    assert read_config(middle).architecture == "tcn-S"
    assert (middle / "config.gin").read_text().startswith("# chain\n")
    assert "distill.student = 'tcn-S'" in (middle / "config.gin").read_text()
    assert (done.folder / "config.gin").read_text() == "# chain\n"


def test_chain_that_was_stopped_goes_on_where_it_was(chain, tmp_path):
    whole = chain(tmp_path / "whole")
    stopped_at(2, lambda: chain(tmp_path / "parts"))  # in its first link
    assert not (tmp_path / "parts" / "history.csv").exists()
    before = (tmp_path / "parts" / "via" / "1-tcn-S" / "history.csv").read_text()
    parts = chain(tmp_path / "parts", resume=True)
    assert before in (links(parts.folder)[0] / "history.csv").read_text()
    states = [torch.load(run.folder / "checkpoints/last.ckpt", weights_only=True)["model"] for run in (whole, parts)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_link_that_is_done_is_left_as_it_is(chain, tmp_path):
    chain(tmp_path / "run")
    middle = tmp_path / "run" / "via" / "1-tcn-S"
    times = {path: path.stat().st_mtime_ns for path in middle.rglob("*") if path.is_file()}
    assert chain(tmp_path / "run", steps=5, resume=True).steps == 5
    assert {path: path.stat().st_mtime_ns for path in middle.rglob("*") if path.is_file()} == times


def test_mistake_in_a_later_link_is_told_before_the_first_one_runs(chain, tmp_path):
    for options, message in (
        ({"student": "gru-Z"}, "gru-Z"),
        ({"via": ["tcn-S", "gru-Z"]}, "gru-Z"),
        ({"student_options": {"hiden_size": 3}}, "hidden_size"),
        ({"via": "gru-M"}, "list of architectures"),
    ):
        with pytest.raises((ConfigError, LookupError), match=message):
            chain(tmp_path / "run", **options)
        assert not (tmp_path / "run").exists()


def test_link_has_a_recipe_that_makes_it_again(small_tones, teacher_folder, tmp_path):
    arguments = [
        *("--gin", "distill/gru-L-to-gru-S.gin"),
        *("--set", f"DATASET='{small_tones.path}'"),
        *("--set", f"TEACHER='{teacher_folder}'"),
        *("--set", "distill.via=['tcn-S']"),
        *("--set", "STEPS=1", "--set", "BATCH_SIZE=2", "--set", "distill.evaluate=False"),
        *("--set", "distill.student_options={'hidden_size': 8}", "--out", str(tmp_path / "run")),
    ]
    assert main(arguments) == 0
    (middle,) = links(tmp_path / "run")
    functions = {"train": train, "distill": distill}
    again = configure([str(middle / "config.gin")], functions=functions).arguments("distill")
    assert (again["student"], again["teacher"], list(again["via"])) == ("tcn-S", str(teacher_folder), [])
    assert main(["--resume", "--out", str(tmp_path / "run")]) == 0
