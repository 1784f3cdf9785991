"""Live: settings, what is driven by hand, limits and their messages."""

import ctypes
import json
import threading
import time

import numpy as np
import pytest
import zoo_player
from live_sounds import RATE, cents, steady, violin
from programs import with_checksum
from zoo_player import Live, live_features
from zoo_player.library import library
from zoo_player.live import _Setup

import zoo
from zoo.streaming import instrument_file


def test_driven_loudness_and_what_is_added_make_one_sum():
    def level_db(driven_db, added_db):
        live = Live(violin(), sample_rate=RATE)
        live.reverb, live.loudness_db = False, added_db
        live.drive(440, driven_db)
        audio = live.process(np.zeros(RATE))[RATE // 2 :]
        return 10 * np.log10(np.mean(audio**2))

    for driven_db, added_db in ((-75, 45), (-20, -10)):
        assert abs(level_db(driven_db, added_db) - level_db(-30, 0)) < 1.5
    assert abs(level_db(-30, -40) - level_db(-70, 0)) < 1.5  # softer than it can play: turned down
    assert level_db(-70, 0) < level_db(-30, 0) - 30


def test_gain_of_nothing_is_silence_to_the_last_bit():
    live = Live(violin(), sample_rate=RATE)
    live.process(steady(440, 0.5))
    live.gain = 0
    live.process(steady(440, 1))
    assert (live.process(steady(440, 0.5)) == 0).all()


@pytest.mark.parametrize("lowest", [18, 440, 1600])
def test_instrument_of_any_range_plays_with_what_is_usual(lowest):
    span = {"f0_hz": [lowest, max(lowest, 440)], "loudness_db": [-60, -10]}
    live = Live(instrument_file(zoo.create("gru-S"), about={"range": span, "quantiles": {}}), sample_rate=RATE)
    assert 20 <= live.fmin <= 1000
    assert np.abs(live.process(steady(440, 0.5))).max() > 0


def test_messages_name_the_limit_that_was_passed():
    with pytest.raises(zoo_player.PlayerError, match=r"fmin must be at least 20 and a 3,200th of .* \(16000 Hz\)"):
        Live(violin(), fmin=10)
    with pytest.raises(zoo_player.PlayerError, match=r"whole numbers.*a 3,200th of .* \(192000 Hz\)"):
        live_features(np.zeros(100), sample_rate=192000, hop=64, fmin=40)
    with pytest.raises(zoo_player.PlayerError, match="whole numbers"):
        live_features(np.zeros(100), sample_rate=16000.5, hop=64)
    assert len(live_features(np.zeros(128), sample_rate=16000, hop=64.0)[0]) == 2
    with pytest.raises(zoo_player.PlayerError, match="a path or bytes, not int"):
        Live(3)
    huge = instrument_file(zoo.create("gru-S"), about={"range": {"f0_hz": [100, 10**400], "loudness_db": [-60, -10]}})
    with pytest.raises(zoo_player.PlayerError, match="range in the file cannot be read"):
        Live(huge)
    assert Live(bytearray(violin())).fmin == Live(memoryview(violin())).fmin


@pytest.mark.parametrize(("name", "value"), [("fit", "off"), ("fmin", 80), ("transpos", 12), ("latency", 0)])
def test_what_cannot_be_changed_is_told(name, value):
    with pytest.raises(AttributeError, match=f"cannot change '{name}' while it plays, but transpose, loudness_db"):
        setattr(Live(violin()), name, value)


def test_pitch_of_short_frames_is_heard_as_seldom_as_of_long_ones():
    def seconds(hop):
        sound = steady(300, 0.5, 96000)
        begin = time.process_time()
        heard, _, _ = live_features(sound, sample_rate=96000, hop=hop, fmin=100)
        assert np.abs(cents(heard[-20:], 300)).max() < 5
        return time.process_time() - begin

    assert min(seconds(16) for _ in range(3)) < 3 * min(seconds(192) for _ in range(3))


def test_pitch_and_loudness_asked_for_together_are_played_together():
    live, asked = Live(violin(), sample_rate=RATE, fit="off"), {(220.0, -20.0), (880.0, -60.0)}
    live.drive(220, -20)
    live.process(np.zeros(RATE // 10))
    stop = threading.Event()

    def drive():
        while not stop.is_set():
            for f0_hz, loudness_db in asked:
                live.drive(f0_hz, loudness_db)

    thread = threading.Thread(target=drive)
    thread.start()
    played = set()
    try:
        for _ in range(3000):
            live.process(np.zeros(192))
            played.add((live.state.f0_hz, live.state.loudness_db))
    finally:
        stop.set()
        thread.join()
    assert played == asked


SPAN = {"f0_hz": [190, 1300], "loudness_db": [-70, -27]}
PARTS = {
    "f0_hz": {"lowest": 190, "0.01": 240, "0.99": 1100, "highest": 1300},
    "loudness_db": {"0.99": -31, "0.01": -60, "0.05": -50, "0.25": -46, "0.5": -42, "0.75": -38, "0.95": -34},
}
WANTED = {"f0_hz": (0.01, 0.99), "loudness_db": (0.01, 0.1, 0.5, 0.9, 1.0)}


def usual(**about):
    """What is usual for a file with such a text."""
    file, setup = np.frombuffer(instrument_file(zoo.create("gru-S"), about=about), np.uint8), _Setup()
    code = library().zoo_live_usual(file.ctypes.data, file.nbytes, RATE, ctypes.byref(setup))
    return code, setup


@pytest.mark.parametrize("quantiles", [PARTS, {}, {"f0_hz": PARTS["f0_hz"]}])
def test_what_is_usual_for_a_file_is_its_own_range(quantiles):
    code, setup = usual(range=SPAN, quantiles=quantiles, features={})
    found = [getattr(setup, name) for name, _ in _Setup._fields_[-7:]]
    expected = []
    for feature, wanted in WANTED.items():
        ends = {0.0: SPAN[feature][0], 1.0: SPAN[feature][1]}
        named = {key: value for key, value in quantiles.get(feature, {}).items() if key[0] == "0"}
        known = dict(sorted((ends | {float(key): value for key, value in named.items()}).items()))
        expected += list(np.interp(wanted, list(known), list(known.values())))
    assert (code, setup.fit) == (0, 1)
    assert found == pytest.approx(expected, rel=1e-6)
    assert setup.fmin_hz == pytest.approx(found[0] * 2 ** (-1 / 12))


@pytest.mark.parametrize(
    ("features", "kind"),
    [
        ({}, 0),
        ({"hop": 64}, 1),
        ({"loudness": "live"}, 0),
        ({"loudness": "mean_db"}, 1),
        ({"loudness": "a_weighted"}, 0),
    ],
)
def test_what_is_usual_for_a_file_is_its_own_loudness(features, kind):
    code, setup = usual(range={}, features=features)
    assert (code, setup.loudness, setup.fit, setup.fmin_hz) == (0, kind, 0, 80)


@pytest.mark.parametrize(
    ("about", "code"),
    [
        ({"features": {"loudness": "made up"}}, 9),
        ({"features": {"loudness": 3}}, 9),
        ({"inputs": ["loudness_db", "f0_hz"]}, 9),
        ({"inputs": ["f0_hz", "wind"]}, 9),
        ({"range": {"f0_hz": [1, "x"], "loudness_db": [-3, -2]}}, 5),
        ({"range": {"f0_hz": [1, 10**40], "loudness_db": [-3, -2]}}, 5),
        ({"range": {"f0_hz": {}, "loudness_db": []}}, 5),
        ({"range": SPAN, "quantiles": {"f0_hz": {"0.5": None}}}, 5),
        ({"range": 3, "quantiles": '"range": [', "features": ["a"], "card": {"}": '\\"]', "range": None}}, 0),
    ],
)
def test_text_that_says_something_else_is_refused_or_passed_over(about, code):
    assert usual(**about)[0] == code


def test_text_that_is_broken_anywhere_is_refused_or_passed_over():
    about = {"range": SPAN, "quantiles": PARTS, "features": {"loudness": "a_weighted"}}
    whole = instrument_file(zoo.create("gru-S"), about=about)
    begin, rng = whole.index(b'{"'), np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(whole)
        for at in rng.integers(begin, begin + len(json.dumps(about)), 3):
            broken[at] = rng.choice(list(b'{}[]":,\\ 0e-'))
        file = np.frombuffer(with_checksum(broken), np.uint8)
        code = library().zoo_live_usual(file.ctypes.data, file.nbytes, RATE, ctypes.byref(_Setup()))
        assert code in (0, 5, 9)
