"""The models: their sizes, their files, and a real training of one."""

import csv
import doctest
import re
from pathlib import Path

import pytest
import torch
import zoo_wavetable.reading

import zoo
from zoo import registry
from zoo.datasets import Preparation, prepare_dataset
from zoo.datasets.tones import tones
from zoo.distill import main as distill
from zoo.features import FeatureSettings
from zoo.gin_config.files import read_files, shipped_gin_files
from zoo.models.model import Model
from zoo.models.presets import s4d_S, tcn_S
from zoo.testing import check_model
from zoo.train import main as train

GIN_FILES = [
    "distill/gru-L-to-gru-wavetable-S.gin",
    "distill/gru-L-to-gru-wavetable-XS.gin",
    "distill/gru-wavetable-L-to-gru-wavetable-S.gin",
    "train/gru-wavetable-L.gin",
    "train/gru-wavetable-S.gin",
    "train/gru-wavetable-XS.gin",
]
SMALL = "{'hidden_size': 16, 'reverb_length': 200}"


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path_factory.mktemp("zoo-home")))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "tones"
    preparation = Preparation(segment_seconds=0.512, min_seconds=0.256, features=FeatureSettings(tracker="yin"))
    prepare_dataset(tones(phrases=10, seconds=1.5), folder, preparation, dataset="tones", name="tones")
    return folder


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    """gru-wavetable-S, narrowed, after a few dozen steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    settings = ["STEPS=45", "BATCH_SIZE=4", "LEARNING_RATE=3e-3", f"train.model_options={SMALL}"]
    settings += [f"DATASET='{dataset}'", "train.evaluate=False", "VALIDATE_EVERY=45"]
    given = [part for setting in settings for part in ("--set", setting)]
    assert train(["--gin", "train/gru-wavetable-S", *given, "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gru-wavetable-L", 4_257_366 + 16_002 + 20 * 512),
        ("gru-wavetable-S", 36_474 + 1_602 + 20 * 512),
        ("gru-wavetable-XS", 6_150 + 1_602 + 20 * 512),
    ],
)
def test_model_keeps_the_promises_of_its_kind_and_has_its_size(name, parameters):
    check_model(name, options={"hidden_size": 8})
    model = zoo.create(f"{name}-flute")
    assert model.num_parameters == parameters
    assert (model.config.architecture, model.config.instrument) == (name, "flute")
    assert (
        sum(p.numel() for p in model.decoder.parameters()) == parameters - 20 * 512 - len(model.synth.reverb.noise) - 2
    )


@pytest.mark.parametrize("preset", [tcn_S, s4d_S])
def test_other_decoders_drive_the_synth(preset):
    config = preset().with_changes(architecture="other", synth=zoo.create("gru-wavetable-S").config.synth)
    made = Model(config)(torch.full((1, 20), 300.0), torch.full((1, 20), -20.0))
    assert made.audio.shape == (1, 20 * 64)
    assert made.scaled_controls["table_weights"].sum(-1).allclose(torch.ones(1, 20))


def test_gin_files_are_shipped_and_read():
    assert set(GIN_FILES) <= set(shipped_gin_files())
    for name in GIN_FILES:
        assert any(getattr(statement, "name", "") == "STEPS" for statement in read_files([name]))


def test_training_reduces_the_loss_and_changes_the_tables(run):
    rows = list(csv.DictReader((run / "history.csv").open()))
    assert float(rows[-1]["val_loss"]) < 0.7 * float(rows[0]["val_loss"])
    trained = zoo.load(run)
    torch.manual_seed(0)
    untrained = zoo.create("gru-wavetable-S", hidden_size=16, reverb_length=200)
    assert (trained.synth.tables - untrained.synth.tables).abs().max() > 1e-3


def test_saved_model_says_what_it_needs_and_plays_the_same(run, tmp_path):
    model = zoo.load(run)
    assert "ddsp-zoo-wavetable" in model.config.requires
    zoo.save(model, tmp_path / "copy")
    inputs = torch.full((1, 20), 300.0), torch.full((1, 20), -20.0), torch.rand(1, 20 * 64) * 2 - 1
    with torch.no_grad():
        assert torch.equal(model(*inputs).audio, zoo.load(tmp_path / "copy")(*inputs).audio)


def test_model_that_goes_on_keeps_its_tables(run, dataset, tmp_path):
    settings = [f"INIT_FROM='{run}'", f"DATASET='{dataset}'", f"train.model_options={SMALL}", "train.evaluate=False"]
    settings += ["STEPS=1", "BATCH_SIZE=4", "LEARNING_RATE=1e-9"]
    given = [part for setting in settings for part in ("--set", setting)]
    assert train(["--gin", "train/gru-wavetable-S", *given, "--out", str(tmp_path / "on")]) == 0
    before, after = (zoo.load(folder).synth for folder in (run, tmp_path / "on"))
    torch.testing.assert_close(after.tables, before.tables, rtol=0, atol=1e-6)
    assert not torch.allclose(after.reverb.noise, before.reverb.noise, atol=0.1)  # another room, perhaps


@pytest.mark.parametrize("pair", ["gru-L-to-gru-wavetable-S", "gru-wavetable-L-to-gru-wavetable-S"])
def test_pair_distils_with_control_too(pair, dataset, run, tmp_path):
    teacher = run
    if pair.startswith("gru-L"):
        teacher = tmp_path / "teacher"
        features = zoo.load(run).config.features
        zoo.save(zoo.create("gru-S-tones", hidden_size=8, reverb_length=200, features=features), teacher)
    settings = ["STEPS=2", "BATCH_SIZE=4", f"distill.student_options={SMALL}", f"DATASET='{dataset}'"]
    settings += [f"TEACHER='{teacher}'", "distill.evaluate=False"]
    given = [part for setting in settings for part in ("--set", setting)]
    out = tmp_path / "student"
    assert distill(["--gin", f"distill/{pair}", "--gin", "losses/control.gin", *given, "--out", str(out)]) == 0
    assert "control" in (out / "history.csv").read_text().splitlines()[0]
    assert zoo.load(out).name == "gru-wavetable-S-tones"


def test_python_in_the_readme_makes_a_model():
    (block,) = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.DOTALL)
    try:
        exec(block, {})
        check_model("tcn-wavetable-S")
    finally:
        registry.models.unregister("tcn-wavetable-S")


def test_examples_in_docstrings_run_as_shown():
    assert doctest.testmod(zoo_wavetable.reading) == (0, 2)
