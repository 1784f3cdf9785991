"""How noisy recordings are, and what follows from it."""

import json
from dataclasses import replace

import pytest
import torch

from zoo.datasets import prepare_dataset
from zoo.datasets.preparation.noise import Noise, estimate_noise, highest_hz


def tune(rest_seconds):
    """Three notes with rests between them, and their pitch."""
    pieces, f0_hz = [], []
    for hz in (220.0, 330.0, 247.0):
        t = torch.arange(16000) / 16000
        pieces += [sum(torch.sin(2 * torch.pi * k * hz * t) / k for k in range(1, 9)) * 0.2]
        pieces += [torch.zeros(round(16000 * rest_seconds))]
        f0_hz += [torch.full((250,), hz), torch.zeros(round(250 * rest_seconds))]
    return torch.cat(pieces), torch.cat(f0_hz)


def noise_like(audio, level):
    return level * torch.randn(audio.shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("snr", [10.0, 20.0, 30.0])
@pytest.mark.parametrize(("rest_seconds", "measured_in"), [(0.4, "pauses"), (0.0, "bands")])
def test_noise_of_a_known_level_is_found(rest_seconds, measured_in, snr):
    audio, f0_hz = tune(rest_seconds)
    power = float(audio[audio.abs() > 0].square().mean())
    level = (power * 10 ** (-snr / 10)) ** 0.5
    found = estimate_noise(audio + noise_like(audio, level), f0_hz, sample_rate=16000, hop=64)
    assert found.measured_in == measured_in
    assert found.snr_db == pytest.approx(snr, abs=3.0)
    assert found.floor_db == pytest.approx(20 * torch.tensor(level).log10().item(), abs=3.0)


def test_what_cannot_be_told_is_not_told():
    audio, f0_hz = tune(0.0)
    assert estimate_noise(torch.zeros(32000), torch.zeros(500), sample_rate=16000, hop=64) == Noise()
    assert estimate_noise(audio[:8000], f0_hz[:125], sample_rate=16000, hop=64) == Noise()
    low = torch.full_like(f0_hz, 70.0)  # its partials are too near to each other to look between them
    assert estimate_noise(audio + noise_like(audio, 0.01), low, sample_rate=16000, hop=64) == Noise()


def test_digital_silence_is_no_pause_of_a_recording():
    audio, f0_hz = tune(0.4)
    noisy = torch.where(f0_hz.repeat_interleave(64) > 0, audio + noise_like(audio, 0.02), 0.0)
    found = estimate_noise(noisy, f0_hz, sample_rate=16000, hop=64)
    assert found.measured_in == "bands"
    assert found.floor_db == pytest.approx(-34.0, abs=3.0)


def test_noisy_segments_are_left_out_where_that_is_asked_for(tmp_path, notes, yin):
    class Noisy(notes):
        def load(self, sample_rate):
            audio = super().load(sample_rate)
            return audio + noise_like(audio, 0.01)

    tunes = ((3.0, 220.0), (1.0, 0.0), (3.0, 330.0))
    sounds = [Noisy("noisy", notes=tunes), notes("a"), notes("b", notes=((5.0, 300.0),))]
    (kept,) = prepare_dataset(sounds, tmp_path / "all", yin)
    assert kept.recordings == 3
    info = json.loads((tmp_path / "all" / "dataset.json").read_text())
    noisy = next(source for source in info["sources"] if source["id"] == "noisy")
    assert noisy["snr_db"] == pytest.approx(24.0, abs=3.0)
    assert noisy["noise_floor_db"] == pytest.approx(-40.0, abs=1.0)
    (cleaner,) = prepare_dataset(sounds, tmp_path / "clean", replace(yin, min_snr=40.0))
    assert cleaner.recordings == 2
    reasons = [s.reason for s in cleaner.skipped if s.source == "noisy"]
    assert "noisy: under 40 dB over the noise" in reasons


def test_recordings_that_end_below_the_band_are_told(tmp_path, notes, yin):
    class Whole(notes):
        def load(self, sample_rate):
            audio = super().load(sample_rate)
            return audio + noise_like(audio, 0.001)

    class Cut(Whole):
        """As a codec cuts: nothing over 4 kHz."""

        def load(self, sample_rate):
            audio = super().load(sample_rate)
            spectrum = torch.fft.rfft(audio.double())
            spectrum[torch.fft.rfftfreq(len(audio), 1 / sample_rate) > 4000] = 0
            return torch.fft.irfft(spectrum, n=len(audio)).float()

    cut, whole = Cut("cut"), Whole("whole")
    assert highest_hz(cut.load(16000), sample_rate=16000) == pytest.approx(4000, abs=50)
    assert highest_hz(whole.load(16000), sample_rate=16000) is None
    assert highest_hz(torch.zeros(16000), sample_rate=16000) is None
    prepare_dataset([cut, whole], tmp_path / "data", yin)
    told = json.loads((tmp_path / "data" / "dataset.json").read_text())["notes"]
    (note,) = [note for note in told if "nothing sounds" in note]
    assert note.startswith("cut: nothing sounds over 4 kHz. Train with --set reconstruction.floor=3e-4")
