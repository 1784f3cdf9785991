"""Names from outside that become part of a path stay in their folder, or are refused where they enter."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from zoo_experiments.grid import cells_of

import zoo
from zoo import registry
from zoo.checks.path_names import check_path_name, path_fault
from zoo.datasets import Recording, open_dataset, prepare_dataset
from zoo.errors import ConfigError, DatasetError, HubError, HubNotFoundError, ModelNotFoundError, ZooError
from zoo.hub.client import HubClient
from zoo.hub.snapshot import fetch_snapshot
from zoo.hub.source import HubSource, read_source, write_source
from zoo.models import architectures, naming
from zoo.registry import components
from zoo.storage.config import read_config

OUT = ["../x", "..", ".", "/etc/x", "a/../../x", "..\\x", "C:x", "C:\\x", "\\\\host\\x", "a//b", "x/", "a\0b"]
STRANGE = ["", "a\nb", "a\x1bb", "a\x85b", "a\u202eb", "a\ufeffb", "x.", "x ", " x", "-rf", "~root", "a?", "a*", "a|b"]
DEVICES = ["con", "NUL", "aux.txt", "Com1.wav", "lpt9", "conin$", "nul .txt"]
LONG = ["x" * 256, "é" * 120, "\udcff"]


@pytest.mark.parametrize("name", [*OUT, *STRANGE, *DEVICES, *LONG, None, 3, b"x", ["x"]])
def test_name_that_cannot_be_a_part_of_a_path_is_refused(name):
    with pytest.raises(ConfigError, match=r"^The name .* is refused: "):
        check_path_name(name, "The name")
    assert path_fault(name, nested=True)


@pytest.mark.parametrize(
    "name", ["gru-S-flute", "café", "弦楽器", "👩‍🎤", "a b", "v1.0+cu", ".x", "console", "com10", "x" * 200]
)
def test_name_that_can_stays_as_it_is(name):
    assert check_path_name(name, "The name") == name
    assert check_path_name(f"refs/{name}", "The name", nested=True) == f"refs/{name}"
    with pytest.raises(HubError, match="has a slash"):
        check_path_name(f"refs/{name}", "The name", error=HubError)


@pytest.mark.parametrize("revision", [*OUT, "-x", "con", "x" * 300, "a\x1b[31m"])
def test_revision_is_checked_before_a_cache_is_touched(revision, tmp_path):
    client = HubClient(cache_dir=tmp_path / "cache", endpoint="http://127.0.0.1:9", local_files_only=True)
    with pytest.raises(HubNotFoundError, match=r"The revision .* is refused: .*Give a branch, a tag, or a commit"):
        fetch_snapshot("org/x", revision, client, every_file=False)
    for call in (zoo.load, zoo.fetch):
        with pytest.raises(ZooError, match="is refused"):
            call("org/x", revision=revision, cache_dir=tmp_path / "cache", local_files_only=True)
    with pytest.raises(ZooError, match="is refused"):
        zoo.push("gru-S-violin", "org/x", revision=revision, endpoint="http://127.0.0.1:9")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("revision", ["../../../victim", "/tmp/victim", "v1/..", "-x"])
def test_revision_in_a_reference_is_refused_too(revision):
    with pytest.raises(HubNotFoundError, match="The revision"):
        naming.parse(f"org/name@{revision}")
    assert naming.parse("org/name@refs/pr/1").revision == "refs/pr/1"


@pytest.mark.parametrize("reference", ["x" * 300, "org/" + "x" * 5000, "a\0b", "~nobody-here/x"])
def test_reference_that_is_no_name_of_a_file_is_told(reference):
    with pytest.raises(ModelNotFoundError):
        zoo.load(reference, local_files_only=True)


@pytest.fixture
def run(tmp_path):
    return zoo.save(zoo.create("gru-S", instrument="flute", hidden_size=8, reverb_length=100), tmp_path / "run")


def with_config(run, **changes):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, **changes}))
    return run


@pytest.mark.parametrize(
    "changes", [{"architecture": "nul", "instrument": None}, {"architecture": "x" * 150}, {"instrument": "x."}]
)
def test_strangers_model_has_a_name_that_folders_can_have(run, changes):
    with pytest.raises(
        ConfigError, match=r"config\.json: (the model's name .* is refused|.* is no architecture's name)"
    ):
        read_config(with_config(run, **changes))


def test_strangers_teacher_leads_nowhere(run, small_tones, tmp_path, caplog):
    from zoo.storage.lineage import teacher_reference
    from zoo.training.evaluation import find_teacher_of

    teacher = {"id": "org/big", "name": "gru-L-flute", "commit": "../../../victim", "weights": "0" * 64}
    model = zoo.load(with_config(run, lineage={"teacher": teacher}))
    assert teacher_reference(model.config) == "org/big@../../../victim"
    assert find_teacher_of(model, small_tones) is None
    assert "The revision '../../../victim' is refused" in caplog.text
    assert not list(tmp_path.rglob("victim"))


@pytest.mark.parametrize("instrument", ["../../x", "a/b", "flute.", "-x", "", "x\x1b"])
def test_instrument_is_a_word_wherever_it_enters(instrument, tmp_path):
    with pytest.raises(ConfigError, match=r"instrument .* is refused"):
        zoo.create("gru-S", instrument=instrument)
    with pytest.raises(ConfigError, match=r"instruments: .* is refused"):
        cells_of(["distill/gru-L-to-gru-S.gin"], instruments=["flute", instrument])
    with pytest.raises(ConfigError, match=r"instrument .* is refused"):
        prepare_dataset([Recording("a.wav", instrument=instrument)], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_name_for_the_store_is_checked_before_the_work():
    config = zoo.create("gru-S", instrument="flute").config
    for name in ("../x", "gru-S-" + "x" * 300, "CON", "-f", "a\\b"):
        with pytest.raises(ConfigError, match=r"--name .* is refused"):
            architectures.check_name(name, config=config, force=True)


def test_folder_of_a_dataset_component_stays_inside(tmp_path):
    with pytest.raises(DatasetError, match=r"a\.wav: the dataset '\.\./x' is refused"):
        prepare_dataset([Recording("a.wav", subset="../x")], tmp_path / "out")


def test_dataset_of_a_stranger_reads_its_own_files_only(small_tones, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(small_tones.path, folder)
    info = json.loads((folder / "dataset.json").read_text())
    name = next(iter(info["shards"]))

    def refused(changed, message):
        (folder / "dataset.json").write_text(json.dumps(changed))
        with pytest.raises(DatasetError, match=message):
            open_dataset(folder)

    shutil.copy(folder / name, tmp_path / "secret.safetensors")
    outside = {**info, "shards": {**info["shards"], "../secret.safetensors": info["shards"][name]}}
    refused(outside, r"the shard '\.\./secret\.safetensors' is refused")
    splits = json.loads(json.dumps(info["splits"]))
    splits["train"][0]["shard"] = str(tmp_path / "secret.safetensors")
    refused({**info, "splits": splits}, "the shard .* is refused")
    splits["train"][0]["shard"] = "other.safetensors"
    refused({**info, "splits": splits}, "does not describe the shard 'other.safetensors'")
    refused({**info, "instrument": "../../x"}, "the instrument .* is refused")


@dataclass
class Point:
    name: str
    value: str
    dist: object


@dataclass
class Distribution:
    metadata: dict


@pytest.mark.parametrize(
    ("distribution", "version", "name"),
    [
        ("-r evil", "1", "a"),
        ("x; rm -rf ~", "1", "a"),
        ("x", "1\x1b[31m", "a"),
        ("x", "1", "../a"),
        ("x", "1", "a\x1b"),
    ],
)
def test_plugin_whose_names_are_none_is_left_out_and_told(distribution, version, name, monkeypatch, tmp_path):
    info = tmp_path / "x-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[zoo_decoders]\n{name} = zoo_kazoo:Kazoo\n")
    monkeypatch.syspath_prepend(tmp_path)
    components._installed.cache_clear()
    names = {(entry.name, entry.distribution) for entry in registry.installed("zoo_decoders")}
    assert (name.strip(), distribution) not in names
    (fault,) = (entry.fault for entry in registry.misnamed("zoo_decoders"))
    assert "is left out" in fault
    assert "\x1b" not in fault
    components._installed.cache_clear()


def test_place_on_the_hub_that_a_folder_remembers_is_checked(run):
    written = HubSource("org/x", "a" * 40, read_config(run).weights_sha256)
    write_source(run, written)
    assert read_source(run) == written
    for changes in ({"repo_id": "../x"}, {"commit": "../../x"}, {"commit": 3}, {"repo_id": "org/x@v1"}):
        content = json.loads((run / "hub.json").read_text())
        (run / "hub.json").write_text(json.dumps({**content, **changes}))
        assert read_source(run) is None
        write_source(run, written)


def test_card_of_a_plugin_names_a_place_on_the_hub_and_no_folder(tmp_path, monkeypatch):
    card = tmp_path / "cards" / "gru-S-zither"
    card.mkdir(parents=True)
    (card / "README.md").write_text(f"---\nddsp_zoo:\n  hub: {tmp_path}\n---\n# x\n")
    monkeypatch.setattr("zoo.registry.paths.model_card_folders", lambda: [Path(tmp_path / "cards")])
    with pytest.raises(ZooError, match="which is no Hub id"):
        zoo.load("gru-S-zither")
