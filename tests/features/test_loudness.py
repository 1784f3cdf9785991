import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.errors import ConfigError
from zoo.features import loudness, loudness_db, rms_db, sound_level_db


@pytest.mark.parametrize(
    ("measure", "key", "center"),
    [
        (loudness_db, "loudness_db", False),
        (rms_db, "rms_db", False),
        (loudness_db, "loudness_db_centered", True),
    ],
)
def test_levels_equal_the_reference(reference, measure, key, center):
    found = measure(reference["audio"], sample_rate=16000, hop=64, center=center)
    assert found.shape == (2, 500)
    torch.testing.assert_close(found, reference[key][:, :500], atol=1e-3, rtol=0)


@pytest.mark.parametrize("measure", [loudness_db, rms_db])
def test_silence_is_minus_80_db(measure):
    assert torch.equal(measure(torch.zeros(1, 6400), sample_rate=16000, hop=64), torch.full((1, 100), -80.0))


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(0, 2), samples=st.integers(0, 5000), hop=st.integers(1, 700), center=st.booleans())
def test_frame_count_is_exact_on_any_length(rows, samples, hop, center):
    audio = torch.zeros(rows, samples)
    assert loudness_db(audio, sample_rate=16000, hop=hop, n_fft=512, center=center).shape == (rows, samples // hop)
    assert rms_db(audio, sample_rate=16000, hop=hop, n_fft=512, center=center).shape == (rows, samples // hop)
    assert sound_level_db(audio, sample_rate=16000, hop=hop).shape == (rows,)


def test_loudness_does_not_depend_on_how_many_frames_are_taken_at_once(reference, monkeypatch):
    whole = loudness_db(reference["audio"], sample_rate=16000, hop=64)
    monkeypatch.setattr(loudness, "_CHUNK", 14)
    torch.testing.assert_close(loudness_db(reference["audio"], sample_rate=16000, hop=64), whole)


def test_centred_loudness_is_the_uncentred_one_half_a_window_later(reference):
    late = loudness_db(reference["audio"], sample_rate=16000, hop=64, center=True)
    early = loudness_db(reference["audio"], sample_rate=16000, hop=64)
    torch.testing.assert_close(late[:, 16:], early[:, :-16])  # 1,024 samples are 16 frames


def test_loudness_has_a_finite_gradient_in_silence():
    audio = torch.zeros(1, 4096, requires_grad=True)
    loudness_db(audio, sample_rate=16000, hop=64).sum().backward()
    assert torch.isfinite(audio.grad).all()


def test_audio_without_a_batch_is_refused_with_the_mending():
    with pytest.raises(ConfigError, match=r"audio\[None\]"):
        loudness_db(torch.zeros(1000), sample_rate=16000, hop=64)
