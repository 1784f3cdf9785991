"""The discrete Fourier transform as real matrices is that of torch.fft."""

import pytest
import torch

from zoo.synths.fourier import from_spectrum, product, to_spectrum

CPU = torch.device("cpu")


def complex_of(spectrum):
    return torch.complex(*spectrum.chunk(2, -1))


@pytest.mark.parametrize("size", [2, 12, 100, 960])
def test_spectrum_and_samples_are_those_of_an_fft(size):
    x = torch.randn(3, size // 2, dtype=torch.float64)
    spectrum = x @ to_spectrum(size // 2, size=size, device=CPU)
    torch.testing.assert_close(complex_of(spectrum), torch.fft.rfft(x, n=size))
    back = spectrum @ from_spectrum(torch.arange(-size, size), size=size)
    expected = torch.nn.functional.pad(x, (0, size - size // 2))
    torch.testing.assert_close(back, expected.repeat(1, 2))


def test_product_is_that_of_complex_numbers():
    a, b = torch.randn(2, 4, 10, dtype=torch.float64)
    torch.testing.assert_close(complex_of(product(a, b)), complex_of(a) * complex_of(b))
