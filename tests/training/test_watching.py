"""What loggers are told of a training, and that nothing of it changes by that."""

import logging

import numpy as np
import pytest
from flat_calls import distill, train

import zoo
from zoo import registry
from zoo.errors import ConfigError, PluginError
from zoo.loggers import Logger

SMALL = {"hidden_size": 8, "reverb_length": 200}
QUICK = {"steps": 10, "batch_size": 4, "validate_every": 5, "evaluate": False, "accelerator": "cpu"}


@pytest.fixture
def run(small_tones, teacher_folder, tmp_path):
    def run(name, **options):
        settings = {
            "teacher": teacher_folder,
            "student": "gru-S",
            "dataset": small_tones.path,
            "student_options": SMALL,
        }
        return distill(**settings, **{**QUICK, **options}, out=tmp_path / name, progress=False).folder

    return run


def test_tensorboards_reader_finds_losses_pictures_and_sounds(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = run("watched", loggers=["tensorboard"])
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"audio": 0, "images": 0}).Reload()
    assert [one.step for one in events.Scalars("loss/validation")] == [0, 5, 10]
    assert {"loss/training", "loss/output_audio", "loss/reconstruction", "learning_rate/0"} <= set(
        events.Tags()["scalars"]
    )
    sounds = events.Audio("phrase1/student")
    assert [one.step for one in sounds] == [0, 5, 10]
    assert [one.step for one in events.Audio("phrase1/teacher")] == [0]
    assert sounds[0].sample_rate == 16000
    assert sounds[0].encoded_audio_string.startswith(b"RIFF")
    assert sounds[0].length_frames == pytest.approx(0.512 * 16000, rel=0.6)
    assert [one.step for one in events.Images("phrase1/spectrograms")] == [0, 5, 10]
    assert events.Images("phrase1/spectrograms")[0].width > 300


def test_run_that_is_watched_is_the_same_to_the_bit(run):
    watched, alone = run("watched", loggers=["tensorboard"]), run("alone")
    assert (watched / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()
    assert not (alone / "tensorboard").exists()


def test_what_was_logged_after_the_last_checkpoint_comes_once(run, small_tones, teacher_folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = run("resumed", loggers=["tensorboard"])
    run("resumed", loggers=["tensorboard"], steps=20, resume=True)
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [one.step for one in events.Scalars("loss/validation")] == [0, 5, 10, 15, 20]


def test_logger_that_fails_warns_once_and_the_others_go_on(small_tones, tmp_path, caplog):
    heard = []

    @zoo.register.logger("full_disk")
    class FullDisk(Logger):
        module, package = "zoo", "ddsp-zoo"

        def numbers(self, values, step):
            if step:
                raise OSError("no space left on device")

        def sound(self, name, samples, step, *, sample_rate):
            pass

        def picture(self, name, pixels, step):
            pass

    @zoo.register.logger("well")
    class Well(FullDisk):
        def numbers(self, values, step):
            heard.append(step)

        def sound(self, name, samples, step, *, sample_rate):
            assert samples.dtype == np.float32
            assert abs(samples).max() <= 1

        def picture(self, name, pixels, step):
            assert pixels.dtype == np.uint8
            assert pixels.shape[-1] == 3

    try:
        with caplog.at_level(logging.WARNING, "zoo"):
            done = train(model="gru-S", dataset=small_tones.path, model_options=SMALL, **QUICK, out=tmp_path / "run",
                         loggers=["full_disk", "well"], progress=False)  # fmt: skip
    finally:
        registry.loggers.unregister("full_disk")
        registry.loggers.unregister("well")
    assert done.steps == 10
    assert heard == [0, 5, 10]
    assert [record.message for record in caplog.records if "full_disk" in record.message] == [
        "The logger full_disk failed (OSError: no space left on device) and is left out from here on; training goes "
        "on, and history.csv has its losses."
    ]


@pytest.mark.parametrize(("loggers", "message"), [(["tensorbord"], "tensorboard"), ("wandb", "list"), ([3], "list")])
def test_logger_that_is_not_there_is_told_before_training(run, tmp_path, loggers, message):
    with pytest.raises(ConfigError, match=message):
        run("wrong", loggers=loggers)
    assert not (tmp_path / "wrong").exists()


def test_logger_whose_client_is_not_installed_says_what_to_type(run, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(PluginError, match="pip install wandb"):
        run("lacking", loggers=["wandb"])
    assert not (tmp_path / "lacking").exists()
