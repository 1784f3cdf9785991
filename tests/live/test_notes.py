"""Notes and controllers become pitch and loudness as a player would phrase them; every note ends."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ranges import SPAN

import zoo
from zoo.errors import ConfigError
from zoo.live import STYLES, Note, Performer, Style

RATE = 250
A4, B4 = 69, 71


def cents(f0_hz, pitch):
    return 1200 * np.log2(np.asarray(f0_hz) / 440.0) - 100 * (pitch - 69)


def performer(**options):
    return Performer(**{"frame_rate": RATE, "style": STYLES["plain"], "soft_db": -50.0, "loud_db": -20.0, **options})


def seconds(player, duration):
    """The next frames of one voice."""
    f0_hz, loudness_db = player.frames(round(duration * RATE))
    return f0_hz[0], loudness_db[0]


def test_plain_notes_have_their_pitch_and_their_length():
    f0_hz, loudness_db = zoo.notes_to_features([(0.0, 0.5, A4), (1.0, 1.4, B4, 100)], style="plain")
    assert np.abs(cents(f0_hz[:125], A4)).max() < 1e-3
    assert np.abs(cents(f0_hz[250:350], B4)).max() < 1e-3
    assert (f0_hz[140:250] == 0).all()
    assert (loudness_db[140:250] == -80).all()
    assert loudness_db[300] > loudness_db[60] + 3  # it was struck harder


def test_long_expressive_note_has_attack_decay_and_late_vibrato():
    f0_hz, loudness_db = zoo.notes_to_features([Note(0, 2, A4)])
    off = cents(f0_hz[:500], A4)
    assert np.abs(off[: round(0.3 * RATE)]).max() < 0.5
    assert 17 < off[300:].max() < 22
    assert -22 < off[300:].min() < -17
    loudest = int(loudness_db.argmax())
    assert 0.03 < loudest / RATE < 0.15
    assert loudness_db[0] < loudness_db[loudest] - 10
    assert loudness_db[200] < loudness_db[loudest] - 1.5
    assert (torch.diff(loudness_db[500:]) < 0).all()  # the release


def test_overlapping_notes_are_bound_by_a_glide_without_a_new_attack():
    f0_hz, loudness_db = zoo.notes_to_features([(0, 0.55, A4), (0.5, 1, B4)])
    pitch = cents(f0_hz[:250], A4)
    assert abs(pitch[124]) < 20
    assert 20 < pitch[130] < 180
    assert abs(pitch[140] - 200) < 1
    assert torch.diff(loudness_db[20:240]).abs().max() < 1  # no dip, no attack
    apart = zoo.notes_to_features([(0, 0.5, A4), (0.5, 1, B4)])[1]
    assert torch.diff(apart[:250]).min() < -5  # these are not bound: the second begins anew


def test_as_many_voices_as_asked_sound_at_once():
    f0_hz, loudness_db = zoo.notes_to_features([(0, 1, note) for note in (60, 64, 67)], style="plain", voices=4)
    assert f0_hz.shape == loudness_db.shape
    assert sorted((69 + 12 * torch.log2(f0_hz[:3, 100] / 440)).round().tolist()) == [60, 64, 67]
    assert (f0_hz[3] == 0).all()


def test_hundred_notes_on_few_voices_all_end():
    player = performer(voices=8)
    for note in range(20, 120):
        player.note_on(note, 90)
    player.frames(100)
    assert player.sounding == 8
    for note in range(20, 120):
        player.note_off(note)
    player.frames(100)
    assert player.sounding == 0


def test_last_note_counts_and_the_one_before_comes_back():
    player = performer()
    player.note_on(A4, 80)
    player.note_on(B4, 80)
    assert abs(cents(seconds(player, 0.1)[0][-1], B4)) < 1
    player.note_off(B4)
    assert abs(cents(seconds(player, 0.1)[0][-1], A4)) < 1
    player.note_off(A4)
    seconds(player, 0.1)
    assert player.sounding == 0


@pytest.mark.parametrize("controller", [2, 11])
def test_expression_and_breath_make_it_softer_down_to_silence(controller):
    player = performer()
    player.note_on(A4, 127)
    levels = []
    for value in (127, 64, 20, 0):
        player.message([0xB0, controller, value])
        levels.append(seconds(player, 0.3)[1][-1])
    assert levels == sorted(levels, reverse=True)
    assert levels[0] - levels[1] > 8
    assert levels[-1] == -80


def test_aftertouch_makes_it_louder():
    player = performer()
    player.note_on(A4, 64)
    before = seconds(player, 0.3)[1][-1]
    player.message([0xD0, 127])
    assert seconds(player, 0.1)[1][-1] == pytest.approx(before + 6, abs=0.1)
    player.message([0xD0, 0])
    player.message([0xA0, A4, 127])
    assert seconds(player, 0.1)[1][-1] == pytest.approx(before + 6, abs=0.1)


def test_pitch_wheel_bends_by_as_much_as_the_sender_says():
    player = performer()
    player.note_on(A4, 80)
    player.message([0xE0, 127, 127])
    assert cents(seconds(player, 0.1)[0][-1], A4) == pytest.approx(200, abs=1)
    for controller, value in ((101, 0), (100, 0), (6, 12)):
        player.message([0xB0, controller, value])
    assert cents(seconds(player, 0.1)[0][-1], A4) == pytest.approx(1200, abs=1)
    player.message([0xE0, 0, 64])
    assert cents(seconds(player, 0.1)[0][-1], A4) == pytest.approx(0, abs=0.1)


def test_range_of_the_pitch_wheel_has_cents_and_is_no_other_parameter():
    player = performer()
    player.note_on(A4, 80)
    player.message([0xE0, 127, 127])
    for controller, value in ((101, 0), (100, 0), (6, 1), (38, 50), (99, 1), (98, 8), (6, 64)):  # the last is an NRPN's
        player.message([0xB0, controller, value])
    assert cents(seconds(player, 0.1)[0][-1], A4) == pytest.approx(150, abs=1)


def test_modulation_wheel_is_vibrato_at_once():
    player = performer()
    player.note_on(A4, 80)
    player.message([0xB0, 1, 127])
    assert 45 < np.abs(cents(seconds(player, 0.5)[0], A4)).max() < 51


def test_pedal_holds_notes_until_it_is_up():
    player = performer(voices=4)
    player.message([0xB0, 64, 127])
    player.note_on(A4, 80)
    player.note_off(A4)
    player.note_on(B4, 80)
    player.frames(250)
    assert player.sounding == 2
    player.message([0xB0, 64, 0])  # B4 is still down
    player.frames(250)
    assert player.sounding == 1
    player.note_off(B4)
    player.frames(250)
    assert player.sounding == 0


@pytest.mark.parametrize("controller", [120, 123])
def test_panic_ends_all_of_its_channel(controller):
    player = performer(voices=5)
    for channel, notes in ((0, (60, 64, 67)), (1, (72, 76))):
        player.message([0xB0 | channel, 64, 127])
        for note in notes:
            player.message([0x90 | channel, note, 80])
    player.message([0xB0, controller, 0])
    player.frames(100)
    assert player.sounding == 2
    player.message([0xB1, controller, 0])
    player.frames(100)
    assert player.sounding == 0


def test_key_that_is_struck_again_begins_again_and_one_end_ends_it():
    for voices in (1, 4):
        player = performer(voices=voices, style=STYLES["expressive"])
        player.note_on(A4, 80)
        held = player.frames(100)[1][0]
        player.note_on(A4, 80)
        assert player.frames(100)[1][0][0] < held[-1] - 5
        player.note_off(A4)
        player.frames(100)
        assert player.sounding == 0


def test_pitch_that_there_is_none_of_is_silent_and_not_another():
    f0_hz, loudness_db = zoo.notes_to_features([(0, 0.5, 5), (1, 1.5, 60)], transpose=-12, style="plain")
    assert (f0_hz[:200] == 0).all()
    assert (loudness_db[:200] == -80).all()
    assert np.abs(cents(f0_hz[260:360], 48)).max() < 1e-3


def test_volume_is_left_to_the_sound_and_outlasts_a_reset():
    player = performer()
    player.note_on(A4, 80)
    before = seconds(player, 0.3)[1][-1]
    assert player.gains() == pytest.approx([1.0])
    player.message([0xB0, 7, 50])
    player.message([0xB0, 121, 0])
    assert seconds(player, 0.1)[1][-1] == pytest.approx(before, abs=0.1)
    assert player.gains() == pytest.approx([0.25])


def test_any_bytes_leave_it_finite_and_able_to_end():
    rng = np.random.default_rng(0)
    player = performer(voices=3, style=STYLES["expressive"])
    for _ in range(3000):
        player.message(rng.integers(0, 256, rng.integers(0, 5)).tolist())
        f0_hz, loudness_db = player.frames(1)
        assert np.isfinite(f0_hz).all()
        assert ((loudness_db >= -80) & (loudness_db <= 0)).all()
    player.all_off()
    player.frames(250)
    assert player.sounding == 0


def test_dynamics_are_those_of_the_model():
    model = zoo.load("gru-S-violin")
    soft, loud = (zoo.notes_to_features([(0, 1, A4, v)], style="plain", model=model)[1][100] for v in (1, 127))
    spread = model.config.range.loudness_db
    assert float(soft) == pytest.approx(spread.at(0.05), abs=0.1)
    assert float(loud) == pytest.approx(spread.at(0.99), abs=0.1)


def test_note_that_is_none_is_told():
    for note in [(1.0, 0.5, 60), (0, 1), (0, 1, 200), (0, 1, 60, 0), (0, float("nan"), 60), "C4"]:
        with pytest.raises(ConfigError, match="Note 0"):
            zoo.notes_to_features([note])
    with pytest.raises(ConfigError, match="release_seconds"):
        Style(release_seconds=float("nan"))
    with pytest.raises(ConfigError, match="expressive"):
        zoo.notes_to_features([(0, 1, 60)], style="expresive")


def test_no_notes_are_no_frames_and_a_note_of_no_length_ends():
    assert zoo.notes_to_features([])[0].shape == (0,)
    sudden = Style(attack_seconds=0, decay_seconds=0, release_seconds=0, glide_seconds=0, vibrato_rise_seconds=0)
    f0_hz, _ = zoo.notes_to_features([(0, 0, 60), (0.5, 1, 62)], style=sudden)
    assert (f0_hz[10:120] == 0).all()


def test_notes_of_a_struck_instrument_fall_and_are_struck_anew():
    model = zoo.create("gru-S", hidden_size=8)
    assert zoo.notes_to_features([(0, 1, A4)], model=model)[1][100:200].std() < 1  # nothing is known: it holds
    model.set_range(replace(SPAN, fall_db_per_second=30.0))
    _, loudness_db = zoo.notes_to_features([(0, 1.2, A4), (1.0, 2.0, B4)], model=model)
    assert float(loudness_db[50] - loudness_db[200]) == pytest.approx(30 * 150 / RATE, abs=0.1)
    assert float(loudness_db[260] - loudness_db[240]) > 20  # the second note is struck, though the first still sounds
    assert float(loudness_db[5]) == pytest.approx(float(loudness_db[255]), abs=0.5)
    held = zoo.notes_to_features([(0, 1, A4)], model=model, style="expressive")[1]
    assert float(held[50] - held[200]) < 5
