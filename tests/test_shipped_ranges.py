"""Every shipped model knows its range, and plays no harmonic that never sounded in its training."""

import pytest
import torch
from building import MODELS

import zoo
from zoo.features.frontend import FeatureSettings, measure_loudness
from zoo.storage.config import read_config
from zoo.storage.store import models_in

NAMES = sorted(models_in(MODELS))
COMPASS_HZ = {
    "flute": (247, 2100),
    "violin": (196, 3520),
    "trumpet": (165, 1175),
    "clarinet": (139, 2100),
    "saxophone": (139, 1480),
    "cello": (65, 1047),
    "oboe": (233, 1760),
    "bassoon": (58, 1110),
    "horn": (54, 740),
    "trombone": (54, 700),  # with its pedal notes
    "voice": (139, 1175),
    "piano": (65, 2100),
    "electric_guitar": (65, 1320),
    "acoustic_guitar": (65, 1320),
    "tones": (190, 900),
}
"""The lowest and the highest note that an instrument's models may have learned from."""

OSCILLATORS = 100
FRAMES = 200


def features(trained, f0, probabilities):
    f0_hz = torch.full((len(probabilities), FRAMES), f0)
    return f0_hz, torch.tensor([trained.loudness_db.at(p) for p in probabilities])[:, None].expand(-1, FRAMES)


def over_4_khz_db(model, f0):
    """The harmonic part's energy over 4 kHz by its whole, at a soft, a medium and a loud note, without the attack."""
    with torch.no_grad():
        audio = model(*features(model.config.range, f0, (0.05, 0.5, 0.95))).harmonic[:, 4800:]
    power = torch.fft.rfft(audio * torch.hann_window(audio.shape[1])).abs().square()
    return 10 * torch.log10(power[:, power.shape[1] // 2 :].sum(1) / power.sum(1))


@pytest.mark.parametrize("name", NAMES)
def test_no_harmonic_sounds_that_never_sounded_in_training(name):
    model = zoo.load(MODELS / name)
    trained = model.config.range
    highest = trained.harmonics_under(model.sample_rate / 2)
    assert highest == int(model.sample_rate / 2 / trained.lowest_f0_hz)
    assert over_4_khz_db(model, trained.lowest_f0_hz / 2).max() < -15
    model.set_range(None)
    model.config = model.config.with_changes(range=trained)  # for the levels alone
    without = over_4_khz_db(model, trained.lowest_f0_hz / 2).min()
    # FM has no harmonics of its own to be silenced, since its few ratios move along, and no wavetable has as many
    assert without > -6 or not name.startswith(("gru-L", "gru-M", "gru-S", "tcn", "s4")) or highest > 0.9 * OSCILLATORS


@pytest.mark.parametrize("name", NAMES)
def test_notes_inside_the_range_are_what_they_were_without_it(name):
    model = zoo.load(MODELS / name)
    trained = model.config.range
    f0_hz, loudness_db = features(trained, trained.lowest_f0_hz, (0.05, 0.95))
    f0_hz = f0_hz * torch.linspace(1, 3, FRAMES)
    f0_hz[:, 80:100] = 0
    noise = torch.rand(2, FRAMES * model.hop) * 2 - 1
    with torch.no_grad():
        given = model(f0_hz, loudness_db, noise).audio
        model.set_range(None)
        assert torch.equal(model(f0_hz, loudness_db, noise).audio, given)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("-tones")])
def test_notes_have_a_pitch_that_is_heard_over_their_noise(name):
    # low and loud ones too, which recordings may not have: there it is easy to learn to be loud by noise
    model = zoo.load(MODELS / name)
    lowest, highest = (model.config.range.f0_hz.at(p) for p in (0.02, 0.98))
    notes = [features(model.config.range, lowest * (highest / lowest) ** (i / 4), (0.1, 0.5, 0.9)) for i in range(5)]
    with torch.no_grad():
        made = model(*(torch.cat(curves) for curves in zip(*notes, strict=True)))
    settings = {"sample_rate": model.sample_rate, "hop": model.hop, "settings": FeatureSettings()}
    harmonics, noise = (
        measure_loudness(part, **settings)[:, 50:-20].median(dim=1).values for part in (made.harmonic, made.noise)
    )
    assert (harmonics - noise).min() > 6


@pytest.mark.parametrize("name", ["gru-S-flute", "tcn-S-violin", "s4-S-trumpet"])
def test_player_keeps_the_same_harmonics_silent_as_the_whole_clip(name):
    model = zoo.load(MODELS / name)
    f0_hz, loudness_db = features(model.config.range, model.config.range.lowest_f0_hz / 2, (0.5,))
    noise = torch.rand(1, FRAMES * model.hop) * 2 - 1
    with torch.no_grad():
        whole = model(f0_hz, loudness_db, noise).audio[0]
    player = zoo.Player(model)
    blocks = [
        player.process(f0_hz[0, i : i + 8], loudness_db[0, i : i + 8], noise[:, i * model.hop : (i + 8) * model.hop])
        for i in range(0, FRAMES, 8)
    ]
    played = torch.cat([*blocks, player.finish()])[player.latency :]
    torch.testing.assert_close(played, whole, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_pitches_and_loudnesses_of_the_range_are_those_of_an_instrument(name):
    trained = read_config(MODELS / name).range
    lowest, highest = COMPASS_HZ[read_config(MODELS / name).instrument]
    semitone = 2 ** (1 / 12)
    assert lowest / semitone < trained.lowest_f0_hz < trained.f0_hz.median < trained.f0_hz.at(0.99) < highest * semitone
    assert -80 <= trained.loudness_db.lowest < trained.loudness_db.median < trained.loudness_db.highest <= 0
