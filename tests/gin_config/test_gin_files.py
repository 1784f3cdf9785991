from dataclasses import replace
from pathlib import Path

import pytest
from ranges import SPAN

from zoo import registry
from zoo.commands.gin_program import main_functions
from zoo.datasets import PrepareConfig, prepare
from zoo.errors import ConfigError, DatasetError
from zoo.gin_config.configure import configure
from zoo.gin_config.files import find_gin_file, shipped_gin_files
from zoo.losses.distillation import bind_losses
from zoo.models.creating import create
from zoo.registry import paths
from zoo.training import TrainConfig

FUNCTIONS = main_functions()
# plugins that are installed here test their own
SHIPPED = [name for name in shipped_gin_files() if paths.origin_of(find_gin_file(name)) == registry.OWN_DISTRIBUTION]
DATA = [name for name in SHIPPED if name.startswith("data/")]
LOSSES = [name for name in SHIPPED if name.startswith("losses/")]
RECIPES = [n for n in SHIPPED if n != "train/default.gin" and n.startswith(("train/", "distill/", "quickstart"))]


def test_every_preset_and_every_pair_has_its_file():
    presets = [n for n in registry.models.names() if registry.models.entry(n).distribution == registry.OWN_DISTRIBUTION]
    wanted = {f"train/{name}.gin" for name in presets}
    wanted |= {f"distill/{name.rpartition('-')[0]}-L-to-{name}.gin" for name in presets if not name.endswith("-L")}
    wanted |= {"train/default.gin", "train/quickstart-teacher.gin", "quickstart.gin"}
    assert wanted <= set(SHIPPED)


@pytest.mark.parametrize("name", RECIPES)
def test_shipped_file_parses_and_its_models_are_built(name):
    command = "train" if name.startswith("train/") else "distill"
    arguments = configure([name], ["DATASET='data/x'", "INSTRUMENT='violin'"], functions=FUNCTIONS).arguments(command)
    assert arguments["dataset"] == "data/x"
    assert arguments["instrument"] == "violin"
    student = create(arguments["model" if command == "train" else "student"], instrument="violin")
    for loss in arguments["losses"]:
        loss.bind(student, None if command == "train" else student)
    if command == "distill":
        assert arguments["teacher"].replace("{instrument}", "violin").endswith("-violin")
        architecture = arguments["teacher"].replace("-{instrument}", "")
        assert architecture in registry.models
    FUNCTIONS[command].from_flat(**arguments).check()


@pytest.mark.parametrize("name", RECIPES)
def test_shipped_file_has_the_macros_that_all_have(name):
    bindings = ["INSTRUMENT='violin'", "DATASET='x'", "STEPS=7", "BATCH_SIZE=3", "SEED=11"]
    command = "train" if name.startswith("train/") else "distill"
    if command == "distill":
        bindings.append("TEACHER='runs/mine'")
    arguments = configure([name], bindings, functions=FUNCTIONS).arguments(command)
    assert (arguments["steps"], arguments["batch_size"], arguments["seed"]) == (7, 3, 11)
    assert arguments.get("teacher", "runs/mine") == "runs/mine"


@pytest.mark.parametrize("name", LOSSES)
def test_file_of_losses_is_given_after_a_pairs_file(name, caplog):
    files = ["distill/gru-L-to-gru-S.gin", name]
    bindings = ["DATASET='data/x'", *(["INIT_FROM='gru-S-flute'"] if "last-stage" in name else [])]
    arguments = configure(files, bindings, functions=FUNCTIONS).arguments("distill")
    assert arguments["student"] == "gru-S"
    assert arguments.get("reverb_from") == arguments["init_from"]
    teacher = create("gru-L")
    teacher.config = replace(teacher.config, range=SPAN)
    bind_losses(arguments["losses"], create("gru-S"), teacher)
    assert caplog.text == ""


@pytest.mark.parametrize("name", DATA)
def test_data_file_gives_what_prepare_takes(name, tmp_path):
    arguments = configure([name], [f"DATASET='{tmp_path / 'out'}'"], functions=FUNCTIONS).arguments("prepare")
    assert arguments["out"] == str(tmp_path / "out")
    if arguments.get("dataset") != "tones":
        with pytest.raises(DatasetError, match="nowhere"):
            prepare(PrepareConfig.from_flat(**arguments, recordings=tmp_path / "nowhere"))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_file_says_what_must_be_set_and_what_is_often_set(name):
    head = find_gin_file(name).read_text()
    assert head.startswith("# ")
    assert "Must be set:" in head
    assert "Often set:" in head


@pytest.mark.parametrize("name", [n for n in RECIPES if "quickstart" not in n])
def test_dataset_must_be_set(name):
    with pytest.raises(ConfigError, match=r"DATASET .*train/default\.gin, line \d+.*--set \"DATASET="):
        configure([name], functions=FUNCTIONS)


def test_quickstart_needs_nothing():
    arguments = configure(["quickstart.gin"], functions=FUNCTIONS).arguments("distill")
    assert arguments["dataset"] == "tones"


def test_default_is_the_recipe_of_the_thesis():
    config = configure(["train/gru-S.gin"], ["DATASET='x'"], functions=FUNCTIONS).make("train")
    wanted = {
        "steps": 120_000,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "lr_decay": 0.98,
        "lr_decay_steps": 10_000,
        "gradient_clip": 3.0,
        "early_stopping": 100,
    }
    assert wanted.items() <= config.to_flat().items()


def test_macros_are_the_defaults_of_the_api():
    made = configure(["train/gru-S.gin"], ["DATASET='x'"], functions=FUNCTIONS).make("train")
    assert replace(made, losses=None) == TrainConfig(model="gru-S", dataset="x")


@pytest.mark.parametrize("name", ["train/gru-S", "train/gru-S.gin"])
def test_shipped_file_is_found_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_gin_file(name).is_absolute()


def test_a_file_here_comes_before_a_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("quickstart.gin").write_text("# mine\n")
    assert find_gin_file("quickstart.gin") == tmp_path / "quickstart.gin"
    assert find_gin_file(str(tmp_path / "quickstart")) == tmp_path / "quickstart.gin"


@pytest.mark.parametrize("name", ["", ".", "train", "/", "../nothing"])
def test_what_is_no_file_is_refused(name):
    with pytest.raises(ConfigError, match="no gin file"):
        find_gin_file(name)
