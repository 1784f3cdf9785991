"""The checks of metrics, pitch trackers and loudnesses can fail, and say what is promised and what was found."""

import pytest
import torch
from torch import nn

from zoo.testing import check_loudness, check_metric, check_pitch


def rms_difference(a, b, *, valid_samples=None):
    counts = (
        torch.arange(a.shape[1])
        < (torch.full((len(a),), a.shape[1]) if valid_samples is None else valid_samples)[:, None]
    )
    return (((a - b) * counts).square().sum(1) / counts.sum(1)).sqrt()


def mean_of_all(a, b):
    return (a - b).abs().mean()


def unlike_itself(a, b):
    return (a - b).abs().mean(1) + 1


def relative_to_the_batch(a, b):
    return (a - b).abs().mean(1) / (a.abs().max() + b.abs().sum())


def counts_padding(a, b, *, valid_samples=None):
    return (a - b).abs().mean(1)


def test_good_metric_passes():
    check_metric(rms_difference)


@pytest.mark.parametrize(
    ("metric", "promise", "found"),
    [
        (mean_of_all, "one value per row", r"\[\]"),
        (unlike_itself, "0 between equal sounds", "apart"),
        (relative_to_the_batch, "do not see each other", "apart"),
        (counts_padding, "after valid_samples", "apart"),
        (lambda a, b: (a - b).abs().mean(1).log(), "finite", "inf"),
    ],
)
def test_broken_metric_fails(metric, promise, found):
    with pytest.raises(AssertionError, match=rf"metric .*Promised: .*{promise}.*Found: .*{found}"):
        check_metric(metric)


def by_spectrum(audio, *, sample_rate, hop, fmin, fmax, center):
    loudest = torch.fft.rfft(audio).abs().argmax(1) * sample_rate / audio.shape[1]
    frames = audio.shape[1] // hop
    return loudest[:, None].repeat(1, frames).float(), torch.ones(len(audio), frames)


def octave_too_high(audio, **options):
    f0_hz, confidence = by_spectrum(audio, **options)
    return 2 * f0_hz, confidence


def one_frame_more(audio, **options):
    return tuple(nn.functional.pad(value, (0, 1)) for value in by_spectrum(audio, **options))


def confident_in_percent(audio, **options):
    f0_hz, confidence = by_spectrum(audio, **options)
    return f0_hz, 100 * confidence


def test_good_pitch_tracker_passes():
    check_pitch(by_spectrum)


@pytest.mark.parametrize(
    ("tracker", "promise", "found"),
    [
        (octave_too_high, "220.0 Hz is found to 50 cents", "Hz"),
        (one_frame_more, r"is \[2, 32\]", r"\[2, 33\]"),
        (confident_in_percent, "from 0 to 1", "100"),
        (lambda audio, sample_rate: audio, "takes audio", "TypeError"),
    ],
)
def test_broken_pitch_tracker_fails(tracker, promise, found):
    with pytest.raises(AssertionError, match=rf"pitch tracker .*Promised: .*{promise}.*Found: .*{found}"):
        check_pitch(tracker)


def power(audio, hop):
    frames = audio.shape[1] // hop
    return audio[:, : frames * hop].reshape(len(audio), frames, hop).square().mean(-1)


def power_db(audio, *, sample_rate, hop, center):
    return 10 * power(audio, hop).clamp(min=1e-8).log10()


def without_a_floor_under_the_logarithm(audio, *, sample_rate, hop, center):
    return (10 * power(audio, hop).log10()).clamp(min=-80)


def relative_to_the_loudest(audio, **options):
    found = power_db(audio, **options)
    return (found - found.max()).clamp(min=-80)


def test_good_loudness_passes():
    check_loudness(power_db)


@pytest.mark.parametrize(
    ("loudness", "promise", "found"),
    [
        (lambda audio, **options: power_db(audio, **options)[:, 1:], "samples // hop", r"\[2, 31\]"),
        (lambda audio, **options: power_db(audio, **options) - 80, "never under -80", "-"),
        (lambda audio, **options: -80 - power_db(audio, **options), "More level is more loudness", "-"),
        (lambda audio, **options: power_db(audio, **options) + 1, "Silence is -80", "apart"),
        (relative_to_the_loudest, "do not see each other", "apart"),
        (without_a_floor_under_the_logarithm, "gradient through silence is finite", "it is not"),
    ],
)
def test_broken_loudness_fails(loudness, promise, found):
    with pytest.raises(AssertionError, match=rf"loudness .*Promised: .*{promise}.*Found: .*{found}"):
        check_loudness(loudness)
