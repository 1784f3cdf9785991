import ctypes
import gc
import threading
from pathlib import Path

import numpy as np
import pytest
import zoo_player
from programs import SMALL, noise_for, phrase, small_file
from zoo_player.instrument import _aligned
from zoo_player.library import library

ODD = [np.nan, np.inf, -np.inf, -1.0, -0.0, 0.0, 1e-30, 3e38, 9000.0, 30000.0]


@pytest.mark.parametrize("kind", SMALL)
def test_blocks_of_any_sizes_give_the_same_audio_bit_for_bit(kind):
    f0, loudness = phrase(200)
    instrument = zoo_player.Instrument(small_file(kind))
    whole = instrument.process(f0, loudness)
    instrument.reset()
    rng, parts, begin = np.random.default_rng(0), [], 0
    while begin < 200:
        size = int(rng.integers(0, 9))
        parts.append(instrument.process(f0[begin : begin + size], loudness[begin : begin + size]))
        begin += size
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("kind", SMALL)
def test_voices_play_as_single_instruments(kind):
    curves = [phrase(60, seed=seed) for seed in range(3)]
    f0, loudness = (np.stack(parts) for parts in zip(*curves, strict=True))
    hop = 64
    noise = np.stack([noise_for(60, hop, seed=seed) for seed in range(3)])
    together = zoo_player.Instrument(small_file(kind), voices=3).process(f0, loudness, noise)
    assert together.shape == (3, 60 * hop)
    for voice in range(3):
        alone = zoo_player.Instrument(small_file(kind)).process(f0[voice], loudness[voice], noise[voice])
        assert np.array_equal(together[voice], alone)


def test_voices_have_noise_of_their_own_and_a_seed_repeats_it():
    f0, loudness = np.full((2, 30), 300.0), np.full((2, 30), -20.0)
    audio = zoo_player.Instrument(small_file("gru"), voices=2, seed=5).process(f0, loudness)
    assert not np.array_equal(audio[0], audio[1])
    assert np.array_equal(audio, zoo_player.Instrument(small_file("gru"), voices=2, seed=5).process(f0, loudness))
    assert not np.array_equal(audio, zoo_player.Instrument(small_file("gru"), voices=2, seed=6).process(f0, loudness))


@pytest.mark.parametrize("kind", SMALL)
def test_reset_begins_anew(kind):
    f0, loudness = phrase(80)
    instrument = zoo_player.Instrument(small_file(kind))
    first = instrument.process(f0, loudness)
    instrument.process(f0[:7], loudness[:7])
    instrument.reset()
    assert np.array_equal(instrument.process(f0, loudness), first)


@pytest.mark.parametrize("kind", SMALL)
def test_finish_begins_anew(kind):
    f0, loudness = phrase(80)
    instrument = zoo_player.Instrument(small_file(kind))
    first = instrument.process(f0, loudness), instrument.finish()
    assert first[1].shape == (instrument.latency,)
    assert np.abs(first[1]).max() > 0
    again = instrument.process(f0, loudness), instrument.finish()
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


def test_every_voice_finishes_as_it_would_alone():
    f0, loudness = (np.stack(parts) for parts in zip(*(phrase(60, seed=seed) for seed in range(3)), strict=True))
    noise = np.stack([noise_for(60, 64, seed=seed) for seed in range(3)])
    together = zoo_player.Instrument(small_file("wavetable"), voices=3)
    together.process(f0, loudness, noise)
    rest = together.finish()
    assert rest.shape == (3, together.latency)
    for voice in range(3):
        alone = zoo_player.Instrument(small_file("wavetable"))
        alone.process(f0[voice], loudness[voice], noise[voice])
        assert np.array_equal(rest[voice], alone.finish())


def test_end_of_a_clip_has_the_level_that_its_last_frame_ended_with():
    instrument = zoo_player.Instrument(small_file("gru"))
    f0, loudness = np.full(50, 330, np.float32), np.full(50, -20, np.float32)
    instrument.process(f0, loudness, levels=np.zeros(51))
    silent = instrument.finish()
    instrument.process(f0, loudness)
    full = instrument.finish()
    assert np.abs(full).max() > 0
    assert np.array_equal(silent, np.zeros_like(silent))


def test_what_was_never_begun_finishes_in_silence():
    instrument = zoo_player.Instrument(small_file("gru"), voices=2)
    assert np.array_equal(instrument.finish(), np.zeros((2, instrument.latency)))


@pytest.mark.parametrize("kind", SMALL)
def test_audio_is_finite_whatever_the_curves_are(kind):
    instrument = zoo_player.Instrument(small_file(kind))
    rng = np.random.default_rng(0)
    f0 = np.where(rng.random(300) < 0.5, rng.choice(ODD, 300), 300.0)
    loudness = np.where(rng.random(300) < 0.5, rng.choice(ODD, 300), -20.0)
    audio = instrument.process(f0, loudness)
    assert np.isfinite(audio).all()
    audio = instrument.process(np.full(50, 300.0), np.full(50, -20.0))  # and it is over afterwards
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() > 0


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, -300.0, -0.0])
@pytest.mark.parametrize("kind", ["gru", "ddx7", "wavetable"])
def test_f0_that_is_no_pitch_is_unvoiced(kind, odd):
    f0, loudness = np.full(40, 300.0), np.full(40, -20.0)
    f0[10:20] = 0.0
    expected = zoo_player.Instrument(small_file(kind)).process(f0, loudness)
    f0[10:20] = odd
    assert np.array_equal(zoo_player.Instrument(small_file(kind)).process(f0, loudness), expected)


@pytest.mark.parametrize(("odd", "meant"), [(np.nan, -80.0), (-np.inf, -80.0), (np.inf, 0.0)])
def test_loudness_that_is_no_number_has_a_meaning(odd, meant):
    f0, loudness = np.full(40, 300.0), np.full(40, -20.0)
    loudness[10:20] = meant
    expected = zoo_player.Instrument(small_file("gru")).process(f0, loudness)
    loudness[10:20] = odd
    assert np.array_equal(zoo_player.Instrument(small_file("gru")).process(f0, loudness), expected)


def test_no_frames_give_no_audio():
    instrument = zoo_player.Instrument(small_file("gru"))
    assert instrument.process([], []).shape == (0,)
    assert zoo_player.Instrument(small_file("gru"), voices=2).process(np.zeros((2, 0)), np.zeros((2, 0))).shape == (
        2,
        0,
    )


def test_instrument_lives_on_when_its_file_is_gone(tmp_path):
    file = tmp_path / "a.zoo"
    file.write_bytes(small_file("gru"))
    instrument = zoo_player.Instrument(file)
    first = instrument.process([300.0] * 9, [-20.0] * 9)
    file.write_bytes(b"\xff" * len(small_file("gru")))
    file.unlink()
    gc.collect()
    instrument.reset()
    assert np.array_equal(instrument.process([300.0] * 9, [-20.0] * 9), first)


def test_instrument_says_what_it_is(tmp_path):
    instrument = zoo_player.Instrument(small_file("gru"))
    assert (instrument.sample_rate, instrument.hop, instrument.voices) == (16000, 64, 1)
    assert instrument.inputs == ("f0_hz", "loudness_db")
    assert instrument.range == {"f0_hz": [196.0, 1760.0]}
    assert instrument.name == "gru-S"
    assert instrument.latency == 64
    assert 0 < instrument.weights < len(small_file("gru"))
    assert "gru-S" in repr(instrument)
    assert zoo_player.describe(small_file("gru")) == instrument.description


@pytest.mark.parametrize(
    ("f0", "loudness", "more", "message"),
    [
        ([1.0, 2.0], [1.0], {}, "loudness_db has the shape"),
        (1.0, 1.0, {}, "must be"),
        ([[1.0]] * 2, [[1.0]] * 2, {}, "must be"),
        ([1.0], [1.0], {"velocity": [1.0]}, "unknown: velocity"),
        ([1.0], [1.0], {"noise": [0.0]}, "noise has the shape"),
        (["a"], [1.0], {}, "f0_hz must be numbers"),
        ([[1.0], [1.0, 2.0]], [1.0], {}, "f0_hz must be numbers"),
    ],
)
def test_curves_that_do_not_fit_are_refused(f0, loudness, more, message):
    with pytest.raises(zoo_player.PlayerError, match=message):
        zoo_player.Instrument(small_file("gru")).process(f0, loudness, **more)


@pytest.mark.parametrize("voices", [0, -1, 65537, 1.5, "2"])
def test_number_of_voices_that_cannot_be_is_refused(voices):
    with pytest.raises(zoo_player.PlayerError, match="voices"):
        zoo_player.Instrument(small_file("gru"), voices=voices)


@pytest.mark.parametrize("kind", [zoo_player.Instrument, zoo_player.Live])
def test_seed_that_is_no_whole_number_is_refused(kind):
    with pytest.raises(zoo_player.PlayerError, match=r"seed is 0\.5: it must be a whole number"):
        kind(small_file("gru"), seed=0.5)


def test_further_inputs_are_named():
    from zoo_player.program import Program

    p = Program(sample_rate=16000, hop=64, inputs=("f0_hz", "loudness_db", "velocity"))
    level = p.input("velocity")
    p.pitch(p.input("f0_hz", "f0_hz"), mute=False)
    audio = p.harmonics(level, level)
    instrument = zoo_player.Instrument(p.to_bytes(audio, latency_frames=1, about={"name": "third"}))
    curves = [300.0] * 9, [0.0] * 9
    assert np.abs(instrument.process(*curves, velocity=[0.5] * 9)).max() == pytest.approx(0.25, abs=1e-3)
    with pytest.raises(zoo_player.PlayerError, match="missing: velocity"):
        instrument.process(*curves)


def test_a_thousand_instruments_play_at_once():
    instruments = [zoo_player.Instrument(small_file("gru")) for _ in range(1000)]
    audio = [instrument.process([300.0] * 3, [-20.0] * 3) for instrument in instruments]
    assert all(np.array_equal(one, audio[0]) for one in audio)


def test_sixty_four_voices_play_as_one_does_in_the_caller_s_thread():
    f0, loudness = np.full((64, 20), 300.0), np.full((64, 20), -20.0)
    f0[63] = 400
    noise = noise_for(20, 64)
    tasks = Path("/proc/self/task")  # Linux's threads
    before = len(list(tasks.iterdir())) if tasks.is_dir() else 0
    audio = zoo_player.Instrument(small_file("gru"), voices=64).process(f0, loudness, np.tile(noise, (64, 1)))
    assert (len(list(tasks.iterdir())) if tasks.is_dir() else 0) == before
    assert np.array_equal(audio[63], zoo_player.Instrument(small_file("gru")).process(f0[63], loudness[63], noise))
    assert not np.array_equal(audio[62], audio[63])


def test_threads_may_share_an_instrument_and_play_many():
    instrument = zoo_player.Instrument(small_file("gru"))
    f0, loudness = phrase(100)
    expected = zoo_player.Instrument(small_file("tcn")).process(f0, loudness)
    results = []

    def play():
        instrument.process(f0, loudness)
        results.append(zoo_player.Instrument(small_file("tcn")).process(f0, loudness))

    threads = [threading.Thread(target=play) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(one, expected) for one in results)


def test_versions_for_several_processors_give_the_same_audio(compile_c):
    """What runs where AVX2 is missing, against what runs here."""
    baseline = library(compile_c("baseline.so", flags=("-shared", "-fPIC", "-DZP_BASELINE", "-Wno-psabi")))
    f0, loudness = phrase(200)
    pointer = ctypes.c_void_p
    for kind in SMALL:
        data = small_file(kind)
        file = _aligned(len(data))
        file[:] = np.frombuffer(data, np.uint8)
        needed = baseline.zoo_player_bytes(file.ctypes.data, len(data), 1)
        memory, audio = _aligned(needed), np.empty(200 * 64, np.float32)
        player = baseline.zoo_player_init(memory.ctypes.data, needed, file.ctypes.data, len(data), 1, 0, None)
        baseline.zoo_player_process(
            player, (pointer * 2)(f0.ctypes.data, loudness.ctypes.data), None, 200, audio.ctypes.data
        )
        assert np.abs(audio - zoo_player.Instrument(data).process(f0, loudness)).max() < 2e-6
