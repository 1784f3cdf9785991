import json
import math
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.datasets import open_dataset
from zoo.datasets.melodies import compose, pools_of
from zoo.datasets.notes import MADE, JoinedPhrase, join, notes
from zoo.datasets.single_notes import load_note, measure_note
from zoo.errors import ConfigError, DatasetError
from zoo.features import track_pitch
from zoo.prepare import main

RATE = 16000
PITCHES = st.lists(st.floats(40, 100), min_size=3, max_size=20)


def note(midi, seconds, level=0.3, rate=RATE):
    """A tone of five harmonics that begins and ends gently."""
    t = np.arange(round(seconds * rate)) / rate
    hz = 440 * 2 ** ((midi - 69) / 12)
    tone = sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 6) if k * hz < rate / 2)
    return level / 2 * tone * np.clip(t / 0.03, 0, 1) * np.clip((seconds - t) / 0.05, 0, 1)


def write_notes(folder, pitches=(60, 62, 64, 65, 67, 69, 71, 72, 74), seconds=1.5):
    folder.mkdir(exist_ok=True, parents=True)
    silence = np.zeros(round(0.4 * RATE))
    rows = ["path\tinstrument\tlicence\tauthor\tsource"]
    for k, midi in enumerate(pitches):
        level = 0.1 + 0.05 * (k % 4)
        soundfile.write(folder / f"{midi}.wav", np.concatenate([silence, note(midi, seconds, level), silence]), RATE)
        rows.append(f"{midi}.wav\tflute\tCC0\tPlayer {k % 2}\there")
    (folder / "INDEX.tsv").write_text("\n".join(rows) + "\n")
    return folder


@settings(max_examples=60, deadline=None)
@given(midi=PITCHES, seed=st.integers(0, 1000))
def test_pools_hold_each_note_once(midi, seed):
    pools = pools_of(midi, seed=seed)
    assert sorted(k for pool in pools for k in pool) == list(range(len(midi)))
    assert all(pools)
    assert len(pools[0]) >= max(len(pools[1]), len(pools[2]))
    assert pools == pools_of(midi, seed=seed)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), midi=PITCHES, uses=st.integers(1, 6), seed=st.integers(0, 1000), legato=st.floats(0, 12))
def test_melodies_are_sound(data, midi, uses, seed, legato):
    lengths = data.draw(st.lists(st.floats(0.25, 8), min_size=len(midi), max_size=len(midi)))
    options = {"uses": uses, "shortest": 4.0, "longest": 8.0, "legato": legato, "pool": 0}
    bodies = [0.8 * length for length in lengths]
    melodies = compose(midi, lengths, bodies, seed=seed, **options)
    assert melodies == compose(midi, lengths, bodies, seed=seed, **options)
    played = [sum(placed.note == k for melody in melodies for placed in melody) for k in range(len(midi))]
    assert min(played) >= uses
    # about equally often: what is played above that fills the last melody
    assert sum(played) <= uses * len(midi) + 8.0 / 0.15
    for melody in melodies:
        assert 4.0 <= max(placed.ends for placed in melody) <= 8.0 + 1e-9
        for placed in melody:
            assert placed.taken_from >= 0
            assert placed.seconds > 0.2
            assert placed.taken_from + placed.seconds <= lengths[placed.note] + 1e-9
            assert placed.fade_in + placed.fade_out < placed.seconds
        for before, after in pairwise(melody):
            overlap = before.ends - after.begins
            assert -0.5 <= overlap <= 0.09 + 1e-9
            if after.bound:
                assert after.taken_from + after.seconds <= bodies[after.note] + 1e-9
                assert abs(midi[after.note] - midi[before.note]) <= legato
                assert overlap == pytest.approx(after.fade_in) == pytest.approx(before.fade_out)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), size=st.integers(3, 8), seed=st.integers(0, 1000), rate=st.sampled_from([16000, 22050]))
def test_joined_phrases_have_no_clicks(data, size, seed, rate):
    midi = data.draw(st.lists(st.floats(45, 90), min_size=size, max_size=size))
    lengths = data.draw(st.lists(st.floats(0.3, 3), min_size=size, max_size=size))
    sounds = [
        torch.from_numpy(note(m, s, level=0.2 + 0.1 * (k % 5), rate=rate)).float()
        for k, (m, s) in enumerate(zip(midi, lengths, strict=True))
    ]
    seconds = [len(sound) / rate for sound in sounds]
    jump = max(float(sound.diff().abs().max()) for sound in sounds)
    peak = max(float(sound.abs().max()) for sound in sounds)
    # A note's jumps, of two notes at most at once, whose powers add up to one; and what fades of 5 and 15 ms add.
    bound = math.sqrt(2) * jump + peak * math.pi / 2 * (1 / (0.005 * rate) + 1 / (0.015 * rate))
    for melody in compose(midi, seconds, seconds, uses=1, shortest=2.0, longest=6.0, legato=12, seed=seed, pool=0):
        audio = join(tuple(melody), sounds, rate)
        assert len(audio) == round(max(placed.ends for placed in melody) * rate)
        silent = torch.zeros(1)
        assert float(torch.cat([silent, audio, silent]).diff().abs().max()) <= bound + 1e-6
        assert float(audio.abs().max()) <= math.sqrt(2) * peak + 1e-6


def test_another_seed_gives_other_phrases_and_the_same_seed_the_same(tmp_path):
    folder = write_notes(tmp_path / "notes")
    first, again, other = (list(notes(folder, seed=seed)) for seed in (0, 0, 1))
    assert [p.digest(RATE) for p in first] == [p.digest(RATE) for p in again]
    assert {p.digest(RATE) for p in first}.isdisjoint(p.digest(RATE) for p in other)
    assert torch.equal(first[0].load(RATE), again[0].load(RATE))


def test_phrases_swell_and_fade_as_far_as_dynamics_say(tmp_path):
    folder = write_notes(tmp_path / "notes")
    plain, swelling = (
        [p for p in notes(folder, uses=4, dynamics=dynamics) if isinstance(p, JoinedPhrase)] for dynamics in (0.0, 24.0)
    )
    assert [p.melody for p in plain] == [p.melody for p in swelling]
    assert {p.digest(RATE) for p in plain}.isdisjoint(p.digest(RATE) for p in swelling)
    levels = [level for p in swelling for level in p.swells]
    assert -24 <= min(levels) < -18
    assert -6 < max(levels) <= 0
    before, after = plain[0].load(RATE), swelling[0].load(RATE)
    for placed, level_db in zip(swelling[0].melody, swelling[0].swells, strict=True):
        # just after a note begins, it is at that note's level
        at = round((placed.begins + 0.02) * RATE)
        gain = after[at : at + 160].square().sum() / before[at : at + 160].square().sum()
        assert 10 * math.log10(float(gain)) == pytest.approx(level_db, abs=2.5)


def test_a_note_is_found_in_its_recording(tmp_path):
    folder = write_notes(tmp_path / "notes", pitches=(57.3, 60, 69))
    recordings = {phrase.file.id: phrase for p in notes(folder) for phrase in p.notes}
    found = recordings["57.3.wav"]
    assert found.midi == pytest.approx(57.3, abs=0.05)
    assert 0.37 < found.start < 0.42
    assert 1.3 < found.body < found.seconds
    assert found.start + found.seconds == pytest.approx(1.9, abs=0.03)
    assert len(load_note(found, 8000)) == round(found.seconds * 8000)


def test_a_note_that_is_clipped_is_told(tmp_path, caplog):
    folder = write_notes(tmp_path / "notes", pitches=(60, 64, 69))
    samples, _ = soundfile.read(folder / "64.wav")
    soundfile.write(folder / "64.wav", (20 * samples).clip(-1, 1), RATE)
    list(notes(folder))
    (message,) = caplog.messages
    assert message.startswith("64.wav: ")
    assert message.endswith("% of its samples are clipped. Record it again with less gain.")


def test_phrases_have_the_notes_pitches_and_levels(tmp_path):
    folder = write_notes(tmp_path / "notes")
    phrase = next(p for p in notes(folder, uses=2) if isinstance(p, JoinedPhrase))
    audio = phrase.load(RATE)
    f0_hz, _ = track_pitch(audio[None], sample_rate=RATE, hop=64, tracker="yin", center=True)
    for placed in phrase.melody:
        if placed.seconds < 0.4:
            continue
        middle = round((placed.begins + placed.seconds / 2) * RATE)
        midi = 69 + 12 * math.log2(float(f0_hz[0, middle // 64]) / 440)
        assert midi == pytest.approx(phrase.notes[placed.note].midi, abs=0.3)
        level = audio[middle - 400 : middle + 400].square().mean().sqrt()
        assert float(level) == pytest.approx(phrase.notes[placed.note].level, rel=0.1)
    even = next(p for p in notes(folder, uses=2, level="even") if isinstance(p, JoinedPhrase))
    leveled = {round(n.level * gain, 6) for n, gain in zip(even.notes, even.gains, strict=True)}
    assert len(leveled) == 1


@pytest.mark.parametrize("split_seed", [0, 1])
def test_no_note_is_in_two_splits_and_all_are_used(tmp_path, split_seed):
    folder = write_notes(tmp_path / "notes")
    command = [str(folder), str(tmp_path / "out"), "--dataset", "notes", "--pitch", "yin"]
    assert main([*command, "--split-seed", str(split_seed)]) == 0
    data = open_dataset(tmp_path / "out")
    origins = {s["id"]: {origin["id"] for origin in s["made_from"]} for s in data.info["sources"]}
    heard = {
        name: set().union(*(origins[entry["source"]] for entry in entries))
        for name, entries in data.info["splits"].items()
    }
    assert all(heard.values())
    assert sum(map(len, heard.values())) == len(set().union(*heard.values())) == 9
    assert len(heard["train"]) == 7
    assert data.instrument == "flute"


def test_what_was_joined_is_told_down_to_the_card(tmp_path, capsys):
    from zoo.training.setup import lineage_of

    folder = write_notes(tmp_path / "notes")
    settings = ["--set", "prepare.dataset_options={'uses': 1, 'shortest': 4.0, 'longest': 7.0}"]
    gin = ["--gin", "data/notes.gin", *settings, "--pitch", "yin"]
    assert main([str(folder), str(tmp_path / "out"), *gin]) == 0
    assert MADE in capsys.readouterr().out
    data = open_dataset(tmp_path / "out")
    lineage = lineage_of(data)
    assert lineage["made"] == MADE
    assert lineage["attribution"] == ["Player 0, CC0, here", "Player 1, CC0, here"]
    assert str(tmp_path) not in json.dumps(data.info)
    assert main([str(folder), str(tmp_path / "out"), *gin]) == 0
    assert "nothing to do" in capsys.readouterr().out
    index = folder / "INDEX.tsv"
    index.write_text(index.read_text().replace("Player 1", "Player 2"))
    assert main([str(folder), str(tmp_path / "out"), *gin]) == 2
    assert "recordings that are changed: " in capsys.readouterr().err
    assert main([str(folder), str(tmp_path / "out"), *gin, "--force"]) == 0
    assert lineage_of(open_dataset(tmp_path / "out"))["attribution"] == ["Player 0, CC0, here", "Player 2, CC0, here"]


def test_recordings_that_are_no_single_note_are_left_out_with_their_reason(tmp_path):
    folder = write_notes(tmp_path / "notes")
    soundfile.write(folder / "silence.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "click.wav", np.concatenate([np.zeros(4000), note(60, 0.1), np.zeros(4000)]), RATE)
    soundfile.write(folder / "two.wav", np.concatenate([note(60, 1.0), note(67, 1.0)]), RATE)
    soundfile.write(folder / "noise.wav", 0.1 * np.random.default_rng(0).standard_normal(RATE), RATE)
    soundfile.write(folder / "high.wav", note(98, 1.0), RATE)
    (folder / "broken.wav").write_bytes(b"RIFF")
    (folder / "copy.wav").write_bytes((folder / "60.wav").read_bytes())
    samples, _ = soundfile.read(folder / "62.wav", dtype="int16")
    soundfile.write(folder / "other.flac", samples, RATE)
    assert main([str(folder), str(tmp_path / "out"), "--dataset", "notes", "--pitch", "yin"]) == 0
    skipped = {s["source"]: s["reason"] for s in open_dataset(tmp_path / "out").info["skipped"]}
    for name, reason in {
        "silence.wav": "silent",
        "click.wav": "too short",
        "two.wav": "moves by more than a semitone",
        "noise.wav": "no clear pitch",
        "high.wav": "from 50 to 2000 Hz",
        "broken.wav": "cannot be read",
        "copy.wav": "the same as 60.wav",
        "other.flac": "the same as 62.wav",
    }.items():
        assert reason in skipped[name], (name, skipped)


def test_instruments_are_joined_apart(tmp_path):
    folder = write_notes(tmp_path / "notes", pitches=(60, 62, 64, 65, 67, 69))
    index = (folder / "INDEX.tsv").read_text()
    for midi in (60, 62, 64):
        index = index.replace(f"{midi}.wav\tflute", f"{midi}.wav\ttrumpet")
    (folder / "INDEX.tsv").write_text(index)
    soundfile.write(folder / "silence.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "piano.wav", np.zeros(RATE), RATE)
    (folder / "INDEX.tsv").write_text(f"{index}silence.wav\ttrumpet\tCC0\tA\there\npiano.wav\tpiano\tCC0\tA\there\n")
    given = list(notes(folder, uses=1, shortest=2.0, longest=5.0))
    found = [each for each in given if isinstance(each, JoinedPhrase)]
    # listed where there is a dataset: one of what was left out alone could not be made
    assert [(each.id, each.subset) for each in given if each not in found] == [
        ("piano.wav", "flute"),
        ("silence.wav", "trumpet"),
    ]
    assert {p.subset for p in found} == {"flute", "trumpet"}
    for phrase in found:
        assert {n.file.instrument for n in phrase.notes} == {phrase.instrument}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"uses": 0}, "at least once"),
        ({"shortest": 8.0, "longest": 9.0}, "2.5 s longer"),
        ({"level": "loud"}, "kept or even"),
        ({"legato": -1.0}, "negative"),
        ({"dynamics": -3.0}, "0 to 60 dB"),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        list(notes(write_notes(tmp_path / "notes", pitches=(60, 62, 64), seconds=0.5), **options))


def test_too_few_notes_are_refused(tmp_path):
    folder = write_notes(tmp_path / "notes", pitches=(60, 62), seconds=0.5)
    soundfile.write(folder / "x.wav", np.zeros(RATE), RATE)
    with pytest.raises(DatasetError, match=r"2 usable notes of flute.*\n  x\.wav: silent"):
        list(notes(folder))
    for midi in (60, 62):
        (folder / f"{midi}.wav").unlink()
    with pytest.raises(DatasetError, match="no single note"):
        list(notes(folder))


def test_a_note_that_is_unreadable_later_is_told_without_a_path(tmp_path):
    folder = write_notes(tmp_path / "notes", pitches=(60, 62, 64), seconds=0.5)
    phrase = next(iter(notes(folder)))
    for file in folder.glob("*.wav"):
        file.unlink()
    with pytest.raises(DatasetError) as caught:
        phrase.load(RATE)
    assert str(tmp_path) not in str(caught.value)


def test_measuring_says_why_not(tmp_path):
    from zoo.datasets import FileRecording

    soundfile.write(tmp_path / "x.wav", np.zeros(100), RATE)
    with pytest.raises(DatasetError, match="too short"):
        measure_note(FileRecording(id="x", path=tmp_path / "x.wav"), silence_db=40.0, fmin=50.0, fmax=2000.0)
