"""Fetching and loading by a Hub id: revisions, caches, no network, and what a user is told."""

import socket
import time

import pytest
import torch
from hub_faults import Fault, black_hole, dead_endpoint
from hub_runs import make_run

import zoo
from zoo.errors import CheckpointError, ConfigError, HubError, HubUnreachableError, ModelNotFoundError
from zoo.hub.source import read_source
from zoo.storage.run_files import published_files


def serve(hub, folder, repo_id="org/flute", **options):
    files = {name: path.read_bytes() for name, path in published_files(folder).items()}
    return hub.create(repo_id, files, **options)


@pytest.fixture
def served(hub, run):
    serve(hub, run)
    return hub


@pytest.fixture
def load(served, empty_cache):
    def call(ref="org/flute", **options):
        return zoo.load(ref, **{"endpoint": served.endpoint, "cache_dir": empty_cache, **options})

    return call


def test_path_that_is_not_there_is_told_before_what_the_hub_says(empty_cache):
    with pytest.raises(HubUnreachableError, match=r"^There is no folder runs/nosuch here"):
        zoo.load("runs/nosuch", endpoint=dead_endpoint(), cache_dir=empty_cache)


def weights_of(model):
    return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])


@pytest.mark.parametrize("spelling", ["org/flute", "hf-hub:org/flute", "hf://org/flute", "org/flute@main"])
def test_hub_id_loads_in_every_spelling(load, run, spelling):
    assert torch.equal(weights_of(load(spelling)), weights_of(zoo.load(run)))


def test_loading_asks_for_config_and_weights_alone_and_fetching_for_everything(served, load, empty_cache):
    load()
    asked = {request.path.rpartition("/")[2] for request in served.requests if "/resolve/" in request.path}
    assert asked == {"config.json", "model.safetensors"}
    folder = zoo.fetch("org/flute", endpoint=served.endpoint, cache_dir=empty_cache)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == set(served.commits("org/flute")[0].tree)


def test_files_that_are_not_of_a_run_are_never_fetched(served, empty_cache):
    served.commit("org/flute", {"evil.py": b"import os", "pytorch_model.bin": b"\x80", "checkpoints/last.ckpt": b"x"})
    folder = zoo.fetch("org/flute", endpoint=served.endpoint, cache_dir=empty_cache)
    assert not [path for path in folder.rglob("*") if path.suffix in (".py", ".bin", ".ckpt")]
    assert not [request for request in served.requests if "evil.py" in request.path]


def test_branch_tag_and_commit_each_name_their_own_weights(served, load, tmp_path):
    first = served.commits("org/flute")[0].hash
    served.repos["org/flute"].tags["v1"] = first
    other = make_run(tmp_path / "other", seed=1)
    served.commit("org/flute", {name: path.read_bytes() for name, path in published_files(other).items()})
    new, old = weights_of(load()), weights_of(load("org/flute@v1"))
    assert not torch.equal(new, old)
    assert torch.equal(new, weights_of(zoo.load(other)))
    assert torch.equal(old, weights_of(load(revision="v1")))
    assert torch.equal(old, weights_of(load(f"org/flute@{first}")))


def test_branch_that_moved_is_followed(served, load, tmp_path):
    old = weights_of(load())
    other = make_run(tmp_path / "other", seed=1)
    served.commit("org/flute", {name: path.read_bytes() for name, path in published_files(other).items()})
    assert not torch.equal(weights_of(load()), old)


def test_commit_that_was_fetched_needs_no_request(served, load):
    commit = served.commits("org/flute")[0].hash
    load(f"org/flute@{commit}")
    served.requests.clear()
    load(f"org/flute@{commit}")
    assert served.requests == []


@pytest.mark.parametrize("revision", [None, "main", "v1"])
def test_what_was_fetched_loads_with_a_dead_endpoint_by_any_name(served, load, revision, caplog):
    served.repos["org/flute"].tags["v1"] = served.commits("org/flute")[0].hash
    expected = weights_of(load(revision=revision))
    begin = time.monotonic()
    assert torch.equal(weights_of(load(revision=revision, endpoint=dead_endpoint())), expected)
    assert time.monotonic() - begin < 5
    assert "Taken from the cache" in caplog.text
    assert torch.equal(weights_of(load(revision=revision, local_files_only=True)), expected)


def test_what_was_fetched_loads_offline_in_another_process(served, run, other_machine):
    script = "import sys, zoo; print(zoo.load(sys.argv[1]).state_dict()['synth.reverb.noise'].double().sum().item())"
    online = other_machine("-c", script, "org/flute@main", hub=served).stdout
    served.requests.clear()
    offline = other_machine("-c", script, "org/flute@main", hub=served, HF_HUB_OFFLINE="1").stdout
    assert offline == online
    assert served.requests == []
    refused = other_machine("-c", script, "org/other", hub=served, HF_HUB_OFFLINE="1", check=False)
    assert "org/other at main has not been fetched before, and HF_HUB_OFFLINE is set" in refused.stderr


@pytest.mark.parametrize("place", ["dead", "silent"])
def test_endpoint_that_does_not_answer_is_told_within_five_seconds(empty_cache, place):
    with black_hole() as silent:
        endpoint = dead_endpoint() if place == "dead" else silent
        begin = time.monotonic()
        with pytest.raises(HubUnreachableError, match="does not answer"):
            zoo.load("org/flute", endpoint=endpoint, cache_dir=empty_cache)
        assert time.monotonic() - begin < 5


def test_folder_store_and_shipped_models_open_no_socket(run, monkeypatch):
    zoo.fetch(run, name="gru-S-flute")

    def refuse(*_, **__):
        raise AssertionError("no network is needed for this")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for ref in (run, f"local-dir:{run}", "gru-S-flute", "gru-M-tones"):
        assert zoo.load(ref).num_parameters > 0
    with pytest.raises(ModelNotFoundError):
        zoo.load("gru-S-harp")


def test_name_leads_to_the_hub_repo_that_a_shipped_card_names(served, empty_cache, tmp_path, monkeypatch):
    from zoo.registry import paths

    card = tmp_path / "model_cards" / "gru-S-flute" / "README.md"
    card.parent.mkdir(parents=True)
    card.write_text("---\nlibrary_name: ddsp-zoo\nddsp_zoo:\n  hub: org/flute@main\n---\n")
    monkeypatch.setattr(paths, "model_card_folders", lambda: [card.parent.parent])
    model = zoo.load("gru-S-flute", endpoint=served.endpoint, cache_dir=empty_cache)
    assert model.name == "gru-S-flute"


def test_fetched_model_enters_the_store_whole_and_knows_its_commit(served, empty_cache):
    folder = zoo.fetch("org/flute", name="gru-S-flute", endpoint=served.endpoint, cache_dir=empty_cache)
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert read_source(folder).commit == served.commits("org/flute")[0].hash
    assert zoo.load("gru-S-flute").name == "gru-S-flute"
    assert "gru-S-flute" in zoo.list_models(pretrained=True)
    again = {"endpoint": served.endpoint, "cache_dir": empty_cache, "name": "gru-S-flute"}
    with pytest.raises(ConfigError, match=r"already has a model gru-S-flute .* Replace it with --force"):
        zoo.fetch("org/flute", **again)
    assert zoo.fetch("org/flute", force=True, **again) == folder


@pytest.mark.parametrize("name", ["mymg", "gru-S", "gru-L-flute"])
def test_name_that_is_none_for_the_store_is_told_with_the_rule_and_an_example(run, name):
    with pytest.raises(ConfigError, match=f"--name {name}: a name in your store is ARCHITECTURE-INSTRUMENT, .* gru-S-"):
        zoo.fetch(run, name=name)


def test_cached_weights_that_were_damaged_are_fetched_again(served, load, empty_cache):
    commit = served.commits("org/flute")[0].hash
    expected = weights_of(load(f"org/flute@{commit}"))
    (weights,) = empty_cache.rglob("model.safetensors")
    data = bytearray(weights.read_bytes())
    data[-5] ^= 255
    weights.resolve().write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="SHA-256"):
        load(f"org/flute@{commit}", local_files_only=True)
    assert torch.equal(weights_of(load(f"org/flute@{commit}")), expected)


@pytest.mark.parametrize(
    ("status", "retry_after", "message"),
    [
        (500, None, "in trouble .HTTP 500"),
        (503, None, "in trouble .HTTP 503"),
        (429, 60, "too many requests.* in 60 s"),
    ],
)
def test_hub_in_trouble_is_told_and_the_cache_is_taken(served, load, status, retry_after, message):
    served.faults.add(Fault("status", times=None, status=status, retry_after=retry_after))
    with pytest.raises(HubUnreachableError, match=message):
        load()
    served.faults.clear()
    expected = weights_of(load())
    served.faults.add(Fault("status", times=None, status=status, retry_after=retry_after))
    assert torch.equal(weights_of(load()), expected)


def test_hub_that_is_busy_for_a_moment_is_asked_again(served, load):
    served.faults.add(Fault("status", "/api/models/", times=1, status=429, retry_after=0))
    assert load().name == "gru-S-flute"


def refusals():
    whole = {"config.json": b"{}", "model.safetensors": b"x"}
    newer = b'{"format": "ddsp-zoo", "config_version": 99}'
    return [
        ("org/none", {}, {}, ModelNotFoundError, "There is no model org/none .* zoo list --hub.* hf auth login"),
        ("org/flute@v9", {}, {}, ModelNotFoundError, "has no revision 'v9'.* It has main"),
        ("org/gated", {"gated": True}, whole, HubError, "org/gated is gated.* Ask for access at .*/org/gated"),
        ("org/private", {"private": True}, {}, ModelNotFoundError, "it is private and this login may not see it"),
        ("org/empty", {}, {"README.md": b"# x"}, HubError, "not made by zoo: it has no config.json"),
        (
            "org/bert",
            {},
            {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"x"},
            HubError,
            "not made by zoo",
        ),
        ("org/half", {}, {"config.json": b"{}"}, HubError, "it has no model.safetensors"),
        ("org/newer", {}, {"config.json": newer, "model.safetensors": b"x"}, ConfigError, "pip install -U ddsp-zoo"),
    ]


@pytest.mark.parametrize(("ref", "options", "files", "kind", "message"), refusals())
def test_what_cannot_be_loaded_is_told_with_what_to_type(served, load, ref, options, files, kind, message):
    if ref not in ("org/none", "org/flute@v9"):
        served.create(ref, files, **options)
    with pytest.raises(kind, match=message):
        load(ref, token=False)


@pytest.mark.parametrize("ref", ["org/flute/extra", "org/fl ute", "org//flute", "/org/flute", "org/flute@"])
def test_malformed_id_is_told_before_anyone_is_asked(served, load, ref):
    with pytest.raises(ModelNotFoundError, match=r"no Hub id|is not a Hub id"):
        load(ref)
    assert served.requests == []


def test_two_revisions_at_once_are_refused(load):
    with pytest.raises(ConfigError, match="names the revision v1, and revision='v2' another"):
        load("org/flute@v1", revision="v2")


def test_folder_has_no_revisions(run):
    with pytest.raises(ConfigError, match="has no revisions"):
        zoo.load(run, revision="v1")


def test_report_of_a_repo_holds_its_sounds(served, other_machine):
    done = other_machine("-m", "zoo", "report", "org/flute@main", "--out", "page", hub=served)
    assert "1 run, 1 phrase, 1 sound." in done.stdout
    assert "missing" not in done.stdout
    again = other_machine("-m", "zoo", "report", "org/none", "--out", "other", hub=served, check=False)
    assert (again.returncode, again.stdout) == (2, "")
    assert "org/none" in again.stderr


def test_cached_config_that_was_damaged_is_noticed_and_fetched_again(served, load, empty_cache):
    commit = served.commits("org/flute")[0].hash
    expected = load(f"org/flute@{commit}").config
    (config,) = empty_cache.rglob("config.json")
    good = config.read_bytes()
    for damaged in (good.replace(b"flute", b"flube"), good[:-20], b"", b"{}"):
        config.resolve().write_bytes(damaged)
        with pytest.raises(HubUnreachableError, match=r"has been damaged since it was fetched.*zoo fetch"):
            load(f"org/flute@{commit}", local_files_only=True)
        assert load(f"org/flute@{commit}").config == expected
        assert config.read_bytes() == good
