import json
import logging
import subprocess
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from building import CHECKOUT
from clips import check_clip
from zoo_player import build

import zoo
from zoo.__main__ import main
from zoo.errors import ConfigError, ExportError, PluginError
from zoo.export.base import create
from zoo.storage.checkpoint import weights_hash
from zoo.streaming import StreamingModel


@pytest.fixture(scope="module")
def made(small, tmp_path_factory):
    """A file of four frames per step."""
    return zoo.export(small, "onnx", tmp_path_factory.mktemp("onnx") / "flute.onnx", frames=4)


@torch.no_grad()
def test_graph_is_played_by_following_its_inputs_and_metadata_alone(small, made):
    session = onnxruntime.InferenceSession(str(made), providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    hop, frames, late = (int(about[name]) for name in ("hop", "frames", "latency_samples"))
    assert {put.type for put in (*session.get_inputs(), *session.get_outputs())} == {"tensor(float)"}
    state = {put.name: np.zeros(put.shape, np.float32) for put in session.get_inputs() if put.name.startswith("state_")}
    f0_hz = np.linspace(200, 400, 40, dtype=np.float32)[None]
    loudness_db = np.full((1, 40), -20, np.float32)
    noise = np.random.default_rng(0).random((1, 40 * hop), np.float32) * 2 - 1
    played = []
    for at in range(0, 40, frames):
        step = {"f0_hz": f0_hz[:, at : at + frames], "loudness_db": loudness_db[:, at : at + frames]}
        step["noise"] = noise[:, at * hop : (at + frames) * hop]
        outputs = session.run(None, step | state)
        names = [put.name for put in session.get_outputs()]
        after = dict(zip(names, outputs, strict=True))
        played.append(after.pop("audio"))
        state = {name.removeprefix("next_"): value for name, value in after.items()}
    expected = small(f0_hz, loudness_db, noise).audio.numpy()
    np.testing.assert_allclose(np.concatenate(played, 1)[:, late:], expected[:, :-late], atol=1e-5)
    assert np.abs(expected).max() > 1e-3


def test_file_says_what_a_host_must_know(tmp_path):
    made = zoo.export("gru-S-violin", "onnx", tmp_path / "violin.onnx")
    about = {entry.key: entry.value for entry in onnx.load(made).metadata_props}
    model = zoo.load("gru-S-violin")
    assert about["name"] == about["card"] == "gru-S-violin"
    assert about["licence"] == "cc-by-sa-3.0"
    assert (about["sample_rate"], about["hop"], about["latency_samples"], about["frames"]) == ("16000", "64", "64", "1")
    assert about["weights_sha256"] == weights_hash(model)
    assert json.loads(about["features"]) == model.feature_settings().to_dict()
    assert json.loads(about["range"])["f0_hz"] == [model.config.range.f0_hz.lowest, model.config.range.f0_hz.highest]
    report = json.loads((tmp_path / "violin.onnx.export.json").read_text())
    assert report["largest_difference"] < 1e-4
    assert set(report["microseconds_per_block"]) == {"1", "8"}


def test_decoder_alone_gives_controls(small, tmp_path):
    made = zoo.export(small, "onnx", tmp_path / "flute.onnx", part="decoder", frames=2)
    graph = onnx.load(made).graph
    shapes = {put.name: [size.dim_value for size in put.type.tensor_type.shape.dim] for put in graph.output}
    assert {name: shapes[name] for name in small.synth.control_sizes} == {
        name: [1, 2, size] for name, size in small.synth.control_sizes.items()
    }
    assert {put.name for put in graph.input} == {"f0_hz", "loudness_db", "state_decoder_hidden"}


@torch.no_grad()
@pytest.mark.parametrize("part", ["model", "decoder"])
def test_clip_is_played_to_its_last_sample(small, made, part, tmp_path):
    exporter = create("onnx", {"frames": 4, "part": part})
    if part == "decoder":
        made = tmp_path / "decoder.onnx"
        exporter.write(small, made)
    runtime = exporter.load(made)
    check_clip(runtime, small, frames=300)
    assert len(runtime.finish()) == 64


@torch.no_grad()
def test_phase_is_two_float32_that_add_up_to_a_float64(small, made):
    session = onnxruntime.InferenceSession(str(made), providers=["CPUExecutionProvider"])
    names = [put.name for put in session.get_outputs()]
    state = {put.name: np.zeros(put.shape, np.float32) for put in session.get_inputs() if put.name.startswith("state_")}
    streaming = StreamingModel(small)
    expected = streaming.stream_state(1)
    step = {"f0_hz": [[439.7] * 4], "loudness_db": [[-20.0] * 4], "noise": np.zeros((1, 256))}
    step = {name: np.asarray(values, np.float32) for name, values in step.items()}
    for _ in range(50):
        after = dict(zip(names, session.run(None, step | state), strict=True))
        state = {name: after[f"next_{name}"] for name in state}
        _, expected = streaming(*map(torch.from_numpy, step.values()), expected)
    near, rest = state["state_synth_phase"][0, 0].astype(np.float64)
    assert abs(near + rest - expected["synth_phase"].item()) < 1e-6
    assert 0 < abs(rest) < 1e-7 * abs(near)


@torch.no_grad()
def test_c_program_of_the_docs_plays_the_file_as_the_model_does(small, made, tmp_path):
    """Against the library in the Python package, which has no header: see the stand-in's own words."""
    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.1.*"))
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (tmp_path / name).symlink_to(library)
    header, program = Path(__file__).parent / "onnxruntime_stand_in", CHECKOUT / "docs" / "onnxruntime.c"
    compiler = [*(build.system_compiler() or build.zig_compiler()), "-O2", "-Wall", "-Wextra", "-Werror"]
    linked = [f"-L{tmp_path}", "-lonnxruntime", f"-Wl,-rpath,{tmp_path}", "-o", str(tmp_path / "play")]
    subprocess.run([*compiler, str(program), f"-I{header}", *linked], check=True)
    subprocess.run([tmp_path / "play", made, tmp_path / "audio.f32"], check=True)
    played = np.fromfile(tmp_path / "audio.f32", "<f4")
    noise, random = [], 1
    for _ in range(500 * 64):
        random = (random * 1664525 + 1013904223) % 2**32
        noise.append((random - 2**32 * (random >= 2**31)) / 2**31)
    f0_hz = (330 + 0.22 * np.arange(500)).astype(np.float32)
    expected = small(f0_hz[None], np.full((1, 500), -35, np.float32), np.float32(noise)[None]).audio[0].numpy()
    np.testing.assert_allclose(played[64:], expected[:-64], atol=1e-4)
    assert np.abs(expected).max() > 1e-2
    subprocess.run([*compiler, "-DORT_API_VERSION=999", str(program), f"-I{header}", *linked], check=True)
    refused = subprocess.run([tmp_path / "play", made, tmp_path / "a.f32"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "this onnxruntime is older than the headers" in refused.stderr


def test_anira_is_told_the_role_and_the_shape_of_each_tensor(made):
    graph = onnx.load(made).graph
    report = json.loads(made.with_name("flute.onnx.export.json").read_text())
    assert report["companions"] == ["flute.anira.json"]
    about = json.loads(made.with_name("flute.anira.json").read_text())
    assert about["models"] == [{"engine": "onnxruntime", "path": "flute.onnx"}]
    for side, puts in (("inputs", graph.input), ("outputs", graph.output)):
        shapes = {put.name: [size.dim_value for size in put.type.tensor_type.shape.dim] for put in puts}
        assert {put["name"]: [extent for _, extent in put["axes"]] for put in about[side]} == shapes
    sources = {put["state_source"] for put in about["inputs"] if put["role"] == "state"}
    assert sources == {put["name"] for put in about["outputs"] if put["role"] == "state"}
    audio = next(put for put in about["outputs"] if put["name"] == about["anchor"] == "audio")
    assert audio["latency"] == 64
    assert audio["window"] == {"min": 256, "max": 256}


def test_third_partys_decoder_needs_nothing_more(struck, tmp_path):
    made = zoo.export(struck, "onnx", tmp_path / "struck.onnx")
    file = onnx.load(made)
    assert [put.name for put in file.graph.input][:4] == ["f0_hz", "loudness_db", "velocity", "noise"]
    about = {entry.key: entry.value for entry in file.metadata_props}
    assert json.loads(about["initial_states"]) == {"state_decoder_struck": [1.0]}
    assert not (tmp_path / "struck.anira.json").exists()  # whose states begin with zeros
    zoo.export(zoo.create("example-S").eval(), "onnx", tmp_path / "example.onnx", frames=8)


def test_file_holds_no_path_of_this_machine(made):
    for place in (Path(zoo.__file__).parent, Path(torch.__file__).parent, Path.home()):
        assert str(place).encode() not in made.read_bytes()


def test_export_tells_nothing_but_its_result(small, tmp_path, caplog, capfd):
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error")
        zoo.export(small, "onnx", tmp_path / "flute.onnx")
    assert caplog.records == []
    assert "".join(capfd.readouterr()) == ""


def test_model_that_plays_whole_clips_only_is_refused_with_the_method_to_write(struck, tmp_path, monkeypatch):
    monkeypatch.delattr(type(struck.decoder), "stream_state")
    with pytest.raises(ExportError, match=r"StruckDecoder .* has to implement stream_state and stream"):
        zoo.export(struck, "onnx", tmp_path / "struck.onnx")
    assert list(tmp_path.iterdir()) == []


def test_model_that_branches_on_values_is_refused(struck, tmp_path, monkeypatch):
    plain = type(struck.decoder)._decoded

    def branching(self, f0_scaled, loudness_scaled, velocity, struck):
        return plain(self, f0_scaled, loudness_scaled, velocity if velocity.max() > 0.9 else 2 * velocity, struck)

    monkeypatch.setattr(type(struck.decoder), "_decoded", branching)
    with pytest.raises(ExportError, match=r"struck-S cannot be exported by 'onnx': .* branches on values"):
        zoo.export(struck, "onnx", tmp_path / "struck.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"), [({"part": "synth"}, "It knows decoder, model"), ({"frames": 0}, "frames")]
)
def test_what_cannot_be_is_refused(small, options, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        zoo.export(small, "onnx", tmp_path / "a.onnx", **options)


def test_without_onnx_it_says_what_to_install(small, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.export.onnx.find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"pip install 'ddsp-zoo\[onnx\]'"):
        zoo.export(small, "onnx", tmp_path / "a.onnx")


def test_command_tells_the_time_of_the_blocks_that_the_graph_takes(small, tmp_path, capsys):
    zoo.save(small, tmp_path / "model")
    out = tmp_path / "flute.onnx"
    assert main(["export", str(tmp_path / "model"), "--to", "onnx", "--out", str(out), "--option", "frames=3"]) == 0
    assert "us for a block of 3 frames" in capsys.readouterr().out
