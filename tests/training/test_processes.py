"""Two processes that train together."""

import csv
import subprocess
import sys

import pytest
import torch
from flat_calls import distill, train

from zoo.datasets import Preparation, open_dataset, prepare_dataset
from zoo.datasets.tones import tones
from zoo.distill import main
from zoo.errors import ConfigError
from zoo.features import FeatureSettings
from zoo.training.batches import Stream, is_main, step_noise


@pytest.fixture(scope="module")
def whole_tones(tmp_path_factory):
    """Segments without padding: only then are the means over a batch those over its shares."""
    folder = tmp_path_factory.mktemp("data") / "tones"
    features = FeatureSettings(tracker="yin")
    preparation = Preparation(segment_seconds=0.512, min_seconds=0.512, silence_db=300.0, features=features)
    prepare_dataset(tones(phrases=8, seconds=1.6), folder, preparation, dataset="tones", name="tones")
    return open_dataset(folder)


def test_shares_of_a_batch_make_it_up():
    whole = list(Stream(20, batch_size=7, seed=0, start=0, stop=4))
    shares = [list(Stream(20, batch_size=7, seed=0, start=0, stop=4, shard=lambda r=r: (r, 3))) for r in range(3)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(batch) == sorted(i for part in parts for i in part)


def test_noise_of_a_step_belongs_to_the_segment_whatever_the_share():
    def batch(*indices):
        return {"f0_hz": torch.zeros(len(indices), 3), "index": torch.tensor(indices)}

    options = {"hop": 64, "seed": 1, "step": 5}
    both = step_noise(batch(4, 7), **options)
    assert torch.equal(both[1:], step_noise(batch(7), **options))
    assert not torch.equal(both[0], both[1])
    assert not torch.equal(both, step_noise(batch(4, 7), hop=64, seed=1, step=6))


@pytest.mark.parametrize(
    ("environment", "main"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
        ({"RANK": "2", "LOCAL_RANK": "0"}, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
    ],
)
def test_first_process_is_known_by_the_environment(monkeypatch, environment, main):
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_main() == main


def command(data, teacher, out, *settings):
    fixed = (
        f"DATASET='{data.path}'",
        f"TEACHER='{teacher}'",
        "STEPS=3",
        "BATCH_SIZE=6",
        "VALIDATE_EVERY=1",
        "distill.evaluate=False",
        "distill.accelerator='cpu'",
        "distill.student_options={'hidden_size': 8, 'reverb_length': 400}",
    )
    sets = [word for setting in (*fixed, *settings) for word in ("--set", setting)]
    return ["--gin", "distill/gru-L-to-gru-S.gin", *sets, "--out", str(out)]


def test_two_processes_reach_what_one_reaches(whole_tones, teacher_folder, tmp_path):
    assert main(command(whole_tones, teacher_folder, tmp_path / "one")) == 0
    arguments = command(whole_tones, teacher_folder, tmp_path / "two", "distill.devices=2")
    done = subprocess.run(
        [sys.executable, "-m", "zoo.distill", *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    one, two = (list(csv.DictReader((tmp_path / name / "history.csv").open())) for name in ("one", "two"))
    assert len(one) == len(two) == 4
    for first, second in zip(one, two, strict=True):
        if first["train_loss"]:
            assert float(second["train_loss"]) == pytest.approx(float(first["train_loss"]), rel=1e-4)
        # what is left of it after Adam, which makes much of a gradient's last digits at first
        for column in ("val_loss", "reconstruction", "output_audio"):
            assert float(second[column]) == pytest.approx(float(first[column]), rel=1e-3)
    # the first process alone speaks and writes
    assert done.stderr.count("Distilling gru-S-tones") == 1
    assert done.stderr.count("step 3 of 3") == 1
    assert (tmp_path / "two" / "samples" / "phrase1_student.wav").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 0}, "devices must be"),
        ({"devices": 3, "batch_size": 2}, "cannot share batches of 2"),
        ({"devices": 2, "cuda_graphs": True}, "on one device"),
        ({"cuda_graphs": True, "precision": "bf16-mixed"}, "32-true"),
    ],
)
def test_numbers_that_do_not_go_together_are_refused(small_tones, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        train(model="gru-S", dataset=small_tones.path, steps=1, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_assistants_of_several_processes_are_refused(small_tones, teacher_folder, tmp_path):
    with pytest.raises(ConfigError, match="Assistants are trained in one process"):
        distill(
            teacher=str(teacher_folder),
            student="gru-S",
            assistants=["gru-S"],
            dataset=small_tones.path,
            devices=2,
            out=tmp_path / "run",
        )
