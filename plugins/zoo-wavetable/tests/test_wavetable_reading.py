"""Reading: exact between the samples, band-limited, and differentiable."""

import math

import pytest
import torch
from zoo_wavetable.reading import mixed_amplitude, read_tables, sounding_harmonics
from zoo_wavetable.tables import initial_tables, table_harmonics


def random_tables(tables, size, seed=0):
    """Without DC, and without what an even size holds at half of it."""
    spectrum = torch.zeros(tables, size // 2 + 1, dtype=torch.complex128)
    generator = torch.Generator().manual_seed(seed)
    spectrum[:, 1 : (size + 1) // 2] = torch.randn(tables, (size - 1) // 2, dtype=torch.complex128, generator=generator)
    return torch.fft.irfft(spectrum, n=size)


@pytest.mark.parametrize("size", [3, 16, 101, 512])
def test_table_read_at_its_own_positions_gives_its_samples(size):
    tables = random_tables(3, size)
    phase = 2 * math.pi * torch.arange(size, dtype=torch.float64)[None] / size
    for n, table in enumerate(tables):
        weights = torch.eye(3, dtype=torch.float64)[n].view(1, 1, 3)
        found = read_tables(phase, table_harmonics(tables), weights, hop=size)
        torch.testing.assert_close(found[0], table, atol=1e-10, rtol=0)


def test_table_read_between_its_positions_is_the_wave_through_its_samples():
    tables = random_tables(1, 64)
    finer = torch.fft.irfft(torch.fft.rfft(tables), n=256) * 4
    phase = 2 * math.pi * torch.arange(256, dtype=torch.float64)[None] / 256
    found = read_tables(phase, table_harmonics(tables), torch.ones(1, 1, 1, dtype=torch.float64), hop=256)
    torch.testing.assert_close(found, finer, atol=1e-10, rtol=0)


def test_mixture_is_the_weighted_sum_and_its_weights_are_held_over_frames():
    tables = initial_tables(5, 128)
    phase = torch.rand(2, 30, dtype=torch.float64) * 6 - 3
    weights = torch.randn(2, 3, 5)
    harmonics = table_harmonics(tables)
    alone = [read_tables(phase, harmonics[:, n : n + 1], torch.ones(2, 3, 1), hop=10) for n in range(5)]
    expected = sum(weights[..., n].repeat_interleave(10, 1) * wave for n, wave in enumerate(alone))
    torch.testing.assert_close(read_tables(phase, harmonics, weights, hop=10), expected, atol=1e-5, rtol=0)


def test_float32_is_as_good_as_its_digits_even_for_a_pulse():
    tables = torch.zeros(1, 512)
    tables[0, 0] = 1.0  # all harmonics equally strong, as cosines: the hardest case of the two phases
    phase = torch.linspace(-math.pi, math.pi, 4096, dtype=torch.float64)[None]
    exact = read_tables(phase, table_harmonics(tables.double()), torch.ones(1, 1, 1, dtype=torch.float64), hop=4096)
    found = read_tables(phase, table_harmonics(tables), torch.ones(1, 1, 1), hop=4096)
    assert (found - exact).abs().max() < 2e-6


def test_harmonics_that_do_not_count_are_silent_and_have_no_gradient():
    harmonics = table_harmonics(random_tables(2, 32)).requires_grad_()
    phase, weights = torch.rand(1, 20, dtype=torch.float64), torch.ones(1, 2, 2, dtype=torch.float64)
    found = read_tables(phase, harmonics, weights, hop=10, active=torch.tensor([[3, 0]]))
    found.sum().backward()
    assert not found[0, 10:].any()
    assert harmonics.grad[..., :3].abs().min() > 0
    assert not harmonics.grad[..., 3:].any()


def test_gradients_of_reading_are_right():
    tables = random_tables(2, 9).requires_grad_()
    phase = (torch.rand(1, 8, dtype=torch.float64) * 6 - 3).requires_grad_()
    weights = torch.rand(1, 2, 2, dtype=torch.float64).requires_grad_()
    active = torch.tensor([[4, 2]])

    def read(tables, phase, weights):
        return read_tables(phase, table_harmonics(tables), weights, hop=4, active=active)

    def level(tables, weights):
        return mixed_amplitude(table_harmonics(tables), weights, active)

    assert torch.autograd.gradcheck(read, (tables, phase, weights))
    assert torch.autograd.gradcheck(level, (tables, weights))


def test_amplitude_of_a_mixture_counts_what_sounds():
    sines, cosines = [[3.0, 0.0, 0.0], [3.0, 0.0, 0.0]], [[0.0, 4.0, 0.5], [0.0, 0.0, 0.0]]
    harmonics = torch.tensor([sines, cosines], dtype=torch.float64)
    weights = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [1.0, -1.0]]], dtype=torch.float64)
    found = mixed_amplitude(harmonics, weights, torch.tensor([[2, 3, 1]]))
    torch.testing.assert_close(found[0, :, 0], torch.tensor([7.0, 10.5, 0.0], dtype=torch.float64))


def test_harmonics_that_sound_stay_under_nyquist_all_through_a_frame():
    f0_hz = torch.tensor([[1000.0, 1000.0, 1300.0, 8000.0, 8000.0, 0.0, 0.0]])
    # the second frame ends at 1150 Hz, the third at 4650 Hz
    assert sounding_harmonics(f0_hz, harmonics=50, sample_rate=16000).tolist() == [[7, 6, 1, 0, 0, 1, 50]]
