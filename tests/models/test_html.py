"""How models and renderings show themselves in notebooks."""

import base64
import io
import re

import pytest
import soundfile
import torch

import zoo
from zoo.models import html


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return zoo.create("gru-S", instrument="flute", hidden_size=8).eval()


def played(shown):
    content = base64.b64decode(re.search(r"data:audio/flac;base64,([^']*)'", shown)[1])
    return soundfile.read(io.BytesIO(content), dtype="float32")


def rendered(model, frames, batch=1, **options):
    return model(torch.full((batch, frames), 440.0), torch.full((batch, frames), -20.0), **options)


def test_rendering_has_a_player_of_its_audio_a_spectrogram_and_measures(model):
    rendering = rendered(model, 100, batch=2)
    shown = rendering._repr_html_()
    samples, rate = played(shown)
    assert rate == 16000
    expected = rendering.audio[0].detach()
    torch.testing.assert_close(torch.from_numpy(samples) * max(1, expected.abs().max()), expected, atol=1e-4, rtol=0)
    assert "The first of 2" in shown
    assert shown.count("<img ") == 1
    for measure in ("0.40 s at 16000 Hz", "A-weighted level", "noise over harmonics"):
        assert measure in shown
    assert not re.search(r"(src|href)='(?!data:)", shown)


def test_long_rendering_stays_small(model):
    samples, rate = played(shown := rendered(model, 250 * 60)._repr_html_())
    assert len(samples) == html.MOST_SECONDS * rate
    assert len(shown) < 500_000


@pytest.mark.parametrize(
    "audio", [torch.zeros(640), torch.full((640,), 3.0), torch.zeros(1), torch.full((640,), float("nan"))]
)
def test_odd_audio_is_shown_too(model, audio):
    rendering = rendered(model, 10)
    rendering.audio, rendering.harmonic = audio[None], None
    samples, _ = played(rendering._repr_html_())
    assert abs(samples).max() <= 1
    assert len(samples) == len(audio)


def test_rendering_of_unknown_rate_or_without_audio_says_its_shape(model):
    rendering = rendered(model, 10)
    assert "[1, 0]" in rendering.only(["dry"])._repr_html_()
    rendering.sample_rate = None
    assert "<audio" not in rendering._repr_html_()


def test_foreign_text_is_never_markup(model):
    model.config = model.config.with_changes(lineage={"teacher": {"name": "<script>alert(1)</script>"}})
    shown = model._repr_html_()
    assert "gru-S-flute" in shown
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert html.text("<'\"&\n>") == "&lt;&#x27;&quot;&amp;\\n&gt;"
