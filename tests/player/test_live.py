"""Live: what is heard, how late, and that it goes on whatever comes in."""

import re
import subprocess
import time

import numpy as np
import pytest
import torch
import zoo_player
from conftest import PLAYER
from live_sounds import RATE, cents, steady, tone, violin
from programs import small_file
from zoo_player import Live, build, live_features

import zoo
from zoo.features import FeatureSettings
from zoo.features.loudness import a_weighted, mean_db
from zoo.streaming import instrument_file


@pytest.mark.parametrize(("f0_hz", "fmin"), [(82, 80), (110, 80), (440, 80), (200, 196), (440.7, 196), (1760, 196)])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_tone_is_heard_at_its_pitch(f0_hz, fmin, rate):
    heard, _, periodicity = live_features(steady(f0_hz, 0.5, rate), sample_rate=rate, hop=rate // 250, fmin=fmin)
    assert np.median(np.abs(cents(heard[20:], f0_hz))) < 2
    assert np.abs(cents(heard[20:], f0_hz)).max() < 5
    assert periodicity[20:].min() > 0.9


@pytest.mark.parametrize("hop", [16, 64, 100, 512])
def test_glide_is_followed_at_any_hop(hop):
    seconds = np.arange(32000) / 16000
    f0_hz = 220 * 2 ** (seconds / 2)  # an octave in two seconds
    heard, _, _ = live_features(tone(f0_hz, 16000), sample_rate=16000, hop=hop, fmin=196)
    late = zoo_player.live_features_latency(sample_rate=16000, hop=hop, fmin=196)["pitch"]
    moments = (np.arange(len(heard)) + 1) * hop - 1 - late
    heard, truth = heard[moments > 1000], f0_hz[moments[moments > 1000]]
    assert np.median(np.abs(cents(heard, truth))) < 5
    assert (heard > 0).all()


def test_vibrato_over_notes_is_heard_within_cents():
    f0_hz = np.repeat([262.0, 294, 330, 349, 392, 440], 16000 // 2)
    f0_hz *= 2 ** (0.4 / 12 * np.sin(2 * np.pi * 5.5 * np.arange(len(f0_hz)) / 16000))
    heard, _, _ = live_features(tone(f0_hz, 16000), sample_rate=16000, hop=64, fmin=196)
    late = zoo_player.live_features_latency(sample_rate=16000, hop=64, fmin=196)["pitch"]
    moments = np.maximum((np.arange(len(heard)) + 1) * 64 - 1 - late, 0)
    apart = np.abs(cents(heard[20:], f0_hz[moments[20:]]))
    assert np.median(apart) < 5
    assert (apart < 50).mean() > 0.97  # all but the frames in which a note begins


def test_noise_and_silence_have_no_pitch():
    rng = np.random.default_rng(0)
    for sound in (np.zeros(16000), rng.normal(size=16000) * 0.1, rng.normal(size=16000) * 1e-6):
        heard, loudness, _ = live_features(sound, sample_rate=16000, hop=64, fmin=196)
        assert (heard > 0).mean() < 0.05
        assert loudness.min() >= -80
        assert loudness.max() <= 0


def test_faults_of_a_few_samples_do_not_move_the_pitch():
    sound = steady(300, 1, 16000)
    sound[8000:8016] = 0
    heard, _, _ = live_features(sound, sample_rate=16000, hop=64, fmin=196)
    assert np.abs(cents(heard[20:], 300)).max() < 100


def test_loudness_is_that_of_offline_features():
    rng = np.random.default_rng(1)
    for sound in (steady(440, 1, 16000), steady(200, 1, 16000, amplitude=0.01), rng.normal(size=16000) * 0.05):
        _, heard, _ = live_features(sound, sample_rate=16000, hop=64)
        offline = a_weighted(torch.tensor(sound, dtype=torch.float32)[None], sample_rate=16000, hop=64)[0].numpy()
        assert np.abs(np.median(heard[50:200]) - np.median(offline[50:200])) < 0.5


def test_mean_of_db_follows_offline_features():
    rng = np.random.default_rng(1)
    sound = steady(300, 3, 16000) * np.linspace(0.01, 1, 48000) ** 2 + rng.normal(size=48000) * 1e-4
    _, heard, _ = live_features(sound, sample_rate=16000, hop=64, loudness="mean_db")
    offline = mean_db(torch.tensor(sound, dtype=torch.float32)[None], sample_rate=16000, hop=64, center=True)[0].numpy()
    assert np.corrcoef(heard[50:700], offline[45:695])[0, 1] > 0.93
    assert np.abs(heard[50:700] - offline[45:695]).mean() < 12


def first_near(audio, begin, hz, other_hz):
    """Milliseconds after `begin` at which the pitch of the audio is within 50 cents, by windows around a moment."""
    lags = np.arange(RATE // 700, RATE // 100)
    size = int(2.6 * RATE / min(hz, other_hz))
    for moment in range(begin, begin + RATE // 12, 24):
        starts = moment - size // 2 - lags // 2
        each = np.arange(size)
        apart = ((audio[starts[:, None] + each] - audio[(starts + lags)[:, None] + each]) ** 2).sum(axis=1)
        depth = apart * lags / np.cumsum(apart) + 0.05 * np.log2(lags)
        if abs(cents(RATE / lags[depth.argmin()], hz)) < 50:
            return 1000 * (moment - begin) / RATE
    return np.inf


@pytest.mark.parametrize(("fmin", "low", "high", "median", "worst"), [(196, 330, 440, 20, 25), (80, 165, 220, 35, 40)])
def test_new_pitch_is_played_in_time(fmin, low, high, median, worst):
    live = Live(violin(), sample_rate=RATE, fit="off", fmin=fmin, loudness_kind="a_weighted")  # a loud, clear tone
    live.reverb = False
    taken = []
    for phase in range(8):
        live.reset()
        begin = RATE // 3 + 29 * phase
        before, after = (low, high) if phase % 2 else (high, low)
        audio = live.process(tone(np.where(np.arange(RATE // 2) < begin, before, after), RATE))
        taken.append(first_near(audio, begin, after, before))
    assert np.median(taken) <= median, taken
    assert max(taken) <= worst, taken


@pytest.mark.parametrize("loudness", ["a_weighted", "mean_db"])
def test_note_begins_in_time(loudness):
    live = Live(violin(), sample_rate=RATE, fit="off", fmin=196, loudness_kind=loudness)
    live.reverb = False
    taken = []
    for phase in range(8):
        live.reset()
        begin = RATE // 4 + 29 * phase
        sound = steady(440, 0.7)
        sound[:begin] = 0
        audio = live.process(sound)
        level = np.sqrt(np.convolve(audio**2, np.full(109, 1 / 109), "same"))  # over a period
        half = np.median(level[begin + RATE // 5 :]) / 2
        taken.append(1000 * (np.argmax(level > half) - begin) / RATE)
    assert np.median(taken) <= 20, taken
    assert max(taken) <= 25, taken


@pytest.mark.parametrize(("fmin", "hz", "declared"), [(196, 215, "total"), (196, 440, "soonest"), (80, 440, "soonest")])
def test_declared_latency_is_the_measured_one(fmin, hz, declared):
    live = Live(violin(), sample_rate=RATE, fit="off", fmin=fmin)
    live.reverb = False
    rises = 0.25 * np.log(2)  # a quarter of an octave in a second
    f0_hz = hz * np.exp(rises * (np.arange(RATE) / RATE - 0.5))
    audio = live.process(tone(f0_hz, RATE))
    # against the phase of what goes in, the lowest partial of what comes out turns back the faster the later it is
    beat = audio * np.exp(-2j * np.pi * np.cumsum(f0_hz) / RATE)
    phase = np.unwrap(np.angle(np.convolve(beat, np.hanning(RATE // 20), "same")))
    late = -np.diff(phase) / (2 * np.pi) / (rises * f0_hz[1:])
    measured = 1000 * np.median(RATE * late[RATE // 3 : 2 * RATE // 3])
    assert abs(measured - 1000 * live.delays[declared] / RATE) < 0.7, measured
    assert live.delays["soonest"] < 0.014 * RATE


@pytest.mark.parametrize("rate", [8000, 44100])
def test_high_notes_of_a_high_lowest_pitch_are_as_late_as_that(rate):
    delays = Live(violin(), sample_rate=rate, fmin=700).delays
    assert delays["soonest"] == delays["total"]


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 44099, 48000, 192000])
def test_blocks_of_any_size_give_the_same_samples(rate):
    sound = steady(330, 0.4, rate)
    whole = Live(violin(), sample_rate=rate).process(sound)
    live, rng, pieces, at = Live(violin(), sample_rate=rate), np.random.default_rng(2), [], 0
    while at < len(sound):
        size = int(rng.choice([0, 1, 2, 31, 128, 1000]))
        pieces.append(live.process(sound[at : at + size]))
        at += size
    assert (np.concatenate(pieces) == whole).all()
    assert np.abs(whole).max() > 0.01


@pytest.mark.parametrize("rate", [11025, 44100, 96000])
def test_rate_of_the_host_does_not_change_what_is_played(rate):
    played = Live(violin(), sample_rate=rate, fit="off").process(steady(440, 1, rate))
    heard, _, _ = live_features(played[rate // 2 :], sample_rate=rate, hop=rate // 250, fmin=196)
    assert np.abs(cents(heard[30:], 440)).max() < 15


def test_whatever_comes_in_finite_samples_come_out():
    rng = np.random.default_rng(3)
    live = Live(violin(), sample_rate=RATE)
    odd = np.array([np.nan, np.inf, -np.inf, 1e38, -1e38, 0, 1e-40], np.float32)
    for sound in (
        *(np.zeros(5000), rng.normal(size=5000), 50 * steady(440, 0.2), rng.choice(odd, 5000)),
        *(steady(440, 0.2), np.full(5000, np.nan), np.full(5000, 1e38)),
    ):
        assert np.isfinite(live.process(sound)).all()
    live.process(np.zeros(RATE))
    assert abs(live.state.f0_hz) < 1e-6
    again = live.process(steady(440, 0.5))
    assert np.abs(again).max() > 0.01  # it recovers


def test_silence_in_gives_silence_out():
    live = Live(violin(), sample_rate=RATE)
    live.process(steady(440, 0.5))
    tail = live.process(np.zeros(3 * RATE))
    assert np.abs(tail[2 * RATE :]).max() < 1e-4


def test_a_minute_stays_in_time_and_costs_little():
    live = Live(violin(), sample_rate=44100)
    sound = steady(440, 60, 44100)
    begin = time.thread_time()
    played = np.concatenate([live.process(sound[at : at + 4410]) for at in range(0, len(sound), 4410)])
    assert time.thread_time() - begin < 4  # about 1 where nothing else runs
    assert np.isfinite(played).all()
    assert live.state.frames == pytest.approx(60 * 250, abs=2)
    heard, _, _ = live_features(played[-44100:], sample_rate=44100, hop=176, fmin=196)
    assert np.abs(cents(heard[30:], 440)).max() < 15


@pytest.mark.parametrize(
    ("name", "value"), [("gain", 0.0), ("gain", 2.0), ("reverb", False), ("loudness_db", -20), ("gate_db", -1)]
)
def test_settings_change_without_clicks(name, value):
    live = Live(violin(), sample_rate=RATE, fit="off")
    sound = steady(440, 2)
    before = live.process(sound[:RATE])[RATE // 2 :]
    setattr(live, name, value)
    after = live.process(sound[RATE:])
    # a click is energy far over the note's: differences of the third order show it
    most = np.abs(np.diff(before, 3)).max() * max(1.0, 2.0 * (value == 2.0))
    assert np.abs(np.diff(np.concatenate([before[-10:], after]), 3)).max() < 1.3 * most
    assert np.sqrt((after[-4800:] ** 2).mean()) != pytest.approx(np.sqrt((before[-4800:] ** 2).mean()), rel=0.02)


def test_transposing_moves_the_pitch():
    live = Live(violin(), sample_rate=RATE, fit="off", transpose=12)
    live.reverb = False
    heard, _, _ = live_features(live.process(steady(300, 0.5)), sample_rate=RATE, hop=192, fmin=196)
    assert np.median(heard[60:]) == pytest.approx(600, rel=0.01)
    live.transpose = 0
    heard, _, _ = live_features(live.process(steady(300, 0.5)), sample_rate=RATE, hop=192, fmin=196)
    assert np.median(heard[60:]) == pytest.approx(300, rel=0.01)


def test_loudness_is_of_the_kind_that_the_model_was_trained_with():
    """One of the thesis's with the thesis's, the violin with today's, one of live features with what is heard live."""
    sound = steady(440, 0.3)

    def heard(file, **options):
        live = Live(file, sample_rate=RATE, **options)
        live.process(sound)
        return live.state.input_db

    live_model = zoo.create("gru-S", hidden_size=4, features=FeatureSettings(tracker="live", loudness="live"))
    thesis = instrument_file(zoo.create("gru-S", hidden_size=4, features=FeatureSettings(loudness="mean_db")))
    assert heard(thesis) == heard(violin(), loudness_kind="mean_db") != heard(violin(), loudness_kind="a_weighted")
    assert heard(violin()) == heard(small_file("gru")) == heard(violin(), loudness_kind="a_weighted")
    assert heard(instrument_file(live_model)) == heard(small_file("gru"))


def test_fit_brings_a_low_and_loud_input_into_the_range():
    low_hz, _ = zoo_player.describe(violin()).range["f0_hz"]
    live = Live(violin(), sample_rate=RATE, fmin=60)
    live.process(steady(98, 2, amplitude=0.5))
    state = live.state
    assert state.input_hz == pytest.approx(98, rel=0.01)
    assert state.octaves >= 1
    assert state.f0_hz == pytest.approx(98 * 2**state.octaves, rel=0.01)
    assert state.f0_hz > low_hz
    assert state.loudness_db <= zoo_player.describe(violin()).range["loudness_db"][1]
    off = Live(violin(), sample_rate=RATE, fmin=60, fit="off")
    off.process(steady(98, 2))
    assert off.state.f0_hz == pytest.approx(98, rel=0.01)


def test_wrong_arguments_are_named():
    for options, words in [
        ({"fit": "always"}, "no fit"),
        ({"sample_rate": 100}, "sample_rate"),
        ({"fmin": 5}, "fmin"),
        ({"fmin": 1500}, "fmin"),
        ({"loudness_kind": "sones"}, "loudness"),
        ({"transpose": 500}, "transpose"),
    ]:
        with pytest.raises(zoo_player.PlayerError, match=words):
            Live(violin(), **options)
    live = Live(small_file("gru"))
    with pytest.raises(zoo_player.PlayerError, match="one channel"):
        live.process(np.zeros((2, 100)))
    for value in ("loud", np.nan, 1e9, None):
        with pytest.raises(zoo_player.PlayerError, match="gain"):
            live.gain = value
    with pytest.raises(zoo_player.PlayerError, match="hop"):
        live_features(np.zeros(100), sample_rate=16000, hop=0)


PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include "zoo_player.h"
int main(int count, char **words) {
    (void)count;
    FILE *in = fopen(words[1], "rb");
    fseek(in, 0, SEEK_END);
    size_t size = (size_t)ftell(in);
    rewind(in);
    char *file = malloc(size);
    if (fread(file, 1, size, in) != size) return 1;
    const uint32_t rates[] = {4000, 11025, 16000, 44100, 44099, 48000, 96000, 768000};
    for (int r = 0; r < 8; r++) {
        zoo_live_setup setup = {rates[r], (uint32_t)r % 2, 80, 2000, 1, 0, 7, 1, 196, 1700, -70, -60, -50, -40, -20};
        size_t bytes = zoo_live_bytes(file, size, &setup);
        if (!bytes) return 2;
        char *memory = aligned_alloc(64, bytes + 63 & ~(size_t)63);
        if (zoo_live_init(memory, bytes - 1, file, size, &setup, 0)) return 3;
        int error = 0;
        zoo_live *live = zoo_live_init(memory, bytes, file, size, &setup, &error);
        if (!live || error) return 4;
        float *sound = malloc(sizeof(float) * 999);
        uint32_t seed = 1;
        for (int block = 0; block < 60; block++) {
            size_t n = (size_t)(block * 37 % 999);
            for (size_t i = 0; i < n; i++) {
                seed = seed * 1664525u + 1013904223u;
                const float usual = sinf(0.05f * (float)i) * (float)(seed >> 24) / 256;
                sound[i] = block % 7 == 3 ? NAN : (block % 7 == 5 ? 1e38f : usual);
            }
            error |= zoo_live_set(live, (uint32_t)block % ZOO_LIVE_SETTINGS,
                                  block % ZOO_LIVE_SETTINGS == ZOO_LIVE_GATE_DB ? -50.0f : (block % 4 ? 0.5f : 1.0f));
            error |= zoo_live_process(live, sound, n, sound);
            for (size_t i = 0; i < n; i++) if (!isfinite(sound[i])) return 5;
        }
        zoo_live_state state;
        zoo_live_delays delays;
        zoo_live_read(live, &state), zoo_live_latency(live, &delays), zoo_live_reset(live);
        if (error || !delays.total || zoo_live_set(live, 99, 0) == 0 || zoo_live_process(0, 0, 1, 0) == 0) return 6;
        free(memory), free(sound);
    }
    free(file);
    fclose(in);
    return 0;
}
"""


def test_no_access_beyond_its_memory_in_c(compile_c, tmp_path):
    source = tmp_path / "live.c"
    source.write_text(PROGRAM)
    (tmp_path / "gru.zoo").write_bytes(small_file("gru"))
    flags = ["-g", "-Wno-psabi", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    try:
        program = compile_c("live", source, flags=flags, libraries=("-lm",))
    except build.BuildError:  # a compiler without sanitizers
        program = compile_c("live", source, flags=["-Wno-psabi"], libraries=("-lm",))
    done = subprocess.run(
        [program, tmp_path / "gru.zoo"],
        capture_output=True,
        text=True,
        check=False,
        env={"ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert done.returncode == 0, done.stderr


def test_program_of_the_page_on_live_playing_is_a_host_in_small(compile_c, tmp_path):
    page = (PLAYER.parent / "docs" / "live.md").read_text()
    source = tmp_path / "live.c"
    source.write_text(re.search(r"```c\n(.*?)```", page, re.DOTALL)[1])
    program = compile_c("host", source, flags=("-Wno-psabi", "-Wall", "-Werror"))
    (tmp_path / "violin.zoo").write_bytes(violin())
    steady(330, 1).astype(np.float32).tofile(tmp_path / "in.f32")
    words = [str(program), *(str(tmp_path / name) for name in ("violin.zoo", "in.f32", "out.f32"))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 300 < int(done.stdout.split()[0]) < 1000
    played = np.fromfile(tmp_path / "out.f32", np.float32)
    assert len(played) == RATE
    heard, _, _ = live_features(played[RATE // 2 :], sample_rate=RATE, hop=192, fmin=196)
    assert abs(cents(np.median(heard), 660)) < 15  # an octave higher, as the program asks
    live = Live(violin(), sample_rate=RATE)
    live.transpose, live.reverb = 12, 0.5
    expected = live.process(steady(330, 1))
    assert np.abs(played - expected)[RATE // 2 :].max() < 1e-3 * np.abs(expected).max()
    (tmp_path / "violin.zoo").write_bytes(violin()[:999])
    refused = subprocess.run(words, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "cut short" in refused.stderr
