"""Every model that ships is whole, small, loads without a socket, and its card says what was measured.

A folder that is added to model_cards/ is looked at here without more ado.
"""

import json
import re
import socket

import pytest
import torch
from building import MODELS
from huggingface_hub import ModelCard

import zoo
from zoo import registry
from zoo.cards import card_text
from zoo.hub.publishing import public_files
from zoo.models import naming
from zoo.storage import metric
from zoo.storage.config import read_config
from zoo.storage.lineage import rounding_difference_db
from zoo.storage.run_files import CARD, published_files
from zoo.storage.store import models_in, shipped_models

NAMES = sorted(models_in(MODELS))
MEGABYTE = 1_000_000


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a shipped model needs no network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def files_of(name):
    return {path.relative_to(MODELS / name).as_posix(): path for path in (MODELS / name).rglob("*") if path.is_file()}


def test_shipped_models_are_found_by_name():
    assert set(NAMES) <= set(shipped_models())
    assert set(NAMES) <= set(zoo.list_models(pretrained=True))
    assert {zoo.info(name).status for name in NAMES} == {"shipped"}


def test_all_shipped_files_together_are_small():
    assert sum(path.stat().st_size for name in NAMES for path in files_of(name).values()) < 90 * MEGABYTE


@pytest.mark.parametrize("name", NAMES)
def test_folder_holds_files_of_a_run_alone_and_each_is_small(name):
    assert files_of(name).keys() == published_files(MODELS / name).keys()
    assert files_of(name).keys() >= {
        CARD,
        "config.gin",
        "config.json",
        "history.csv",
        "metrics.json",
        "model.safetensors",
    }
    assert [file for file, path in files_of(name).items() if path.stat().st_size >= 10 * MEGABYTE] == []


@pytest.mark.parametrize("name", NAMES)
def test_folder_is_called_what_the_model_is_called_and_speaks_of_no_machine(name):
    config = read_config(MODELS / name)
    assert config.name == name
    assert naming.parse(name).name == name
    for file, content in public_files(MODELS / name).files.items():
        if isinstance(content, bytes):  # what is written anew for others is what is there
            assert content.decode() == (MODELS / name / file).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_card_says_what_plays_the_model_elsewhere(name):
    found = zoo.info(name).exports
    assert found.keys() >= {"c", "nn", "onnx", "player"}, f"zoo card model_cards/{name} --exports player,onnx,nn,c"
    assert all(exported.largest_difference < 1e-4 for exported in found.values())
    rows = {line.split("|")[1].strip() for line in (MODELS / name / CARD).read_text().splitlines() if line[:3] == "| `"}
    assert rows >= {f"`{exporter}`" for exporter in found}


@pytest.mark.parametrize("name", NAMES)
def test_rounded_weights_say_by_how_much_the_sound_differs(name):
    config = read_config(MODELS / name)
    difference = rounding_difference_db(config)
    assert (config.weights_dtype is None) == (difference is None)
    assert difference is None or difference < -60


@pytest.mark.parametrize("name", NAMES)
def test_shipped_model_loads_offline_and_follows_pitch_and_loudness(name, no_network):
    config = read_config(MODELS / name)
    for known, part in ((registry.decoders, config.decoder), (registry.synths, config.synth)):
        if part.name not in known:
            pytest.skip(f"{part.name} is not installed: pip install {' '.join(config.requires)}")
    model = zoo.load(name)
    assert model.name == name
    step = 2 ** (1 / 12)
    frames = 2 * model.sample_rate // model.hop
    f0_hz = torch.tensor([440.0, 440.0, 440.0, 440.0 * step])[:, None].expand(-1, frames)
    loudness_db = torch.tensor([-35.0, -45.0, -55.0, -35.0])[:, None].expand(-1, frames)
    with torch.no_grad():
        loud, soft, softer, higher = model(f0_hz, loudness_db).audio[:, model.sample_rate :]  # without the attack
    assert 0.01 < loud.abs().max() <= 1
    # Beyond what an instrument was recorded at it goes on neither rising nor falling: one of two steps of 10 dB is
    # within that, and neither goes the wrong way.
    powers = [float(audio.square().mean()) for audio in (loud, soft, softer)]
    assert powers[0] > powers[1] > powers[2]
    assert max(powers[0] / powers[1], powers[1] / powers[2]) > 2
    # The strongest partial moves with the pitch. What multiple of the pitch it is is the synth's affair: FM has others
    # than whole ones.
    strongest = spectrum(loud).argmax() * model.sample_rate / len(loud)
    assert strength(higher, strongest * step, model.sample_rate) > 3 * strength(higher, strongest, model.sample_rate)


def spectrum(audio):
    return torch.fft.rfft(audio * torch.hann_window(len(audio))).abs()


def strength(audio, hz, sample_rate):
    """The largest magnitude within 1 % of a frequency."""
    at = hz * len(audio) / sample_rate
    return spectrum(audio)[int(0.99 * at) : int(1.01 * at) + 2].max()


@pytest.mark.parametrize("name", NAMES)
def test_card_is_valid_and_its_numbers_are_the_measured_ones(name):
    card = ModelCard.load(MODELS / name / CARD)
    assert card.data.library_name == "ddsp-zoo"
    assert card.data.license
    measured = json.loads((MODELS / name / "metrics.json").read_text())["student"]
    shown = {result.metric_type: result.metric_value for result in card.data.eval_results}
    expected = {name: value["mean"] * metric(name).scale for name, value in measured.items()}
    assert shown == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_card_is_the_one_that_its_files_give(name):
    assert card_text(shipped_models()[name]) == (MODELS / name / CARD).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_files_that_a_card_shows_are_there(name):
    text = (MODELS / name / CARD).read_text()
    shown = set(re.findall(r"\(((?:samples|plots)/[^)]+)\)", text))
    assert shown
    assert [path for path in shown if not (MODELS / name / path).is_file()] == []
