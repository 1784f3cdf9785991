"""The search for pitch: what comes before a sound, and how clear the sound is, must not decide on where it ends up."""

import pytest
import torch

from zoo.features import track_pitch
from zoo.features.crepe import viterbi
from zoo.features.pitch import default_thresholds, options_today

SILENCES = {"digital": 0.0, "noisy": 1e-3}


def low_vowel(seconds=1.0, hz=70.0, formant_hz=500.0, width_hz=400.0):
    """A low, steady, buzzing sound, of which torchcrepe's tiny network is only half sure."""
    t = torch.arange(round(seconds * 16000), dtype=torch.float64) / 16000
    sound = sum(
        torch.sin(2 * torch.pi * k * hz * t + k * k) / (1 + ((k * hz - formant_hz) / width_hz) ** 2)
        for k in range(1, 100)
    )
    return (sound / sound.abs().max()).float()


@pytest.mark.parametrize("silence", SILENCES)
@pytest.mark.parametrize(("tracker", "options"), [("torchcrepe", {"model": "tiny"}), ("pyin", {}), ("yin", {})])
def test_silence_before_and_after_a_sound_does_not_change_its_pitch(tracker, options, silence):
    sound = low_vowel()
    generator = torch.Generator().manual_seed(0)
    before, after = (SILENCES[silence] * torch.randn(8000, generator=generator) for _ in range(2))
    alone, sure = track_pitch(sound[None], sample_rate=16000, hop=64, tracker=tracker, center=True, **options)
    whole, periodicity = track_pitch(
        torch.cat([before, sound, after])[None], sample_rate=16000, hop=64, tracker=tracker, center=True, **options
    )
    inner = slice(20, -20)  # windows that hold the sound alone
    assert torch.allclose(periodicity[0, 125:-125][inner], sure[0][inner], atol=0.05)
    voiced = sure[0][inner] >= default_thresholds(tracker)[0]
    assert voiced.any()
    torch.testing.assert_close(whole[0, 125:-125][inner][voiced], alone[0][inner][voiced], rtol=1e-3, atol=0)


@pytest.mark.parametrize(("tracker", "options"), [("torchcrepe", {"model": "tiny"}), ("pyin", {}), ("yin", {})])
def test_digital_silence_has_no_confidence(tracker, options):
    audio = torch.cat([low_vowel(0.3), torch.zeros(8000), low_vowel(0.3)])[None]
    f0_hz, periodicity = track_pitch(audio, sample_rate=16000, hop=64, tracker=tracker, center=True, **options)
    silent = slice((4800 + 2048) // 64, (4800 + 8000 - 2048) // 64)
    assert (periodicity[0, silent] == 0).all()
    assert torch.isfinite(f0_hz).all()


def test_a_path_goes_through_unclear_pitch_and_not_along_the_end_of_the_range():
    probabilities = torch.full((1, 400, 360), 0.01)
    probabilities[0, 100:, 80] = 0.4  # less than what staying at the last bin would once have gained
    path = viterbi(torch.softmax(probabilities, dim=-1))[0]
    assert (path[100:] == 80).all()


def test_the_search_starts_anew_where_it_is_told():
    probabilities = torch.full((2, 60, 360), 0.01)
    probabilities[:, :30, 300] = 0.9
    probabilities[:, 30:, 50] = 0.9  # too far for one step
    restarts = torch.zeros(2, 60, dtype=torch.bool)
    restarts[1, 30] = True
    tied, free = viterbi(probabilities, restarts=restarts)
    assert (tied.diff().abs() < 12).all()
    assert free.tolist() == [300] * 30 + [50] * 30


def test_a_leap_takes_as_long_at_a_wide_hop_as_at_a_narrow_one():
    t = torch.arange(8000, dtype=torch.float64) / 16000
    low, high = (sum(torch.sin(2 * torch.pi * k * hz * t) / k for k in range(1, 8)) for hz in (150.0, 900.0))
    audio = 0.2 * torch.cat([low, high, low])[None].float()
    off = {}
    for hop in (64, 256):
        f0_hz, _ = track_pitch(audio, sample_rate=16000, hop=hop, model="tiny", center=True)
        true = torch.where((torch.arange(f0_hz.shape[1]) * hop // 8000) == 1, 900.0, 150.0)
        off[hop] = ((1200 * torch.log2(f0_hz[0] / true)).abs() > 50).sum().item() * hop / 16000
    assert off[256] <= off[64] + 0.05  # of 1.5 seconds; two leaps of 31 semitones


def share_right(audio, hz, **options):
    """How many of the inner frames are voiced and within 50 cents."""
    f0_hz, confidence = track_pitch(audio[None], sample_rate=16000, hop=64, fmin=40.0, center=True, **options)
    voiced = confidence[0] >= default_thresholds("torchcrepe")[0]
    right = voiced & ((1200 * torch.log2(f0_hz[0] / hz)).abs() < 50)
    return float(right[20:-20].float().mean())


# Buzzing sounds with one strong resonance, as low voices and strings are: the network hears none of them.
@pytest.mark.parametrize(("hz", "formant_hz"), [(55.0, 700.0), (65.0, 500.0), (65.0, 900.0), (82.0, 1200.0)])
def test_with_yin_low_sounds_have_a_pitch(hz, formant_hz):
    sound = low_vowel(hz=hz, formant_hz=formant_hz, width_hz=350.0)
    assert share_right(sound, hz, model="tiny") < 0.2
    assert share_right(sound, hz, model="tiny", with_yin=True) == 1.0


# Of a bright sound the difference function's troughs are narrow, and lie between the network's bins.
@pytest.mark.parametrize("harmonics", [2, 6, 18])
@pytest.mark.parametrize("hz", [99.3, 151.0, 331.7, 441.3, 600.0])
def test_with_yin_two_periods_are_not_taken_for_one(hz, harmonics):
    t = torch.arange(8000) / 16000
    heard = [k for k in range(1, harmonics + 1) if k * hz < 7500]
    sound = sum(torch.cos(2 * torch.pi * k * hz * t + k * k) / k**0.3 for k in heard)
    assert share_right(sound, hz, model="tiny", with_yin=True) == 1.0


def test_with_yin_steady_pitch_is_read_to_two_cents():
    t = torch.arange(8000) / 16000
    for hz in (110.3, 237.7, 441.9, 905.0):
        sound = sum(torch.sin(2 * torch.pi * k * hz * t) / k for k in range(1, 5))
        f0_hz, _ = track_pitch(sound[None], sample_rate=16000, hop=64, center=True, model="tiny", with_yin=True)
        assert (1200 * torch.log2(f0_hz[0, 20:-20] / hz)).abs().max() < 2.0


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_with_yin_noise_has_no_pitch(power):
    spectrum = torch.fft.rfft(torch.randn(16000, generator=torch.Generator().manual_seed(0)))
    noise = torch.fft.irfft(spectrum / torch.arange(8001).clamp(min=30) ** power)
    _, confidence = track_pitch(
        0.1 * noise[None] / noise.std(), sample_rate=16000, hop=64, center=True, model="tiny", with_yin=True
    )
    assert float((confidence >= 0.5).float().mean()) < 0.01


@pytest.mark.parametrize("sample_rate", [16000, 44100])
@pytest.mark.parametrize("center", [True, False])
def test_with_yin_a_batch_is_heard_as_one_by_one(sample_rate, center):
    both = torch.stack([low_vowel(0.4, hz=80.0), low_vowel(0.4, hz=200.0)])
    settings = {"sample_rate": sample_rate, "hop": 128, "center": center, "model": "tiny", "with_yin": True}
    f0_hz, confidence = track_pitch(both, **settings)
    for row in range(2):
        alone, sure = track_pitch(both[row : row + 1], **settings)
        torch.testing.assert_close(f0_hz[row], alone[0], rtol=1e-4, atol=0)
        torch.testing.assert_close(confidence[row], sure[0], rtol=0, atol=1e-4)


def test_options_of_today_are_those_of_the_quick_network():
    assert options_today("torchcrepe", {"model": "tiny"}) == {"model": "tiny", "with_yin": True}
    for others in ({}, {"model": "full"}, {"model": "tiny", "with_yin": False}, {"with_yin": True}):
        assert options_today("torchcrepe", others) == others
    assert options_today("yin", {"threshold": 0.2}) == {"threshold": 0.2}


def test_with_yin_a_low_note_before_does_not_draw_the_next_one_down():
    t = torch.arange(6400) / 16000
    rest = 1e-3 * torch.randn(1600, generator=torch.Generator().manual_seed(0))
    notes = {
        hz: sum(torch.cos(2 * torch.pi * k * hz * t + k * k) / k**0.5 for k in range(1, 9)) for hz in (70.0, 560.0)
    }
    audio = torch.cat([notes[70.0], rest, notes[560.0], rest, notes[70.0]])
    f0_hz, confidence = track_pitch(audio[None], sample_rate=16000, hop=64, center=True, model="tiny", with_yin=True)
    for start, hz in ((0, 70.0), (125, 560.0), (250, 70.0)):
        inner = slice(start + 15, start + 85)
        assert (confidence[0, inner] >= 0.5).all()
        assert ((1200 * torch.log2(f0_hz[0, inner] / hz)).abs() < 20).all()


# A trough of a note that is too high lies at two and three of its periods too.
@pytest.mark.parametrize(("hz", "fmax"), [(2100.0, 2000.0), (2400.0, 2000.0), (460.0, 440.0), (900.0, 440.0)])
def test_with_yin_a_note_over_the_range_has_no_pitch_in_it(hz, fmax):
    t = torch.arange(8000) / 16000
    for sound in (torch.sin(2 * torch.pi * hz * t), sum(torch.sin(2 * torch.pi * k * hz * t) / k for k in (1, 2, 3))):
        f0_hz, confidence = track_pitch(
            sound[None], sample_rate=16000, hop=64, fmax=fmax, center=True, model="tiny", with_yin=True
        )
        heard = confidence[0, 20:-20] >= 0.5
        assert float(heard.float().mean()) < 0.05
        assert (f0_hz <= fmax * 2 ** (20 / 1200)).all()
