"""The page: what it plays is what the player plays, its own tests in node, and what `zoo web` writes and serves."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import zoo_player
from zoo_player import build

import zoo
from zoo.commands import cli, web
from zoo.errors import ConfigError, ExportError
from zoo.export.web import INDEX, card_of, write_site
from zoo.listing import list_models
from zoo.streaming import instrument_file

HERE = Path(__file__).parent / "web"
RATE = 48000


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page's folder as node takes it, with two instruments."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(files("zoo.export") / "web_files", folder, dirs_exist_ok=True)
    shutil.copy(build.web_library(), folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "instruments").mkdir()
    for name in ("violin", "flute"):
        data = instrument_file(zoo.load(f"gru-S-{name}"), weights="float16")
        (folder / "instruments" / f"{name}.zoo").write_bytes(data)
    return folder


def node(*words, **environment):
    if shutil.which("node") is None:
        pytest.fail("node is needed")
    command = ["node", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


@pytest.mark.parametrize("name", ["notes", "core"])
def test_page_passes_its_own_tests(page, name):
    done = node("--test", HERE / f"{name}.test.mjs", ZOO_PAGE=str(page))
    assert done.returncode == 0, done.stdout + done.stderr


def phrase(rate):
    """Three seconds: a glide with vibrato, a rest, noise, and a soft low tone."""
    t = np.arange(3 * rate) / rate
    hz = np.where(t < 1.8, 300 * 2 ** (t / 2 + 0.03 * np.sin(2 * np.pi * 5.5 * t)), 160)
    turns = 2 * np.pi * np.cumsum(hz) / rate
    sound = sum(np.sin(k * turns) / k for k in range(1, 6)) * np.where(t < 1.8, 0.2, 0.02)
    sound[(t > 1) & (t < 1.2)] = 0
    sound[(t > 1.7) & (t < 1.8)] = np.random.default_rng(0).normal(size=((t > 1.7) & (t < 1.8)).sum()) * 0.05
    return sound.astype(np.float32)


def in_worklet(page, tmp_path, instrument, sound, **job):
    """What the page's worklet makes of a sound, and what it reports."""
    (tmp_path / "instrument.zoo").write_bytes(instrument)
    (tmp_path / "in.f32").write_bytes(sound.tobytes())
    names = {"instrument": "instrument.zoo", "input": "in.f32", "output": "out.f32"}
    described = {name: str(tmp_path / file) for name, file in names.items()}
    (tmp_path / "job.json").write_text(
        json.dumps({"sampleRate": RATE, "block": 128, "lowestHz": 80, **described, **job})
    )
    done = node(HERE / "worklet_run.mjs", page, tmp_path / "job.json")
    assert done.returncode == 0, done.stderr
    return np.fromfile(tmp_path / "out.f32", np.float32), json.loads(done.stdout)


@pytest.mark.parametrize("name", list_models(pretrained=True))
def test_worklet_plays_what_the_player_plays(page, tmp_path, name):
    data, sound = instrument_file(zoo.load(name), weights="float16"), phrase(RATE)
    sound = sound[:RATE] if "-L-" in name else sound  # the large ones are slow
    played, said = in_worklet(page, tmp_path, data, sound)
    live = zoo_player.Live(data, sample_rate=RATE, fmin=80.0)
    expected = live.process(sound)
    assert np.abs(expected).max() > 0.01
    assert np.abs(played - expected).max() < 1e-5
    assert said["delays"] == live.delays
    assert said["report"]["gaps"] == 0


@pytest.mark.parametrize(("rate", "block"), [(44100, 128), (16000, 100), (96000, 512)])
def test_worklet_takes_any_rate_and_block(page, tmp_path, rate, block):
    data, sound = instrument_file(zoo.load("gru-S-flute"), weights="float16"), phrase(rate)
    played, _ = in_worklet(page, tmp_path, data, sound, sampleRate=rate, block=block)
    expected = zoo_player.Live(data, sample_rate=rate, fmin=80.0).process(sound)
    assert np.abs(played - expected).max() < 1e-5


def test_worklet_driven_by_hand_plays_what_the_player_plays(page, tmp_path):
    data = instrument_file(zoo.load("gru-S-trumpet"), weights="float16")
    messages = [
        [0, {"what": "on", "value": {"note": 69, "velocity": 0.8}}],
        [24000, {"what": "off", "value": {"note": 69}}],
    ]
    played, said = in_worklet(page, tmp_path, data, np.zeros(RATE, np.float32), messages=messages, silent=True)
    assert np.abs(played[6000:24000]).max() > 0.02
    assert np.abs(played[-2400:]).max() < 1e-3
    assert said["report"]["byHand"] is False
    live = zoo_player.Live(data, sample_rate=RATE)
    live.drive(440.0, -30.0)
    driven = live.process(np.zeros(RATE, np.float32))
    spectrum = np.abs(np.fft.rfft(driven[RATE // 2 :] * np.hanning(RATE // 2)))
    assert 2 * (60 + spectrum[60:300].argmax()) in range(438, 443)
    live.listen()
    assert np.abs(live.process(np.zeros(RATE, np.float32))[-2400:]).max() < 1e-3


def test_site_holds_the_page_the_instruments_and_their_cards(tmp_path):
    site = write_site(["gru-S-violin", "ddx7-flute"], tmp_path / "site")
    index = json.loads((site / INDEX).read_text())
    violin, flute = index["instruments"]
    assert (violin["name"], violin["title"], violin["teachers"]) == ("gru-S-violin", "violin", ["gru-L-violin"])
    assert violin["licence"] == "cc-by-sa-3.0"
    assert any("John Garner" in author for author in violin["authors"])
    assert ["this model" in violin["measures"][0], len(violin["measures"]) > 3] == [True, True]
    assert flute["title"] == "flute"
    for each in (violin, flute):
        zoo_player.Live(site / each["file"])
    written = {file.name for file in site.iterdir()}
    assert {"index.html", "worklet.js", "zoo_player.wasm", INDEX} <= written
    text = "".join(file.read_text() for file in site.iterdir() if file.suffix in (".html", ".js", ".css"))
    assert "http://" not in text.replace("http://127.0.0.1", "").replace("http://www.w3.org", "")
    assert "https://" not in text
    write_site(["gru-S-flute"], site)  # a page is replaced
    assert [each["name"] for each in json.loads((site / INDEX).read_text())["instruments"]] == ["gru-S-flute"]


def test_exporter_writes_the_page_of_a_model_at_hand(tmp_path):
    model = zoo.create("gru-S", instrument="flute", hidden_size=8).eval()
    site = zoo.export(model, "web", tmp_path / "site")
    (card,) = json.loads((site / INDEX).read_text())["instruments"]
    assert card["name"] == model.name
    assert zoo_player.describe(site / card["file"]).sample_rate == 16000


def test_exporter_refuses_a_model_that_the_page_would_refuse(tmp_path):
    model = zoo.create("gru-XS", sample_rate=2000, hop=8).eval()  # no pitch is heard live at such a rate
    with pytest.raises(ExportError, match="gru-XS cannot be played live"):
        zoo.export(model, "web", tmp_path / "site")
    assert list(tmp_path.iterdir()) == []


def test_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="no page of zoo"):
        write_site(["gru-S-flute"], tmp_path)
    assert (tmp_path / "mine.txt").is_file()


def test_card_of_a_model_about_which_nothing_is_known_is_short():
    card = card_of(zoo.create("gru-S", hidden_size=8).config)
    assert {"name", "title", "file", "text"} <= set(card)
    assert not {"teachers", "licence", "authors", "measures"} & set(card)


def test_command_serves_the_page_until_it_is_stopped(tmp_path):
    out = tmp_path / "site"
    command = [sys.executable, "-m", "zoo", "web", "gru-S-flut*", "--out", str(out), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "1 instrument" in process.stdout.readline()
        address = process.stdout.readline().split()[0]
        assert address.startswith("http://127.0.0.1:")
        kinds = {"": "text/html", "worklet.js": "text/javascript", "zoo_player.wasm": "application/wasm"}
        for name, kind in kinds.items():
            with urllib.request.urlopen(address + name) as answer:
                assert answer.headers["Content-Type"].startswith(kind)
                assert answer.read()
        process.terminate()
    assert (out / INDEX).is_file()


def test_command_says_what_is_wrong(tmp_path, capsys):
    for words, code, message in (
        (["nothing-*"], 2, "zoo list --pretrained"),
        (["gru-S-violinn", "--out", str(tmp_path / "site")], 2, "gru-S-violin"),
        (["gru-S-violin", "--port", "99999"], 2, "65535"),
    ):
        assert cli.run(web.main, words) == code
        assert message in capsys.readouterr().err
    assert not (tmp_path / "site").exists()
