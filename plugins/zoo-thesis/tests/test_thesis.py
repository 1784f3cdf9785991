"""Parity with the thesis's models; row 1 of the reference arrays, with 20 unvoiced frames, is kept here."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from zoo_thesis import ThesisHarmonicNoise

import zoo
from zoo.__main__ import main
from zoo.errors import CheckpointError, ModelNotFoundError
from zoo.features import FeatureSettings
from zoo.models import ComponentConfig
from zoo.models.model import Model

DATA = Path(__file__).parent / "data"
MODELS = ["gru-S", "s4-S", "tcn-S"]


def reference(name):
    return DATA / f"thesis-{name}.safetensors"


def state_of(name):
    return {k.removeprefix("state."): v for k, v in load_file(reference(name)).items() if k.startswith("state.")}


@pytest.mark.parametrize("name", MODELS)
def test_imported_model_reproduces_the_thesis(name):
    known = load_file(reference(name))
    model = zoo.import_thesis(reference(name), model=name)
    with torch.no_grad():
        made = model(known["in.f0_hz"][..., 0], known["in.loudness_db"][..., 0], known["in.noise_uniform"].flatten(1))
    for control, value in made.controls.items():
        assert torch.allclose(value, known[f"controls.{control}"], atol=1e-4, rtol=0), control
    for part in ("harmonic", "noise", "dry", "audio"):
        assert torch.allclose(getattr(made, part), known[f"out.{part}"][..., 0], atol=1e-4, rtol=0), part


@pytest.mark.parametrize("name", [f"{kind}-{size}" for kind in ("gru", "s4", "tcn") for size in "SML"])
def test_every_size_survives_a_lightning_checkpoint(name, tmp_path):
    """Names of another size are those of S; each size's own weights go out under them and come back."""
    from zoo_thesis import checkpoints as thesis

    options = {"kernel_frames": 77} if name.startswith("s4") else {}
    model = thesis._as_the_thesis_had_it(name, **options)
    inverse = {}
    for old in state_of(name[:-1] + "S").keys() - {"net.1.reverb.t"}:
        if not old.endswith("kernel.L"):
            (new,) = thesis._rename({old: torch.zeros(1)}, Path("x"))
            inverse[new] = old
    blocks = {new: old for new, old in inverse.items() if ".blocks.0." in new}
    for i in range(len(getattr(model.decoder, "blocks", []))):
        for new, old in blocks.items():
            inverse[new.replace(".0.", f".{i}.", 1)] = re.sub(r"(tcn|s4_blocks|norms)\.0\.", rf"\1.{i}.", old)
    # Where the thesis has a dimension of size 1 more than zoo.
    extra = {"noise": -1, "D": 0, "P": 0, "B": 0, "C": 0, "output_linear.0.weight": -1}
    state = {}
    for key, value in model.state_dict().items():
        old = inverse[key]
        where = [d for end, d in extra.items() if old.endswith("." + end)]
        state[old] = value.unsqueeze(where[0]) if where else value
        if old.endswith(".log_dt"):
            state[old.replace("log_dt", "L")] = torch.tensor(77)
    state["net.1.reverb.t"] = torch.zeros(1, 3, 1)
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": state, "epoch": 3, "hyper_parameters": {"lr": 1e-3}}, path)
    imported = zoo.import_thesis(path, model=f"{name}-flute")
    assert imported.name == f"{name}-flute"
    f0_hz, loudness_db, noise = torch.full((1, 20), 300.0), torch.full((1, 20), -20.0), torch.zeros(1, 1280)
    with torch.no_grad():
        expected, got = (m.eval()(f0_hz, loudness_db, noise).audio for m in (model, imported))
    assert torch.equal(expected, got)


def test_new_spelling_of_weight_norm_is_read(tmp_path):
    state = state_of("tcn-S")
    new = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    for old, spelling in new.items():
        state = {k.replace(old, spelling): v for k, v in state.items()}
    save_file(state, tmp_path / "new.safetensors")
    first, second = (zoo.import_thesis(p, model="tcn-S") for p in (reference("tcn-S"), tmp_path / "new.safetensors"))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_imported_model_is_saved_and_loaded_with_its_quirks(tmp_path):
    model = zoo.import_thesis(reference("gru-S"), model="gru-S-flute")
    zoo.save(model, tmp_path)
    loaded = zoo.load(tmp_path)
    assert type(loaded.synth) is ThesisHarmonicNoise
    assert loaded.synth.unvoiced == "hold"
    assert loaded.feature_settings() == FeatureSettings(center=False, normalize="peak", loudness="mean_db")


QUIRKS = {"noise_filter": "thesis", "unvoiced": "hold", "above_nyquist": "thesis"}


@pytest.mark.parametrize("quirks", [QUIRKS, {"noise_filter": "thesis"}, {"above_nyquist": "thesis"}])
def test_run_imported_by_an_earlier_version_plays_as_ever(tmp_path, quirks):
    """Such a config gives the quirks to `harmonic_noise`, where options that are left out mean today's sound."""
    imported = zoo.import_thesis(reference("gru-S"), model="gru-S-flute")
    synth = ComponentConfig("harmonic_noise", {**zoo.create("gru-S").config.synth.args, **quirks})
    config = imported.config.with_changes(synth=synth)
    earlier = Model(config).eval()
    earlier.load_state_dict(imported.state_dict())
    zoo.save(earlier, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["synth"] == {"name": "harmonic_noise", "args": synth.args}
    loaded = zoo.load(tmp_path)
    f0_hz = torch.tensor([[300.0] * 10 + [0.0] * 10 + [500.0] * 10])
    noise = torch.rand(1, f0_hz.shape[1] * 64) * 2 - 1
    with torch.no_grad():
        own, expected = (m(f0_hz, torch.full_like(f0_hz, -20.0), noise) for m in (loaded, imported))
    assert torch.equal(own.noise, expected.noise) == (quirks.get("noise_filter") == "thesis")
    assert torch.equal(own.harmonic, expected.harmonic) == (quirks == QUIRKS)


def test_s4_keeps_the_length_its_kernels_were_made_for(tmp_path):
    model = zoo.import_thesis(reference("s4-S"), model="s4-S-flute")
    assert model.config.decoder.args["kernel_frames"] == 260
    zoo.save(model, tmp_path)
    again = zoo.load(tmp_path)
    features = torch.full((1, 300), 0.5), torch.full((1, 300), 0.7)
    with torch.no_grad():
        assert torch.equal(again.decoder(*features).hidden, model.decoder(*features).hidden)


@pytest.mark.parametrize(("lengths", "message"), [([0, 0, 0], "never run"), ([260, 520, 260], "260 and 520|260, 520")])
def test_s4_checkpoint_without_one_kernel_length_is_refused(tmp_path, lengths, message):
    state = state_of("s4-S")
    for i, length in enumerate(lengths):
        state[f"net.0.s4.s4_blocks.{i}.kernel.kernel.L"] = torch.tensor(length)
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(CheckpointError, match=message):
        zoo.import_thesis(tmp_path / "odd.safetensors", model="s4-S")


def test_checkpoint_of_another_size_says_which_it_is():
    with pytest.raises(CheckpointError, match="not a gru-L but a gru-S"):
        zoo.import_thesis(reference("gru-S"), model="gru-L")


def test_checkpoint_with_code_inside_is_not_run(tmp_path):
    class Boom:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "boom",))

    torch.save({"state_dict": state_of("gru-S"), "extra": Boom()}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match="without running code"):
        zoo.import_thesis(tmp_path / "evil.ckpt", model="gru-S")
    assert not (tmp_path / "boom").exists()


def test_damaged_missing_and_foreign_files_are_explained(tmp_path):
    whole = reference("gru-S").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    save_file({"encoder.weight": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        zoo.import_thesis(tmp_path / "cut.safetensors", model="gru-S")
    with pytest.raises(CheckpointError, match="none of the thesis's names"):
        zoo.import_thesis(tmp_path / "foreign.safetensors", model="gru-S")
    with pytest.raises(CheckpointError, match="no file"):
        zoo.import_thesis(tmp_path / "nothing.ckpt", model="gru-S")
    with pytest.raises(ModelNotFoundError):
        zoo.import_thesis(reference("gru-S"), model="gru-XXS")


def test_command_writes_a_folder_that_loads(tmp_path, capsys):
    arguments = ["import-thesis", str(reference("gru-S")), "--model", "gru-S-flute", "--out", str(tmp_path / "run")]
    assert main(arguments) == 0
    assert zoo.load(tmp_path / "run").name == "gru-S-flute"
    assert "gru-S-flute" in (tmp_path / "run" / "README.md").read_text()
    assert main(arguments) == 2
    assert "already holds a model" in capsys.readouterr().err


def test_command_says_in_one_message_that_there_is_no_file(tmp_path, capsys):
    assert main(["import-thesis", "nothing.ckpt", "--model", "gru-S", "--out", str(tmp_path / "out")]) == 2
    assert "no file nothing.ckpt" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
