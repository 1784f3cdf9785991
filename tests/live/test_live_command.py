"""`zoo live` between a virtual microphone and a virtual loudspeaker; and played by a virtual keyboard."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
import torch
from sound_servers import Command, ended, wait_for

from zoo.__main__ import main
from zoo.features import read_audio, track_pitch, write_wav

MODEL = "gru-S-violin"


def pitches(audio):
    """Of the frames that sound, in Hz."""
    f0_hz, sure = track_pitch(audio[None], sample_rate=16000, hop=64, tracker="yin", fmin=190.0, center=True)
    loud = audio.unfold(0, 64, 64).square().mean(-1).sqrt()[: f0_hz.shape[1]] > 0.02
    return f0_hz[0][: len(loud)][loud & (sure[0][: len(loud)] > 0.8)]


def part_near(f0_hz, hz):
    return float(((1200 * torch.log2(f0_hz / hz)).abs() < 50).float().mean())


def plays_into(recording):
    """Whether half a second of sound has come by now, in the file that will become the recording."""
    return any(path.stat().st_size > 100_000 for path in recording.parent.glob(f"*{recording.stem}*"))


def tone(path, f0_hz, seconds):
    turns = 2 * torch.pi * f0_hz * torch.arange(round(48000 * seconds)) / 48000
    sound = 0.2 * sum(torch.sin(k * turns) / k for k in range(1, 6)) + 3e-3 * torch.randn(len(turns))  # and a room
    write_wav(path, sound, sample_rate=48000)
    return path


def test_microphone_is_followed_through_devices_and_ctrl_c_ends_it(pulse, tmp_path):
    heard, kept = tmp_path / "heard.wav", tmp_path / "kept.wav"
    live = pulse.live(MODEL, "--record", kept)
    recorder = pulse.recorder(heard)
    wait_for(lambda: plays_into(kept), 60)
    for number, f0_hz in enumerate((440.0, 660.0)):
        pulse.play(tone(tmp_path / f"{number}.wav", f0_hz, 2.0))
    time.sleep(0.5)
    live.process.send_signal(signal.SIGINT)
    code, out, err = live.ends()
    ended(recorder)
    assert code == 0, err
    for number in ("latency", "analysis", "synth", "input", "output", "dropouts"):
        assert number in out
    for path in (heard, kept):
        f0_hz = pitches(read_audio(path, sample_rate=16000))
        assert len(f0_hz) > 400
        assert part_near(f0_hz, 440.0) > 0.3
        assert part_near(f0_hz, 660.0) > 0.3
        assert part_near(f0_hz, 440.0) + part_near(f0_hz, 660.0) > 0.9


def test_lost_device_ends_it_with_a_message_and_keeps_the_recording(pulse, tmp_path):
    kept = tmp_path / "kept.wav"
    live = pulse.live(MODEL, "--record", kept)
    wait_for(lambda: plays_into(kept), 60)
    ended(pulse.server)
    code, _, err = live.ends(30)
    assert code == 1
    assert "unplugged" in err
    assert str(kept) in err
    assert err.count("\n") == 1  # nothing of ALSA's
    assert soundfile.info(kept).samplerate == 48000


def test_round_trip_is_measured(pulse):
    pulse.environment["PULSE_SINK"] = "mic"  # a cable from the output to the input
    code, out, err = pulse.live("--measure", "--seconds", "4").ends()
    assert code == 0, err
    assert 5 < float(out.split("devices: ")[1].split(" ms")[0]) < 490


def test_devices_are_listed(pulse):
    code, out, _ = pulse.live("--list-devices").ends()
    assert code == 0
    assert any("pulse" in line and "ALSA" in line for line in out.splitlines())


def test_unknown_device_is_told(pulse):
    code, _, err = Command([MODEL, "--input", "none such"], pulse.environment, pulse.folder).ends()
    assert code == 2
    assert "no audio input 'none such'" in err
    assert "--list-devices" in err


def test_keyboard_plays_through_a_virtual_port(pulse, jack, tmp_path):
    rtmidi = pytest.importorskip("rtmidi")
    kept = tmp_path / "kept.wav"
    live = pulse.live(MODEL, "--midi", "--record", kept)
    port = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, name="keyboard")
    wait_for(lambda: any("zoo" in name for name in port.get_ports()), 60)
    port.open_port(next(number for number, name in enumerate(port.get_ports()) if "zoo" in name))
    wait_for(lambda: plays_into(kept), 60)
    for message in ([0x90, 69, 100], [0x80, 69, 0], [0x90, 76, 100]):
        port.send_message(message)
        time.sleep(1)
    live.process.send_signal(signal.SIGINT)  # with a note that sounds
    code, _, err = live.ends()
    port.close_port()
    assert code == 0, err
    f0_hz = pitches(read_audio(kept, sample_rate=16000))
    assert part_near(f0_hz, 440.0) > 0.25
    assert part_near(f0_hz, 659.3) > 0.25
    assert part_near(f0_hz, 440.0) + part_near(f0_hz, 659.3) > 0.9


def test_keyboard_that_is_not_there_is_told(pulse, jack):
    code, _, err = pulse.live(MODEL, "--midi", "grand piano", "--seconds", "1").ends()
    assert code == 2
    assert "There is no MIDI port 'grand piano'" in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [MODEL, "--blocksize", "1"],
        [MODEL, "--record", "out.mp3"],
        [MODEL, "--latency", "soon"],
        [MODEL, "--rate", "7"],
    ],
)
def test_what_is_asked_wrongly_is_told(arguments, capsys):
    assert main(["live", *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(("blocked", "told"), [("sounddevice", "ddsp-zoo[live]"), ("_sounddevice", "libportaudio2")])
def test_what_is_not_installed_is_told(blocked, told):
    code = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name == {blocked!r}:
            raise {"ModuleNotFoundError" if blocked == "sounddevice" else "OSError"}("blocked")
sys.meta_path.insert(0, Blocked())
from zoo.__main__ import main
sys.exit(main(["live", "--list-devices"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert told in done.stderr


def test_what_devices_say_of_themselves_is_left_out_and_python_is_heard(capfd):
    from zoo.live.devices import without_native_errors

    stream = sys.stderr
    try:
        with os.fdopen(2, "w", closefd=False) as sys.stderr:
            with without_native_errors():
                os.write(2, b"Expression 'ret' failed in 'pa_linux_alsa.c'\n")
                sys.stderr.write("own\n")
            os.write(2, b"later\n")
    finally:
        sys.stderr = stream
    assert capfd.readouterr().err == "own\nlater\n"


def test_without_a_sound_card_only_the_own_message_is_told(tmp_path):
    pytest.importorskip("sounddevice")
    asound = tmp_path / "asound.conf"
    asound.write_text("pcm.!default { type hw card 7 }\nctl.!default { type hw card 7 }\n")
    environment = {**os.environ, "ALSA_CONFIG_PATH": str(asound), "HOME": str(tmp_path), "PULSE_SERVER": "none"}
    command = [sys.executable, "-m", "zoo", "live", MODEL, "--seconds", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_resampler_is_exact_and_as_late_as_it_says():
    from zoo.live.engines import Resampler

    for rate in (8000, 16000, 44100, 48000):
        resampler = Resampler(16000, rate)
        tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000).astype(np.float32)
        made = np.concatenate([resampler.process(tone[at : at + 100]) for at in range(0, 16000, 100)])
        ideal = np.sin(2 * np.pi * 440 * (np.arange(len(made)) - resampler.latency) / rate)
        assert abs(len(made) - rate) <= 1
        assert np.abs(made - ideal)[rate // 10 :].max() < 1e-3
