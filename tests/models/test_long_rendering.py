"""Long recordings are rendered in pieces, and sound as if they were not."""

import pytest
import torch

import zoo
from zoo.errors import DatasetError
from zoo.features import Features
from zoo.models import long_rendering
from zoo.models.levelling import at_level
from zoo.models.long_rendering import render_long

FRAMES = 2000  # 8 s


@pytest.fixture
def short_pieces(monkeypatch):
    monkeypatch.setattr(long_rendering, "_AT_ONCE_SECONDS", 1.0)
    monkeypatch.setattr(long_rendering, "_PIECE_SECONDS", 1.5)
    monkeypatch.setattr(long_rendering, "_LEAD_SECONDS", 1.2)
    monkeypatch.setattr(long_rendering, "_COMPARED_SECONDS", 0.1)


def phrase(frames=FRAMES):
    t = torch.arange(frames) / 250
    f0_hz = 300.0 + 60.0 * torch.sin(5 * t) + 40.0 * (t * 2).floor().remainder(3)
    f0_hz[frames // 3 : frames // 3 + 100] = 0.0
    return f0_hz, -25.0 + 10.0 * torch.sin(3 * t)


def whole(model, f0_hz, loudness_db, seed=0):
    noise = torch.rand(1, len(f0_hz) * model.hop, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    with torch.no_grad():
        return model(f0_hz[None], loudness_db[None], noise).audio[0]


@pytest.mark.parametrize("name", ["gru-S", "tcn-S", "s4-S", "s4d-S"])
@pytest.mark.parametrize("frames", [FRAMES, FRAMES - 7])
def test_rendering_in_pieces_equals_the_whole(short_pieces, name, frames):
    torch.manual_seed(0)
    model = zoo.create(name).eval()
    made = render_long(model, *phrase(frames), seed=3)
    torch.testing.assert_close(made.audio[0], whole(model, *phrase(frames), seed=3), atol=1e-5, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(model.synth.reverb(made.dry), made.audio, atol=1e-5, rtol=0)


def test_shipped_model_renders_the_same_in_pieces_at_their_real_length():
    model = zoo.load("gru-M-tones").eval()
    made = render_long(model, *phrase(18000)).audio[0]
    torch.testing.assert_close(made, whole(model, *phrase(18000)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("streams", [True, False])
def test_decoder_that_never_forgets_is_decoded_exactly(short_pieces, monkeypatch, streams):
    torch.manual_seed(0)
    model = zoo.create("gru-S").eval()
    with torch.no_grad():  # its update gates stay shut: what it has heard first stays
        model.decoder.gru.bias_hh_l0[44:88] += 12.0
    monkeypatch.setattr(long_rendering, "_AGREE", 0.0)
    if not streams:
        monkeypatch.setattr(type(model.decoder), "stream_state", lambda *_: (_ for _ in ()).throw(NotImplementedError))
    made = render_long(model, *phrase(), seed=0).audio[0]
    torch.testing.assert_close(made, whole(model, *phrase()), atol=1e-5, rtol=0)


def test_model_in_half_precision_plays_long_phrases(short_pieces):
    torch.manual_seed(0)
    model = zoo.create("tcn-S").eval().half()
    made = render_long(model, *phrase()).audio[0]
    torch.testing.assert_close(made, whole(model.float(), *phrase()), atol=1e-5, rtol=0)


def test_model_in_double_precision_plays_long_phrases(short_pieces):
    torch.manual_seed(0)
    model = zoo.create("gru-S").eval().double()
    made = render_long(model, *phrase()).audio[0]
    torch.testing.assert_close(made, whole(model, *phrase()), atol=1e-5, rtol=0)


def test_synth_without_a_streaming_interface_plays_the_whole(short_pieces, monkeypatch):
    model = zoo.create("gru-S").eval()
    expected = whole(model, *phrase())
    monkeypatch.setattr(type(model.synth), "stream_state", lambda *_: (_ for _ in ()).throw(NotImplementedError))
    assert torch.equal(render_long(model, *phrase()).audio[0], expected)


def test_what_is_shorter_than_a_frame_is_refused_in_words(tmp_path):
    model = zoo.create("gru-S")
    with pytest.raises(DatasetError, match="shorter than a frame"):
        model.synthesize(torch.full((20,), 0.1), sample_rate=16000, pitch="yin")


def test_playing_a_long_phrase_leaves_the_model_in_its_mode(short_pieces):
    torch.manual_seed(0)
    model = zoo.create("gru-S").train()
    f0_hz, loudness_db = phrase()
    asked = Features(f0_hz, loudness_db, torch.ones(FRAMES), torch.zeros(FRAMES * 64), 6.0)
    made = model.render(asked, level="normalised", seed=1)
    assert model.training
    expected = at_level(whole(model.eval(), f0_hz, loudness_db, seed=1), None, sample_rate=model.sample_rate)
    torch.testing.assert_close(made, expected.audio, atol=1e-5, rtol=0)
