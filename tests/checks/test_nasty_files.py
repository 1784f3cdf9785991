"""Files of a run and of a dataset with anything in them: `benchmarks/nasty_files.py`, some of it, and single cases."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

import zoo
from zoo.cards import card_text, hub_reference
from zoo.datasets import open_dataset
from zoo.errors import CheckpointError, ConfigError, DatasetError, ZooError
from zoo.training.checkpoints import read_history


@pytest.fixture(scope="module")
def nasty():
    path = Path(__file__).parents[2] / "benchmarks" / "nasty_files.py"
    spec = importlib.util.spec_from_file_location("nasty_files", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["nasty_files"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(nasty, tmp_path):
    return nasty.made_run(tmp_path / "run")


def test_whatever_a_file_holds_ends_in_a_result_or_in_one_of_zoo_s_errors(nasty, tmp_path):
    trials = nasty.try_all(tmp_path, count=150, seed=1)
    assert [(trial.what, trial.outcome) for trial in trials if trial.wrong] == []
    assert sum(trial.outcome != "read" for trial in trials) > 50


def test_check_for_nasty_files_can_fail(nasty, tmp_path, monkeypatch):
    def careless(run):
        return json.loads((run / "metrics.json").read_bytes())["student"]["multi_scale_spectral"]["mean"] + 1

    monkeypatch.setitem(nasty.READERS, "metrics.json", [careless])
    run, data = nasty.made_run(tmp_path / "run"), nasty.made_dataset(tmp_path / "data")
    (trial,) = nasty._try(run, data, "metrics.json", "a list", b"[]")
    assert trial.wrong


def test_git_lfs_pointer_in_place_of_weights_is_told_with_what_to_type(run):
    (run / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    for read in (zoo.load, zoo.info):
        with pytest.raises(CheckpointError, match=r"is a git-LFS pointer.*git lfs install.*git lfs pull"):
            read(run)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "is not {system"),
        ('{"student": 5}', "'student' must be an object, found 5"),
        ('{"student": {"a": {"mean": 1, "std": null, "n": 1}}}', "'student', 'a' must be {mean, std, n} in numbers"),
        ('{"student": {"a": {"mean": ' + "1" * 400 + ', "std": 0, "n": 1}}}', "has 400 digits"),
        ('{"student": {"a": {"mean": NaN, "std": 0, "n": 1}}}', "NaN"),
    ],
)
def test_metrics_of_other_types_are_told(run, content, message):
    (run / "metrics.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        zoo.info(run)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("step,val_loss\n1," + "9" * 200_000 + "\n", "field larger than field limit"),
        ("step,val_loss\n1\n", "line 2 has 1 fields, and 2 are named"),
        ("step,val_loss\n1,much\n", "line 2: val_loss is no number but 'much'"),
        ("step,val_loss\n-1,1\n", "a step is -1"),
        ("colour\nred\n", "first line must name its columns"),
    ],
)
def test_damaged_history_is_told_by_its_line(run, content, message):
    (run / "history.csv").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_history(run / "history.csv")


def test_long_history_is_thinned_while_it_is_read(run):
    lines = (f"{step},{5 + (step != 77_777)}" for step in range(100_000))
    (run / "history.csv").write_text("step,val_loss\n" + "\n".join(lines) + "\n")
    rows = read_history(run / "history.csv", most_rows=500)
    assert 500 <= len(rows) <= 1002
    steps = [row["step"] for row in rows]
    assert steps == sorted(steps)
    assert {0.0, 77_777.0, 99_999.0} <= set(steps)
    assert len(read_history(run / "history.csv")) == 100_000


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("---\na: " + "[" * 3000 + "]" * 3000 + "\n---\n", "brackets"),
        ("---\n" + "- " * 500 + "1\n---\n", "nested over 20 levels"),
        ("---\na: &a [1]\nb: [*a, *a]\n---\n", "refers to parts of itself"),
        ("---\na: " + "x" * 100_000 + "\n---\n", "letters"),
    ],
)
def test_card_with_metadata_without_measure_is_told(run, card, message):
    (run / "README.md").write_text(card)
    for read in (card_text, hub_reference):
        with pytest.raises(CheckpointError, match=message):
            read(run)


def test_card_that_is_no_utf8_is_told(run):
    (run / "README.md").write_bytes("Flöte".encode("latin-1"))
    with pytest.raises(CheckpointError, match="UTF-8"):
        card_text(run)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("features", ["yin"], "features must be an object"),
        ("segment_frames", "1000", "segment_frames must be from 1"),
        ("sample_rate", 10**300, "sample_rate must be a whole number"),
        ("splits", {"train": [{"shard": 5}]}, "splits.'train' must be a segment"),
        ("shards", [], "shards must be an object"),
        ("sources", {"a": 1}, "sources must be a list"),
    ],
)
def test_dataset_of_other_types_is_told_by_its_key(nasty, tmp_path, key, value, message):
    folder = nasty.made_dataset(tmp_path / "data")
    info = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**info, key: value}))
    with pytest.raises(DatasetError, match=message):
        open_dataset(folder)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"fmin": "low"}, "fmin must be"),
        ({"n_fft": 10**12}, "n_fft must be"),
        ({"tracker_options": [1]}, "tracker_options"),
        ({"center": 1}, "(?i)center must be true or false"),
    ],
)
def test_feature_settings_of_other_types_are_told(run, features, message):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "features": features}))
    with pytest.raises(ConfigError, match=message):
        zoo.load(run)


def test_folder_in_place_of_a_file_is_told(run):
    for name in ("metrics.json", "config.json"):
        (run / name).unlink()
        (run / name).mkdir()
        with pytest.raises(ZooError, match="is a folder, where a text file belongs"):
            zoo.info(run)
