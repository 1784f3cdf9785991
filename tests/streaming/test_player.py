"""A player gives in blocks what the model gives of the whole."""

import sys

import pytest
import torch

import zoo
from zoo import registry
from zoo.decoders import Decoded, Decoder
from zoo.decoders.gru import GRUDecoder
from zoo.errors import ConfigError, PluginError
from zoo.storage import store

pytestmark = pytest.mark.smoke

FRAMES = 60
BOTH = ("native", "torch")
SMALL = [name for name in registry.models.names() if not name.endswith(("-L", "-M"))]


def curves(voices=1):
    f0_hz = 220 * 2 ** torch.linspace(0, 1, FRAMES).repeat(voices, 1)
    f0_hz[:, 20:26] = 0
    loudness_db = torch.linspace(-50, -10, FRAMES).repeat(voices, 1) - 5.0 * torch.arange(voices)[:, None]
    return f0_hz, loudness_db, torch.rand(voices, FRAMES * 64) * 2 - 1


@torch.no_grad()
def whole(model, f0_hz, loudness_db, noise):
    return model.eval()(f0_hz, loudness_db, noise).audio


@pytest.mark.parametrize("backend", BOTH)
@pytest.mark.parametrize("name", SMALL)
def test_blocks_of_any_length_are_the_whole(name, backend):
    model = zoo.create(name).train()
    f0_hz, loudness_db, noise = curves()
    player = zoo.Player(model, backend=backend)
    blocks = []
    for start, stop in ((0, 1), (1, 8), (8, 8), (8, 31), (31, FRAMES)):
        given = f0_hz[0, start:stop], loudness_db[0, start:stop], noise[:, 64 * start : 64 * stop]
        blocks.append(player.process(*given))
        assert blocks[-1].shape == (64 * (stop - start),)
    played = torch.cat([*blocks, player.finish()])
    assert not played[: player.latency].any()
    expected = whole(model, f0_hz, loudness_db, noise)[0]
    torch.testing.assert_close(played[player.latency :], expected, atol=1e-5, rtol=0)
    assert not played.requires_grad


def test_shipped_instrument_is_played_by_numbers():
    model = zoo.load(store.shipped_models()["gru-S-violin"])
    player = zoo.Player(model)
    played = torch.cat([player.process(440.0, -20.0) for _ in range(250)])
    assert played.shape == (16000,)
    found = zoo.metrics.tracking_error(
        played, torch.full((250,), 440.0), torch.full((250,), -20.0), sample_rate=16000, hop=64
    )
    assert found.pitch_cents < 20
    assert not found.silent


@pytest.mark.parametrize("backend", BOTH)
def test_voices_are_played_at_once_and_do_not_hear_each_other(backend):
    model = zoo.create("gru-S")
    f0_hz, loudness_db, noise = curves(voices=2)
    f0_hz.requires_grad_()  # gradients are not recorded
    player = zoo.Player(model, voices=2, backend=backend)
    both = torch.cat([player.process(f0_hz, loudness_db, noise), player.finish()], 1)
    assert both.shape == (2, FRAMES * 64 + player.latency)
    assert not both.requires_grad
    alone = zoo.Player(model, backend=backend)
    second = alone.process(f0_hz[1], loudness_db[1], noise[1:])
    torch.testing.assert_close(both[1, : FRAMES * 64], second, atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", BOTH)
def test_noise_is_the_same_after_a_reset_and_with_the_same_seed(backend):
    model = zoo.create("gru-S")
    player = zoo.Player(model, seed=3, backend=backend)
    first = player.process([440.0] * 5, [-20.0] * 5)
    assert not torch.equal(player.process([440.0] * 5, [-20.0] * 5), first)
    player.reset()
    assert torch.equal(player.process([440.0] * 5, [-20.0] * 5), first)
    assert torch.equal(zoo.Player(model, seed=3, backend=backend).process([440.0] * 5, [-20.0] * 5), first)
    assert not torch.equal(zoo.Player(model, seed=4, backend=backend).process([440.0] * 5, [-20.0] * 5), first)
    player.finish()
    assert torch.equal(player.process([440.0] * 5, [-20.0] * 5), first)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((440.0, [-20.0]), "must be numbers"),
        (([440.0, 440.0], [-20.0]), "must be numbers"),
        ((torch.zeros(1, 1, 1), torch.zeros(1, 1, 1)), "must be numbers"),
        ((torch.zeros(2, 5), torch.zeros(2, 5)), "has 1 voices, and was given 2"),
        ((440.0, -20.0, torch.zeros(64)), "noise must be"),
    ],
)
@pytest.mark.parametrize("backend", BOTH)
def test_what_does_not_fit_is_refused_and_the_player_goes_on(given, message, backend):
    player = zoo.Player(zoo.create("gru-S"), backend=backend)
    with pytest.raises(ValueError, match=message):
        player.process(*given)
    assert player.process(440.0, -20.0).shape == (64,)


def test_model_that_plays_whole_clips_only_is_refused():
    class Whole(Decoder):
        def forward(self, f0_scaled, loudness_scaled):
            return Decoded({}, f0_scaled[..., None])

    model = zoo.create("gru-S")
    model.decoder = Whole(control_sizes=model.synth.control_sizes)
    with pytest.raises(NotImplementedError, match="Whole has no streaming interface"):
        zoo.Player(model)


@pytest.mark.parametrize("voices", [0, 1.5, "2"])
def test_number_of_voices_that_cannot_be_is_refused(voices):
    with pytest.raises(ValueError, match="voices must be a whole number of at least 1"):
        zoo.Player(zoo.create("gru-S"), voices=voices)


def test_name_in_place_of_a_model_is_told():
    with pytest.raises(ConfigError, match=r"zoo\.Player\(zoo\.load\('gru-S-violin'\)\)"):
        zoo.Player("gru-S-violin")


@pytest.mark.parametrize("backend", BOTH)
def test_player_that_played_nothing_finishes_in_silence(backend):
    player = zoo.Player(zoo.create("gru-S"), backend=backend)
    rest = player.finish()
    assert rest.shape == (player.latency,)
    assert not rest.any()


class WithoutCForm(GRUDecoder):
    def describe(self, program):
        return Decoder.describe(self, program)


def test_component_without_a_c_form_is_played_with_torch_and_the_player_says_so(caplog):
    model = zoo.create("gru-S", reverb_length=100)
    assert zoo.Player(model).backend == "native"
    assert zoo.Player(model, backend="torch").backend == "torch"
    model.decoder = WithoutCForm(control_sizes=model.synth.control_sizes, hidden_size=4)
    with caplog.at_level("DEBUG", logger="zoo.streaming"):
        player = zoo.Player(model)
    assert player.backend == "torch"
    assert "gru-S is played with torch: WithoutCForm has no C form" in caplog.text
    f0_hz, loudness_db, noise = curves()
    played = torch.cat([player.process(f0_hz, loudness_db, noise)[0], player.finish()])
    expected = whole(model, f0_hz, loudness_db, noise)[0]
    torch.testing.assert_close(played[player.latency :], expected, atol=1e-5, rtol=0)
    with pytest.raises(PluginError, match="backend='native': WithoutCForm has no C form"):
        zoo.Player(model, backend="native")


def test_weights_of_64_bits_are_played_with_torch():
    model = zoo.create("gru-S", reverb_length=100).double()
    player = zoo.Player(model)
    assert player.backend == "torch"
    f0_hz, loudness_db, noise = curves()
    played = torch.cat([player.process(f0_hz, loudness_db, noise)[0], player.finish()])
    torch.testing.assert_close(played[player.latency :], whole(model, f0_hz, loudness_db, noise)[0], atol=1e-5, rtol=0)
    with pytest.raises(PluginError, match="float64 on cpu"):
        zoo.Player(model, backend="native")
    with pytest.raises(ConfigError, match="backend='c'; it knows auto, native, torch"):
        zoo.Player(model, backend="c")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_plays_alike_with_both(dtype):
    model = zoo.create("s4-S", reverb_length=100).to(dtype)
    f0_hz, loudness_db, noise = curves()
    native, with_torch = (zoo.Player(model, backend=backend).process(f0_hz, loudness_db, noise) for backend in BOTH)
    # `.to` rounded the noise filter's window as well, which the player library works out anew
    torch.testing.assert_close(native, with_torch, atol=1e-3, rtol=0)


def test_player_is_there_without_the_player_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "zoo_player", None)  # as Python has it of what cannot be imported
    model = zoo.create("gru-S", reverb_length=100)
    assert zoo.Player(model).backend == "torch"
    with pytest.raises(PluginError, match="pip install ddsp-zoo-player"):
        zoo.Player(model, backend="native")
