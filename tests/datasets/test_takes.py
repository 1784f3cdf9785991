import json

import numpy as np
import pytest
import soundfile
import torch

from zoo.datasets import open_dataset
from zoo.datasets.takes import MADE, Take, takes
from zoo.errors import ConfigError, DatasetError
from zoo.prepare import main

RATE = 16000


def write_recordings(folder, players=("Anna", "Bert"), each=6, seconds=2.0):
    folder.mkdir(parents=True)
    rows = ["path\tinstrument\tlicence\tauthor\tsource"]
    time = np.arange(round(seconds * RATE)) / RATE
    for which, player in enumerate(players):
        for k in range(each):
            name, level = f"{player}-{k}.wav", 0.5 * 10 ** (-k / 5)  # softer by 4 dB each
            tone = sum(np.sin(2 * np.pi * (220 + 20 * k + 5 * which) * h * time) / h for h in range(1, 6))
            soundfile.write(folder / name, level / 2 * tone, RATE)
            rows.append(f"{name}\tflute\tCC0\t{player}\there")
    (folder / "INDEX.tsv").write_text("\n".join(rows) + "\n")
    return folder


def test_each_take_holds_recordings_of_one_player_and_each_recording_is_in_one(tmp_path):
    found = list(takes(write_recordings(tmp_path / "in"), seconds=5.0))
    players = [{origin.attribution["author"] for origin in take.origins()} for take in found]
    assert sorted(name for names in players for name in names) == ["Anna"] * 3 + ["Bert"] * 3
    assert all(len(names) == 1 for names in players)
    names = [origin.id for take in found for origin in take.origins()]
    assert sorted(names) == sorted(file.name for file in (tmp_path / "in").glob("*.wav"))
    assert {take.instrument for take in found} == {"flute"}
    assert len({take.digest(RATE) for take in found}) == len({take.id for take in found}) == 6


def test_a_recording_that_is_there_twice_is_in_one_take(tmp_path):
    folder = write_recordings(tmp_path / "in")
    (folder / "INDEX.tsv").unlink()
    samples, _ = soundfile.read(folder / "Anna-1.wav", dtype="int16")
    (folder / "again").mkdir()
    soundfile.write(folder / "again" / "other name.flac", samples, RATE)
    left_out, *found = takes(folder, seconds=15.0)
    with pytest.raises(DatasetError, match="the same as "):
        left_out.load(RATE)
    names = [origin.id for take in found for origin in take.origins()]
    assert {left_out.id, *names} == {*(file.name for file in folder.glob("*.wav")), "again/other name.flac"}
    assert len(names) == 12
    assert {left_out.id} < {"Anna-1.wav", "again/other name.flac"}


def test_levels_and_samples_stay_as_played(tmp_path):
    folder = write_recordings(tmp_path / "in", players=("Anna",), each=2)
    (take,) = takes(folder, seconds=30.0, rest=0.5)
    audio = take.load(RATE)
    assert len(audio) == round(take.seconds() * RATE) == round(4.5 * RATE)
    for k, start in ((0, 0), (1, round(2.5 * RATE))):
        expected, _ = soundfile.read(folder / f"Anna-{k}.wav", dtype="float32")
        inner = slice(100, -100)
        assert torch.equal(audio[start : start + 2 * RATE][inner], torch.from_numpy(expected)[inner])
    assert audio[2 * RATE : round(2.5 * RATE)].abs().max() == 0


def test_without_an_index_a_folder_is_a_player_and_a_long_recording_stays_alone(tmp_path):
    folder = write_recordings(tmp_path / "in", players=("Anna",), each=3)
    (folder / "INDEX.tsv").unlink()
    (folder / "other").mkdir()
    soundfile.write(folder / "other" / "long.wav", 0.1 * np.sin(np.arange(8 * RATE) / 6), RATE)
    found = {each.id: each for each in takes(folder, seconds=6.5)}
    assert set(found) == {"player-0/take-000", "other/long.wav"}
    assert isinstance(found["player-0/take-000"], Take)
    assert found["other/long.wav"].made == ""


def test_what_stays_alone_goes_to_its_instruments_dataset(tmp_path):
    folder = write_recordings(tmp_path / "in", players=("Anna", "Bert"), each=2)
    soundfile.write(folder / "long.wav", 0.1 * np.sin(np.arange(8 * RATE) / 6), RATE)
    (folder / "copy.wav").write_bytes((folder / "long.wav").read_bytes())
    index = (folder / "INDEX.tsv").read_text().replace("flute\tCC0\tBert", "oboe\tCC0\tBert")
    more = "".join(f"{name}.wav\toboe\tCC0\tBert\there\n" for name in ("long", "copy"))
    (folder / "INDEX.tsv").write_text(index + more)
    found = {(each.instrument, each.subset) for each in takes(folder, seconds=6.5)}
    assert found == {("flute", "flute"), ("oboe", "oboe")}


def test_a_dataset_is_made_of_them_that_names_all_recordings(tmp_path):
    write_recordings(tmp_path / "in")
    command = ["--gin", "data/takes.gin", str(tmp_path / "in"), str(tmp_path / "out"), "--pitch", "yin"]
    command += ["--set", "prepare.pitch_model=None", "--set", "prepare.dataset_options={'seconds': 5.0}"]
    assert main(command) == 0
    dataset = open_dataset(tmp_path / "out")
    info = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert all(info["splits"].values())
    assert MADE in json.dumps(info)
    assert all(player in json.dumps(info) for player in ("Anna", "Bert"))
    loudness = torch.cat([segment["loudness_db"][segment["f0_hz"] > 0] for segment in dataset.split("train")])
    assert loudness.quantile(0.95) - loudness.quantile(0.05) > 6  # levelled one by one, all would be alike


def test_wrong_options_and_files_say_what_to_do(tmp_path):
    folder = write_recordings(tmp_path / "in", players=("Anna",), each=2)
    with pytest.raises(ConfigError, match="seconds is 0"):
        list(takes(folder, seconds=0.0))
    with pytest.raises(ConfigError, match="rest -1"):
        list(takes(folder, rest=-1.0))


@pytest.mark.parametrize("content", [b"no sound", b""])
def test_recording_that_cannot_be_read_costs_no_other_one_of_its_take(tmp_path, content):
    folder = write_recordings(tmp_path / "in", players=("Anna",), each=3)
    (folder / "Anna-1.wav").write_bytes(content)
    (take,) = takes(folder, rest=0.5)
    audio, notes = take.read(RATE)
    assert len(audio) == round(4.5 * RATE)
    (note,) = notes
    assert note.startswith("Anna-1.wav: ")
    assert note.endswith(", and is left out")
    before = take.digest(RATE)
    (folder / "Anna-2.wav").write_bytes((folder / "Anna-0.wav").read_bytes())
    assert take.digest(RATE) != before
    for file in folder.glob("*.wav"):
        file.write_bytes(content)
    with pytest.raises(DatasetError, match=r"Anna-0\.wav: .*; Anna-1\.wav: "):
        take.load(RATE)


def test_what_is_odd_about_a_recording_of_a_take_is_told(tmp_path):
    folder = write_recordings(tmp_path / "in", players=("Anna",), each=3)
    samples, _ = soundfile.read(folder / "Anna-1.wav")
    soundfile.write(folder / "Anna-1.wav", (10 * samples).clip(-1, 1), RATE)
    (take,) = takes(folder)
    (note,) = take.read(RATE)[1]
    assert note.startswith("Anna-1.wav: ")
    assert "clipped" in note
