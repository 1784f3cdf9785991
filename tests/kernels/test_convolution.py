import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from zoo_kernels import causal_convolution


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 3), channels=st.integers(1, 4), frames=st.integers(1, 70))
def test_causal_convolution_is_the_causal_sum(batch, channels, frames):
    torch.manual_seed(frames)
    u, kernel = torch.randn(batch, channels, frames).double(), torch.randn(channels, frames).double()
    expected = torch.zeros_like(u)
    for lag in range(frames):
        expected[..., lag:] += kernel[:, lag, None] * u[..., : frames - lag]
    assert torch.allclose(causal_convolution(u, kernel), expected, atol=1e-10)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_causal_convolution_gradcheck(frames):
    torch.manual_seed(0)
    u = torch.randn(2, 3, frames, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(3, frames, dtype=torch.float64, requires_grad=True)
    gradcheck(causal_convolution, (u, kernel))
    gradcheck(lambda u: causal_convolution(u, kernel.detach()), (u,))
    gradcheck(lambda kernel: causal_convolution(u.detach(), kernel), (kernel,))


def test_causal_convolution_in_many_blocks_is_the_same():
    """Long enough for one channel a block, in several threads."""
    torch.manual_seed(0)
    u = torch.randn(2, 5, 40000, requires_grad=True)
    kernel = torch.randn(5, 40000, requires_grad=True)
    found = causal_convolution(u, kernel)
    expected = torch.fft.irfft(torch.fft.rfft(u.double(), 80000) * torch.fft.rfft(kernel.double(), 80000))[..., :40000]
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    grad = torch.randn_like(found)
    for a, b in zip(*(torch.autograd.grad(y, (u, kernel), grad.to(y.dtype)) for y in (found, expected)), strict=True):
        assert (a - b).abs().max() < 1e-5 * b.abs().max()


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_causal_convolution_of_nothing_is_empty(shape):
    assert causal_convolution(torch.zeros(shape), torch.zeros(shape[1:])).shape == shape


@pytest.mark.parametrize(
    ("u", "kernel", "message"),
    [
        (torch.zeros(2, 3, 4), torch.zeros(3, 5), r"\[2, 3, 4\] and \[3, 5\]"),
        (torch.zeros(3, 4), torch.zeros(3, 4), r"\[batch, channels, samples\]"),
        (torch.zeros(2, 3, 4), torch.zeros(3, 4).double(), "convert one"),
        (torch.zeros(2, 3, 4).half(), torch.zeros(3, 4).half(), "u must be float32 or float64"),
    ],
)
def test_causal_convolution_refuses_what_does_not_fit(u, kernel, message):
    with pytest.raises(ValueError, match=message):
        causal_convolution(u, kernel)
