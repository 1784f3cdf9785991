"""Trainings that fail: what they say, and what they leave."""

import csv
import errno
import resource

import pytest
import torch
from flat_calls import train

from zoo.errors import TrainingError
from zoo.losses.distillation import Loss, Reconstruction
from zoo.models.loading import load_folder
from zoo.training import fit
from zoo.training.checkpoints import LAST, load_state, save_state

SMALL = {"hidden_size": 8, "reverb_length": 200}
QUICK = {"model": "gru-S", "model_options": SMALL, "evaluate": False, "progress": False, "accelerator": "cpu"}


class Broken(Loss):
    name = "broken"

    def __init__(self, after):
        super().__init__()
        self.left = after

    def forward(self, student, teacher, batch):
        if torch.is_grad_enabled():
            self.left -= 1
        return student.audio.square().mean() * (float("nan") if self.left < 0 else 1.0)


def test_nan_names_the_loss_and_the_step_and_keeps_good_weights(small_tones, tmp_path):
    with pytest.raises(TrainingError, match=r"step 5 the loss broken is nan") as caught:
        train(
            **QUICK,
            dataset=small_tones.path,
            steps=8,
            validate_every=2,
            losses=[Reconstruction(), Broken(4)],
            out=tmp_path / "run",
        )
    assert caught.value.exit_code == 1
    assert all(torch.isfinite(p).all() for p in load_folder(tmp_path / "run").parameters())
    with (tmp_path / "run/history.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)][-1] == "4"


def test_nan_before_the_first_step_is_told_and_leaves_nothing(small_tones, tmp_path):
    class Never(Broken):
        def forward(self, student, teacher, batch):
            return student.audio.square().mean() * float("nan")

    with pytest.raises(TrainingError, match=r"Before the first step the loss broken is nan.*nothing was trained"):
        train(**QUICK, dataset=small_tones.path, steps=2, losses=[Never(0)], out=tmp_path / "run")
    assert not list((tmp_path / "run").glob("[!.]*"))


def test_weights_that_explode_are_a_failed_training_not_a_crash(small_tones, tmp_path):
    with pytest.raises(TrainingError, match="lower learning rate"):
        train(
            **{**QUICK, "learning_rate": 1e12},
            dataset=small_tones.path,
            steps=20,
            validate_every=5,
            out=tmp_path / "run",
        )
    assert all(torch.isfinite(p).all() for p in load_folder(tmp_path / "run").parameters())


def test_full_disk_leaves_the_run_as_it_was(small_tones, tmp_path, monkeypatch, caplog):
    def full(state, run):
        if state.step == 4:
            raise OSError(28, "No space left on device", str(run))
        return original(state, run)

    original = fit.save_state
    monkeypatch.setattr(fit, "save_state", full)
    with pytest.raises(OSError, match="No space"), caplog.at_level("INFO", logger="zoo"):
        train(**QUICK, dataset=small_tones.path, steps=8, validate_every=2, out=tmp_path / "run")
    assert caplog.messages[-1].endswith(f"go on: zoo train --resume --out {tmp_path / 'run'}")
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["step"] == 2
    assert load_folder(tmp_path / "run")
    assert not list((tmp_path / "run").rglob(".*"))


def test_checkpoint_that_the_system_does_not_take_is_the_systems_own_error(small_tones, tmp_path):
    folder = train(**QUICK, dataset=small_tones.path, steps=1, out=tmp_path / "run").folder
    state, before = load_state(folder), (folder / LAST).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            save_state(state, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG  # by its number the command line knows a full disk
    assert (folder / LAST).read_bytes() == before
    assert not list(folder.rglob(".last*"))
