import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from zoo.datasets import open_dataset, prepare_dataset
from zoo.errors import ConfigError, DatasetError
from zoo.features import FeatureSettings, a_weighted_level_db, loudness_db
from zoo.features.frontend import normalize


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_stretch_shorter_than_a_segment_is_padded_and_one_under_a_second_dropped(tmp_path, notes, yin):
    sound = notes("a", notes=((1.5, 220.0), (2.0, 0.0), (0.5, 330.0), (1.0, 0.0), (4.5, 440.0)))
    (outcome,) = prepare_dataset([sound, notes("b"), notes("c", notes=((4.0, 300.0),))], tmp_path / "out", yin)
    data = open_dataset(tmp_path / "out")
    entries = {e["start"]: e for entries in data.info["splits"].values() for e in entries if e["source"] == "a"}
    assert len(entries) == 2  # the rest of the last stretch and the short one are under a second
    short = entries[0]
    assert short["valid_frames"] == pytest.approx(1.5 * 250, abs=2048 / 64)
    reasons = {s.reason: s.seconds for s in outcome.skipped if s.source == "a"}
    assert reasons["stretch of sound, shorter than --min-seconds"] == pytest.approx(0.5, abs=0.2)
    assert reasons["silence"] == pytest.approx(3.0, abs=0.4)
    used = sum(e["valid_frames"] for e in entries.values()) / 250
    assert used + sum(reasons.values()) == pytest.approx(9.5, abs=0.01)
    split = next(name for name, own in data.info["splits"].items() if short in own)
    items = data.split(split)
    item = next(i for i in items if int(i["index"]) == short["index"])
    valid = int(item["valid_frames"])
    assert item["audio"].shape == (64000,)
    assert item["f0_hz"].shape == item["loudness_db"].shape == (1000,)
    assert not item["audio"][valid * 64 :].any()
    assert not item["f0_hz"][valid:].any()
    assert (item["loudness_db"][valid:] == -80).all()


@pytest.mark.parametrize("new", [True, False])
def test_segments_are_exact_to_the_frame(tmp_path, notes, yin, new):
    old = replace(yin.features, normalize="peak", loudness="mean_db")
    yin = yin if new else replace(yin, features=old)
    sound = notes("a", notes=((0.7, 0.0), (9.0, 220.0)))
    prepare_dataset([sound, notes("b"), notes("c", notes=((4.0, 300.0),))], tmp_path / "out", yin)
    data = open_dataset(tmp_path / "out")
    audio = sound.load(16000)
    if new:
        audio, _ = normalize(audio, "loudness", sample_rate=16000)
        level = a_weighted_level_db(audio[None], sample_rate=16000, hop=64)[0].clamp(max=0.0)
    else:
        audio = audio / audio.abs().max()
        level = loudness_db(audio[None], sample_rate=16000, hop=64, center=True)[0]
    for split in ("train", "validation", "test"):
        for entry, item in zip(data.info["splits"][split], data.split(split), strict=True):
            if entry["source"] != "a":
                continue
            frames, start = entry["valid_frames"], entry["start"]
            assert start % 64 == 0
            torch.testing.assert_close(item["audio"][: frames * 64], audio[start : start + frames * 64])
            torch.testing.assert_close(item["loudness_db"][:frames], level[start // 64 : start // 64 + frames])


def test_unclear_pitch_is_dropped_with_its_reason(tmp_path, notes, yin):
    class Noise(notes):
        def load(self, sample_rate):
            return 0.1 * torch.randn(5 * sample_rate, generator=torch.Generator().manual_seed(0))

    (outcome,) = prepare_dataset([Noise("noise"), notes("a"), notes("b", notes=((3.0, 100.0),))], tmp_path / "o", yin)
    assert outcome.recordings == 2
    assert any(s.source == "noise" and "mean confidence under 0.85" in s.reason for s in outcome.skipped)


def test_the_same_recording_twice_is_used_once(tmp_path, notes, yin):
    (outcome,) = prepare_dataset([notes("a"), notes("copy"), notes("b", notes=((3.0, 100.0),))], tmp_path / "o", yin)
    assert [(s.source, s.reason) for s in outcome.skipped] == [("copy", "the same as a")]


def test_several_instruments_in_one_dataset_are_told(tmp_path, notes, yin):
    sounds = [notes("a", instrument="flute"), notes("b", instrument="violin", notes=((3.0, 300.0),)), notes("c")]
    (outcome,) = prepare_dataset(sounds, tmp_path / "o", yin)
    assert any(note.startswith("flute and violin are in it, and a model would mix them. ") for note in outcome.notes)
    (outcome,) = prepare_dataset(sounds[:1], tmp_path / "one", yin)
    assert not any("mix them" in note for note in outcome.notes)


def test_preparing_again_is_free_and_other_settings_need_force(tmp_path, notes, yin):
    sounds = [notes("a"), notes("b", notes=((5.0, 100.0),)), notes("c", notes=((4.0, 330.0),))]
    prepare_dataset(sounds, tmp_path / "o", yin)
    before = files(tmp_path)
    seen = []
    (again,) = prepare_dataset(sounds, tmp_path / "o", yin, progress=lambda *a: seen.append(a))
    assert not again.fresh
    assert not seen
    other = replace(yin, silence_db=30.0)
    with pytest.raises(DatasetError, match=r"silence_db is 40.0 there and 30.0 here.*--force"):
        prepare_dataset(sounds, tmp_path / "o", other)
    with pytest.raises(DatasetError, match=r"gone: 1 \(c\)"):
        prepare_dataset(sounds[:2], tmp_path / "o", yin)
    assert files(tmp_path) == before
    prepare_dataset(sounds[:2], tmp_path / "o", other, force=True)
    data = open_dataset(tmp_path / "o")
    assert data.info["request"]["silence_db"] == 30.0
    assert set(files(tmp_path / "o")) == {"dataset.json", *data.info["shards"]}  # nothing of the older one is left


def test_an_interrupted_preparation_goes_on_with_the_same_bytes(tmp_path, notes, yin):
    sounds = [notes(f"r{k}", notes=((2.0 + k, 200.0 + k),)) for k in range(4)]
    prepare_dataset(sounds, tmp_path / "whole" / "o", yin)
    out = tmp_path / "cut" / "o"

    def stop(done, total, name):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_dataset(sounds, out, yin, progress=stop)
    with pytest.raises(DatasetError, match="interrupted"):
        open_dataset(out)
    seen = []
    prepare_dataset(sounds, out, yin, progress=lambda done, total, name: seen.append((done, name)))
    assert seen == [(2, ""), (3, "r2"), (4, "r3")]
    assert files(out) == files(tmp_path / "whole" / "o")


def test_a_failing_force_keeps_the_older_dataset(tmp_path, notes, yin):
    sounds = [notes("a"), notes("b", notes=((5.0, 100.0),))]
    prepare_dataset(sounds, tmp_path / "o", yin)
    before = files(tmp_path)
    with pytest.raises(DatasetError, match="Nothing is left"):
        prepare_dataset([notes("short", notes=((0.2, 100.0),))], tmp_path / "o", yin, force=True)
    assert files(tmp_path) == before


def test_nothing_left_says_why_and_leaves_no_folder(tmp_path, notes, yin):
    silent = notes("silent", notes=((3.0, 0.0),))
    with pytest.raises(DatasetError, match=r"(?s)short: too short: 0.20 s.*silent: silent"):
        prepare_dataset([notes("short", notes=((0.2, 100.0),)), silent], tmp_path / "o", yin)
    assert list(tmp_path.iterdir()) == []


def test_whole_mode_keeps_everything_in_the_test_split(tmp_path, notes, yin):
    sounds = [notes("a", notes=((0.3, 220.0), (3.0, 0.0), (0.3, 220.0))), notes("b", notes=((5.01, 100.0),))]
    (outcome,) = prepare_dataset(sounds, tmp_path / "o", replace(yin, whole=True))
    assert not outcome.skipped
    data = open_dataset(tmp_path / "o")
    items = list(data.split("test"))
    assert [int(i["valid_frames"]) for i in items] == [900, 1252]
    assert torch.utils.data.default_collate(items)["audio"].shape == (2, 1252 * 64)
    with pytest.raises(DatasetError, match="without --whole"):
        data.split("train")


def test_dataset_json_tells_what_the_data_is(tmp_path, notes, yin):
    sounds = [notes(n, instrument="flute", notes=((4.0, f),)) for n, f in (("a", 100.0), ("b", 200.0), ("c", 300.0))]
    prepare_dataset(sounds, tmp_path / "flute", yin, dataset="mine")
    text = (tmp_path / "flute" / "dataset.json").read_text()
    info = json.loads(text)
    assert str(tmp_path) not in text
    assert (info["name"], info["instrument"]) == ("flute", "flute")
    assert FeatureSettings.from_dict(info["features"]).voicing_threshold == 0.8
    assert info["request"]["min_confidence"] == 0.85
    assert set(info["definitions"]) >= {"f0_hz", "loudness_db", "audio"}
    assert info["features"]["loudness"] == "a_weighted"
    assert "A-weighted power" in info["definitions"]["loudness_db"]
    assert "of 0.064 s centred on sample frame * hop" in info["definitions"]["loudness_db"]
    assert "brought to -20 dB" in info["definitions"]["audio"]
    assert all(len(source["sha256"]) == 64 for source in info["sources"])


def test_dataset_of_the_thesiss_loudness_says_what_it_said_before(tmp_path, notes, yin):
    old = replace(yin, features=replace(yin.features, normalize="peak", loudness="mean_db"))
    sounds = [notes(n, notes=((4.0, f),)) for n, f in (("a", 100.0), ("b", 200.0), ("c", 300.0))]
    prepare_dataset(sounds, tmp_path / "old", old)
    info = json.loads((tmp_path / "old" / "dataset.json").read_text())
    keys = {"tracker", "tracker_options", "fmin", "fmax", "center", "normalize", "voicing_threshold", "n_fft"}
    assert set(info["features"]) == set(info["request"]["features"]) == keys
    assert info["definitions"]["loudness_db"] == (
        "mean over the bins of the A-weighted level in dB, each bin floored at -80, of a Hann window of 2048 samples "
        "centred on sample frame * hop"
    )
    assert "its peak brought to 1" in info["definitions"]["audio"]
    with pytest.raises(DatasetError, match=r"features.loudness is None there and a_weighted here.*--force"):
        prepare_dataset(sounds, tmp_path / "old", yin)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loudness": "a_weigthed"}, "Did you mean a_weighted"),
        ({"loudness_options": {"window": 0.1}}, "Did you mean window_seconds"),
    ],
)
def test_loudness_that_is_not_there_is_refused_before_anything_is_written(tmp_path, notes, yin, wrong, message):
    wrong = replace(yin, features=replace(yin.features, **wrong))
    with pytest.raises(ConfigError, match=message):
        prepare_dataset([notes("a")], tmp_path / "out", wrong)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"segment_seconds": 1.001}, r"Nearest: --segment-seconds 1 or 1.004"),
        ({"min_seconds": 5.0}, "longer than a segment"),
        ({"hop": 0}, "hop"),
        ({"silence_db": -1.0}, "above 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(yin, wrong, message):
    with pytest.raises(ConfigError, match=message):
        replace(yin, **wrong)


def test_processes_give_the_same_bytes_as_one(tmp_path):
    # In a script of its own, since spawned processes import the main module.
    script = """
import sys
from zoo.datasets import Preparation, prepare_dataset
from zoo.datasets.tones import tones
from zoo.executors import ExecutorConfig
if __name__ == "__main__":
    for jobs in (1, 2):
        execution = ExecutorConfig(jobs=jobs)
        prepare_dataset(tones(phrases=3, seconds=2.0), f"{sys.argv[1]}/{jobs}/o", Preparation(), execution=execution)
"""
    (tmp_path / "script.py").write_text(script)
    subprocess.run([sys.executable, tmp_path / "script.py", tmp_path], check=True)
    assert files(tmp_path / "1") == files(tmp_path / "2")


def test_further_inputs_are_cut_with_the_sound_and_padded(tmp_path, notes, yin):
    class Bowed(notes):
        def known_inputs(self, sample_rate, hop):
            frames = len(self.load(sample_rate)) // hop
            return {"pressure": torch.arange(frames) / 10000}

    recordings = [Bowed(name, notes=((1.0, 0.0), (2.0, 330.0))) for name in "abc"]
    with pytest.raises(DatasetError, match="must give the same names for all recordings"):
        prepare_dataset([*recordings, notes("d", notes=((4.0, 300.0),))], tmp_path / "mixed", yin)
    prepare_dataset(recordings, tmp_path / "out", yin)
    data = open_dataset(tmp_path / "out")
    assert data.inputs == ("pressure",)
    entry = data.info["splits"]["train"][0]
    item, valid = data.split("train")[0], entry["valid_frames"]
    first = entry["start"] // 64
    torch.testing.assert_close(item["pressure"][:valid], torch.arange(first, first + valid) / 10000)
    assert not item["pressure"][valid:].any()
    assert item["pressure"].shape == (1000,)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"f0_hz": torch.zeros(250)}, "cannot be named 'f0_hz'"),
        ({"Bow pressure": torch.zeros(250)}, "cannot be named"),
        ({"pressure": torch.zeros(249)}, r"must be \[frames\] = \[250\]"),
        ({"pressure": torch.full((250,), torch.nan)}, "finite"),
    ],
)
def test_inputs_that_nothing_could_use_are_refused(tmp_path, notes, yin, inputs, message):
    class Wrong(notes):
        def known_inputs(self, sample_rate, hop):
            return inputs

    with pytest.raises(ConfigError, match=message):
        prepare_dataset([Wrong("a", notes=((1.0, 330.0),))], tmp_path / "out", replace(yin, whole=True))
