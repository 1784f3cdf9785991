"""Models written as instrument files, curves to play them with, and how far that is from the model."""

import functools

import numpy as np
import torch
import zoo_player
from zoo_player.layout import checksum_of

import zoo
from zoo.streaming.instrument import instrument_file

SMALL = {
    "gru": ("gru-S", {"hidden_size": 4, "harmonics": 5, "noise_bands": 9, "reverb_length": 100}),
    "tcn": (
        "tcn-S",
        {"input_size": 4, "channels": 5, "output_size": 4, "blocks": 2, "harmonics": 3, "reverb_length": 0},
    ),
    "s4": (
        "s4-S",
        {"model_size": 4, "blocks": 1, "state_size": 8, "harmonics": 4, "noise_bands": 9, "reverb_length": 1},
    ),
    "s4d": ("s4d-S", {"model_size": 4, "blocks": 1, "state_size": 8, "harmonics": 4, "noise_bands": 9}),
    "ddx7": ("ddx7-violin", {"channels": 8, "blocks": 2, "noise_bands": 9, "reverb_length": 70}),
    "wavetable": ("gru-wavetable-S", {"tables": 3, "table_size": 24, "noise_bands": 9, "reverb_length": 64}),
}


def file_of(model, *, weights="float32"):
    """The instrument file of a model, with a range that the tests know."""
    return instrument_file(model, weights=weights, about={"range": {"f0_hz": [196.0, 1760.0]}})


@functools.cache
def small_model(kind):
    torch.manual_seed(0)
    name, options = SMALL[kind]
    return zoo.create(name, **options).eval()


@functools.cache
def small_file(kind):
    return file_of(small_model(kind))


def phrase(frames, *, seed=0):
    """Curves with voiced, unvoiced, silent and extreme frames."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / 250
    f0 = 330 * 2 ** (0.8 * np.sin(2 * np.pi * 0.9 * t)) * 2 ** (0.3 / 12 * np.sin(2 * np.pi * 5.5 * t))
    f0[(t % 0.8) < 0.1] = 0
    f0[frames // 2 : frames // 2 + 9] = 4000
    f0[frames * 3 // 5 : frames * 3 // 5 + 9] = 60
    loudness = -25 + 10 * np.sin(2 * np.pi * 0.5 * t) + rng.normal(size=frames)
    loudness[(t % 0.8) < 0.08] = -80
    return f0.astype(np.float32), loudness.astype(np.float32)


def noise_for(frames, hop, *, seed=1):
    return (np.random.default_rng(seed).random(frames * hop, np.float32) * 2 - 1).astype(np.float32)


@torch.no_grad()
def offline(model, f0, loudness, noise):
    return model(torch.tensor(f0)[None], torch.tensor(loudness)[None], noise=torch.tensor(noise)[None]).audio[0].numpy()


def difference(model, data, f0, loudness):
    """The largest difference between the model's audio and the player's."""
    noise = noise_for(len(f0), model.hop)
    expected = offline(model, f0, loudness, noise)
    instrument = zoo_player.Instrument(data)
    actual = np.concatenate([instrument.process(f0, loudness, noise), instrument.finish()])
    late = instrument.latency
    assert late == model.synth.latency * model.hop
    return np.abs(actual[late:] - expected).max()


def with_checksum(data):
    """An altered file, its checksum made right again."""
    body = bytes(data)[32:]
    return bytes(data)[:24] + checksum_of(body[: len(body) // 8 * 8]).to_bytes(8, "little") + body
