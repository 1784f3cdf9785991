"""The package's components keep zoo's promises, and its models are those of the thesis."""

import pytest
import torch
from zoo_ddx7 import PATCHES, Patch

import zoo
from zoo.errors import CheckpointError, ConfigError, ModelNotFoundError
from zoo.registry import paths
from zoo.testing import check_decoder, check_model, check_synth

COUNTS = {6: 399_762, 4: 398_732, 2: 397_702}  # of the decoder, by operators


def test_decoder_keeps_the_promises_of_its_kind():
    check_decoder("ddx7_tcn", options={"channels": 8, "blocks": 3})
    check_decoder("ddx7_tcn", options={"channels": 8}, synth="ddx7", synth_options={"reverb_length": 100})


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
@pytest.mark.parametrize("unvoiced", ["mute", "hold"])
def test_synth_keeps_the_promises_of_its_kind(patch, unvoiced):
    options = {"algorithm": patch.algorithm, "ratios": patch.ratios, "reverb_length": 200, "unvoiced": unvoiced}
    check_synth("ddx7", options=options)


def test_synth_with_noise_keeps_the_promises_of_its_kind():
    check_synth("ddx7", options={"noise_bands": 9, "reverb_length": 200})


def test_model_keeps_the_promises_of_its_kind():
    check_model("ddx7-violin")
    check_model("ddx7-flute", options={"noise_bands": 65})


@pytest.mark.parametrize("name", ["flute", "violin", "trumpet"])
def test_reduced_model_has_the_published_count_and_its_patch(name):
    model, whole = zoo.create(f"ddx7-XS-{name}"), zoo.create(f"ddx7-{name}")
    assert sum(p.numel() for p in model.decoder.parameters()) == 51_922
    assert model.config.synth == whole.config.synth
    assert model.config.instrument == whole.config.instrument
    assert model.config.architecture == whole.config.architecture.replace("ddx7-", "ddx7-XS-")


@pytest.mark.parametrize("name", PATCHES)
def test_every_patch_is_an_architecture_with_the_thesis_count(name):
    model = zoo.create(f"ddx7-{name}")
    assert model.name == f"ddx7-{name}"
    assert sum(p.numel() for p in model.decoder.parameters()) == COUNTS[len(PATCHES[name].ratios)]
    assert model.num_parameters == COUNTS[len(PATCHES[name].ratios)] + 16_002
    assert model.synth.max_ol == 0.32


def test_patches_of_six_operators_have_the_wiring_of_the_instrument():
    names = ("flute", "brass", "strings", "piano")
    graphs = {name: zoo.create(f"ddx7-{name}", reverb_length=0).synth.graph for name in names}
    edges = {
        name: {(modulator + 1, i + 1) for i, numbers in enumerate(graph.modulators) for modulator in numbers}
        for name, graph in graphs.items()
    }
    assert edges["flute"] == {(6, 5), (5, 1), (4, 3), (3, 1), (2, 1)}
    assert edges["brass"] == {(6, 5), (5, 4), (4, 1), (3, 1), (2, 1)}
    assert edges["strings"] == {(6, 5), (5, 4), (4, 3), (2, 1)}
    assert edges["piano"] == {(3, 2), (2, 1), (6, 4), (6, 5)}
    carriers = {"flute": (0,), "brass": (0,), "strings": (0, 2), "piano": (0, 3, 4)}
    assert {name: graph.carriers for name, graph in graphs.items()} == carriers


@pytest.mark.parametrize(
    ("short", "architecture", "instrument", "name"),
    [
        ("ddx7-violin", "ddx7-strings", "violin", "ddx7-strings-violin"),
        ("ddx7-trumpet", "ddx7-brass", "trumpet", "ddx7-brass-trumpet"),
        ("ddx7-flute-flute", "ddx7-flute", "flute", "ddx7-flute"),
        ("ddx7-brass-trombone", "ddx7-brass", "trombone", "ddx7-brass-trombone"),
    ],
)
def test_names_mean_a_patch_on_an_instrument(short, architecture, instrument, name):
    config = zoo.create(short).config
    assert (config.architecture, config.instrument, config.name) == (architecture, instrument, name)


def test_short_name_is_for_its_instrument_alone():
    with pytest.raises(ConfigError, match=r"is short for ddx7-strings-violin.* take ddx7-strings-flute"):
        zoo.create("ddx7-violin", instrument="flute")


def test_level_goes_higher_on_trumpet_with_two_operators_alone():
    assert zoo.create("ddx7-1stack2-trumpet").synth.max_ol == 1.0
    assert zoo.create("ddx7-1stack2", instrument="trumpet").synth.max_ol == 1.0
    assert zoo.create("ddx7-1stack2-violin").synth.max_ol == 0.32
    assert zoo.create("ddx7-trumpet").synth.max_ol == 0.32


@pytest.mark.parametrize(("saved_as", "asked"), [("ddx7-violin", "ddx7-strings-violin"), ("ddx7-strings-violin",) * 2])
def test_trained_model_is_found_by_its_short_and_its_long_name(tmp_path, monkeypatch, saved_as, asked):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    model = zoo.create("ddx7-violin")
    zoo.save(model, tmp_path / "models" / saved_as)
    for name in (asked, "ddx7-violin"):
        loaded = zoo.load(name)
        assert loaded.name == "ddx7-strings-violin"
        assert torch.equal(loaded.decoder.blocks[0].first.weight_v, model.decoder.blocks[0].first.weight_v)


@pytest.mark.parametrize(
    ("name", "recipe", "instrument", "stored_as"),
    [
        ("ddx7-violin", "ddx7-strings", "violin", "ddx7-strings-violin"),
        ("ddx7-1stack4-cello", "ddx7-1stack4", "cello", "ddx7-1stack4-cello"),
        ("ddx7-flute", "ddx7-flute", "flute", "ddx7-flute"),
    ],
)
def test_name_without_weights_says_how_to_train_it(monkeypatch, name, recipe, instrument, stored_as):
    monkeypatch.setattr(paths, "model_card_folders", list)  # no model ships
    with pytest.raises(ModelNotFoundError, match=r"without trained weights|no trained weights") as raised:
        zoo.load(name)
    assert str(raised.value).endswith(
        f"zoo train --gin train/{recipe}.gin --set \"INSTRUMENT='{instrument}'\" "
        f"--set \"DATASET='FOLDER'\" --name {stored_as}"
    )
    assert any((folder / "train" / f"{recipe}.gin").is_file() for folder in paths.gin_folders())


def test_patch_of_ones_own_is_a_few_lines():
    zoo.register.model("ddx7-bell")(Patch("4>3, 2>1", ratios=(1, 3.5, 1, 7)).model("bell"))
    try:
        model = zoo.create("ddx7-bell-glass", reverb_length=0)
        assert model.name == "ddx7-bell-glass"
        assert model.synth.control_sizes == {"ol": 4}
    finally:
        from zoo import registry

        registry.models.unregister("ddx7-bell")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm": "2>1, 1>2", "ratios": (1, 1)}, "in a circle"),
        ({"ratios": (1, 1)}, "names operator 6"),
        ({"ratios": (1, 1, 1, 1, 1, 0)}, "positive ratios"),
        ({"unvoiced": "sing"}, "no unvoiced='sing'"),
        ({"noise_bands": 1}, "must be 0, or two at least; found 1"),
    ],
)
def test_patch_that_cannot_be_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        zoo.create("ddx7-flute", **options)


def save_as_the_thesis(model, path):
    from safetensors.torch import save_file

    state = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("decoder.blocks."):
            name = name.replace("decoder.blocks.", "net.0.net.").replace(".first.", ".block.0.")
            name = name.replace(".second.", ".block.3.")
        state[f"state.{name.replace('synth.', 'net.1.')}"] = tensor
    save_file({**state, "state.net.1.fr": model.synth.ratios}, path)


@pytest.mark.parametrize("patch", PATCHES)
def test_checkpoint_of_the_thesis_is_imported(tmp_path, patch):
    model = zoo.create(f"ddx7-{patch}")
    save_as_the_thesis(model, tmp_path / "checkpoint.safetensors")
    imported = zoo.import_thesis(tmp_path / "checkpoint.safetensors", model=f"ddx7-{patch}")
    assert imported.synth.unvoiced == "hold"
    assert {n: t.tolist() for n, t in imported.state_dict().items()} == {
        n: t.tolist() for n, t in model.state_dict().items()
    }


def test_checkpoint_of_another_patch_is_refused_though_its_shapes_fit(tmp_path):
    save_as_the_thesis(zoo.create("ddx7-1stack4"), tmp_path / "checkpoint.safetensors")
    with pytest.raises(CheckpointError, match="not a ddx7-2stack2 but a ddx7-1stack4"):
        zoo.import_thesis(tmp_path / "checkpoint.safetensors", model="ddx7-2stack2")
    save_as_the_thesis(zoo.create("ddx7-1stack4", ratios=(1, 1, 3, 15)), tmp_path / "checkpoint.safetensors")
    with pytest.raises(CheckpointError, match=r"its ratios are 1, 1, 3, 15, and should be 1, 1, 3, 14"):
        zoo.import_thesis(tmp_path / "checkpoint.safetensors", model="ddx7-1stack4")
