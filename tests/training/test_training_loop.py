import csv
import json
import shutil
import signal
import threading

import pytest
import torch
from flat_calls import distill, train
from stopping import stopped_at

from zoo import resolve
from zoo.cards import write_card
from zoo.errors import CheckpointError, ConfigError, DatasetError, ModelNotFoundError
from zoo.losses.distillation import FunctionMatching, Loss, LoudnessMatching, OutputAudio, Reconstruction
from zoo.storage.config import read_config
from zoo.storage.results import MeasuredResults, read_metrics, write_metrics
from zoo.training import fit
from zoo.training.batches import Stream, default_interval, validations

SMALL = {"hidden_size": 8, "reverb_length": 200}
QUICK = {"model": "gru-S", "model_options": SMALL, "evaluate": False, "progress": False, "accelerator": "cpu"}


def test_run_has_every_file(small_tones, teacher_folder, tmp_path):
    done = distill(
        teacher=str(teacher_folder),
        student="gru-S",
        student_options=SMALL,
        dataset=small_tones.path,
        steps=4,
        batch_size=4,
        validate_every=2,
        out=tmp_path / "run",
        progress=False,
        accelerator="cpu",
        records={"config.gin": "# as parsed\n", "operative.gin": "# as used\n"},
    )
    files = {p.relative_to(done.folder).as_posix() for p in done.folder.rglob("*") if p.is_file()}
    assert files == {
        "model.safetensors",
        "golden.safetensors",
        "config.json",
        "README.md",
        "metrics.json",
        "config.gin",
        "operative.gin",
        "history.csv",
        "checkpoints/last.ckpt",
        "checkpoints/done.json",
        "plots/loss.png",
        "plots/spectrograms.png",
        *(f"samples/phrase{n}_{who}.wav" for n in (1, 2) for who in ("recording", "teacher", "student")),
    } | {f for f in files if f.startswith("samples/phrase3")}
    metrics = json.loads((done.folder / "metrics.json").read_text())
    assert set(metrics) == {"split", "teacher", "student", "noise_floor"}
    assert metrics["split"] == "test"
    assert {"mean", "std", "n"} == set(metrics["student"]["multi_scale_spectral"])
    lineage = read_config(done.folder).lineage
    assert (lineage["teacher"]["id"], lineage["teacher"]["path"]) == ("tcn-S-tones", str(teacher_folder.resolve()))
    assert len(lineage["teacher"]["weights"]) == 64
    assert lineage["dataset"]["hash"] == small_tones.hash
    assert lineage["dataset"]["attribution"] == ["made by rule, CC0-1.0, zoo.datasets.tones"]
    with (done.folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert ",".join(rows[0]) == "step,epoch,train_loss,val_loss,lr,seconds,reconstruction,output_audio"
    assert [row["step"] for row in rows] == ["0", "2", "4"]
    assert rows[0]["train_loss"] == ""


def test_loss_falls(small_tones, tmp_path):
    done = train(**QUICK, dataset=small_tones.path, steps=40, batch_size=8, learning_rate=5e-3, out=tmp_path / "run")
    rows = fitting_rows(done.folder)
    assert float(rows[-1]["val_loss"]) < 0.9 * float(rows[0]["val_loss"])
    assert done.best_step == int(min(rows, key=lambda row: float(row["val_loss"]))["step"])


def fitting_rows(folder):
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("architecture", "losses"),
    [
        ("gru-S", lambda: None),
        ("tcn-S", lambda: None),
        ("gru-S", lambda: [Reconstruction(), FunctionMatching(), LoudnessMatching()]),
    ],
)
def test_resumed_run_equals_an_uninterrupted_one(small_tones, teacher_folder, tmp_path, architecture, losses):
    # tcn has dropout, so the generators' states matter too; step 5 is in the middle of an epoch and between validations
    small = SMALL if architecture == "gru-S" else {"channels": 8, "blocks": 2, "reverb_length": 200}
    options = {
        "teacher": str(teacher_folder),
        "student": architecture,
        "student_options": small,
        "dataset": small_tones.path,
        "batch_size": 4,
        "validate_every": 3,
        "lr_decay_steps": 4,
        "evaluate": False,
        "progress": False,
        "accelerator": "cpu",
    }
    whole = distill(**options, losses=losses(), steps=9, out=tmp_path / "whole")
    stopped_at(5, lambda: distill(**options, losses=losses(), steps=9, out=tmp_path / "parts"))
    resumed = distill(**options, losses=losses(), steps=9, out=tmp_path / "parts", resume=True)
    last = [torch.load(run.folder / "checkpoints/last.ckpt", weights_only=True) for run in (whole, resumed)]
    for part in ("model", "losses"):
        assert last[0][part].keys() == last[1][part].keys()
        assert all(torch.equal(last[0][part][name], last[1][part][name]) for name in last[0][part])
    assert without_seconds(whole.folder) == without_seconds(resumed.folder)
    assert (whole.folder / "model.safetensors").read_bytes() == (resumed.folder / "model.safetensors").read_bytes()


def without_seconds(folder):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in fitting_rows(folder)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_is_usable(small_tones, tmp_path, number):
    before = signal.getsignal(number)
    stopped_at(
        3, lambda: train(**QUICK, dataset=small_tones.path, steps=50, batch_size=4, out=tmp_path / "run"), number
    )
    assert signal.getsignal(number) == before
    assert resolve.load(tmp_path / "run").name == "gru-S-tones"
    for name in ("history.csv", "README.md", "config.json", "plots/loss.png", "checkpoints/last.ckpt"):
        assert (tmp_path / "run" / name).is_file()
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["step"] == 3


def test_measures_are_those_of_the_weights_that_are_there(small_tones, tmp_path):
    options = {**QUICK, "dataset": small_tones.path, "batch_size": 4, "validate_every": 1, "out": tmp_path / "run"}
    folder, measured = (
        train(**options, steps=1).folder,
        MeasuredResults({"student": {"x": {"mean": 1, "std": 0, "n": 1}}}),
    )
    write_metrics(measured, folder / "metrics.json")  # as by zoo evaluate
    write_card(folder)
    assert train(**options, steps=1, resume=True).best_step == 1
    assert read_metrics(folder / "metrics.json") == measured, "nothing was trained"
    train(**options, steps=2, resume=True)
    assert read_config(folder).lineage["training"]["best_step"] == 2
    assert read_metrics(folder / "metrics.json") == {}
    assert "Not measured yet" in (folder / "README.md").read_text()


def test_resume_may_go_further_but_not_otherwise(small_tones, tmp_path):
    options = {**QUICK, "dataset": small_tones.path, "batch_size": 4, "out": tmp_path / "run"}
    train(**options, steps=2)
    assert train(**options, steps=4, resume=True).steps == 4
    with pytest.raises(ConfigError, match="batch_size was 4 and is now 5"):
        train(**{**options, "batch_size": 5}, steps=6, resume=True)
    with pytest.raises(ConfigError, match="student"):
        train(**{**options, "model_options": {**SMALL, "hidden_size": 9}}, steps=6, resume=True)


def test_run_that_an_earlier_version_began_goes_on(small_tones, teacher_folder, tmp_path):
    options = {"teacher": str(teacher_folder), "student": "gru-S", "student_options": SMALL, "evaluate": False}
    options |= {"dataset": small_tones.path, "batch_size": 4, "accelerator": "cpu", "progress": False}
    distill(**options, steps=1, out=tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    begun = content["identity"]
    begun["teacher_draws"] = begun.pop("teacher_noise_seeds")
    for name in (
        "init_from",
        "reverb_from",
        "synth_learning_rate",
        "minutes",
        "minutes_seed",
        "averaging",
    ):  # it knew none of these where they are off
        del begun[name]
    del content["average"]
    torch.save(content, last)
    assert distill(**options, steps=2, out=tmp_path / "run", resume=True).steps == 2


def test_resuming_a_finished_run_finishes_it_again(small_tones, tmp_path):
    options = {**QUICK, "dataset": small_tones.path, "batch_size": 4, "out": tmp_path / "run", "steps": 2}
    train(**options)
    shutil.rmtree(tmp_path / "run" / "samples")
    assert train(**options, resume=True).steps == 2
    assert (tmp_path / "run" / "samples" / "phrase1_student.wav").is_file()


def test_resume_without_or_with_a_damaged_checkpoint_says_so(small_tones, tmp_path):
    options = {**QUICK, "dataset": small_tones.path, "out": tmp_path / "run", "resume": True}
    with pytest.raises(ConfigError, match="no run"):
        train(**options)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        train(**options)
    (tmp_path / "run" / "checkpoints" / "last.ckpt").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        train(**options)


def test_loss_weight_is_in_the_checkpoint(small_tones, tmp_path):
    done = train(**QUICK, dataset=small_tones.path, steps=1, losses=[Reconstruction(weight=0.25)], out=tmp_path / "run")
    state = torch.load(done.folder / "checkpoints/last.ckpt", weights_only=True)
    assert state["losses"]["0.weight"] == 0.25


def test_dataset_smaller_than_a_batch_trains(small_tones, tmp_path):
    done = train(**QUICK, dataset=small_tones.path, steps=2, batch_size=1000, out=tmp_path / "run")
    assert read_config(done.folder).lineage["training"]["batch_size"] == len(small_tones.split("train"))


def test_same_seed_gives_the_same_weights_and_leaves_the_generator_alone(small_tones, tmp_path):
    state = torch.random.get_rng_state()
    runs = [
        train(**QUICK, dataset=small_tones.path, steps=2, seed=s, out=tmp_path / n)
        for s, n in ((1, "a"), (1, "b"), (2, "c"))
    ]
    assert torch.equal(torch.random.get_rng_state(), state)
    a, b, c = ((run.folder / "model.safetensors").read_bytes() for run in runs)
    assert a == b
    assert a != c


def test_training_stops_early_when_nothing_is_gained(small_tones, tmp_path):
    class Rising(Loss):
        name = "rising"

        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, student, teacher, batch):
            self.calls += not torch.is_grad_enabled()
            return student.audio.square().mean() * 0 + self.calls

    done = train(
        **QUICK,
        dataset=small_tones.path,
        steps=200,
        batch_size=10_000,
        validate_every=1,
        early_stopping=3,
        losses=[Rising()],
        out=tmp_path / "run",
    )
    assert done.steps == fit.PATIENT_VALIDATIONS
    assert done.best_step == 0


def test_learning_rate_decays_by_steps(small_tones, tmp_path):
    done = train(
        **QUICK,
        dataset=small_tones.path,
        steps=4,
        validate_every=1,
        lr_decay=0.5,
        lr_decay_steps=2,
        out=tmp_path / "run",
    )
    assert [float(row["lr"]) for row in fitting_rows(done.folder)] == [1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4]


def test_folder_that_holds_something_is_refused_and_left(small_tones, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        train(**QUICK, dataset=small_tones.path, steps=1, out=tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("segments", "batch_size", "steps", "wanted"), [(320, 16, 120, 20), (320, 16, 120_000, 2400), (5, 16, 60, 10)]
)
def test_default_interval_is_an_epoch_within_bounds(segments, batch_size, steps, wanted):
    assert default_interval(segments, batch_size, steps) == wanted


@pytest.mark.parametrize(
    ("every", "steps", "early"),
    [(None, 120_000, [300, 600, 1200, 2400, 4800]), (None, 2000, [10, 20, 40, 80]), (None, 90, [10, 20]), (7, 14, [7])],
)
def test_first_interval_is_validated_early_where_nobody_has_set_it(every, steps, early):
    stream = Stream(16, batch_size=16, seed=0, start=0, stop=steps)
    due = validations(stream, every=every, steps=steps)
    assert [step for step in range(1, min(steps, 5000)) if due(step)][: len(early)] == early


def test_run_stopped_before_its_first_validation_says_that_its_weights_are_untrained(small_tones, tmp_path, caplog):
    caplog.set_level("INFO")
    options = {**QUICK, "dataset": small_tones.path, "batch_size": 4, "out": tmp_path / "my run"}
    stopped_at(3, lambda: train(**options, steps=2000))
    assert "are those of step 0, untrained by this run" in caplog.text
    assert f"Go on: zoo train --resume --out '{tmp_path / 'my run'}'" in caplog.text
    stopped_at(11, lambda: train(**options, steps=2000, resume=True))
    assert "The best weights (step 10) are in" in caplog.text


def test_default_folder_is_unique(small_tones, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [train(**QUICK, dataset=small_tones.path, steps=1).folder.as_posix() for _ in range(2)]
    assert names == ["runs/gru-S-tones", "runs/gru-S-tones-2"]


def test_named_run_enters_the_store_and_is_replaced_only_by_force(small_tones, tmp_path):
    options = {**QUICK, "dataset": small_tones.path, "steps": 1, "name": "gru-S-tones"}
    first = train(**options, out=tmp_path / "a")
    assert resolve.find("gru-S-tones").source == "store"
    assert not (resolve.find("gru-S-tones").folder / "checkpoints").exists()
    with pytest.raises(ConfigError, match="--force"):
        train(**options, out=tmp_path / "b")
    assert not (tmp_path / "b").exists()
    train(**options, seed=5, out=tmp_path / "b", force=True)
    assert (resolve.find("gru-S-tones").folder / "model.safetensors").read_bytes() != (
        first.folder / "model.safetensors"
    ).read_bytes()
    with pytest.raises(ConfigError, match="is a gru-S"):
        train(**{**options, "name": "tcn-S-tones"}, out=tmp_path / "c")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": "gru-Z"}, ModelNotFoundError, "gru-"),
        ({"model_options": {"hiden_size": 3}}, ConfigError, "hidden_size"),
        ({"model_options": {"sample_rate": 44100}}, ConfigError, "16000 Hz"),
        ({"dataset": "nowhere"}, DatasetError, "nowhere"),
        ({"instrument": "flute"}, ConfigError, "holds 'tones'"),
        ({"steps": 0}, ConfigError, "steps"),
        ({"steps": "many"}, ConfigError, "steps"),
        ({"learning_rate": -1.0}, ConfigError, "learning_rate"),
        ({"accelerator": "tpu"}, ConfigError, "accelerator"),
        ({"losses": []}, ConfigError, "at least one loss"),
        ({"losses": ["reconstruction"]}, ConfigError, "is no loss"),
        ({"losses": [OutputAudio()]}, ConfigError, "there is none"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(small_tones, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        train(**{**QUICK, "dataset": small_tones.path, "steps": 1, "out": tmp_path / "run", **changes})
    assert not (tmp_path / "run").exists()


def test_training_works_in_another_thread(small_tones, tmp_path):
    # there Python allows no signal handlers
    found = []
    thread = threading.Thread(
        target=lambda: found.append(train(**QUICK, dataset=small_tones.path, steps=1, out=tmp_path / "run"))
    )
    thread.start()
    thread.join()
    assert found[0].steps == 1
