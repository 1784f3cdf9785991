import logging

import pytest
from flat_calls import distill

from zoo import resolve
from zoo.datasets import open_dataset
from zoo.errors import ConfigError
from zoo.features import FeatureSettings
from zoo.models.creating import create
from zoo.models.loading import load_folder
from zoo.storage import checkpoint
from zoo.training.evaluation import evaluate
from zoo.training.teacher import check_fits_data

OLD = FeatureSettings(tracker="yin", normalize="peak", loudness="mean_db")


@pytest.fixture
def old_model(tmp_path):
    folder = tmp_path / "old"
    checkpoint.save(create("gru-S", instrument="tones", hidden_size=4, features=OLD), folder)
    return folder


def test_teacher_of_another_loudness_is_refused_with_the_command_that_mends_it(small_tones, old_model, tmp_path):
    with pytest.raises(ConfigError, match=r"teacher gru-S-tones was .*--loudness mean_db --normalize peak") as refused:
        distill(teacher=str(old_model), student="gru-S", dataset=small_tones.path, steps=1, out=tmp_path / "run")
    assert "a_weighted" in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_model_of_another_loudness_is_not_measured(small_tones, old_model):
    with pytest.raises(
        ConfigError, match=r"model gru-S-tones was trained with the loudness mean_db, .* has a_weighted"
    ):
        evaluate(str(old_model), data=str(small_tones.path), pitch="yin")


def test_loudness_with_other_options_is_another_one(small_tones):
    other = FeatureSettings(loudness_options={"window_seconds": 0.032})
    model = create("gru-S", hidden_size=4, features=other)
    with pytest.raises(ConfigError, match=r"a_weighted \(window_seconds=0.032\).*prepare.loudness_options="):
        check_fits_data(model, small_tones)


def test_other_normalisation_is_told(small_tones, caplog):
    check_fits_data(create("gru-S", hidden_size=4), small_tones)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        check_fits_data(create("gru-S", hidden_size=4, features=FeatureSettings(normalize="none")), small_tones)
    assert "normalised by none" in caplog.text


def test_embedded_data_is_measured_as_its_shipped_teacher_was_trained(caplog, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    teacher = load_folder(resolve.find("gru-M-tones").folder)
    check_fits_data(teacher, open_dataset("tones"))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
