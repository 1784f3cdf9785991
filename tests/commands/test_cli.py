"""The command line as a user types it."""

import dataclasses
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import zoo
from zoo import registry
from zoo.__main__ import main


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return zoo.save(zoo.create("gru-S", instrument="flute"), tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Half a second of a 330 Hz tone with overtones, in stereo at 44.1 kHz."""
    path = tmp_path_factory.mktemp("in") / "voice.wav"
    t = np.arange(22050) / 44100
    tone = 0.2 * sum(np.sin(2 * np.pi * 330 * k * t) / k for k in range(1, 8))
    soundfile.write(path, np.stack([tone, tone], 1), 44100)
    return path


def test_list_shows_names_and_what_stands_behind_them(capsys):
    assert main(["list", "gru-*"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["name", "status"]
    assert ["gru-S", "architecture"] in lines


def test_player_library_that_cannot_be_loaded_is_told_in_one_message(model, tmp_path, monkeypatch, capsys):
    from zoo_player.library import library

    monkeypatch.setattr("zoo_player.build.library_name", lambda: "missing.so")
    library.cache_clear()
    assert main(["export", str(model), "--to", "player", "--out", str(tmp_path / "flute.zoo")]) == 1
    library.cache_clear()
    said = capsys.readouterr().err
    assert said.startswith("error: The player library: the compiled library cannot be loaded")
    assert "python -m zoo_player.build --out" in said
    assert said.count("\n") == 1


def test_output_that_is_no_terminal_has_no_control_characters_and_is_not_cut(model):
    done = subprocess.run([sys.executable, "-m", "zoo", "info", model], capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stdout + done.stderr
    assert "decoder     gru hidden_size=44" in done.stdout
    assert str(model) in done.stdout


def test_info_prints_the_config_as_json(model, capsys):
    assert main(["info", str(model), "--json"]) == 0
    assert capsys.readouterr().out == (model / "config.json").read_text()


def test_synth_writes_audio_as_long_as_the_recording_and_the_reverb_after_it(model, recording, tmp_path, capsys):
    out = tmp_path / "flute.wav"
    assert main(["synth", str(model), str(recording), str(out), "--pitch", "yin", "--transpose", "12"]) == 0
    audio, rate = soundfile.read(out)
    assert rate == 16000
    reverb = zoo.load(str(model)).synth.reverb.length
    assert 8000 // 64 * 64 < len(audio) <= 8000 // 64 * 64 + reverb
    assert 0.01 < np.abs(audio).max() <= 1
    assert "flute.wav" in capsys.readouterr().out


def test_synth_is_the_same_every_time(model, recording, tmp_path):
    for name in ("a.wav", "b.wav"):
        assert main(["synth", str(model), str(recording), str(tmp_path / name), "--pitch", "yin"]) == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_synth_says_how_the_result_follows_when_asked_to_check(recording, tmp_path, capsys):
    out = str(tmp_path / "tones.wav")
    assert main(["synth", "gru-M-tones", str(recording), out, "--pitch", "yin", "--check"]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    found = re.fullmatch(
        r"pitch: median (\d+) cents from what was asked \((\d+) frames\); loudness: (\d+\.\d) dB off; "
        r"level: -\d+\.\d dB\(A\), [+-]0\.[0-4] from the recording's; peak (-\d+\.\d) dBFS",
        said,
    )
    assert found, said
    assert int(found[1]) < 20
    assert 60 < int(found[2]) <= 125
    audio, _ = soundfile.read(out)
    assert 20 * np.log10(np.abs(audio).max()) == pytest.approx(float(found[4]), abs=0.1)


def test_what_a_model_is_asked_can_be_changed_before_it_is_played(model, recording):
    player = zoo.load(model)
    asked = player.analyse(recording, pitch="yin", transpose=12)
    assert asked.f0_hz.median() == pytest.approx(660, rel=0.01)
    whole = player.synthesize(recording, pitch="yin", transpose=12)
    assert np.array_equal(player.render(asked), whole)
    softer = dataclasses.replace(asked, loudness_db=asked.loudness_db - 20)
    assert not np.allclose(player.render(softer), whole)


def test_synthesize_gives_the_recordings_level_back(model, recording):
    loud = zoo.load(model)
    samples, _ = soundfile.read(recording, dtype="float32")
    import torch

    mono = torch.from_numpy(samples.mean(1))
    plain = loud.synthesize(mono, sample_rate=44100, pitch="yin")
    quiet = loud.synthesize(mono * 0.1, sample_rate=44100, pitch="yin")
    assert torch.allclose(plain * 0.1, quiet, atol=1e-3)
    same = [loud.synthesize(mono * g, sample_rate=44100, pitch="yin", level="normalised") for g in (1, 0.1)]
    assert torch.allclose(same[0], same[1], atol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lst"], "Did you mean list"),
        (["--lst"], "no option --lst"),
        (["list", "nothing-*"], "No model is named like"),
        (["info", "gru-s"], "Did you mean gru-S"),
        (["synth", "gru-S", "in.wav", "out.wav"], "architecture, without trained weights"),
        (["synth", "gru-S-harp", "in.wav", "out.wav"], "--gin train/gru-S.gin"),
        (["synth", "MODEL", "nothing.wav", "out.wav"], "nothing.wav"),
        (["synth", "MODEL", "RECORDING", "out.mp3"], "out.wav"),
        (["synth", "MODEL", "RECORDING", "RECORDING"], "another name"),
        (["synth", "MODEL", "RECORDING", "OUT", "--pitch", "yinn"], "Did you mean yin"),
    ],
)
def test_users_mistake_gives_one_message_and_exit_code_2(arguments, message, model, recording, tmp_path, capsys):
    places = {"MODEL": model, "RECORDING": recording, "OUT": tmp_path / "out.wav"}
    assert main([str(places.get(word, word)) for word in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", registry.commands.names())
def test_every_command_has_help_with_examples(command):
    done = subprocess.run([sys.executable, "-m", "zoo", command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout


@pytest.fixture
def plugin(tmp_path):
    """A package with commands, laid out as an installer does; its folder."""
    site = tmp_path / "site"
    info = site / "zoo_kazoo-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-kazoo\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[zoo_commands]\nbuzz = zoo_kazoo.buzz:main\nhum = zoo_kazoo:main\nlost = zoo_kazoo.nowhere:main\n"
    )
    (site / "zoo_kazoo").mkdir()
    (site / "zoo_kazoo" / "__init__.py").write_text(
        '"""Hum.\n\nAt length."""\nimport sys; sys.stderr.write("imported")\n'
    )
    (site / "zoo_kazoo" / "buzz.py").write_text(
        '"""Buzz about."""\ndef main(arguments):\n    print("buzz", *arguments)\n    return 3\n'
    )
    return site


def zoo_with(plugin, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "zoo", *arguments],
        env={**os.environ, "PYTHONPATH": str(plugin), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_plugins_commands_are_helped_without_importing_them_and_run(plugin):
    done = zoo_with(plugin, "--help")
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert [line for line in lines if line[:1] in (["buzz"], ["hum"], ["lost"])] == [
        ["buzz", "Buzz about"],
        ["hum", "Hum"],
        ["lost"],
    ]
    assert done.stderr == ""
    done = zoo_with(plugin, "buzz", "--loud", "1")
    assert (done.stdout, done.returncode) == ("buzz --loud 1\n", 3)


def test_broken_command_of_a_plugin_names_it(plugin):
    done = zoo_with(plugin, "lost")
    assert done.returncode == 2
    assert "zoo-kazoo 1.2" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_its_package_a_command_says_what_to_install(plugin):
    done = zoo_with(plugin, "report", "runs/a", "--out", "page", ZOO_NO_PLUGINS="1")
    assert done.returncode == 2
    assert "ddsp-zoo-report" in done.stderr
