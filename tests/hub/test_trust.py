"""Repos that mean harm, and files that are not what they should be: refused, with the reason, and nothing is run."""

import json
import pickle
import struct

import numpy as np
import pytest
import torch
from hub_runs import make_run
from safetensors.torch import load_file, save_file

import zoo
from zoo.errors import CheckpointError, ConfigError, HubError, PluginError, ZooError
from zoo.storage.run_files import published_files


@pytest.fixture
def files(run):
    return {name: path.read_bytes() for name, path in published_files(run).items()}


@pytest.fixture
def load(hub, empty_cache):
    def call(files, ref="org/bad", **options):
        hub.create("org/bad", files)
        return zoo.load(ref, endpoint=hub.endpoint, cache_dir=empty_cache, **options)

    return call


def config_with(files, **changes):
    config = {**json.loads(files["config.json"]), **changes}
    return {**files, "config.json": json.dumps(config).encode()}


def weights_with(files, tmp_path, change):
    """The weights after `change`, with a config that vouches for them."""
    (tmp_path / "w.safetensors").write_bytes(files["model.safetensors"])
    state = load_file(tmp_path / "w.safetensors")
    change(state)
    save_file(state, tmp_path / "w.safetensors")
    return config_with({**files, "model.safetensors": (tmp_path / "w.safetensors").read_bytes()}, weights_sha256=None)


class Explosive:
    """Unpickling it leaves a mark."""

    def __reduce__(self):
        import os

        return os.mkdir, ("exploded",)


def test_pickle_is_never_unpickled(load, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bomb = {**config_with(files, weights_sha256=None), "model.safetensors": pickle.dumps(Explosive())}
    with pytest.raises(CheckpointError, match="is a pickle"):
        load(bomb)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["../../evil.json", "samples/../../evil.wav", "/etc/evil", "a\\b.json", "C:/evil"])
def test_names_that_lead_out_of_the_folder_are_refused(hub, load, files, empty_cache, name):
    hub.create("org/bad", files)
    hub.list_as("org/bad", name, b"evil")
    with pytest.raises(HubError, match="a name that leads out of its folder"):
        zoo.load("org/bad", endpoint=hub.endpoint, cache_dir=empty_cache)
    assert not list(empty_cache.parent.rglob("*evil*"))


def test_config_of_a_gigabyte_is_refused_unread(hub, files, empty_cache):
    hub.create("org/bad", files)
    hub.lie_about_size("org/bad", "config.json", 10**9)
    with pytest.raises(HubError, match=r"config.json has 1000000000 bytes, and 1000000 is the most"):
        zoo.load("org/bad", endpoint=hub.endpoint, cache_dir=empty_cache)
    assert not [request for request in hub.requests if "/resolve/" in request.path]


def test_more_bytes_than_were_listed_are_cut_off(hub, files, empty_cache):
    large = {**files, "model.safetensors": files["model.safetensors"] + bytes(10_000_000)}
    hub.create("org/bad", large)
    hub.lie_about_size("org/bad", "model.safetensors", len(files["model.safetensors"]), where=["tree"])
    with pytest.raises(HubError, match="more are sent"):
        zoo.load("org/bad", endpoint=hub.endpoint, cache_dir=empty_cache)
    assert sum(path.stat().st_size for path in empty_cache.rglob("*") if path.is_file()) < 1_000_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": "ddsp-zoo", "format": "ddsp-zoo"}', "has the key 'format' twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"hop": NaN}', "NaN, which is no JSON number"),
        ('{"hop": 1e999}', "is too large"),
        ('{"a": "\\u001b[31m"}', "control character"),
        ("\ufeffnot json", "not valid JSON"),
    ],
)
def test_config_that_no_two_readers_take_alike_is_refused(load, files, text, message):
    with pytest.raises(ZooError, match=message):
        load({**files, "config.json": text.encode()})


@pytest.mark.parametrize("name", ["os:system", "zoo.models.model.Model", "../gru", "gru; rm", ""])
def test_component_is_a_registry_name_and_never_an_import_path(load, files, name):
    with pytest.raises(ConfigError, match="never an import path"):
        load(config_with(files, decoder={"name": name, "args": {}}))


def test_missing_component_names_the_package_that_brings_it(load, files):
    changed = config_with(
        files, synth={"name": "granular", "args": {}}, requires={"ddsp-zoo": "0.1.0", "zoo-granular": "1.2"}
    )
    with pytest.raises(PluginError, match=r"the synth 'granular', which is not installed.*pip install zoo-granular"):
        load(changed)


@pytest.mark.parametrize("package", ["x; rm -rf ~", "--index-url=evil", "a b", ""])
def test_package_names_that_are_none_never_reach_a_command_to_type(load, files, package):
    with pytest.raises(ConfigError, match="which is no package with a version"):
        load(config_with(files, synth={"name": "granular", "args": {}}, requires={package: "1"}))


def test_enormous_layers_are_refused_before_they_are_made(load, files):
    huge = config_with(files, decoder={"name": "gru", "args": {"hidden_size": 10**6}})
    with pytest.raises((CheckpointError, ConfigError)):
        load(huge)


def test_component_with_unknown_arguments_is_refused(load, files):
    with pytest.raises(ConfigError, match="has no option 'evil'"):
        load(config_with(files, decoder={"name": "gru", "args": {"evil": 1}}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(load, files, tmp_path, value):
    bad = weights_with(files, tmp_path, lambda state: state["synth.reverb.noise"].fill_(value))
    with pytest.raises(CheckpointError, match=r"NaN or infinite weights in synth.reverb.noise"):
        load(bad)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.update(extra=torch.zeros(3)), "has besides: extra"),
        (lambda state: state.pop("synth.reverb.wet"), "lacks synth.reverb.wet"),
        (lambda state: state.update({"synth.reverb.noise": torch.zeros(7)}), "synth.reverb.noise is .7., and should"),
        (lambda state: state.update({"synth.reverb.noise": torch.zeros(100, dtype=torch.int32)}), "stored as I32"),
    ],
)
def test_weights_that_do_not_fit_the_config_are_refused(load, files, tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message):
        load(weights_with(files, tmp_path, change))


def header(content, length=None):
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


def entry(begin=0, end=4, dtype="F32", shape=(1,)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (header({}, length=2**60), "header claims 1152921504606846976 bytes"),
        (header({}, length=5_000_000), "header claims 5000000 bytes"),
        (header({"a": entry()}) + bytes(8), "announces 4 bytes of weights, and there are 8"),
        (header({"a": entry(), "b": entry()}) + bytes(4), "puts b at byte 0, where 4 was expected"),
        (header({"a": entry(4, 8)}) + bytes(8), "puts a at byte 4, where 0 was expected"),
        (header({"a": entry(shape=[2**40])}) + bytes(4), "has 4 bytes"),
        (header({"a": entry(shape=[2**52] * 8)}) + bytes(4), "has 4 bytes"),
        (header({"a": entry(shape=[-1])}) + bytes(4), "does not describe a"),
        (header({"a": entry(dtype="C128")}) + bytes(4), "the type 'C128'"),
        (header(b'{"a": {}, "a": {}}'), "has the key 'a' twice"),
        (header(b"{" * 50_000), "header is not valid"),
        (header(b"\xff\xfe"), "header is not valid"),
        (b"abc", "it has 3 bytes"),
        (b"", "it has 0 bytes"),
    ],
)
def test_weights_with_a_lying_header_are_refused(load, files, data, message):
    with pytest.raises((CheckpointError, HubError), match=message):
        load({**config_with(files, weights_sha256=None), "model.safetensors": data})


def test_header_with_a_million_tensors_costs_little(load, files):
    import time

    many = {f"t{i}": entry(0, 0, shape=[0]) for i in range(12_000)}
    begin = time.process_time()  # other tests run beside this one
    with pytest.raises(CheckpointError, match="does not fit its config"):
        load({**config_with(files, weights_sha256=None), "model.safetensors": header(many)})
    assert time.process_time() - begin < 5


def test_weights_of_another_run_are_not_taken_for_these(load, files, tmp_path):
    other = make_run(tmp_path / "other", seed=1)
    with pytest.raises(CheckpointError, match=r"is not the file that the config.json beside it was saved with"):
        load({**files, "model.safetensors": (other / "model.safetensors").read_bytes()})


def test_recipe_that_imports_is_not_run(hub, files, tmp_path, monkeypatch, capsys):
    from zoo.__main__ import main

    (tmp_path / "run").mkdir()
    for name, data in files.items():
        (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_bytes(data)
    (tmp_path / "run" / "config.gin").write_text("import antigravity\ntrain.model = 'gru-S'\n")
    assert main(["reproduce", str(tmp_path / "run"), "--data", "tones"]) == 2
    assert "imports antigravity" in capsys.readouterr().err


def test_metrics_of_a_stranger_are_only_numbers(hub, files, empty_cache):
    bad = {**files, "metrics.json": b'{"student": {"x": {"mean": "\\u001b]0;evil", "std": 0, "n": 1}}}'}
    hub.create("org/bad", bad)
    with pytest.raises(CheckpointError, match=r"metrics.json is not valid"):
        zoo.info(zoo.fetch("org/bad", endpoint=hub.endpoint, cache_dir=empty_cache))


def test_refused_repo_leaves_no_name_in_the_store(hub, files, empty_cache):
    hub.create("org/bad", {**files, "model.safetensors": np.arange(9).tobytes()})
    with pytest.raises(ZooError):
        zoo.fetch("org/bad", name="gru-S-harp", endpoint=hub.endpoint, cache_dir=empty_cache)
    assert zoo.list_models("gru-S-harp") == []
