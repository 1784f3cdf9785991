"""A model as one graph of named states."""

import pytest
import torch

import zoo
from zoo import registry
from zoo.streaming import StreamingModel

SMALL = [name for name in registry.models.names() if not name.endswith(("-L", "-M"))]
OPTIONS = {"gru": {"reverb_length": 100}, "ddx7": {"reverb_length": 100}}


def small(name):
    torch.manual_seed(0)
    return zoo.create(name, **OPTIONS.get(name.split("-")[0], {})).train()


def block(model, frames):
    f0_hz = 200 + 300 * torch.rand(1, frames)
    f0_hz[:, :1] = torch.tensor([0.0, float("nan"), -5.0, 440.0])[torch.randint(4, (1,))]
    return f0_hz, -60 * torch.rand(1, frames), torch.rand(1, frames * model.hop) * 2 - 1


@torch.no_grad()
@pytest.mark.parametrize("name", SMALL)
def test_graph_plays_what_the_model_plays(name):
    model = small(name)
    streaming = StreamingModel(model)
    state = streaming.stream_state(1)
    assert all(key.startswith(("decoder_", "synth_")) and not value.is_complex() for key, value in state.items())
    graph = torch.export.export(streaming, (*block(model, 2), state), strict=False).module()
    blocks = [block(model, 2) for _ in range(12)]
    audio = []
    for given in blocks:
        made, state = graph(*given, state)
        audio.append(made)
    f0_hz, loudness_db, noise = (torch.cat(curves, 1) for curves in zip(*blocks, strict=True))
    assert model.training
    expected = model.eval()(f0_hz, loudness_db, noise).audio
    late = streaming.latency * model.hop
    torch.testing.assert_close(torch.cat(audio, 1)[:, late:], expected[:, :-late], atol=1e-5, rtol=0)


@torch.no_grad()
def test_later_changes_of_the_model_are_not_heard():
    model = small("gru-S")
    streaming = StreamingModel(model)
    given = block(model, 3)
    before, _ = streaming(*given, streaming.stream_state(1))
    for parameter in model.parameters():
        parameter.zero_()
    again, _ = streaming(*given, streaming.stream_state(1))
    assert torch.equal(before, again)
    assert before.any()
