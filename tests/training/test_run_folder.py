import json
import subprocess
import sys

import pytest
from flat_calls import train
from zoo_experiments.runs import Run, run_all

from zoo.errors import CheckpointError, ConfigError, InUseError
from zoo.models.creating import create
from zoo.storage import store
from zoo.storage.locks import IN_USE, hold, hold_name
from zoo.training.run_folder import claimed_folder

HOLDER = """
import json, pathlib, sys
from zoo.storage.locks import hold
folder = pathlib.Path(sys.argv[1])
with hold(folder, doing="training gru-S", advice="wait"):
    print("held", flush=True)
    sys.stdin.readline()
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "done.json").write_text(json.dumps({"asked": 5, "steps": 5}))
"""
SMALL = {"hidden_size": 8, "reverb_length": 200}


@pytest.fixture
def held(tmp_path):
    """The folder of a run that another process is training."""
    command = [sys.executable, "-c", HOLDER, tmp_path / "run"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield tmp_path / "run", process
        process.kill()


def claim(out, **options):
    return claimed_folder(out, name="gru-S-flute", doing="training", **{"resume": False, **options})


def records(folder):
    for name in ("config.gin", "operative.gin"):
        (folder / name).write_text("")


def test_run_that_is_trained_is_neither_begun_anew_nor_resumed(held, small_tones):
    folder, process = held
    for resume, what in ((False, "take another --out"), (True, "stop it first")):
        with pytest.raises(InUseError, match=f"process {process.pid}.*{what}"):
            train(model="gru-S", dataset=small_tones.path, out=folder, resume=resume, steps=2, model_options=SMALL)
    assert [path.name for path in folder.iterdir()] == [IN_USE]


def test_two_trainings_of_one_folder_are_one_training(small_tones, tmp_path):
    command = [sys.executable, "-m", "zoo.train", "--gin", "train/gru-S", "--set", f"DATASET='{small_tones.path}'"]
    command += ["--set", "STEPS=2", "--set", "BATCH_SIZE=4", "--set", f"train.model_options={SMALL}"]
    command += ["--set", "train.evaluate=False", "--out", str(tmp_path / "run")]
    runs = [
        subprocess.Popen([*command, "--set", f"SEED={seed}"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for seed in (1, 2)
    ]
    said = [run.communicate()[1] for run in runs]
    assert sorted(bool(run.returncode) for run in runs) == [False, True]
    loser, winner = sorted((0, 1), key=lambda number: runs[number].returncode == 0)
    assert said[loser].splitlines()[-1].startswith("error: ")
    assert "is in use: training" in said[loser] or "is not empty" in said[loser]
    lineage = json.loads((tmp_path / "run" / "config.json").read_text())["lineage"]
    assert lineage["training"]["seed"] == winner + 1
    assert not (tmp_path / "run" / IN_USE).exists()


def test_name_in_the_store_belongs_to_the_run_that_trains_for_it(small_tones, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    with (
        hold_name(tmp_path / "home" / "models" / "gru-S-tones", doing="training gru-S-tones", advice="wait"),
        pytest.raises(InUseError, match="take another --name"),
    ):
        train(model="gru-S", dataset=small_tones.path, out=tmp_path / "run", name="gru-S-tones", model_options=SMALL)
    assert not (tmp_path / "run").exists()


def test_model_that_came_into_the_store_meanwhile_stays(tmp_path, monkeypatch):
    from zoo.storage.checkpoint import save

    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    first, second = (save(create("gru-S", **SMALL), tmp_path / name) for name in "ab")
    entered = store.enter("gru-S-mine", first, force=False)
    with pytest.raises(ConfigError, match="already has a model gru-S-mine"):
        store.enter("gru-S-mine", second, force=False)
    assert (entered / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()
    store.enter("gru-S-mine", second, force=True)
    assert (entered / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    assert [path.name for path in entered.parent.iterdir()] == ["gru-S-mine"]


def test_run_that_failed_at_once_leaves_nothing(tmp_path):
    def fail():
        with claim(tmp_path / "a" / "run") as folder:
            records(folder)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not (tmp_path / "a").exists()


def test_run_that_was_killed_at_once_is_begun_anew_and_both_messages_agree(tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    records(folder)
    for left in (IN_USE, "checkpoints/.last-0123abcd.ckpt", ".model-0123abcd.safetensors"):
        (folder / left).write_text("")
    with pytest.raises(CheckpointError, match="by its first command, without --resume"), claim(folder, resume=True):
        pass
    with claim(folder) as chosen:
        assert [path.name for path in chosen.iterdir()] == [IN_USE]


@pytest.mark.parametrize("name", ["config.gin", "notes.txt", "model.safetensors", ".my-notes-20261128.md"])
def test_what_a_person_has_put_there_is_never_removed(tmp_path, name):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / name).write_text("mine")
    with pytest.raises(ConfigError, match=r"is not empty.*Take another --out"), claim(folder):
        pass
    with pytest.raises(CheckpointError, match="with another --out"), claim(folder, resume=True):
        pass
    assert (folder / name).read_text() == "mine"


def test_two_runs_without_a_folder_of_their_own_get_two(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with claim(None) as first, claim(None) as second:
        assert [first.name, second.name] == ["gru-S-flute", "gru-S-flute-2"]
    assert not (tmp_path / "runs").exists()


def test_grid_waits_for_a_run_that_outlived_its_grid(held, tmp_path):
    folder, process = held
    run = Run("a", folder, ("-c", "raise SystemExit(1)"), tmp_path / "logs" / "a.log", steps=5)

    def let_it_end(statuses):
        if not process.stdin.closed:
            assert f"process {process.pid}" in statuses[0].waiting_for
            process.stdin.close()

    (status,) = run_all([run], show=let_it_end)
    assert (status.state, status.tries) == ("done", 0)


def test_grids_and_comparisons_of_one_folder_take_turns(tmp_path):
    from zoo_experiments.comparison import compare
    from zoo_experiments.grid import grid

    with hold(tmp_path / "out", doing="a grid", advice="wait"):
        with pytest.raises(InUseError):
            grid(recipes=["distill/gru-L-to-gru-S.gin"], out=tmp_path / "out")
        with pytest.raises(InUseError):
            compare(out=tmp_path / "out", seeds=[0], config=None, arguments=lambda part, seed: ["-c", "pass"])
