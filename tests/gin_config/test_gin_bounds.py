"""Recipes from elsewhere: bounded before gin reads them, and with no file of this machine shown."""

import json
import time

import pytest

from zoo.commands import reproduce
from zoo.commands.gin_program import main_functions
from zoo.errors import ConfigError, ZooError
from zoo.gin_config.configure import configure


def told(folder, text, *, outside=True, functions=None):
    recipe = folder / "config.gin"
    recipe.write_text(text)
    began = time.process_time()
    with pytest.raises(ConfigError) as refused:
        configure([str(recipe)], functions=functions or main_functions(), outside=outside)
    assert time.process_time() - began < 5
    return str(refused.value)


def doubling(count):
    return "".join(f"A{i} = [%A{i + 1}, %A{i + 1}]\n" for i in range(count)) + f"A{count} = 1\ntrain.losses = %A0\n"


@pytest.mark.parametrize("outside", [True, False])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (doubling(40), "has over 10,000 values"),
        ("A = %B\nB = %A\ntrain.steps = %A\n", "%B uses %A uses %B"),
        (
            "train.losses = [@reconstruction()]\nreconstruction.weight = @cosine()\ncosine.start = @reconstruction()\n",
            "@reconstruction uses @cosine uses @reconstruction",
        ),
        ("".join(f"A{i} = %A{i + 1}\n" for i in range(200)) + "A200 = 1\ntrain.steps = %A0\n", "over more than 60"),
        ("train.steps = " + "[" * 200 + "]" * 200, "brackets within each other"),
        ("train.steps = " + "-" * 50_000 + "1", "nested too deeply|Unable to parse value"),
        ("".join(f"A{i} = 1\n" for i in range(200_000)), "never has over|a gin file never"),
    ],
)
def test_recipe_without_measure_is_refused(tmp_path, text, message, outside):
    import re

    assert re.search(message, told(tmp_path, text, outside=outside))


def test_component_within_itself_in_another_scope_is_no_circle(tmp_path):
    def mix(*, parts=()): ...

    text = "mix.parts = [@a/cosine()]\na/cosine.start = @b/cosine()\nb/cosine.start = 2.0\n"
    (tmp_path / "nested.gin").write_text(text)
    configure([str(tmp_path / "nested.gin")], functions={"mix": mix})


@pytest.mark.parametrize("name", ["secret.gin", "./secret", "../secret.gin", "/etc/passwd"])
def test_recipe_from_elsewhere_includes_no_file_of_this_machine_and_shows_nothing_of_it(tmp_path, monkeypatch, name):
    inner = tmp_path / "inner"
    inner.mkdir()
    for folder in (tmp_path, inner):
        (folder / "secret.gin").write_text("password hunter2\n")
    monkeypatch.chdir(inner)
    message = told(inner, f"include '{name}'\n")
    assert "may include shipped gin files only" in message
    assert "hunter2" not in message
    assert "root:" not in message


def test_recipe_from_elsewhere_may_include_a_shipped_file(tmp_path):
    (tmp_path / "config.gin").write_text("include 'train/gru-S.gin'\nINSTRUMENT = 'flute'\nDATASET = 'x'\n")
    made = configure([str(tmp_path / "config.gin")], functions=main_functions(), outside=True)
    assert made.arguments("train")["model"] == "gru-S"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import os\n", "imports os, which runs that module's code"),
        ("train.steps = 1e300\n", "train.steps is 1e.300; no setting is over"),
        ("train.losses = [@reconstruction()]\nreconstruction.weight = 10000000000\n", "reconstruction.weight is"),
    ],
)
def test_recipe_from_elsewhere_with_code_or_absurd_numbers_is_refused(tmp_path, text, message):
    import re

    assert re.search(message, told(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("config.json", {"lineage": {"teacher": [1]}}, "lineage.teacher must be an object"),
        ("config.json", {"lineage": {"dataset": {"hash": 5}}}, "lineage.dataset.hash must be text, found 5"),
        ("config.json", {"lineage": {"training": {"seed": "x"}}}, "lineage.training.seed must be a number"),
        ("metrics.json", {"student": {"multi_scale_spectral": {"mean": "x"}}}, "must be {mean, std, n}"),
    ],
)
def test_stranger_s_files_are_found_wrong_before_the_training(run_of_a_stranger, tmp_path, name, damage, message):
    path = run_of_a_stranger / name
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**known, **damage}))
    with pytest.raises(ZooError, match=message):
        reproduce.main([str(run_of_a_stranger), "--data", "tones", "--out", str(tmp_path / "again")])
    assert not (tmp_path / "again").exists()


@pytest.fixture
def run_of_a_stranger(tmp_path):
    import torch

    import zoo

    with torch.random.fork_rng(devices=[]):
        model = zoo.create("gru-S", instrument="tones", hidden_size=4, reverb_length=4)
    folder = zoo.save(model, tmp_path / "stranger")
    (folder / "config.gin").write_text("train.model = 'gru-S'\ntrain.steps = 1\n")
    return folder
