"""Timbre transfer as a whole, on shipped models: level, full scale, silence, fit."""

import math
import re

import pytest
import soundfile
import torch
from ranges import SPAN

import zoo
from zoo.__main__ import main
from zoo.errors import ConfigError
from zoo.features import sound_level_db
from zoo.models.fit import FittedFeatures

RATE = 16000


@pytest.fixture(scope="module")
def flute():
    model = zoo.load("gru-S-flute")
    model.set_range(SPAN)
    return model


def melody(*, hz=110.0, amplitude=0.05, pause=0.0):
    """Two notes of half a second with overtones, and so much silence, a pause, between them."""
    time = torch.arange(RATE // 2, dtype=torch.float64) / RATE
    fade = torch.hann_window(RATE // 10, periodic=False, dtype=torch.float64)
    swell = torch.cat([fade[: RATE // 20], torch.ones(RATE // 2 - RATE // 10), fade[RATE // 20 :]])
    notes = [
        amplitude * swell * sum(torch.sin(2 * math.pi * k * f * time) / k for k in range(1, 15)) for f in (hz, 1.5 * hz)
    ]
    return torch.cat([notes[0], torch.zeros(round(pause * RATE), dtype=torch.float64), notes[1]]).float()


def level(audio):
    return float(sound_level_db(audio[None], sample_rate=RATE)[0])


def play(model, audio, **options):
    return model.synthesize(audio, sample_rate=RATE, pitch="yin", **options)


@pytest.mark.parametrize("name", ["gru-S-violin", "tcn-S-trumpet", "ddx7-flute"])
@pytest.mark.parametrize("amplitude", [0.002, 0.05])
def test_result_is_as_loud_as_the_recording(name, amplitude):
    recording = melody(amplitude=amplitude)
    assert level(play(zoo.load(name), recording)) == pytest.approx(level(recording), abs=0.5)


def test_level_is_the_models_own_where_that_is_asked_for(flute):
    loud, soft = (play(flute, melody(amplitude=a), level="normalised") for a in (0.2, 0.02))
    assert level(loud) == pytest.approx(level(soft), abs=0.1)


@pytest.mark.parametrize("fit", ["auto", "off"])
@pytest.mark.parametrize("level", ["recording", "normalised"])
def test_nothing_passes_full_scale(flute, fit, level):
    recording = melody(amplitude=1.0)  # over full scale itself
    made = play(flute, recording, fit=fit, level=level, loudness_shift_db=40.0)
    assert 0.1 < float(made.abs().max()) < 1.0


@pytest.mark.parametrize("fit", ["auto", "off"])
def test_digital_silence_gives_zeros(flute, fit):
    assert torch.equal(play(flute, torch.zeros(RATE), fit=fit), torch.zeros(RATE))


def test_pause_is_silent_once_the_reverb_is_over(flute):
    made = play(flute, melody(amplitude=0.1, pause=0.6))
    tail = flute.synth.reverb.noise.numel()
    pause = made[RATE // 2 : RATE // 2 + round(0.6 * RATE)]
    assert float(pause[2048 + tail : -2048].abs().max()) < 1e-6  # what the reverb's transform leaves of zeros
    assert float(pause[:2048].abs().max()) > 1e-3


def test_fit_moves_what_is_asked_into_the_range_and_shifts_come_on_top(flute):
    asked = flute.analyse(melody(), sample_rate=RATE, pitch="yin")
    assert isinstance(asked, FittedFeatures)
    assert asked.fit.octaves == 2
    higher = flute.analyse(melody(), sample_rate=RATE, pitch="yin", transpose=-12.0, loudness_shift_db=3.0)
    torch.testing.assert_close(higher.f0_hz * 2, asked.f0_hz)
    torch.testing.assert_close(higher.loudness_db, asked.loudness_db + 3.0)
    off = flute.analyse(melody(), sample_rate=RATE, pitch="yin", fit="off")
    torch.testing.assert_close(off.f0_hz * 4, asked.f0_hz)


def test_model_without_a_range_plays_what_is_in_the_recording():
    model = zoo.load("gru-S-flute")
    model.set_range(None)
    auto, off = (model.analyse(melody(), sample_rate=RATE, pitch="yin", fit=fit) for fit in ("auto", "off"))
    assert not isinstance(auto, FittedFeatures)
    assert torch.equal(auto.f0_hz, off.f0_hz)
    assert torch.equal(auto.loudness_db, off.loudness_db)


def test_command_says_what_was_done(flute, tmp_path, capsys):
    folder, recording, out = zoo.save(flute, tmp_path / "model"), tmp_path / "voice.wav", tmp_path / "flute.wav"
    soundfile.write(recording, melody(amplitude=0.05).numpy(), RATE)
    words = ["synth", str(folder), str(recording), str(out), "--pitch", "yin"]
    assert main(words) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "pitch moved up 2 octaves, loudness -13 dB, into the range of gru-S-flute"
    assert len(said) == 2
    assert main([*words, "--fit", "off"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_command_says_that_a_loud_result_was_turned_down(flute, tmp_path, capsys):
    folder, recording, out = zoo.save(flute, tmp_path / "model"), tmp_path / "voice.wav", tmp_path / "flute.wav"
    soundfile.write(recording, 3 * melody(hz=500.0, amplitude=1.0).clamp(-0.3, 0.3).numpy(), RATE)
    assert main(["synth", str(folder), str(recording), str(out), "--pitch", "yin"]) == 0
    assert "so as not to pass full scale" in capsys.readouterr().out.splitlines()[-1]
    audio, _ = soundfile.read(out)
    assert 0.9 < abs(audio).max() < 1.0


def test_command_plays_a_built_in_melody_where_there_is_no_recording(tmp_path, capsys):
    out = tmp_path / "flute.wav"
    assert main(["synth", "gru-S-flute", "demo", str(out), "--pitch", "yin", "--check"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"8\.[0-9]* s of gru-S-flute", said)
    assert re.search(r"[+-]0\.0 from the recording's", said)  # what follows the recording's end does not count
    assert float(re.search(r"pitch: median (\d+) cents", said)[1]) < 20
    assert level(torch.from_numpy(soundfile.read(out, dtype="float32")[0])) > -40


@pytest.mark.parametrize("fit", ["auto", "off"])
def test_tail_of_the_reverb_follows_a_recording_that_breaks_off(flute, fit):
    recording = melody(hz=440.0)[:4096]
    asked = flute.analyse(recording, sample_rate=RATE, pitch="yin", fit=fit)
    cut, whole = flute.render(asked), flute.render(asked, tail=True)
    assert len(cut) == 4096 < len(whole) <= 4096 + flute.synth.reverb.length
    assert float(cut[-160:].abs().max()) > 0.01  # in the middle of a sound
    torch.testing.assert_close(whole[: len(cut) - 160], cut[:-160], atol=1e-4, rtol=0)
    assert float(whole[-16:].abs().max()) < 1e-3


def test_reverb_is_not_waited_for_once_it_is_silent(flute):
    asked = flute.analyse(torch.cat([melody(hz=440.0), torch.zeros(RATE)]), sample_rate=RATE, pitch="yin")
    assert len(flute.render(asked, tail=True)) == 2 * RATE


def test_command_plays_to_the_end_of_the_reverb(flute, tmp_path):
    folder, recording, out = zoo.save(flute, tmp_path / "model"), tmp_path / "voice.wav", tmp_path / "flute.wav"
    soundfile.write(recording, melody(hz=440.0)[: RATE // 4].numpy(), RATE)
    assert main(["synth", str(folder), str(recording), str(out), "--pitch", "yin"]) == 0
    audio, _ = soundfile.read(out)
    assert len(audio) > RATE // 4
    assert abs(audio[-16:]).max() < 1e-3


@pytest.mark.parametrize(
    ("recording", "told"),
    [
        (torch.zeros(RATE), "the recording is silent, and so is the result"),
        (None, "no pitch from 50 to 2000 Hz was found in the recording"),
    ],
)
def test_command_says_that_there_is_nothing_to_play(recording, told, flute, tmp_path, capsys):
    folder, path, out = zoo.save(flute, tmp_path / "model"), tmp_path / "in.wav", tmp_path / "out.wav"
    if recording is None:
        recording = 0.1 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    soundfile.write(path, recording.numpy(), RATE)
    assert main(["synth", str(folder), str(path), str(out), "--pitch", "yin", "--check"]) == 0
    said = capsys.readouterr().out
    assert told in said
    for nonsense in ("in the range of", "cannot be told", "-inf"):
        assert nonsense not in said


def test_known_pitch_is_played_without_a_tracker(flute):
    audio, f0_hz = melody(), torch.full((RATE // flute.hop,), 330.0)
    asked = flute.analyse(audio, sample_rate=RATE, f0_hz=f0_hz, fit="off", pitch="no-tracker")
    assert torch.equal(asked.f0_hz, f0_hz)
    with pytest.raises(ConfigError, match="known pitch"):
        flute.analyse(audio, sample_rate=RATE, f0_hz=f0_hz[1:])


def test_a_recording_may_be_lower_than_the_pitches_that_the_data_were_searched_for():
    violin = zoo.load("gru-S-violin")
    violin.config = violin.config.with_changes(features={**violin.config.features, "fmin": 185.0})
    for options in ({"pitch": "yin"}, {}):
        f0_hz = violin.analyse(melody(hz=110.0), sample_rate=RATE, fit="off", **options).f0_hz
        assert float(((f0_hz > 100) & (f0_hz < 170)).float().mean()) > 0.85


def test_a_model_that_was_trained_with_tiny_alone_is_played_with_yin(flute):
    assert flute.feature_settings().tracker_options == {"model": "tiny"}
    time = torch.arange(RATE, dtype=torch.float64) / RATE
    voice = sum(
        torch.cos(2 * math.pi * k * 65.0 * time + k * k) / (1 + ((k * 65.0 - 900) / 350) ** 2) for k in range(1, 60)
    )
    voiced = {}
    for with_yin in (None, False):
        options = None if with_yin is None else {"with_yin": with_yin}
        f0_hz = flute.analyse((0.3 * voice).float(), sample_rate=RATE, fit="off", pitch_options=options).f0_hz
        voiced[with_yin] = float(((1200 * torch.log2(f0_hz / 65.0)).abs() < 50).float().mean())
    assert voiced[None] > 0.9
    assert voiced[False] < 0.2
