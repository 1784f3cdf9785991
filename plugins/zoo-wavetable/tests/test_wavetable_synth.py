"""The synth: what it plays, what it leaves out, and what zoo relies on."""

import math

import numpy as np
import pytest
import torch
from zoo_wavetable.synth import Wavetable
from zoo_wavetable.tables import initial_tables

import zoo
from zoo.errors import ConfigError
from zoo.losses.control import Control
from zoo.storage.model_range import PROBABILITIES, ModelRange, Quantiles
from zoo.synths import scale_control
from zoo.testing import check_synth

RATE, HOP = 16000, 64
ONLY = 60.0  # a logit beside zeros: that table alone


def play(synth, f0_hz, *, table=0, amplitude=0.0):
    """The pitched part, `[samples]`, of one table at pitches `[frames]`."""
    frames = len(f0_hz)
    controls = {name: torch.zeros(1, frames, size) for name, size in synth.control_sizes.items()}
    controls["amplitude"] += amplitude
    controls["table_weights"][..., table] = ONLY
    with torch.no_grad():
        return synth(torch.as_tensor(f0_hz, dtype=torch.float32)[None], controls).harmonic[0]


def with_table(table, **options):
    synth = Wavetable(tables=2, table_size=len(table), reverb_length=0, **options)
    synth.tables.data[0] = torch.as_tensor(table)
    return synth


def alias_db(audio, f0_hz, sample_rate):
    """The strongest line that is no harmonic of `f0_hz`, relative to the strongest that is; a clip of one second."""
    level = np.abs(np.fft.rfft(audio * np.kaiser(len(audio), 20)))
    bins = np.arange(len(level))
    near = np.zeros(len(level), dtype=bool)
    for harmonic in np.arange(f0_hz, sample_rate / 2, f0_hz):
        near |= np.abs(bins - harmonic) <= 20
    return 20 * np.log10(level[~near].max() / level[near].max())


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({}, {}),
        ({"tables": 2, "table_size": 3, "noise_bands": 2, "reverb_length": 0}, {}),
        (
            {"tables": 5, "table_size": 33, "noise_bands": 9, "reverb_length": 50, "unvoiced": "hold"},
            {"sample_rate": 48000, "hop": 192},
        ),
    ],
)
def test_synth_keeps_the_promises_of_its_kind(options, rates):
    check_synth("wavetable", options=options, **rates)


def test_table_of_a_sine_plays_a_sine_at_f0():
    synth = with_table(np.sin(2 * np.pi * np.arange(512) / 512))
    frames = 250 * 20
    f0_hz = 440 + 30 * np.sin(np.arange(frames) / 20)
    # the pitch is interpolated between the centres of frames, and the phase is its sum
    glide = np.interp(np.arange(frames * HOP), np.arange(frames) * HOP + (HOP - 1) / 2, np.float32(f0_hz))
    amplitude = 2 * 0.5 ** math.log(10)
    expected = amplitude * np.sin(2 * np.pi * np.cumsum(glide) / RATE)
    assert np.abs(play(synth, f0_hz).numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("f0_hz", [1907.0, 3001.0])
def test_saw_at_a_high_pitch_has_no_alias(f0_hz):
    saw = 1 - 2 * np.arange(512) / 512
    audio = play(with_table(saw), np.full(250, f0_hz)).double().numpy()
    assert alias_db(audio, f0_hz, RATE) < -100
    place = np.cumsum(np.full(RATE, f0_hz / RATE)) % 1 * 512  # the measure finds what a plain table look-up leaves
    assert alias_db(np.interp(place, np.arange(513), [*saw, saw[0]]), f0_hz, RATE) > -40


def test_saw_at_a_low_pitch_has_its_harmonics_up_to_nyquist():
    audio = play(with_table(1 - 2 * np.arange(512) / 512), np.full(250, 200.0)).double().numpy()
    level = np.abs(np.fft.rfft(audio))[200:8000:200]
    assert np.allclose(level[:39] / level[0], 1 / np.arange(1, 40), atol=2e-3)


def test_amplitude_is_the_sum_of_what_sounds_at_any_pitch():
    saw = 1 - 2 * np.arange(512) / 512
    for f0_hz in (400.0, 2500.0):
        audio = play(with_table(saw), np.full(250, f0_hz), amplitude=1.0).double().numpy()
        spectrum = np.abs(np.fft.rfft(audio))[int(f0_hz) : 8000 : int(f0_hz)] * 2 / RATE
        assert np.isclose(spectrum.sum(), float(scale_control(torch.tensor(1.0))), rtol=1e-4)


def test_level_and_dc_of_tables_are_not_heard():
    table = torch.randn(64)
    first = play(with_table(table), np.full(20, 300.0))
    again = play(with_table(20 * table + 5), np.full(20, 300.0))
    assert torch.allclose(first, again, atol=1e-4)
    assert abs(float(first[: 160 * 6].mean())) < 1e-5  # whole periods of 100 Hz


def test_table_that_has_nothing_under_nyquist_is_silent():
    table = np.sin(2 * np.pi * 8 * np.arange(64) / 64)
    assert play(with_table(table), np.full(10, 1500.0)).abs().max() < 1e-4
    assert play(with_table(table), np.full(10, 400.0)).abs().max() > 0.3


def test_pitch_that_is_none_or_too_high_is_silent():
    synth = Wavetable(reverb_length=0)
    assert not play(synth, np.full(10, 9000.0)).any()
    assert not play(synth, np.full(10, 8000.0)).any()
    for nothing in (0.0, -3.0, np.nan):
        audio = play(synth, [300.0] * 5 + [nothing] * 5 + [300.0] * 5)
        assert torch.isfinite(audio).all()
        assert audio[: 4 * HOP].any()
        assert not audio[5 * HOP : 10 * HOP].any()


def test_held_phase_stands_still_where_there_is_no_pitch():
    audio = play(Wavetable(reverb_length=0, unvoiced="hold"), [300.0] * 5 + [0.0] * 5)
    assert audio[6 * HOP : 10 * HOP].unique().numel() == 1


@pytest.mark.parametrize("f0", [0.0, 300.0, 8000.0])
def test_gradients_are_finite_at_any_pitch_and_reach_tables_where_something_sounds(f0):
    synth = Wavetable(reverb_length=0)
    controls = {name: torch.randn(2, 6, size, requires_grad=True) for name, size in synth.control_sizes.items()}
    synth(torch.full((2, 6), f0), controls).audio.square().sum().backward()
    for gradient in (synth.tables.grad, *(value.grad for value in controls.values())):
        assert torch.isfinite(gradient).all()
    assert bool(synth.tables.grad.any()) == (f0 == 300.0)
    if f0 == 300.0:
        assert (synth.tables.grad.abs().amax(dim=1) > 0).all()


def test_training_moves_a_table_to_the_wave_that_is_asked_for():
    torch.manual_seed(0)
    wanted = play(with_table(np.sign(63.5 - np.arange(128))), np.full(10, 500.0))
    synth = Wavetable(tables=2, table_size=128, reverb_length=0)
    optimizer = torch.optim.Adam([synth.tables], lr=0.05)
    controls = {name: torch.zeros(1, 10, size) for name, size in synth.control_sizes.items()}
    distances = []
    for _ in range(60):
        distance = (synth(torch.full((1, 10), 500.0), controls).harmonic[0] - wanted).square().mean()
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
        distances.append(distance.item())
    assert distances[-1] < distances[0] / 50


def test_autocast_changes_nothing():
    synth = Wavetable()
    controls = {name: torch.randn(1, 10, size) for name, size in synth.control_sizes.items()}
    f0_hz, noise = torch.full((1, 10), 300.0), torch.rand(1, 10 * HOP) * 2 - 1
    with torch.no_grad():
        plain = synth(f0_hz, controls, noise).audio
        with torch.autocast("cpu", dtype=torch.bfloat16):
            again = synth(f0_hz, controls, noise).audio
        halves = {name: value.bfloat16() for name, value in controls.items()}
        of_halves = synth(f0_hz, halves, noise).audio
        of_doubles = synth.double()(f0_hz.double(), {k: v.double() for k, v in controls.items()}, noise.double()).audio
    assert torch.equal(again, plain)
    assert of_halves.dtype == of_doubles.dtype == torch.float32
    assert torch.allclose(of_doubles, plain, atol=1e-5)


def test_tables_begin_with_the_first_sines_and_are_the_same_for_the_same_seed():
    torch.manual_seed(3)
    first = Wavetable()
    torch.manual_seed(3)
    again = Wavetable()
    assert first.tables.shape == (20, 512)
    assert torch.equal(first.tables, again.tables)
    assert torch.equal(first.state_dict()["tables"], first.tables)
    position = 2 * math.pi * torch.arange(512) / 512
    for n in range(4):
        assert torch.allclose(first.tables[n], torch.sin((n + 1) * position), atol=1e-5)
    assert len(torch.unique(initial_tables(20, 512), dim=0)) == 20


def test_amplitude_and_noise_bands_mean_what_they_mean_to_harmonic_noise():
    student, teacher = zoo.create("gru-wavetable-S", hidden_size=4), zoo.create("gru-S", hidden_size=4)
    loss = Control()
    loss.bind(student, teacher)
    assert loss.shared == ("amplitude", "noise_bands")
    loss.bind(teacher, student)
    assert loss.shared == ("amplitude", "noise_bands")
    f0_hz, loudness_db = torch.full((2, 5), 300.0), torch.full((2, 5), -20.0)
    made = student(f0_hz, loudness_db), teacher(f0_hz, loudness_db)
    assert loss(made[1], made[0], {"valid_frames": torch.tensor([5, 5])}).item() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tables": 1}, "tables of wavetable must be at least 2, found 1"),
        ({"table_size": 2}, "table_size of wavetable must be at least 3"),
        ({"noise_bands": 1}, "noise_bands of wavetable"),
        ({"reverb_length": -1}, "reverb_length of wavetable"),
        ({"unvoiced": "sing"}, "Wavetable has no unvoiced='sing'; it knows hold, mute"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Wavetable(**options)


def test_harmonics_of_tables_that_were_never_trained_stay_silent():
    torch.manual_seed(0)
    synth = Wavetable(reverb_length=0)
    pitches = Quantiles(tuple(260.0 * (1 + step) for step in range(len(PROBABILITIES))))
    trained = ModelRange(pitches, Quantiles((-30.0,) * len(PROBABILITIES)), lowest_f0_hz=260.0)

    def over_4_khz_db(audio):
        power = torch.fft.rfft(audio * torch.hann_window(len(audio))).abs().square()
        return 10 * torch.log10(power[len(power) // 2 :].sum() / power.sum())

    low, inside = (play(synth, [f0] * 60, table=9) for f0 in (130.0, 261.6))
    synth.restrict(trained)
    assert over_4_khz_db(low) > -25
    assert over_4_khz_db(play(synth, [130.0] * 60, table=9)) < -60
    assert torch.equal(play(synth, [261.6] * 60, table=9), inside)
    synth.restrict(None)
    assert torch.equal(play(synth, [130.0] * 60, table=9), low)
