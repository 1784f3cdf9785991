"""Every model that ships with zoo is whole, loads without a socket, and its card says what was measured."""

import json
import re
import socket
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

import zoo
from zoo.card import card_text
from zoo.store import shipped_models

CARDS = Path(__file__).parent.parent / "model_cards"
NAMES = sorted(path.name for path in CARDS.iterdir() if path.is_dir())


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a shipped model needs no network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def test_shipped_models_are_found_by_name():
    assert sorted(shipped_models()) == NAMES
    assert set(NAMES) <= set(zoo.list_models(pretrained=True))
    assert {zoo.info(name).status for name in NAMES} == {"shipped"}


@pytest.mark.parametrize("name", NAMES)
def test_shipped_model_loads_offline_and_follows_pitch_and_loudness(name, no_network):
    model = zoo.load(name)
    assert model.name == name
    frames = model.sample_rate // model.hop
    f0_hz = torch.full((2, frames), 440.0)
    loudness_db = torch.stack([torch.full((frames,), level) for level in (-35.0, -45.0)])
    with torch.no_grad():
        loud, soft = model(f0_hz, loudness_db).audio
    assert 0.01 < loud.abs().max() <= 1
    assert loud.square().mean() > 2 * soft.square().mean()
    spectrum = torch.fft.rfft(loud * torch.hann_window(len(loud))).abs()
    strongest = spectrum.argmax() * model.sample_rate / len(loud)
    assert abs(strongest / 440 - torch.round(strongest / 440)) < 0.01


@pytest.mark.parametrize("name", NAMES)
def test_card_is_valid_and_its_numbers_are_the_measured_ones(name):
    card = ModelCard.load(CARDS / name / "README.md")
    assert card.data.library_name == "ddsp-zoo"
    measured = json.loads((CARDS / name / "metrics.json").read_text())["student"]
    shown = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert shown == {metric: pytest.approx(value["mean"], abs=1e-4) for metric, value in measured.items()}


@pytest.mark.parametrize("name", NAMES)
def test_card_is_the_one_that_its_files_give(name):
    assert card_text(shipped_models()[name]) == (CARDS / name / "README.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_files_that_a_card_shows_are_there(name):
    text = (CARDS / name / "README.md").read_text()
    shown = set(re.findall(r"\(((?:samples|plots)/[^)]+)\)", text))
    assert shown
    assert [path for path in shown if not (CARDS / name / path).is_file()] == []
