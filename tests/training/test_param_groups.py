"""Decoders with parameter groups of their own, as the trainer uses them."""

import csv

import pytest
import torch
from flat_calls import train

from zoo import register, registry, resolve
from zoo.decoders.gru import GRUDecoder
from zoo.storage.config import ComponentConfig, ModelConfig

CEILING = 1e-3


class Careful(GRUDecoder):
    """Its core wants a learning rate of at most `CEILING`, and no weight decay."""

    def param_groups(self):
        core = list(self.gru.parameters())
        rest = [p for part in (self.encoder, self.head) for p in part.parameters()]
        return [{"params": core, "lr": CEILING, "weight_decay": 0.0}, {"params": rest}]


@pytest.fixture(autouse=True)
def careful():
    register.decoder("careful")(Careful)

    @register.model("careful-S")
    def preset():
        synth = ComponentConfig("harmonic_noise", {"reverb_length": 200})
        return ModelConfig("careful-S", ComponentConfig("careful", {"hidden_size": 8}), synth)

    yield
    registry.decoders.unregister("careful")
    registry.models.unregister("careful-S")


def run(folder, data, **options):
    fixed = {"model": "careful-S", "evaluate": False, "progress": False, "accelerator": "cpu"}
    recipe = {"batch_size": 4, "validate_every": 1, "lr_decay": 0.5, "lr_decay_steps": 2}
    return train(dataset=data.path, out=folder, **fixed, **recipe, **options).folder


def state_of(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.parametrize(("rate", "core"), [(5e-3, CEILING), (2e-4, 2e-4)])
def test_group_trains_at_the_smaller_of_its_ceiling_and_the_trainers_rate(small_tones, tmp_path, rate, core):
    folder = run(tmp_path / "run", small_tones, steps=1, learning_rate=rate)
    groups = state_of(folder)["optimizer"]["param_groups"]
    assert [group["lr"] for group in groups] == [core, rate, rate]
    assert [group["weight_decay"] for group in groups] == [0.0, 0.01, 0.01]


def test_decay_and_resuming_keep_the_ceiling(small_tones, tmp_path):
    options = {"learning_rate": 5e-3}
    whole = run(tmp_path / "whole", small_tones, steps=5, **options)
    run(tmp_path / "parts", small_tones, steps=3, **options)
    parts = run(tmp_path / "parts", small_tones, steps=5, resume=True, **options)
    for folder in (whole, parts):
        groups = state_of(folder)["optimizer"]["param_groups"]
        assert [group["lr"] for group in groups] == [CEILING / 4, 5e-3 / 4, 5e-3 / 4]
    first, second = (state_of(folder)["model"] for folder in (whole, parts))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_history_tells_the_trainers_own_rate(small_tones, tmp_path):
    folder = run(tmp_path / "run", small_tones, steps=2, learning_rate=5e-3)
    with (folder / "history.csv").open() as file:
        assert [float(row["lr"]) for row in csv.DictReader(file)] == [5e-3, 5e-3, 2.5e-3]


def test_synth_may_learn_at_a_rate_of_its_own(small_tones, tmp_path):
    options = {"model": "gru-S", "model_options": {"hidden_size": 8, "reverb_length": 200}, "evaluate": False}
    options |= {"dataset": small_tones.path, "progress": False, "steps": 1, "batch_size": 4, "validate_every": 1}
    done = train(**options, out=tmp_path / "run", learning_rate=1e-5, synth_learning_rate=1e-2)
    torch.manual_seed(0)
    before = resolve.load(train(**options, out=tmp_path / "start", learning_rate=1e-12).folder)
    after = resolve.load(done.folder)
    moved = {
        part: max(
            float((a - b).detach().abs().max()) for a, b in zip(one.parameters(), other.parameters(), strict=True)
        )
        for part, one, other in (
            ("decoder", before.decoder, after.decoder),
            ("synth", before.synth, after.synth),
        )
    }
    assert moved["decoder"] < 2e-5
    assert moved["synth"] == pytest.approx(1e-2, rel=0.05)
