"""The distribution of trained models in a real virtual environment, with a model that is made here."""

import json
import shutil

import pytest
import torch
from building import MODELS, build_wheels

import zoo
from zoo.cards import write_card
from zoo.storage.checkpoint import weights_hash

NAME = "gru-S-kazoo"

# Sockets are refused from the first import on; what asks for one ends in a traceback.
LOAD = """
import sys

def refuse(event, _):
    if event in ("socket.__new__", "socket.connect", "socket.getaddrinfo"):
        raise AssertionError("a shipped model needs no network")

sys.addaudithook(refuse)
import zoo
from zoo.storage.checkpoint import weights_hash
model = zoo.load(sys.argv[1])
print(model.name, weights_hash(model))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the folder of models with one more in it, small, with its weights in half precision."""
    folder = tmp_path_factory.mktemp("tree") / "model_cards"
    shutil.copytree(MODELS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    torch.manual_seed(0)
    zoo.save(zoo.create("gru-S", instrument="kazoo", reverb_length=1200), folder / NAME, weights_dtype="float16")
    write_card(folder / NAME)
    return folder


@pytest.fixture(scope="module")
def models_wheel(tree):
    return build_wheels([tree], tree.parent / "wheels")["ddsp_zoo_models"]


def said(done):
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_model_of_the_models_package_loads_without_a_socket_and_is_gone_with_it(environment, models_wheel, tree):
    environment.install(models_wheel)
    try:
        assert [NAME, "shipped"] in [line.split() for line in said(environment.zoo("list")).splitlines()]
        assert said(environment.run("-c", LOAD, NAME)).split() == [NAME, weights_hash(zoo.load(tree / NAME))]
        # the quick start's teacher comes with zoo itself, and once
        assert said(environment.run("-c", LOAD, "gru-M-tones")).startswith("gru-M-tones ")
        (listed,) = json.loads(said(environment.zoo("plugins", "--check", "--json")))
        assert (listed["distribution"], listed["state"], listed["problems"]) == ("ddsp-zoo-models", "ok", [])
        assert NAME in listed["brings"]["trained models"]
        assert "gru-M-tones" not in listed["brings"]["trained models"]
        assert "stored as float16" in said(environment.zoo("info", NAME))
        # they are zoo's own, no plugin's
        assert NAME in said(environment.zoo("list", "--pretrained", ZOO_NO_PLUGINS="1"))
        assert "pip install ddsp-zoo-models" not in environment.zoo("info", "gru-S-harp").stderr
    finally:
        environment.uninstall("ddsp-zoo-models")
    asked = environment.zoo("info", NAME)
    assert asked.returncode == 2
    assert "package that is not installed here: pip install ddsp-zoo-models." in asked.stderr
    assert NAME not in said(environment.zoo("list"))
