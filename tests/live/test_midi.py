"""MIDI files, good and bad, are played as written; nothing sounds on."""

import mido
import numpy as np
import pytest
import torch

import zoo
from zoo.__main__ import main
from zoo.decoders import Decoder
from zoo.decoders.gru import GRUDecoder
from zoo.errors import ConfigError, PluginError
from zoo.features import read_audio, track_pitch
from zoo.live import MidiInstrument, octaves_for, read_midi, voices_for

ODE = [64, 64, 65, 67, 67, 65, 64, 62, 60, 60, 62, 64, 64, 62, 62]  # Beethoven, opus 125: the theme's first phrase
BEAT = 480


def write(path, *tracks, **options):
    file = mido.MidiFile(ticks_per_beat=BEAT, **options)
    for messages in tracks:
        file.tracks.append(mido.MidiTrack(messages))
    file.save(path)
    return path


def on(note, time=0, **options):
    return mido.Message("note_on", note=note, velocity=90, time=time, **options)


def off(note, time=BEAT, **options):
    return mido.Message("note_off", note=note, time=time, **options)


def control(number, value, time=0, **options):
    return mido.Message("control_change", control=number, value=value, time=time, **options)


def tempo(bpm, time=0):
    return mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm), time=time)


@pytest.fixture
def ode(tmp_path):
    return write(tmp_path / "ode.mid", [tempo(150), *(each for note in ODE for each in (on(note), off(note)))])


@pytest.fixture(scope="module")
def flute():
    return zoo.load("gru-S-flute")


def test_melody_is_played_at_its_pitches_and_ends(ode, tmp_path, capsys):
    out = tmp_path / "ode.wav"
    assert main(["midi", "gru-S-flute", str(ode), str(out), "--transpose", "12"]) == 0
    assert "15 notes, 1 voice" in capsys.readouterr().out
    audio = read_audio(out, sample_rate=16000)
    f0_hz, _ = track_pitch(audio[None], sample_rate=16000, hop=64, tracker="yin", fmin=200.0, center=True)
    for number, note in enumerate(ODE):  # 0.4 s each
        middle = f0_hz[0, number * 100 + 40 : number * 100 + 85].double()
        assert abs(float((1200 * torch.log2(middle / 440)).median()) - 100 * (note + 12 - 69)) % 1200 < 10
    assert audio[:96000].abs().max() > 0.05
    assert audio[-8000:].abs().max() < 1e-3


def test_song_is_moved_into_the_range_by_octaves(flute, tmp_path):
    low = read_midi(write(tmp_path / "low.mid", [on(40), off(40), on(43), off(43)]))
    octaves = octaves_for(low, flute.config.range)
    assert octaves >= 1
    assert flute.config.range.f0_hz.at(0.01) <= 440 * 2 ** ((40 - 69) / 12 + octaves) * 1.01


def test_tempo_changes_count_from_where_they_stand(tmp_path):
    path = write(
        tmp_path / "a.mid", [tempo(120), tempo(60, time=2 * BEAT)], [on(60), off(60, 3 * BEAT), on(62), off(62)]
    )
    assert read_midi(path).notes() == [(0.0, pytest.approx(2.0), 60), (pytest.approx(2.0), pytest.approx(3.0), 62)]
    assert read_midi(path, track=1).notes() == read_midi(path).notes()  # the tempo is in the other track


def test_running_status_is_read(tmp_path):
    data = bytes([0, 0x90, 60, 90, 0x60, 62, 90, 0x60, 60, 0, 0x60, 62, 0, 0, 0xFF, 0x2F, 0])
    header = b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1, 0, 0x60])
    path = tmp_path / "running.mid"
    path.write_bytes(header + b"MTrk" + len(data).to_bytes(4, "big") + data)
    assert [pitch for _, _, pitch in read_midi(path).notes()] == [60, 62]


def test_ends_belong_to_notes_of_one_pitch_in_order(tmp_path):
    song = read_midi(write(tmp_path / "same.mid", [on(69), on(69, BEAT // 2), off(69, BEAT // 2), off(69)]))
    assert song.notes() == [(0.0, pytest.approx(0.5), 69), (pytest.approx(0.25), pytest.approx(1.0), 69)]


@pytest.mark.parametrize("voices", [1, 4])
def test_second_note_of_one_pitch_is_heard_to_its_own_end(voices, flute, tmp_path):
    song = read_midi(write(tmp_path / "same.mid", [on(72), on(72, BEAT // 2), off(72, BEAT // 2), off(72)]))
    audio = MidiInstrument(flute, voices=voices, style="plain").play(song)
    levels = np.abs(audio[: 20 * 800].reshape(20, 800)).max(axis=1)
    assert levels[12:19].min() > 0.5 * levels[6:9].max()


def test_volume_of_a_channel_is_that_of_its_sound(flute, tmp_path):
    heard = []
    for messages in ([], *([control(7, value)] for value in (127, 100, 20))):
        song = read_midi(write(tmp_path / "a.mid", [*messages, on(72), off(72)]))
        heard.append(MidiInstrument(flute).play(song)[:8000])
    gains_db = [20 * np.log10(np.abs(some).max() / np.abs(heard[0]).max()) for some in heard[1:]]
    assert gains_db == pytest.approx([40 * np.log10(value / 100) for value in (127, 100, 20)], abs=0.05)


def test_notes_out_of_the_range_are_counted(tmp_path, capsys):
    notes = (5, 36, 76, 79, 84)
    path = write(tmp_path / "a.mid", [each for note in notes for each in (on(note, channel=0), off(note, 60))])
    words = ["midi", "gru-S-violin", str(path), str(tmp_path / "a.wav"), "--fit", "off"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "2 of 5 notes are outside the range of gru-S-violin (F#3 to B6)" in said
    assert "left out" not in said
    assert main([*words, "--transpose", "-12"]) == 0
    assert "1 of 5 notes is left out: there is no such pitch." in capsys.readouterr().out


def test_notes_that_lose_their_voice_are_counted(tmp_path, capsys):
    chord = [on(note) for note in (60, 64, 67, 72, 76)]
    path = write(tmp_path / "a.mid", [*chord, *(off(each.note, 60) for each in chord)])
    words = ["midi", "gru-S-flute", str(path), str(tmp_path / "a.wav"), "--fit", "off"]
    assert main([*words, "--voices", "3"]) == 0
    assert "2 of 5 notes were cut short or not heard: --voices gives more than 3" in capsys.readouterr().out
    assert main(words) == 0
    assert "cut short" not in capsys.readouterr().out


def test_notes_without_ends_end_with_the_song(flute, tmp_path):
    song = read_midi(write(tmp_path / "hangs.mid", [on(72), on(76, BEAT), mido.MetaMessage("end_of_track", time=BEAT)]))
    assert song.notes()[0][1] == song.seconds == pytest.approx(1.0)
    audio = MidiInstrument(flute, voices=4).play(song)
    assert np.abs(audio[8000:15000]).max() > 0.01
    assert np.abs(audio[-4000:]).max() < 1e-3


def test_drums_are_left_out_and_channels_can_be_chosen(tmp_path):
    path = write(
        tmp_path / "a.mid",
        [on(36, channel=9), off(36, channel=9), on(60), off(60), on(64, channel=3), off(64, channel=3)],
    )
    assert [pitch for *_, pitch in read_midi(path).notes()] == [60, 64]
    assert [pitch for *_, pitch in read_midi(path, channel=4).notes()] == [64]
    assert [pitch for *_, pitch in read_midi(path, channel=10).notes()] == [36]


def test_as_many_voices_as_a_song_needs(tmp_path):
    bound = [on(60), on(62, BEAT), off(60, 30), off(62, BEAT)]
    chord = [on(60), on(64), on(67), off(60), off(64, 0), off(67, 0)]
    crowd = [*(on(note) for note in range(20, 120)), off(20)]
    for messages, voices in ((bound, 1), (chord, 6), (crowd, 64)):
        assert voices_for(read_midi(write(tmp_path / "a.mid", messages))) == voices


def test_notes_that_the_pedal_holds_have_voices(tmp_path):
    notes = [each for note in (60, 64, 67, 64) for each in (on(note), off(note))]
    path = write(tmp_path / "a.mid", [control(64, 127), *notes, control(64, 0, BEAT), on(60), off(60)])
    song = read_midi(path)
    assert voices_for(song) == 6  # three at once: what is struck again sounds once
    assert song.notes() == [(0, 2.5, 60), (0.5, 1.5, 64), (1, 2.5, 67), (1.5, 2.5, 64), (2.5, 3, 60)]


def test_end_of_all_notes_is_that_of_a_channel(flute, tmp_path):
    ends_early = [on(76, channel=1), control(123, 0, BEAT, channel=1)]
    song = read_midi(write(tmp_path / "a.mid", [on(72), off(72, 4 * BEAT)], ends_early))
    assert song.notes() == [(0, 0.5, 76), (0, 2, 72)]
    audio = MidiInstrument(flute, voices=4, style="plain").play(song)
    assert np.abs(audio[20000:31000]).max() > 0.1


def test_song_is_played_the_same_whatever_was_played_before(flute, tmp_path):
    song = read_midi(write(tmp_path / "a.mid", [on(72), off(72), control(7, 20)]))
    instrument = MidiInstrument(flute)
    first = instrument.play(song)
    instrument.message([0x90, 60, 100])
    instrument.process(10)
    assert np.array_equal(instrument.play(song), first)


def test_no_voices_are_refused(ode, tmp_path, capsys):
    out = tmp_path / "a.wav"
    assert main(["midi", "gru-S-flute", str(ode), str(out), "--voices", "0"]) == 2
    assert "voices must be a whole number of at least 1" in capsys.readouterr().err
    assert not out.exists()


def test_chord_on_more_notes_than_voices_is_finite(flute, tmp_path):
    song = read_midi(write(tmp_path / "a.mid", [*(on(note) for note in range(20, 120)), off(20)]))
    audio = MidiInstrument(flute, voices=16).play(song)
    assert np.isfinite(audio).all()
    assert np.abs(audio[-4000:]).max() < 1e-3


def test_pauses_are_silent_where_a_model_is_not(tmp_path):
    instrument = MidiInstrument(zoo.load("gru-S-violin"))  # by itself, it hisses at -50 dB of full scale
    instrument.message([0x90, 69, 100])
    note = instrument.process(250)
    instrument.message([0x80, 69, 0])
    instrument.process(250)
    assert np.abs(note).max() > 0.1
    assert np.abs(instrument.process(250)).max() < 1e-4


def test_model_without_a_c_form_is_told():
    class WithoutCForm(GRUDecoder):
        def describe(self, program):
            return Decoder.describe(self, program)

    model = zoo.create("gru-S")
    model.decoder.__class__ = WithoutCForm
    with pytest.raises(PluginError, match="WithoutCForm has no C form"):
        MidiInstrument(model)


BAD = {
    "empty": b"",
    "text": b"this is no MIDI file",
    "header alone": b"MThd\0\0\0\6\0\1\0\1\1\xe0",
    "cut short": b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk\0\0\0\x20\0\x90\x40",
    "film frames": b"MThd\0\0\0\6\0\0\0\1\xe7\x28MTrk\0\0\0\x0c\0\x90\x40\x40\x60\x80\x40\0\0\xff\x2f\0",
    "no beat": b"MThd\0\0\0\6\0\0\0\1\0\0MTrk\0\0\0\x0c\0\x90\x40\x40\x60\x80\x40\0\0\xff\x2f\0",
    "an hour": b"MThd\0\0\0\6\0\0\0\1\0\1MTrk\0\0\0\x0f\0\x90\x40\x40\xff\xff\xff\x7f\x80\x40\0\0\xff\x2f\0",
    "empty track": b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk\0\0\0\4\0\xff\x2f\0",
    "no tracks": b"MThd\0\0\0\6\0\1\0\0\1\xe0",
    "data byte": b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk\0\0\0\4\0\x40\x40\0",
}


def test_chunks_of_other_kinds_and_riff_are_read(ode, tmp_path):
    data = ode.read_bytes()
    foreign, riff = tmp_path / "foreign.mid", tmp_path / "ode.rmi"
    foreign.write_bytes(data[:14] + b"XFIH\0\0\0\3abc" + data[14:])
    pieces = b"RMID" + b"LIST\3\0\0\0abc\0" + b"data" + len(data).to_bytes(4, "little") + data
    riff.write_bytes(b"RIFF" + len(pieces).to_bytes(4, "little") + pieces)
    assert read_midi(foreign) == read_midi(riff) == read_midi(ode)


@pytest.mark.parametrize(
    "event",
    [b"\x59\2\x0b\0", b"\x59\2\0\7", b"\x58\2\4\2", b"\x54\1\0", b"\x51\2\1\2", b"\x20\0", b"\0\0"],
    ids=["11 sharps", "mode 7", "time signature", "offset", "tempo", "channel", "number"],
)
def test_meta_event_that_is_none_changes_no_note(event, ode, tmp_path):
    data = ode.read_bytes()
    events = b"\0\xff" + event + data[data.index(b"MTrk") + 8 :]
    path = tmp_path / "odd.mid"
    path.write_bytes(data[: data.index(b"MTrk")] + b"MTrk" + len(events).to_bytes(4, "big") + events)
    assert read_midi(path) == read_midi(ode)


def test_meta_event_that_nobody_knows_keeps_its_time(tmp_path):
    note = b"\x90\x40\x40\x60\x80\x40\0\0\xff\x2f\0"
    events = b"\x83\x60\xff\x60\1\0" + b"\0" + note
    path = tmp_path / "odd.mid"
    path.write_bytes(b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk" + len(events).to_bytes(4, "big") + events)
    ((start, _, _),) = read_midi(path).notes()
    assert start == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("empty", "is empty"),
        ("text", "is no MIDI file"),
        ("cut short", "is damaged: it ends before"),
        ("empty track", "has no notes. Its tracks"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_truly(name, told, tmp_path):
    path = tmp_path / "bad.mid"
    path.write_bytes(BAD[name])
    with pytest.raises(ConfigError, match=told):
        read_midi(path)
    with pytest.raises(ConfigError, match="has no notes but drums"):
        read_midi(write(path, [on(36, channel=9), off(36, channel=9)]))


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_told_in_one_message(name, tmp_path, capsys):
    path = tmp_path / "bad.mid"
    path.write_bytes(BAD[name])
    out = tmp_path / "out.wav"
    assert main(["midi", "gru-S-flute", str(path), str(out)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert str(path) in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_what_is_asked_wrongly_is_told(ode, tmp_path):
    with pytest.raises(ConfigError, match="no track 5"):
        read_midi(ode, track=5)
    with pytest.raises(ConfigError, match="no notes on channel 7"):
        read_midi(ode, channel=7)
    with pytest.raises(ConfigError, match="No such file"):
        read_midi(tmp_path / "none.mid")
