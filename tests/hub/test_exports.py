"""Exports beside the weights: pushed with their hashes, verified by a fetch, shown by the card and by `zoo info`."""

import json
import shutil

import pytest
import torch
import zoo_player
from hub_runs import make_run

import zoo
from zoo.__main__ import main
from zoo.cards import write_card
from zoo.errors import CheckpointError, ConfigError
from zoo.export import export_run
from zoo.storage.exports import read_exports
from zoo.storage.files import file_hash
from zoo.storage.run_files import published_files
from zoo.storage.store import stored_models

FILE = "exports/gru-S-flute.zoo"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run with the file of an export beside it, as a fetch gives it."""
    folder = make_run(tmp_path_factory.mktemp("exported") / "run")
    export_run(folder, ["player"], folder)
    write_card(folder)
    return folder


@pytest.fixture
def run(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "run")


def serve(hub, folder):
    hub.create("org/flute", {name: path.read_bytes() for name, path in published_files(folder).items()})


def test_exports_are_pushed_with_their_hashes_and_fetched(hub, tmp_path, empty_cache, capsys):
    run = make_run(tmp_path / "runs" / "flute")
    words = ["push", str(run), "tester/flute", "--token", hub.token, "--endpoint", hub.endpoint]
    assert main([*words, "--with", "onnx,player"]) == 0
    capsys.readouterr()
    folder = zoo.fetch("tester/flute", endpoint=hub.endpoint, cache_dir=empty_cache)
    found = read_exports(folder)
    assert set(found["onnx"].files) == {"exports/gru-S-flute.onnx", "exports/gru-S-flute.anira.json"}
    for report in found.values():
        assert {name: file_hash(folder / name) for name in report.files} == report.files
    assert zoo_player.Instrument(folder / FILE).name == "gru-S-flute"
    card = (folder / "README.md").read_text()
    assert f"| `player` [gru-S-flute.zoo]({FILE}) |" in card
    assert not (run / "exports").exists()
    stored = zoo.fetch("tester/flute", endpoint=hub.endpoint, cache_dir=empty_cache, name="gru-S-flute")
    assert (stored / FILE).read_bytes() == (folder / FILE).read_bytes()
    assert main(["info", str(folder)]) == 0
    assert "export: player" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\0"), "gru-S-flute.zoo has been changed"),
        (lambda path: path.unlink(), f"has no {FILE}"),
        (lambda path: (path.parent / "more.onnx").write_bytes(b"x"), "has exports/more.onnx, which no export.json"),
        (lambda path: (path.parent.parent / "export.json").write_text("[]"), "export.json is not"),
        (lambda path: (path.parent.parent / "export.json").unlink(), "which no export.json"),
    ],
)
def test_fetch_refuses_exports_that_are_not_those_of_the_report(hub, run, empty_cache, fault, message):
    fault(run / FILE)
    serve(hub, run)
    with pytest.raises(CheckpointError, match=message):
        zoo.fetch("org/flute", endpoint=hub.endpoint, cache_dir=empty_cache, name="gru-S-flute")
    assert stored_models() == {}
    assert zoo.load("org/flute", endpoint=hub.endpoint, cache_dir=empty_cache).name == "gru-S-flute"


def test_report_names_no_file_out_of_the_exports(run):
    content = json.loads((run / "export.json").read_text())
    content["exports"]["player"]["files"] = {"../secret.zoo": "0" * 64}
    (run / "export.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="no export's report"):
        read_exports(run)


def test_second_push_keeps_exports_and_one_with_other_weights_leaves_them_out(hub, run):
    options = {"token": hub.token, "endpoint": hub.endpoint}
    zoo.push(run, "tester/flute", **options)
    assert FILE in dict(hub.commits("tester/flute")[0].tree)
    model = zoo.load(run)
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    zoo.save(model, run)
    assert read_exports(run) == {}
    zoo.push(run, "tester/flute", **options)
    sent = dict(hub.commits("tester/flute")[0].tree)
    assert not [name for name in sent if name.startswith("export")]
    assert "In other programs" not in sent["README.md"].data.decode()


def test_exports_of_other_weights_are_not_pushed(hub, run, tmp_path):
    other = make_run(tmp_path / "other", seed=1)
    with pytest.raises(ConfigError, match="no exports of the weights"):
        zoo.push(other, "tester/flute", token=hub.token, endpoint=hub.endpoint, exports=run)
    assert hub.repos == {}


@pytest.mark.parametrize(
    ("exporters", "message"),
    [("c", "makes a folder"), ("plyer", "Did you mean player"), (",", "Name exporters")],
)
def test_what_cannot_be_published_is_told_before_anything_is_made(run, hub, exporters, message, capsys):
    words = ["push", str(run), "tester/flute", "--token", hub.token, "--endpoint", hub.endpoint]
    assert main([*words, "--with", exporters]) == 2
    assert message in capsys.readouterr().err
    assert hub.repos == {}


def test_card_tries_exporters_and_says_which_it_left_out(tmp_path, capsys, monkeypatch):
    run = make_run(tmp_path / "run")
    assert main(["info", str(run)]) == 0
    assert "not tried" in capsys.readouterr().out
    monkeypatch.setattr("zoo.export.onnx.find_spec", lambda name: None)
    assert main(["card", str(run), "--exports", "player,onnx"]) == 0
    assert "onnx is left out: ONNX needs" in capsys.readouterr().err
    assert not (run / "exports").exists()
    found = read_exports(run)
    assert set(found) == {"player"}
    row = next(line for line in (run / "README.md").read_text().splitlines() if line.startswith("| `player`"))
    assert row == f"| `player` | {' | '.join(found['player'].facts(16000))} |"
    assert found["player"].facts(16000)[1] == "4"


def test_exporters_that_make_a_folder_do_not_meet(run, tmp_path):
    made = export_run(run, ["c", "web"], tmp_path / "out", files=False)
    assert set(json.loads((made / "export.json").read_text())["exports"]) == {"c", "web"}
