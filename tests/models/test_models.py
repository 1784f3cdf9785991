import pytest
import torch

import zoo
from zoo import registry
from zoo.decoders import Decoded, Decoder
from zoo.errors import ConfigError, ModelNotFoundError, PluginError
from zoo.features import FeatureSettings
from zoo.storage.config import ComponentConfig, ModelConfig

# Decoder alone, as published with the thesis; the synth adds its reverb.
COUNTS = {
    "gru-L": 4_298_406,
    "gru-M": 421_210,
    "gru-S": 40_074,
    "gru-XS": 7_510,
    "s4-L": 4_436_646,
    "s4-M": 421_158,
    "s4-S": 41_542,
    "s4d-L": 4_108_966,
    "s4d-M": 339_238,
    "s4d-S": 29_254,
    "tcn-L": 4_450_470,
    "tcn-M": 435_622,
    "tcn-S": 39_558,
}


def features(batch=2, frames=50):
    f0_hz = 220 + 200 * torch.rand(batch, frames)
    f0_hz[0, :5] = 0
    return f0_hz, -60 * torch.rand(batch, frames)


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_preset_has_the_published_parameter_count(name):
    model = zoo.create(name)
    assert sum(p.numel() for p in model.decoder.parameters()) == COUNTS[name]
    assert model.num_parameters == COUNTS[name] + (1_602 if name.endswith("S") else 16_002)


@pytest.mark.parametrize("name", registry.models.names())
def test_model_renders_audio_of_whole_frames(name):
    model = zoo.create(name).eval()
    f0_hz, loudness_db = features(frames=33)
    with torch.no_grad():
        made = model(f0_hz, loudness_db)
    assert made.audio.shape == made.dry.shape == (2, 33 * model.hop)
    assert {k: v.shape for k, v in made.controls.items()} == {
        k: (2, 33, n) for k, n in model.synth.control_sizes.items()
    }
    assert made.hidden.shape[:2] == (2, 33)
    assert torch.isfinite(made.audio).all()


def test_decode_is_the_first_half_of_rendering_whatever_stands_in_the_curves():
    model = zoo.create("gru-S").eval()
    f0_hz, loudness_db = features()
    f0_hz[0, 7], loudness_db[0, 8], loudness_db[1, 9] = float("nan"), float("-inf"), float("inf")
    with torch.no_grad():
        made, decoded = model(f0_hz, loudness_db), model.decode(f0_hz, loudness_db)
    assert torch.equal(decoded.hidden, made.hidden)
    assert all(torch.equal(decoded.controls[name], value) for name, value in made.controls.items())


def test_model_can_be_created_from_a_config():
    config = zoo.create("gru-S", instrument="flute", hidden_size=8).config
    model = zoo.create(config, reverb_length=50)
    assert model.name == "gru-S-flute"
    assert model.config.decoder.args["hidden_size"] == 8
    assert model.synth.reverb.length == 50
    assert zoo.create(config, instrument="violin").name == "gru-S-violin"


@pytest.mark.parametrize("name", ["gru-S", "s4-S", "s4d-S", "tcn-S"])
def test_rendering_is_a_pure_function_when_noise_is_given(name):
    model = zoo.create(name).eval()
    f0_hz, loudness_db = features()
    noise = torch.rand(2, 50 * 64) * 2 - 1
    with torch.no_grad():
        first, second, other = (model(f0_hz, loudness_db, n).audio for n in (noise, noise, None))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", ["gru-S", "s4-S", "s4d-S", "tcn-S"])
def test_every_parameter_gets_a_gradient(name):
    model = zoo.create(name).train()
    f0_hz, loudness_db = features()
    model(f0_hz, loudness_db).audio.square().sum().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert without == []


@pytest.mark.parametrize("name", ["gru-S", "s4-S", "s4d-S", "tcn-S"])
def test_decoder_looks_at_no_later_frame(name):
    decoder = zoo.create(name).decoder.eval()
    f0, loudness = torch.rand(1, 40), torch.rand(1, 40)
    changed = f0.clone()
    changed[:, 20:] = 0
    with torch.no_grad():
        first, second = (decoder(x, loudness).controls["amplitude"] for x in (f0, changed))
    assert torch.allclose(first[:, :20], second[:, :20], atol=1e-6)
    assert not torch.allclose(first[:, 20:], second[:, 20:], atol=1e-6)


def test_param_groups_hold_every_decoder_parameter_once():
    decoder = zoo.create("gru-S").decoder
    grouped = [p for group in decoder.param_groups() for p in group["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in decoder.parameters()}
    assert len(grouped) == len(list(decoder.parameters()))


def test_create_takes_options_of_decoder_and_synth():
    model = zoo.create("gru-S", instrument="flute", hidden_size=48, harmonics=60, sample_rate=48000, hop=192)
    assert model.name == "gru-S-flute"
    assert model.decoder.gru.hidden_size == 48
    assert model.synth.control_sizes["harmonic_distribution"] == 60
    assert (model.sample_rate, model.hop, model.synth.sample_rate, model.synth.hop) == (48000, 192, 48000, 192)
    with torch.no_grad():
        assert model(*features(frames=10)).audio.shape == (2, 1920)


def test_create_refuses_what_it_does_not_know():
    with pytest.raises(ConfigError, match=r"no option 'hiden_size'\. Did you mean hidden_size"):
        zoo.create("gru-S", hiden_size=48)
    with pytest.raises(ModelNotFoundError, match="Did you mean gru-S"):
        zoo.create("gru-s")
    with pytest.raises(ConfigError, match="another"):
        zoo.create("gru-S-flute", instrument="violin")
    with pytest.raises(ConfigError, match="unvoiced='sing'; it knows hold, mute"):
        zoo.create("gru-S", unvoiced="sing")


def test_misfit_of_decoder_and_synth_is_said_when_the_model_is_built():
    class Deaf(Decoder):
        def __init__(self, *, control_sizes):
            super().__init__(control_sizes={**control_sizes, "amplitude": 2, "reed": 1})

        def forward(self, f0_scaled, loudness_scaled):
            return Decoded({}, f0_scaled)

    zoo.register.decoder("deaf")(Deaf)
    try:
        config = ModelConfig("deaf", ComponentConfig("deaf"), ComponentConfig("harmonic_noise"))
        with pytest.raises(
            ConfigError, match="'amplitude': decoder 2, synth 1; control 'reed': decoder 1, synth lacks it"
        ):
            zoo.Model(config)
    finally:
        registry.decoders.unregister("deaf")


def test_decoder_without_forward_is_refused_when_it_is_registered():
    class Unfinished(Decoder):
        pass

    with pytest.raises(PluginError, match=r"'unfinished' is an abstract class, .* it lacks forward"):
        zoo.register.decoder("unfinished")(Unfinished)
    assert "unfinished" not in registry.decoders.names()


def test_component_that_is_not_installed_gives_its_install_line():
    config = ModelConfig(
        "x", ComponentConfig("kazoo"), ComponentConfig("harmonic_noise"), requires={"zoo-kazoo": "1.2"}
    )
    with pytest.raises(PluginError, match="pip install zoo-kazoo"):
        zoo.Model(config)


@pytest.mark.parametrize("shape", [(2, 50, 1), (50,), (2, 49)])
def test_features_of_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError, match="batch, frames"):
        zoo.create("gru-S")(torch.zeros(2, 50), torch.zeros(shape))


def test_list_models_has_wildcards_and_knows_which_are_trained(tmp_path, monkeypatch):
    assert zoo.list_models("gru-?") == ["gru-L", "gru-M", "gru-S"]
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    zoo.save(zoo.create("gru-S", instrument="kazoo"), tmp_path / "models" / "gru-S-kazoo")
    assert "gru-S-kazoo" in zoo.list_models(pretrained=True)
    assert zoo.info("gru-S-kazoo").status == "stored"
    assert zoo.info("gru-S").status == "architecture"
    assert zoo.load("gru-S-kazoo").name == "gru-S-kazoo"


@pytest.mark.parametrize(("name", "message"), [("gru-S", "architecture, without trained"), ("gru-S-harp", "zoo.train")])
def test_name_without_weights_never_gives_a_random_model(name, message):
    with pytest.raises(ModelNotFoundError, match=message):
        zoo.load(name)


def test_new_model_has_todays_features_and_a_stored_one_those_of_its_file():
    new = zoo.create("gru-S", hidden_size=4)
    assert new.feature_settings() == FeatureSettings() == FeatureSettings(loudness="a_weighted", normalize="loudness")
    old = new.config.with_changes(features={})  # of a config.json that says nothing
    assert zoo.Model(old).feature_settings() == FeatureSettings(loudness="mean_db", normalize="peak")
    given = FeatureSettings(tracker="yin", normalize="none")
    for features in (given, given.to_dict()):
        assert zoo.create("gru-S", hidden_size=4, features=features).feature_settings() == given
