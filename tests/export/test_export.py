import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import zoo_player

import zoo
from zoo.__main__ import main
from zoo.errors import ConfigError, ExportError
from zoo.export import Exporter
from zoo.export.base import phrases
from zoo.export.player import PlayerExporter
from zoo.storage.checkpoint import weights_hash


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return zoo.create("gru-S", hidden_size=8, instrument="flute").eval()


@pytest.fixture
def registered(request):
    """Register a child of PlayerExporter that plays something else."""

    class Wrong(PlayerExporter):
        def load(self, path):
            return Quieter(zoo_player.Instrument(path))

    class Quieter:
        def __init__(self, instrument):
            self.instrument = instrument
            self.latency = instrument.latency

        def process(self, *curves):
            return self.instrument.process(*curves) * np.float32(0.99)

        def finish(self):
            return self.instrument.finish()

    zoo.register.exporter("quieter")(Wrong)
    yield
    zoo.registry.exporters.unregister("quieter")


def test_exported_file_plays_what_the_model_plays_and_its_report_says_so(model, tmp_path):
    made = zoo.export(model, "player", tmp_path / "flute.zoo")
    assert made == tmp_path / "flute.zoo"
    instrument = zoo_player.Instrument(made)
    report = json.loads((tmp_path / "flute.zoo.export.json").read_text())
    assert report["largest_difference"] < 1e-5
    assert report["signal_to_difference_db"] > 80
    assert report["latency_samples"] == instrument.latency == 64
    assert report["weights_sha256"] == weights_hash(model)
    assert report["bytes"] == made.stat().st_size
    assert set(report["versions"]) == {"ddsp-zoo", "ddsp-zoo-player"}
    assert 0 < report["microseconds_per_block"]["1"] < report["microseconds_per_block"]["8"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flute.zoo", "flute.zoo.export.json"]


def test_phrases_have_voiced_unvoiced_silent_and_extreme_frames(model):
    f0_hz, loudness_db = phrases(model)
    assert len(f0_hz) == len(loudness_db) == 1500
    assert ((f0_hz > 0) & (f0_hz < 2000)).sum() > 500
    assert (f0_hz == 0).sum() > 100
    assert (loudness_db == -80).sum() > 100
    assert np.isnan(f0_hz).any()
    assert (f0_hz > 16000).any()


@pytest.mark.parametrize("weights", ["float16", "int8"])
def test_weights_of_fewer_bits_make_a_smaller_file(weights, tmp_path):
    model = zoo.create("gru-S", hidden_size=64).eval()
    whole = zoo.export(model, "player", tmp_path / "whole.zoo")
    small = zoo.export(model, "player", tmp_path / "small.zoo", weights=weights)
    assert small.stat().st_size < 0.8 * whole.stat().st_size
    assert json.loads((tmp_path / "small.zoo.export.json").read_text())["options"] == {"weights": weights}


def test_file_that_plays_something_else_is_refused_and_the_old_one_stays(model, tmp_path, registered):
    file = tmp_path / "flute.zoo"
    with pytest.raises(ExportError, match="plays something else"):
        zoo.export(model, "quieter", file)
    assert list(tmp_path.iterdir()) == []
    file.write_bytes(b"old")
    with pytest.raises(ExportError):
        zoo.export(model, "quieter", file)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_model_without_such_a_form_is_refused_with_the_reason(model, tmp_path, monkeypatch):
    def refuse(model, *, weights, about):
        raise NotImplementedError("the decoder of my_plugin has no C form")

    monkeypatch.setattr("zoo.export.player.instrument_file", refuse)
    with pytest.raises(ExportError, match=r"gru-S-flute cannot be exported by 'player': .* has no C form"):
        zoo.export(model, "player", tmp_path / "flute.zoo")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (math.nan, {}, "some of its weights are no numbers. Export another checkpoint"),
        (1e5, {"weights": "float16"}, "as float16, some of its weights are no numbers. Try weights=float32"),
    ],
)
def test_model_with_weights_that_no_file_can_hold_is_refused(value, options, message, tmp_path):
    model = zoo.create("gru-S", hidden_size=64).eval()
    with torch.no_grad():
        max(model.parameters(), key=torch.numel)[0] = value
    with pytest.raises(ExportError, match=f"gru-S cannot be an instrument file: {message}"):
        zoo.export(model, "player", tmp_path / "flute.zoo", **options)
    assert list(tmp_path.iterdir()) == []


def test_model_beyond_the_player_library_is_refused_with_its_name(tmp_path):
    model = zoo.create("gru-XS", hop=8200, sample_rate=48000).eval()
    with pytest.raises(ExportError, match=r"gru-XS .* Its hop, its reverb or a layer may be larger .* onnx and nn"):
        zoo.export(model, "player", tmp_path / "slow.zoo")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("exporter", "name", "options", "message"),
    [
        ("plaier", "a.zoo", {}, "Did you mean player"),
        ("player", "a.onnx", {}, r"ends in \.zoo"),
        ("player", "a.zoo", {"weigths": "int8"}, "Did you mean weights"),
        ("player", "a.zoo", {"weights": "int4"}, "int8"),
        ("player", "a.zoo", {"weights": 8}, "weights of the exporter 'player' must be text, found 8"),
    ],
)
def test_what_does_not_exist_is_refused(model, exporter, name, options, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        zoo.export(model, exporter, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_model_in_training_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="eval"):
        zoo.export(zoo.create("gru-S", hidden_size=4).train(), "player", tmp_path / "a.zoo")


def test_zoo_export_stays_a_function_when_its_modules_are_imported():
    code = "import zoo; import zoo.export.base, zoo.export.player; print(callable(zoo.export), zoo.export.Exporter)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True <class 'zoo.export.base.Exporter'>\n"
    assert math.isinf(Exporter.least_signal_db.fget(None))


def test_command_exports_with_options_and_says_what_it_found(model, tmp_path, capsys):
    zoo.save(model, tmp_path / "model")
    out = tmp_path / "flute.zoo"
    asked = ["export", str(tmp_path / "model"), "--out", str(out)]
    assert main([*asked, "--to", "player", "--option", "weights=float16"]) == 0
    assert "64 samples late; " in capsys.readouterr().out
    assert zoo_player.Instrument(out).name == "gru-S-flute"
    assert main([*asked, "--to", "player", "--option", "weights"]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err
    assert main([*asked, "--to", "player", "--option", "weights=int8", "--option", "weights=float16"]) == 2
    assert "given twice" in capsys.readouterr().err
    assert main(["export", "no-such-model", "--to", "player", "--out", str(out)]) == 2
    assert main([*asked, "--to", "flute"]) == 2
    assert "Installed exporters: c, nn, onnx, player" in capsys.readouterr().err
