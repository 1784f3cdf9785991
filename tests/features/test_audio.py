import numpy as np
import pytest
import soundfile
import torch

from zoo.errors import DatasetError
from zoo.features import read_audio, write_wav


def waves(seconds, rate, channels=1, hz=440.0):
    t = np.arange(round(seconds * rate)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * hz * t)] * channels, axis=1).astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (16000, 1), (8000, 1)])
def test_every_format_rate_and_channel_count_becomes_mono_at_the_rate(tmp_path, suffix, rate, channels):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, waves(0.5, rate, channels), rate)
    audio = read_audio(path, sample_rate=16000)
    assert audio.dtype == torch.float32
    assert audio.ndim == 1
    assert len(audio) == pytest.approx(8000, abs=400)  # mp3 pads its ends
    spectrum = torch.fft.rfft(audio[:8000]).abs()
    assert spectrum.argmax() * 16000 / len(audio[:8000]) == pytest.approx(440, abs=3)


def test_unusable_files_are_named_with_the_reason(tmp_path):
    (tmp_path / "zero.wav").write_bytes(b"")
    (tmp_path / "text.flac").write_text("not audio at all")
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 1), np.float32), 16000)
    soundfile.write(tmp_path / "nan.wav", np.full((100, 1), np.nan, np.float32), 16000, subtype="FLOAT")
    for name, reason in {
        "zero.wav": "0 bytes",
        "text.flac": "cannot be read as audio",
        "none.wav": "no samples",
        "nan.wav": "NaN",
        "gone.wav": "no such file",
        ".": "folder",
    }.items():
        with pytest.raises(DatasetError, match=reason) as caught:
            read_audio(tmp_path / name, sample_rate=16000)
        assert str(tmp_path / name) in str(caught.value)


def test_wav_comes_back_as_it_was_written(tmp_path):
    audio = torch.tensor([0.0, 0.5, -0.5, 2.0])
    write_wav(tmp_path / "deep" / "f.wav", audio, sample_rate=8000, floating=True)
    assert torch.equal(read_audio(tmp_path / "deep" / "f.wav", sample_rate=8000), audio)
    write_wav(tmp_path / "i.wav", audio, sample_rate=8000)
    found = read_audio(tmp_path / "i.wav", sample_rate=8000)
    torch.testing.assert_close(found, audio.clamp(-1, 1), atol=1e-4, rtol=0)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["f.wav"]
