"""Losses with weights that change, and with parameters of their own, through a whole run."""

import csv

import pytest
import torch
from flat_calls import distill
from stopping import stopped_at

from zoo.errors import ConfigError
from zoo.losses.distillation import Control, Feature, OutputAudio, Reconstruction
from zoo.losses.weights import Cosine, Linear, Uncertainty
from zoo.models.loading import load_folder

SMALL = {"hidden_size": 8, "reverb_length": 200}


@pytest.fixture
def run(small_tones, teacher_folder):
    def distil(out, **options):
        fixed = {"student": "gru-S", "student_options": SMALL, "evaluate": False, "progress": False}
        recipe = {"batch_size": 4, "validate_every": 2, "accelerator": "cpu"}
        return distill(
            teacher=str(teacher_folder), dataset=small_tones.path, out=out, **{**fixed, **recipe, **options}
        ).folder

    return distil


def rows(folder):
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def state_of(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def scheduled():
    return [Reconstruction(weight=Cosine(0.0, 1.0, begin=0.5)), OutputAudio(weight=Linear(1.0, 0.0)), Feature()]


def test_weights_that_change_are_columns_of_the_history(run, tmp_path):
    found = rows(run(tmp_path / "run", losses=scheduled(), steps=4))
    assert [float(row["weight_output_audio"]) for row in found] == [1.0, 0.5, 0.0]
    assert [float(row["weight_reconstruction"]) for row in found] == [0.0, 0.0, 1.0]
    assert "weight_feature" not in found[0]
    for row in found:  # counted with the last weights all along, so that rows can be compared
        assert float(row["val_loss"]) == pytest.approx(float(row["reconstruction"]) + float(row["feature"]), rel=1e-5)


def learned():
    return [*scheduled(), Control(weight=Uncertainty(start=0.5))]


def test_resumed_run_goes_on_with_its_weights_and_its_projection(run, tmp_path):
    whole = run(tmp_path / "whole", losses=learned(), steps=4)
    stopped_at(3, lambda: run(tmp_path / "parts", losses=learned(), steps=4))
    parts = run(tmp_path / "parts", losses=learned(), steps=4, resume=True)
    first, second = (state_of(folder)["losses"] for folder in (whole, parts))
    assert "2.projection.weight" in first
    assert "3.uncertainty.log_variance" in first
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_run_that_is_made_longer_keeps_its_schedules(run, tmp_path):
    run(tmp_path / "run", losses=scheduled(), steps=4)
    run(tmp_path / "run", losses=scheduled(), steps=6, resume=True)
    # they were shares of four steps, and all of them are over
    assert [float(row["weight_output_audio"]) for row in rows(tmp_path / "run")] == [1.0, 0.5, 0.0, 0.0]


def test_projection_and_variance_are_trained_and_are_no_part_of_the_model(run, tmp_path):
    losses = [Reconstruction(), Feature(weight=Uncertainty())]
    folder = run(tmp_path / "run", losses=losses, steps=2)
    state = state_of(folder)
    in_optimizer = {tuple(slot["exp_avg"].shape) for slot in state["optimizer"]["state"].values()}
    assert {(8, 8), ()} <= in_optimizer
    assert state["losses"]["1.uncertainty.log_variance"] != 0
    assert state["losses"]["1.weight"] == pytest.approx(
        torch.exp(-state["losses"]["1.uncertainty.log_variance"]).item()
    )
    assert not any("projection" in name for name in load_folder(folder).state_dict())
    assert float(rows(folder)[-1]["weight_feature"]) != 1.0


def test_resuming_with_other_losses_is_refused(run, tmp_path):
    run(tmp_path / "run", losses=[Reconstruction(), OutputAudio()], steps=2)
    with pytest.raises(ConfigError, match=r"losses was .*output_audio: weight 1, .* is now .*weight 0\.5"):
        run(tmp_path / "run", losses=[Reconstruction(), OutputAudio(weight=0.5)], steps=4, resume=True)


def test_teacher_is_not_asked_while_no_loss_needs_it(run, tmp_path, monkeypatch):
    from zoo.training.teacher import Teacher

    asked = []
    original = Teacher.render

    def watched(self, batch, *rest):
        asked.append(torch.is_grad_enabled())
        return original(self, batch, *rest)

    monkeypatch.setattr(Teacher, "render", watched)
    losses = [Reconstruction(), OutputAudio(weight=Cosine(1.0, 0.0, end=0.25))]
    run(tmp_path / "run", losses=losses, steps=4, validate_every=4)
    assert sum(asked) == 1  # the first of four steps; validation asks without gradients
