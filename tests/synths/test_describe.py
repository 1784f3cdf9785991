"""Synths written as operations of the player library: it gives what they give."""

import numpy as np
import pytest
import torch
import zoo_player

from zoo import registry

FRAMES = 120


def phrase(hop):
    rng = np.random.default_rng(0)
    f0_hz = (200 + 300 * rng.random(FRAMES)).astype(np.float32)
    f0_hz[50:60] = 0
    f0_hz[:3] = 0
    f0_hz[90:95] = 5000
    loudness_db = (-60 * rng.random(FRAMES)).astype(np.float32)
    return f0_hz, loudness_db, (rng.random(FRAMES * hop) * 2 - 1).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("harmonic_noise", {"reverb_length": 200}),
        ("harmonic_noise", {"unvoiced": "hold", "hop": 50, "noise_bands": 90, "reverb_length": 0}),
        ("thesis_harmonic_noise", {"reverb_length": 0}),
        ("thesis_harmonic_noise", {"unvoiced": "mute", "noise_filter": "full", "reverb_length": 65}),
        ("thesis_harmonic_noise", {"above_nyquist": "zero", "noise_bands": 9, "reverb_length": 0}),
        ("ddx7", {"reverb_length": 100}),
        ("ddx7", {"noise_bands": 33, "unvoiced": "hold", "reverb_length": 0}),
        ("wavetable", {"reverb_length": 100}),
        ("wavetable", {"tables": 3, "table_size": 25, "unvoiced": "hold", "reverb_length": 0}),
    ],
)
@torch.no_grad()
def test_player_gives_what_the_synth_gives(name, options):
    torch.manual_seed(0)
    synth = registry.synths.get(name)(**options)
    # a decoder of one layer: controls that follow the loudness
    weights = {name: (torch.randn(size, 1), torch.randn(size)) for name, size in synth.control_sizes.items()}
    program = zoo_player.Program(sample_rate=synth.sample_rate, hop=synth.hop)
    loudness = program.input("loudness_db", "loudness")
    controls = {name: program.hold(program.linear(loudness, *pair)) for name, pair in weights.items()}
    output = synth.describe(program, controls)
    about = {"name": name, "range": {"f0_hz": [1, 2]}}
    instrument = zoo_player.Instrument(program.to_bytes(output, latency_frames=synth.latency, about=about))

    f0_hz, loudness_db, noise = phrase(synth.hop)
    scaled = torch.tensor(loudness_db)[:, None] / 80 + 1
    raw = {name: (scaled @ weight.T + bias)[None] for name, (weight, bias) in weights.items()}
    expected = synth(torch.tensor(f0_hz)[None], raw, torch.tensor(noise)[None]).audio[0].numpy()
    found, late = instrument.process(f0_hz, loudness_db, noise), synth.latency * synth.hop
    assert np.abs(found[late:] - expected[:-late]).max() < 3e-6 * np.abs(expected).max()
