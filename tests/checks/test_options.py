"""Options are checked before the work, all faults at once, each with what may be."""

import math
import subprocess

import numpy as np
import pytest
import soundfile
import torch
from flat_calls import distill, train

import zoo
from zoo.__main__ import main
from zoo.checks.options import number_fault, output_file_fault, refuse, shown, whole_fault, writable_fault
from zoo.datasets import Preparation, PrepareConfig, prepare
from zoo.errors import ConfigError
from zoo.features import FeatureSettings
from zoo.losses.distillation import Reconstruction
from zoo.training import DistillConfig, TrainConfig
from zoo.training.evaluation import evaluate

NAN, INF, HUGE = math.nan, math.inf, 10**5000


@pytest.mark.parametrize("value", [NAN, INF, -INF, HUGE, "1", None, True, [1], 1j, 3.5, -1, 0], ids=shown)
def test_number_that_is_none_or_out_of_range_is_told(value):
    assert "x must be a whole number" in whole_fault("x", value, least=1)
    if value != 3.5:
        assert "x must be a number over 0" in number_fault("x", value, over=0)
    assert len(shown(value)) < 101


def test_faults_are_told_all_at_once_and_each_once():
    assert refuse([None, None]) is None
    with pytest.raises(ConfigError, match=r"^a\.\nb\.$"):
        refuse(["a.", None, "b.", "a."])


BAD_TRAINING = {
    "steps": [0, 1.5, "9", True, HUGE],
    "batch_size": [0, NAN],
    "seed": [-1, 99999999999999999999, 2**32, 1.0, HUGE],
    "learning_rate": [0, NAN, INF, "fast", HUGE],
    "lr_decay": [-1, INF],
    "gradient_clip": [0, NAN],
    "early_stopping": [0],
    "num_workers": [-1],
    "precision": ["64"],
    "accelerator": ["tpu", 3, "mps", "cuda"],
    "evaluate": ["no", 1],
    "resume": ["False"],
    "force": [None],
    "cuda_graphs": ["yes"],
    "progress": ["no"],
    "dataset": [3, None],
    "instrument": [3],
    "name": [3],
    "out": [3],
    "model_options": [["hidden_size"]],
    "losses": [Reconstruction(), [], "reconstruction", [1], [Reconstruction]],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD_TRAINING.items() for v in values], ids=shown)
def test_argument_of_a_training_is_refused_before_anything_is_looked_for(name, value, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    own = {"model": "gru-S", "dataset": "nowhere"}
    with pytest.raises(ConfigError, match=name):
        train(**{**own, name: value})


def test_all_faults_of_a_training_are_told_together(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        distill(
            teacher="gru-L-flute",
            student="gru-S",
            dataset="nowhere",
            seed=2**70,
            losses=Reconstruction(),
            teacher_noise_seeds=0,
            teacher_cache="no",
            learning_rate=NAN,
            out=tmp_path / "file" / "run",
        )
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    assert "losses must be a list, and is one loss alone. Write it in brackets: [@reconstruction()]" in lines
    assert any(line.startswith("--out") and "is a file" in line for line in lines)


def test_more_devices_than_there_are_is_refused(monkeypatch):
    from zoo.training.config import accelerator_fault

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert accelerator_fault("cuda", 2) is None
    assert accelerator_fault("cpu", 9) is None
    assert "there are 2" in accelerator_fault("auto", 3)


def test_settings_tell_all_that_is_wrong():
    good = {"model": "gru-S", "dataset": "tones", "batch_size": 2, "accelerator": "cpu"}
    TrainConfig.from_flat(**good).check()
    with pytest.raises(ConfigError, match=r"steps .*\nseed .*\nlearning_rate .*\nprecision "):
        TrainConfig.from_flat(**good, steps=0, seed=-1, learning_rate=INF, precision="x").check()
    with pytest.raises(ConfigError, match="4 processes cannot share batches of 2"):
        TrainConfig.from_flat(**good, devices=4).check()


def test_setting_that_is_not_there_or_missing_is_told():
    with pytest.raises(ConfigError, match=r"no setting 'learning_rat'. Did you mean learning_rate"):
        TrainConfig.from_flat(model="gru-S", dataset="tones", learning_rat=1)
    with pytest.raises(ConfigError, match=r"DistillConfig needs .*dataset.*student"):
        DistillConfig.from_flat(teacher="gru-L")
    assert TrainConfig(model="a", dataset="b", optimizer=3).faults() == [
        "optimizer must be a OptimizerConfig, found 3."
    ]


@pytest.fixture
def read_only(tmp_path):
    """A folder that nobody can write to, the superuser included; a real one, where the system allows to make one."""
    folder = tmp_path / "ro"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True, check=False)
    folder.chmod(0o500) if mounted.returncode else None
    yield folder if mounted.returncode == 0 else "/proc"
    subprocess.run(["umount", folder], capture_output=True, check=False)


def test_place_that_cannot_be_written_is_told_before_the_work(read_only, tmp_path, monkeypatch):
    place = f"{read_only}/a/b"
    assert "cannot be written" in writable_fault(place, "--out")
    assert "cannot be written" in output_file_fault(f"{place}.wav", "The output")
    assert writable_fault(tmp_path / "new" / "folder", "--out") is None
    assert list((tmp_path).glob("new*")) == []
    assert "is a folder" in output_file_fault(tmp_path, "--out")
    assert "cannot be written" in writable_fault(tmp_path / ("x" * 300) / "y", "--out")
    monkeypatch.setenv("ZOO_HOME", place)
    for call in (
        lambda: train(model="gru-S", dataset="nowhere", name="gru-S-flute"),
        lambda: zoo.fetch("gru-S-violin", name="gru-S-mine"),
    ):
        with pytest.raises(ConfigError, match=r"The local store .* cannot be written .*export ZOO_HOME=FOLDER"):
            call()
    with pytest.raises(ConfigError, match=r"OUT .* cannot be written"):
        prepare(PrepareConfig(recordings="nowhere", out=place))
    with pytest.raises(ConfigError, match=r"--out .* cannot be written"):
        evaluate("nothing", data="nowhere", out=f"{place}.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fmin": NAN}, "fmin"),
        ({"fmin": 500.0, "fmax": 100.0}, "fmin must be under fmax"),
        ({"fmax": INF}, "fmax"),
        ({"sample_rate": HUGE}, "sample_rate"),
        ({"hop": "64"}, "hop"),
        ({"segment_seconds": INF}, "segment_seconds"),
        ({"silence_db": NAN}, "silence_db"),
        ({"min_confidence": NAN}, "min_confidence"),
        ({"voicing_threshold": "high"}, "voicing_threshold"),
        ({"whole": "no"}, "whole"),
        ({"split_seed": HUGE}, "split_seed"),
        ({"jobs": 10**9}, "jobs"),
        ({"device": "tpu"}, "device 'tpu' cannot be used here"),
        ({"device": "meta9"}, "device"),
        ({"instrument": "../x"}, "instrument"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_option_of_a_preparation_is_refused_before_recordings_are_read(options, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        prepare(PrepareConfig.from_flat(**{"recordings": tmp_path, "out": tmp_path / "out", **options}))
    assert list(tmp_path.iterdir()) == []


def test_preparation_tells_all_that_is_wrong():
    with pytest.raises(ConfigError, match=r"hop .*\nmin_seconds .*\nsilence_db "):
        Preparation(hop=2.5, min_seconds=NAN, silence_db=INF)
    with pytest.raises(ConfigError, match=r"fmin .*\nfmax .*\nn_fft "):
        FeatureSettings(fmin=-1, fmax="x", n_fft=0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("in") / "voice.wav"
    soundfile.write(path, 0.2 * np.sin(2 * np.pi * 330 * np.arange(4000) / 16000), 16000)
    return path


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["--transpose", "nan", "--loudness", "inf"], ["transpose", "loudness"]),
        (["--transpose", "1e9"], ["transpose"]),
        (["--loudness", "nan"], ["loudness"]),
        (["--seed", "9" * 20], ["--seed"]),
    ],
)
def test_numbers_of_synth_are_refused_and_nothing_is_written(words, messages, recording, tmp_path, capsys):
    out = tmp_path / "out.wav"
    assert main(["synth", "gru-S-violin", str(recording), str(out), "--pitch", "yin", *words]) == 2
    said = capsys.readouterr().err
    assert all(message in said for message in messages)
    assert not out.exists()


def test_api_refuses_them_too(recording):
    model = zoo.create("gru-S", reverb_length=100)
    for options in ({"transpose": NAN}, {"loudness_shift_db": INF}, {"seed": 2**64}, {"transpose": "high"}):
        with pytest.raises(ConfigError):
            model.synthesize(recording, pitch="yin", **options)
    with pytest.raises(ConfigError, match="sample_rate"):
        model.synthesize(np.zeros(400), sample_rate=0)
    with pytest.raises(ConfigError, match="seed"):
        zoo.Player(model, seed=2**64)
    assert zoo.Player(model, seed=2**64 - 1).process(440.0, -20.0).shape == (64,)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bench", "gru-S", "--seconds", "inf"], "--seconds must be a number over 0 and of at most 3600, found inf"),
        (["bench", "gru-S", "--threads", "-1", "--steps", "0"], "--threads"),
        (["bench", "gru-S", "--csv", "/proc/no/x.csv"], "--csv /proc/no/x.csv cannot be written"),
        (["half", "gru-S-violin", "OUT", "--limit-db", "nan"], "--limit-db"),
        (["compare", "--gin", "distill/gru-L-to-gru-S.gin", "--out", "OUT", "--seeds", "0"], "--seeds"),
        (["compare", "--gin", "quickstart.gin", "--out", "OUT", "--first-seed", str(2**32 - 1)], "The last seed"),
        (["compare", "--gin", "quickstart.gin", "--out", "OUT", "--set", "SEED=9999999999"], "seed must be"),
        (["grid", "quickstart.gin", "--out", "OUT", "--set", "distill.learning_rate=1e999"], "learning_rate"),
        (["grid", "quickstart.gin", "--out", "OUT", "--jobs", "0"], "--jobs"),
        (["evaluate", "gru-S-violin", "--data", "tones", "--seed", "-1"], "seed must be"),
        (["evaluate", "gru-S-violin", "--data", "tones", "--pitch", "yinn"], "Did you mean yin"),
        (["report", "gru-M-tones", "--out", "/proc/no/x"], "--out /proc/no/x cannot be written"),
        (["train", "--gin", "train/gru-S.gin", "--set", "DATASET=tones", "--set", "train.losses=@reconstruction()"],
         "losses must be a list, and is one loss alone"),
    ],
)  # fmt: skip
def test_command_refuses_its_options_before_the_work(words, message, tmp_path, capsys):
    assert main([str(tmp_path / "out") if word == "OUT" else word for word in words]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_device_and_weight_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match=r"device 'tpu' cannot be used here .*Take 'cpu'"):
        zoo.load("gru-S-violin", device="tpu")
    for weight in (NAN, HUGE, -1, "half", True):
        with pytest.raises(ConfigError, match="The weight of reconstruction must be a number of at least 0, found"):
            Reconstruction(weight=weight)


def test_name_to_fetch_under_is_checked_before_anything_is_fetched():
    with pytest.raises(ConfigError, match=r"--name '\.\./x' is refused"):
        zoo.fetch("org/nothing", name="../x", endpoint="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": NAN}, "alpha of reconstruction must be a number"),
        ({"beta": "1"}, "beta of reconstruction must be a number"),
        ({"overlap": "half"}, "overlap of reconstruction must be a number"),
        ({"fft_sizes": 1024}, "fft_sizes of reconstruction must be whole numbers"),
        ({"fft_sizes": (10**9,)}, "fft_sizes of reconstruction must be whole numbers"),
    ],
)
def test_option_of_a_loss_is_refused_when_it_is_built(options, message):
    with pytest.raises(ConfigError, match=message):
        Reconstruction(**options)
