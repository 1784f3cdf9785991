"""Sound files as people have them: no files at all, cut off, never finished, with broken channels."""

import logging
import os
import socket
import struct

import numpy as np
import pytest
import soundfile
import soxr
import torch

from zoo.errors import DatasetError
from zoo.features import read_audio
from zoo.features.audio import read_recording
from zoo.features.sound_files import seconds_of

RATE = 16000


def sound(seconds=4.0, hz=440.0, rate=RATE):
    noise = np.random.default_rng(0).normal(size=round(seconds * rate)) * 0.01
    return (0.4 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate) + noise).astype(np.float32)


def read(path, *samples):
    soundfile.write(path, np.stack(samples, axis=1), RATE, subtype="FLOAT")
    return read_recording(path, sample_rate=RATE)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "a pipe, not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "a device, not a file"),
        (lambda path: path.symlink_to("nowhere.wav"), "a link to something that is not there"),
        (lambda path: path.symlink_to(path.name), "cannot be reached"),
        (lambda path: path.mkdir(), "a folder, not an audio file"),
    ],
)
def test_what_is_no_file_is_named_and_never_waited_for(tmp_path, make, reason):
    path = tmp_path / "x.wav"
    make(path)
    with pytest.raises(DatasetError, match=reason):
        read_audio(path, sample_rate=RATE)
    assert seconds_of(path) is None


def test_socket_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("x.wav")
        with pytest.raises(DatasetError, match="a socket, not a file"):
            read_audio("x.wav", sample_rate=RATE)


def test_file_name_in_another_encoding_is_read(tmp_path):
    path = tmp_path / os.fsdecode(b"Fl\xf6te.wav")
    soundfile.write(tmp_path / "a.wav", sound(1.0), RATE)
    (tmp_path / "a.wav").rename(path)
    assert len(read_audio(path, sample_rate=RATE)) == RATE
    assert seconds_of(path) == 1.0


@pytest.mark.parametrize("factor", [-0.99, -0.8, -0.3])
def test_louder_channel_is_taken_where_one_is_inverted(tmp_path, factor):
    one = sound()
    found = read(tmp_path / "a.wav", factor * one, one)
    assert torch.equal(found.audio, torch.from_numpy(one))
    assert "cancel each other out" in found.notes[0]
    assert "channel 2" in found.notes[0]


def test_channel_that_is_inverted_for_a_while_is_found(tmp_path):
    one = sound()
    other = np.concatenate([one[: 3 * RATE], -one[3 * RATE :]])
    assert "cancel each other out" in read(tmp_path / "a.wav", 1.1 * one, other).notes[0]


@pytest.mark.parametrize(
    "other", [sound(hz=660.0), sound(), 0.1 * sound(), np.random.default_rng(1).normal(size=4 * RATE)]
)
def test_ordinary_channels_are_averaged_without_a_word(tmp_path, other):
    one, other = sound(), other.astype(np.float32)
    found = read(tmp_path / "a.wav", one, other)
    torch.testing.assert_close(found.audio, torch.from_numpy((one + other) / 2))
    assert found.notes == ()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros(4 * RATE, np.float32), "channel 2 of 3 is silent"),
        (np.full(4 * RATE, 0.7, np.float32), "channel 2 of 3 is silent"),
        (1e-5 * sound(), "channel 2 of 3 is silent"),
        (np.where(np.arange(4 * RATE) == 50000, np.nan, sound()).astype(np.float32), "channel 2 of 3 holds values"),
        (np.full(4 * RATE, np.inf, np.float32), "channel 2 of 3 holds values"),
    ],
)
def test_channel_that_is_silent_or_broken_is_left_out(tmp_path, bad, said):
    found = read(tmp_path / "a.wav", sound(), bad, sound())
    torch.testing.assert_close(found.audio, torch.from_numpy(sound()))
    assert said in found.notes[0]


@pytest.mark.parametrize(("offset", "said"), [(-0.25, "-0.2"), (0.03, "+0.03"), (0.004, "+0.004")])
def test_constant_under_a_sound_is_taken_away_and_named(tmp_path, offset, said):
    clean = np.concatenate([sound(1.0), np.zeros(RATE, np.float32)])
    found = read(tmp_path / "a.wav", clean + offset)
    assert np.abs(found.audio.numpy() - (clean - clean.mean())).max() < 1e-6
    assert found.notes == (f"its samples are about {said} of full scale off zero (DC), which is taken away",)


@pytest.mark.parametrize("seconds", [0.01, 0.1, 0.5, 2.0])
def test_mean_of_a_low_tone_that_breaks_off_is_no_constant(tmp_path, seconds):
    tone = 0.5 * np.sin(2 * np.pi * 32.7 * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)
    for samples in (tone, tone[: round((seconds * 32.7 // 1 + 0.5) / 32.7 * RATE)]):
        found = read(tmp_path / "a.wav", samples)
        assert found.notes == ()
        np.testing.assert_array_equal(found.audio.numpy(), samples)


def test_recording_whose_channels_are_all_broken_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no numbers"):
        read(tmp_path / "a.wav", np.full(RATE, np.nan, np.float32), np.full(RATE, np.inf, np.float32))


def test_silence_in_all_channels_stays_silence_without_a_word(tmp_path):
    found = read(tmp_path / "a.wav", np.zeros(RATE, np.float32), np.zeros(RATE, np.float32))
    assert found.notes == ()
    assert not found.audio.any()


@pytest.mark.parametrize("suffix", ["wav", "aiff", "flac", "mp3", "ogg"])
def test_cut_file_is_used_and_says_so(tmp_path, suffix):
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    soundfile.write(whole, sound(60.0), RATE)
    assert read_recording(whole, sample_rate=RATE).notes == ()
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    found = read_recording(cut, sample_rate=RATE)
    assert 25 * RATE < len(found.audio) < 35 * RATE
    assert "cut off or damaged" in found.notes[0]
    assert ("how much is missing is unknown" if suffix == "ogg" else "of 60.") in found.notes[0]


def test_what_is_odd_goes_to_the_log(tmp_path, caplog):
    soundfile.write(tmp_path / "a.wav", np.stack([sound(), -sound()], axis=1), RATE)
    with caplog.at_level(logging.WARNING):
        read_audio(tmp_path / "a.wav", sample_rate=RATE)
    assert [record.message.split(": ")[0] for record in caplog.records] == [str(tmp_path / "a.wav")]


def resized(path, size):
    """Say in a wav's header that it holds so many bytes of sound."""
    data = bytearray(path.read_bytes())
    at = data.find(b"data") + 4
    data[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(data)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_wav_that_its_recorder_never_finished_is_read_whole(tmp_path, subtype):
    path = tmp_path / "a.wav"
    soundfile.write(path, sound(), RATE, subtype=subtype)
    whole = read_audio(path, sample_rate=8000)
    resized(path, 0)
    found = read_recording(path, sample_rate=8000)
    assert torch.equal(found.audio, whole)
    assert "header says that it is empty" in found.notes[0]
    assert seconds_of(path) == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_wav_from_a_pipe_states_no_length_and_is_whole(tmp_path, size):
    path = tmp_path / "a.wav"
    soundfile.write(path, sound(), RATE)
    resized(path, size)
    found = read_recording(path, sample_rate=RATE)
    assert len(found.audio) == 4 * RATE
    assert found.notes == ()


def test_wav_that_is_empty_in_truth_is_called_so(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(0, np.float32), RATE)
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO")
    with pytest.raises(DatasetError, match="no samples"):
        read_audio(path, sample_rate=RATE)


def test_blocks_give_what_the_whole_gives(tmp_path):
    both = np.stack([sound(20.0, rate=44100), sound(20.0, hz=500.0, rate=44100)], axis=1)
    soundfile.write(tmp_path / "a.wav", both, 44100, subtype="FLOAT")
    found = read_audio(tmp_path / "a.wav", sample_rate=RATE)
    assert np.array_equal(found.numpy(), soxr.resample(both.mean(axis=1), 44100, RATE, quality="HQ"))
