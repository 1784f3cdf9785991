import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from zoo.errors import CheckpointError, ConfigError, ModelNotFoundError, PluginError
from zoo.storage.checkpoint import weights_hash
from zoo.storage.config import ModelConfig


@pytest.fixture
def saved(tmp_path):
    return zoo.save(zoo.create("gru-S", instrument="flute"), tmp_path / "model")


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("name", ["gru-S", "tcn-S"])
def test_saved_twice_has_the_same_bytes(name, tmp_path):
    model = zoo.create(name, instrument="flute")
    zoo.save(model, tmp_path / "a")
    zoo.save(model, tmp_path / "b")
    zoo.save(zoo.load(tmp_path / "a"), tmp_path / "c")
    for file in ("model.safetensors", "config.json"):
        first = (tmp_path / "a" / file).read_bytes()
        assert (tmp_path / "b" / file).read_bytes() == first
        assert (tmp_path / "c" / file).read_bytes() == first


def test_bytes_are_the_same_in_another_process(tmp_path, saved):
    code = f"import zoo; zoo.save(zoo.load({str(saved)!r}), {str(tmp_path / 'again')!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (saved / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["gru-S", "tcn-S"])
def test_loaded_model_renders_the_same_audio_bit_for_bit(name, tmp_path):
    model = zoo.create(name).eval()
    f0_hz, loudness_db, noise = 100 + 900 * torch.rand(1, 60), -60 * torch.rand(1, 60), torch.rand(1, 3840) * 2 - 1
    loaded = zoo.load(zoo.save(model, tmp_path))
    with torch.no_grad():
        assert torch.equal(model(f0_hz, loudness_db, noise).audio, loaded(f0_hz, loudness_db, noise).audio)
    assert not loaded.training
    assert weights_hash(model) == weights_hash(loaded)


def test_loading_leaves_the_random_state_alone(saved):
    before = torch.random.get_rng_state()
    zoo.load(saved)
    assert torch.equal(before, torch.random.get_rng_state())


def test_config_says_how_the_model_is_built(saved):
    content = json.loads((saved / "config.json").read_text())
    assert content["decoder"] == {"name": "gru", "args": {"hidden_size": 44}}
    assert content["requires"]["ddsp-zoo"] == zoo.__version__
    assert content["features"]["center"] is True
    assert str(saved) not in (saved / "config.json").read_text()


def test_config_survives_its_json():
    config = zoo.create("tcn-M", instrument="trumpet").config
    assert ModelConfig.from_json(config.to_json()) == config


def test_truncated_weights_are_refused(saved):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        zoo.load(saved)


def test_pickle_in_place_of_weights_is_refused_unread(saved):
    torch.save(zoo.create("gru-S").state_dict(), saved / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"pickle.*import-thesis"):
        zoo.load(saved)


def test_missing_files_are_named(saved, tmp_path):
    (saved / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="weights are missing"):
        zoo.load(saved)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        zoo.load(tmp_path / "empty")


def test_nan_weights_are_refused(saved):
    state = {k: v.clone() for k, v in load_file(saved / "model.safetensors").items()}
    state["decoder.gru.bias_hh_l0"][3] = float("nan")
    save_file(state, saved / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"NaN.*decoder.gru.bias_hh_l0"):
        zoo.load(saved)


def test_weights_of_another_model_are_refused(saved, tmp_path):
    other = zoo.save(zoo.create("gru-M"), tmp_path / "other")
    (other / "model.safetensors").replace(saved / "model.safetensors")
    with pytest.raises(CheckpointError, match="does not fit its config"):
        zoo.load(saved)


def test_weights_of_another_setting_with_the_same_shapes_are_refused(saved, tmp_path):
    other = zoo.save(zoo.create("gru-S", instrument="flute", unvoiced="hold"), tmp_path / "other")
    (other / "model.safetensors").replace(saved / "model.safetensors")
    with pytest.raises(CheckpointError, match="another config"):
        zoo.load(saved)


def test_half_precision_weights_are_read_as_float32(saved):
    state = {k: v.half() for k, v in load_file(saved / "model.safetensors").items()}
    save_file(state, saved / "model.safetensors")
    edit_config(saved, weights_sha256=None)
    assert {p.dtype for p in zoo.load(saved).parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["gru-S", "tcn-S", "s4-S"])
def test_weights_stored_as_float16_load_as_one_float32_model(name, tmp_path):
    model = zoo.create(name, instrument="flute")
    folder = zoo.save(model, tmp_path / "half", weights_dtype="float16")
    stored = load_file(folder / "model.safetensors")
    rounded = {name for name, tensor in stored.items() if tensor.dtype == torch.float16}
    assert rounded == {name for name, parameter in model.named_parameters() if parameter.numel() >= 1024}
    for key, tensor in model.state_dict().items():
        assert torch.equal(stored[key], tensor.half() if key in rounded else tensor)
    loaded = zoo.load(folder)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert [b.dtype for b in loaded.buffers()] == [b.dtype for b in model.buffers()]
    assert json.loads((folder / "config.json").read_text())["weights_dtype"] == "float16"
    # saved again it is the same model, whatever it is stored as
    for again, dtype in (("again", None), ("half-again", "float16")):
        same = zoo.load(zoo.save(loaded, tmp_path / again, weights_dtype=dtype))
        assert weights_hash(same) == weights_hash(loaded) != weights_hash(model)
        assert same.config.weights_dtype == dtype
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "half-again" / file).read_bytes() == (folder / file).read_bytes()


def test_config_of_rounded_weights_is_refused_by_an_older_zoo_and_no_other_is(tmp_path):
    """That one reads version 1 alone, and says of others that zoo is to be updated."""
    model = zoo.create("gru-S", hidden_size=8, reverb_length=100)
    versions = {}
    for dtype in (None, "float16"):
        zoo.save(model, tmp_path / str(dtype), weights_dtype=dtype)
        content = json.loads((tmp_path / str(dtype) / "config.json").read_text())
        versions[dtype] = (content["config_version"], content.get("weights_dtype"))
    assert versions == {None: (1, None), "float16": (2, "float16")}


def test_weights_that_float16_cannot_hold_are_refused(tmp_path):
    model = zoo.create("gru-S")
    with torch.no_grad():
        model.decoder.gru.weight_hh_l0[0, 0] = 1e5
    with pytest.raises(ConfigError, match=r"decoder.gru.weight_hh_l0 cannot be stored as float16.* 65504"):
        zoo.save(model, tmp_path / "half", weights_dtype="float16")
    with pytest.raises(ConfigError, match="cannot be stored as 'int4'; they can be as float16"):
        zoo.save(model, tmp_path / "half", weights_dtype="int4")
    assert not (tmp_path / "half").exists()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"decoder": {"name": "kazoo", "args": {}}, "requires": {"zoo-kazoo": "1"}},
            PluginError,
            "pip install zoo-kazoo",
        ),
        ({"decoder": {"name": "kazoo", "args": {}}}, ConfigError, "no decoder named 'kazoo'"),
        ({"decoder": {"name": "os:system", "args": {}}}, ConfigError, "never an import path"),
        ({"decoder": {"name": "gru", "args": {"hidden": 44}}}, ConfigError, "Did you mean hidden_size"),
        ({"config_version": 99}, ConfigError, "pip install -U ddsp-zoo"),
        ({"format": "other"}, ConfigError, "not of zoo"),
        ({"sampel_rate": 16000}, ConfigError, "Did you mean sample_rate"),
        ({"sample_rate": "16k"}, ConfigError, "sample_rate must be int"),
        ({"hop": 0}, ConfigError, "must be a whole number from 1"),
        ({"weights_dtype": "int4"}, ConfigError, "'int4', and this zoo knows float16: pip install -U ddsp-zoo"),
        ({"weights_dtype": 16}, ConfigError, "weights_dtype must be str"),
    ],
)
def test_damaged_or_foreign_config_is_explained(saved, changes, error, message):
    edit_config(saved, **changes)
    with pytest.raises(error, match=message):
        zoo.load(saved)


def test_config_with_a_key_twice_or_broken_json_is_refused(saved):
    (saved / "config.json").write_text('{"format": "ddsp-zoo", "format": "ddsp-zoo"}')
    with pytest.raises(ConfigError, match="twice"):
        zoo.load(saved)
    (saved / "config.json").write_text('{"format": ')
    with pytest.raises(ConfigError, match="not valid JSON"):
        zoo.load(saved)


def test_reference_to_nothing_is_explained():
    with pytest.raises(ModelNotFoundError):
        zoo.load("no/such/folder/here")


FULL_DISK = """
import resource, signal, sys, zoo
model = zoo.load(sys.argv[1])
model.decoder.gru.bias_hh_l0.data += 1
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))  # any longer file fails to be written, as on a full disk
try:
    zoo.save(model, sys.argv[1])
except OSError:
    print("refused")
"""


def test_write_that_fails_leaves_the_model_that_was_there(saved):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(saved)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "refused", done.stderr
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
