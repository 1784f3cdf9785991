import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo_kernels import fast_fft_size

from zoo.synths.filtered_noise import full_filtered_noise, windowed_response
from zoo.thesis.synth import CroppedNoisePart


def plain_filtered_noise(noise, magnitudes, hop):
    """Each frame's noise convolved with its windowed, centred response, sample by sample in float64."""
    batch, frames, bands = magnitudes.shape
    taps = 2 * (bands - 1)
    out = torch.zeros(batch, frames * hop + 2 * taps, dtype=torch.float64)
    window = torch.hann_window(taps, dtype=torch.float64)
    for row in range(batch):
        for frame in range(frames):
            impulse = torch.fft.irfft(magnitudes[row, frame].double(), n=taps).roll(taps // 2) * window
            for i in range(hop):
                position = frame * hop + i
                start = taps + position - taps // 2
                out[row, start : start + taps] += noise[row, position].double() * impulse
    return out[:, taps : taps + frames * hop]


def ours(noise, magnitudes, hop):
    bands = magnitudes.shape[-1]
    response = windowed_response(bands, fast_fft_size(hop + 2 * (bands - 1))).to(magnitudes)
    return full_filtered_noise(noise, magnitudes, response, hop=hop)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(2, 20), st.integers(1, 40))
def test_full_filter_equals_plain_convolution(batch, frames, bands, hop):
    noise, magnitudes = torch.rand(batch, frames * hop) * 2 - 1, torch.rand(batch, frames, bands)
    expected = plain_filtered_noise(noise, magnitudes, hop)
    assert torch.allclose(ours(noise, magnitudes, hop).double(), expected, atol=1e-5)


def test_flat_bands_pass_the_noise_unchanged():
    noise = torch.rand(2, 640) * 2 - 1
    assert torch.allclose(ours(noise, torch.ones(2, 10, 65), 64), noise, atol=1e-5)


def test_thesis_filter_is_silent_for_flat_bands():
    noise = torch.rand(1, 640) * 2 - 1
    assert CroppedNoisePart(65, hop=64)(torch.ones(1, 10, 65), noise).abs().max() < 1e-6


def test_full_filter_has_the_gradient_of_its_value():
    noise = torch.rand(1, 24, dtype=torch.float64) * 2 - 1
    magnitudes = torch.rand(1, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m: ours(noise, m, 8), (magnitudes,))


@pytest.mark.parametrize("minimum", [1, 2, 7, 191, 79_999, 65_599])
def test_fast_fft_size_is_even_5_smooth_and_least(minimum):
    def smooth(n):
        for prime in (2, 3, 5):
            while n % prime == 0:
                n //= prime
        return n == 1

    size = fast_fft_size(minimum)
    assert size >= minimum
    assert size % 2 == 0
    assert smooth(size)
    assert not [n for n in range(max(minimum, 2), size) if n % 2 == 0 and smooth(n)]
