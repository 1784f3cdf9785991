import json
import math
import os
import subprocess

import pytest
import torch

from zoo import metrics
from zoo.datasets import Preparation, prepare_dataset
from zoo.datasets.folder import folder
from zoo.datasets.tones import tones
from zoo.errors import ConfigError, DatasetError
from zoo.features import FeatureSettings, write_wav
from zoo.models.creating import create
from zoo.models.loading import load_folder
from zoo.storage import MeasuredResults, checkpoint
from zoo.training import TrainConfig, train
from zoo.training.batches import fixed_noise
from zoo.training.evaluation import evaluate, held_out, measure, table


@pytest.fixture
def model(small_tones):
    return create("gru-S", instrument="tones", features=small_tones.features.to_dict(), hidden_size=8).eval()


def test_padding_is_left_out(small_tones, model):
    segments = small_tones.split("train")
    short = min(range(len(segments)), key=lambda i: int(segments[i]["valid_frames"]))
    item = segments[short]
    assert item["valid_frames"] < len(item["f0_hz"])
    found = measure({"student": model}, torch.utils.data.Subset(segments, [short]), pitch="yin")
    batch = {name: value[None] for name, value in item.items()}
    samples = int(item["valid_frames"]) * 64
    with torch.no_grad():
        made = model(batch["f0_hz"], batch["loudness_db"], fixed_noise(batch, hop=64, seed=0)).audio
    wanted = metrics.log_spectral_distance(made, batch["audio"], valid_samples=torch.tensor([samples]))
    assert math.isclose(found["student"]["log_spectral_distance"]["mean"], float(wanted), rel_tol=1e-4)


def test_notes_under_50_hz_are_searched_for_where_the_data_have_them(tmp_path):
    time = torch.arange(24000) / 16000
    low = sum(torch.sin(2 * torch.pi * 41.2 * k * time) / k for k in range(1, 20)) * 0.2
    write_wav(tmp_path / "low.wav", low, sample_rate=16000)
    features = FeatureSettings(tracker="yin", fmin=30.0)
    preparation = Preparation(segment_seconds=0.512, min_seconds=0.256, features=features)
    prepare_dataset(folder(tmp_path / "low.wav"), tmp_path / "data", preparation)
    student = create("gru-S", instrument="bass", features=features.to_dict(), hidden_size=8, reverb_length=0).eval()
    with torch.no_grad():
        student.decoder.head.controls["noise_bands"].bias.fill_(-20.0)  # a tone alone
    checkpoint.save(student, tmp_path / "run")
    options = {"data": str(tmp_path / "data"), "split": "train", "max_segments": 1, "out": tmp_path / "m.json"}
    found = evaluate(str(tmp_path / "run"), **options, pitch="yin")
    assert found["student"]["f0_error_cents"]["mean"] < 50
    given = evaluate(str(tmp_path / "run"), **options, pitch="yin", pitch_options={"fmin": 60.0})
    assert given["student"]["f0_error_cents"]["mean"] > 300


def test_model_is_nearer_to_itself_than_to_a_recording(small_tones, model):
    found = measure({"student": model}, small_tones.split("test"), pitch="yin")
    for name, value in found["noise_floor"].items():
        assert value["mean"] < found["student"][name]["mean"]


def test_evaluate_writes_into_a_run_and_its_card(small_tones, model, tmp_path):
    checkpoint.save(model, tmp_path / "run")
    found = evaluate(str(tmp_path / "run"), data=str(small_tones.path), pitch="yin")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == {"split": "test", "pitch": "yin", **found}
    assert "multi-scale" in (tmp_path / "run" / "README.md").read_text()


def test_run_on_a_disk_that_cannot_be_written_is_refused_before_anything_is_measured(
    small_tones, model, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    checkpoint.save(model, run)
    run.chmod(0o500)  # which does not keep root out
    bound = os.access(run, os.W_OK) and subprocess.run(["mount", "--bind", "-o", "ro", run, run], check=False)
    try:
        if os.access(run, os.W_OK):
            pytest.skip("nothing is read-only here")
        monkeypatch.setattr("zoo.training.evaluation.measure", lambda *_, **__: pytest.fail("it was measured"))
        with pytest.raises(ConfigError, match=r"The run .* cannot be written .* --out FILE"):
            evaluate(run, data=small_tones.path)
    finally:
        if bound:
            subprocess.run(["umount", run], check=False)
        run.chmod(0o700)


def test_numbers_of_the_training_split_never_replace_held_out_ones(small_tones, model, tmp_path, caplog):
    options = {"data": str(small_tones.path), "pitch": "yin", "max_segments": 1}
    run = tmp_path / "run"
    checkpoint.save(model, run)
    evaluate(str(run), **options, split="train")
    assert json.loads((run / "metrics.json").read_text())["split"] == "train"
    card = (run / "README.md").read_text()
    assert "over 1 segments of the training split" in card
    assert "held-out segments" not in card
    assert "model-index" not in card
    evaluate(str(run), **options, split="validation")
    card = (run / "README.md").read_text()
    assert "over 1 held-out segments (validation split)" in card
    assert "model-index" in card
    kept = (run / "metrics.json").read_bytes()
    found = evaluate(str(run), **options, split="train")
    assert ((run / "metrics.json").read_bytes(), (run / "README.md").read_text()) == (kept, card)
    assert "keeps its held-out numbers" in caplog.text
    assert (
        table(found).splitlines()[-1]
        == "(train split, 1 segment: the model was trained on this split) Pitch was tracked by yin."
    )


def test_run_with_nothing_held_out_says_so_on_its_card(tmp_path):
    preparation = Preparation(segment_seconds=0.512, min_seconds=0.256, features=FeatureSettings(tracker="yin"))
    prepare_dataset(tones(phrases=1, seconds=0.6), tmp_path / "data", preparation, dataset="tones", name="tones")
    small = {"hidden_size": 4, "reverb_length": 100}
    config = TrainConfig(model="gru-S", model_options=small, dataset=tmp_path / "data", steps=1)
    done = train(config, out=tmp_path / "run", progress=False)
    assert (done.metrics.split, done.metrics.held_out) == ("train", False)
    card = (tmp_path / "run" / "README.md").read_text()
    assert "of the training split" in card
    assert "held-out segments" not in card
    assert "model-index" not in card


def test_evaluate_leaves_a_stored_model_alone(small_tones, model, tmp_path):
    from zoo.registry.paths import store_folder

    checkpoint.save(model, store_folder() / "gru-S-tones")
    found = evaluate("gru-S-tones", data=str(small_tones.path), pitch="yin", max_segments=1, out=tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text()) == {"split": "test", "pitch": "yin", **found}
    assert found["student"]["loudness_error_db"]["n"] == 1
    assert not (store_folder() / "gru-S-tones" / "metrics.json").exists()


def test_teacher_is_measured_when_it_is_the_same_and_left_out_when_not(small_tones, model, tmp_path, caplog):
    lineage = {"teacher": {"id": str(tmp_path / "teacher"), "weights": checkpoint.weights_hash(model)}}
    student = create("gru-S", instrument="tones", hidden_size=4)
    student.config = student.config.with_changes(lineage=lineage)
    checkpoint.save(student, tmp_path / "run")
    options = {"data": str(small_tones.path), "pitch": "yin", "max_segments": 1}
    assert "teacher" not in evaluate(str(tmp_path / "run"), **options)
    assert "left out, since it is not here" in caplog.text
    checkpoint.save(model, tmp_path / "teacher")
    assert "teacher" in evaluate(str(tmp_path / "run"), **options)
    before = {"weights": checkpoint.weights_hash(model), "difference_db": -70.0}
    model.config = model.config.with_changes(lineage={"compacted": before})
    checkpoint.save(model, tmp_path / "teacher", weights_dtype="float16")
    assert checkpoint.weights_hash(load_folder(tmp_path / "teacher")) != before["weights"]
    assert "teacher" in evaluate(str(tmp_path / "run"), **options)
    checkpoint.save(create("gru-S", instrument="tones", hidden_size=8), tmp_path / "teacher")
    assert "teacher" not in evaluate(str(tmp_path / "run"), **options)
    assert "other weights" in caplog.text


def test_validation_is_taken_where_there_is_no_test_split(small_tones, caplog):
    before = small_tones.info["splits"]
    small_tones.info["splits"] = {**before, "test": []}
    try:
        assert held_out(small_tones).split == "validation"
        assert "no test segments" in caplog.text
    finally:
        small_tones.info["splits"] = before


def test_unknown_split_and_other_rates_are_refused(small_tones, tmp_path):
    with pytest.raises(DatasetError, match="validation"):
        held_out(small_tones, "validaton")
    with pytest.raises(ConfigError, match="max-segments"):
        held_out(small_tones, max_segments=0)
    checkpoint.save(create("gru-S", instrument="tones", hidden_size=4, sample_rate=44100), tmp_path / "run")
    with pytest.raises(ConfigError, match="44100 Hz"):
        evaluate(str(tmp_path / "run"), data=str(small_tones.path))


def test_table_has_a_line_for_each_metric_and_no_trailing_blanks():
    value = {"mean": 1.5, "std": 0.25, "n": 3}
    measures = {"multi_scale_spectral": value, "f0_over_50_cents": value}
    lines = table(MeasuredResults({"student": measures, "noise_floor": {}})).splitlines()
    assert len(lines) == 4
    assert "1.5 ± 0.25" in lines[1]
    assert "(%)" in lines[2]
    assert "150 ± 25" in lines[2]
    assert lines[3] == "(test split, 3 segments)"
    assert not any(line != line.rstrip() for line in lines)
