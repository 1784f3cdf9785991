import numpy as np
import pytest
import zoo_player
from programs import SMALL, difference, file_of, phrase, small_model

import zoo
from zoo.models import ComponentConfig

ODD = {
    "gru of 4": ("gru-S", {"hidden_size": 4, "hop": 50, "noise_bands": 9, "reverb_length": 0}),
    "gru of 5": ("gru-S", {"hidden_size": 5, "sample_rate": 8000, "harmonics": 1, "reverb_length": 1}),
    "gru of 44": ("gru-S", {"hidden_size": 44, "hop": 256, "sample_rate": 48000, "noise_bands": 129}),
    "gru, noise two frames late": ("gru-S", {"hidden_size": 8, "noise_bands": 129, "reverb_length": 63}),
    "gru that holds its pitch": ("gru-S", {"hidden_size": 8, "unvoiced": "hold", "reverb_length": 64}),
    "tcn": ("tcn-S", {"hop": 50, "sample_rate": 44100, "channels": 7, "noise_bands": 9, "reverb_length": 1600}),
    "s4": ("s4-S", {"model_size": 5, "state_size": 10, "hop": 256, "sample_rate": 32000}),
    "s4d": ("s4d-S", {"model_size": 5, "state_size": 64, "hop": 50, "noise_bands": 9}),
    "ddx7": ("ddx7-violin", {"channels": 9, "blocks": 2, "hop": 50, "reverb_length": 63, "unvoiced": "hold"}),
    "ddx7 with noise": ("ddx7-violin", {"channels": 8, "blocks": 2, "noise_bands": 129, "sample_rate": 48000}),
    "wavetable": ("gru-wavetable-S", {"tables": 5, "table_size": 33, "noise_bands": 9, "hop": 50, "reverb_length": 65}),
    "wavetable that holds": (
        "gru-wavetable-S",
        {"tables": 2, "table_size": 3, "unvoiced": "hold", "sample_rate": 8000},
    ),
}


@pytest.mark.parametrize("kind", SMALL)
def test_player_gives_what_the_small_models_give(kind):
    model = small_model(kind)
    assert difference(model, file_of(model), *phrase(500)) < 1e-5


@pytest.mark.parametrize("name", ODD)
def test_player_gives_what_models_of_odd_sizes_give(name):
    preset, options = ODD[name]
    model = zoo.create(preset, **options).eval()
    assert difference(model, file_of(model), *phrase(300)) < 1e-5


def test_player_gives_what_models_of_the_thesis_give():
    config = zoo.create("gru-S", hidden_size=8).config
    synth = ComponentConfig("thesis_harmonic_noise", {"reverb_length": 65})
    model = zoo.Model(config.with_changes(synth=synth)).eval()
    assert difference(model, file_of(model), *phrase(300)) < 1e-5


@pytest.mark.parametrize(
    "f0", [[0.0] * 40, [0.0] * 20 + [300.0] * 20, [300.0] + [0.0] * 39, [9000.0] * 40, [20.0] * 40]
)
@pytest.mark.parametrize("kind", ["gru", "ddx7", "wavetable"])
def test_player_gives_what_the_model_gives_at_borders_of_voicing(kind, f0):
    model = small_model(kind)
    loudness = np.full(40, -20, np.float32)
    assert difference(model, file_of(model), np.array(f0, np.float32), loudness) < 1e-5


@pytest.mark.parametrize("kind", ["gru", "s4"])
@pytest.mark.parametrize(("weights", "least"), [("float16", 50.0), ("int8", 20.0)])
def test_weights_of_fewer_bits_give_nearly_the_same_audio(kind, weights, least):
    sizes = {"gru": ("gru-S", {"hidden_size": 64}), "s4": ("s4-S", {"model_size": 64, "blocks": 2})}
    name, options = sizes[kind]
    model = zoo.create(name, **options).eval()
    exact, fewer = file_of(model), file_of(model, weights=weights)
    assert len(fewer) < len(exact)
    f0, loudness = phrase(200)
    expected = zoo_player.Instrument(exact).process(f0, loudness)
    wrong = zoo_player.Instrument(fewer).process(f0, loudness) - expected
    assert 10 * np.log10(np.square(expected).sum() / np.square(wrong).sum()) > least
