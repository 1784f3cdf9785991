"""The thesis's synth in the files of every exporter."""

import json

import pytest
import torch

import zoo


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = zoo.create("gru-S", instrument="violin").config
    config = config.with_changes(synth=type(config.synth)("thesis_harmonic_noise"))
    return zoo.create(config, hidden_size=8, reverb_length=300).eval()


@pytest.mark.parametrize(("exporter", "file"), [("player", "v.zoo"), ("onnx", "v.onnx"), ("nn", "v.ts")])
def test_thesis_model_is_exported(model, exporter, file, tmp_path):
    made = zoo.export(model, exporter, tmp_path / file)
    report = json.loads((tmp_path / f"{file}.export.json").read_text())
    assert made.stat().st_size == report["bytes"]
    assert report["largest_difference"] < 1e-4
    assert report["signal_to_difference_db"] > 80
