"""Gaps in a pitch: those inside a note are filled, and rests, other notes and noises stay as they are."""

import pytest
import torch

from zoo.errors import ConfigError
from zoo.features import FeatureSettings
from zoo.features.frontend import bridge_gaps

GAP = slice(60, 66)  # frames: 24 ms


def note(hz=220.0, seconds=0.5):
    t = torch.arange(round(16000 * seconds)) / 16000
    return sum(torch.sin(2 * torch.pi * k * hz * t) / k for k in range(1, 8)) * 0.3


def pitch(before=220.0, after=220.0):
    f0_hz = torch.full((125,), before)
    f0_hz[GAP.start :] = after
    f0_hz[GAP] = 0.0
    return f0_hz


def bridge(f0_hz, audio, milliseconds=40.0):
    return bridge_gaps(f0_hz, audio, sample_rate=16000, hop=64, center=True, milliseconds=milliseconds)


def test_a_gap_inside_a_note_gets_the_pitch_between_its_sides():
    filled = bridge(pitch(220.0, 223.0), note())
    assert (filled[GAP] > 220.0).all()
    assert (filled[GAP] < 223.0).all()
    assert (filled[GAP].diff() > 0).all()
    outside = torch.ones(125, dtype=torch.bool)
    outside[GAP] = False
    assert torch.equal(filled[outside], pitch(220.0, 223.0)[outside])


@pytest.mark.parametrize("what", ["rest", "soft", "noise"])
def test_what_is_no_part_of_the_note_is_not_filled(what):
    audio = note()
    part = slice(GAP.start * 64, GAP.stop * 64)
    noise = torch.randn(audio[part].shape, generator=torch.Generator().manual_seed(0))
    audio[part] = {"rest": 0.0, "soft": 0.2 * audio[part], "noise": 0.3 * noise}[what]
    assert torch.equal(bridge(pitch(), audio), pitch())


def test_other_notes_and_longer_gaps_are_not_joined():
    assert torch.equal(bridge(pitch(220.0, 233.1), note()), pitch(220.0, 233.1))
    assert torch.equal(bridge(pitch(), note(), milliseconds=20.0), pitch())
    f0_hz = pitch()
    f0_hz[GAP.stop + 2 :] = 0.0  # two voiced frames are no note
    assert torch.equal(bridge(f0_hz, note()), f0_hz)


def test_none_is_filled_where_none_is_asked_for_and_in_older_settings():
    f0_hz = pitch()
    assert bridge(f0_hz, note(), milliseconds=0.0) is f0_hz
    older = {"tracker": "yin", "fmin": 50.0, "center": True, "normalize": "peak"}
    assert FeatureSettings.from_dict(older).bridge_ms == 0.0
    with pytest.raises(ConfigError, match="Longer gaps are rests"):
        FeatureSettings(bridge_ms=500.0)
