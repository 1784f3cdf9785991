import math

import pytest
import torch
import zoo_kernels
from torch.autograd import gradcheck
from zoo_kernels import reference

SIZES = [(1, 1, 1, 1), (1, 3, 5, 2), (4, 2, 3, 65), (2, 3, 1, 1000)]  # M, H, N, L


def problem(sizes, dtype=torch.complex128):
    count, channels, poles, _ = sizes
    torch.manual_seed(0)
    v = torch.randn(count, channels, poles, dtype=torch.complex128)
    w = torch.complex(-0.1 * torch.rand(channels, poles).double(), math.pi * torch.rand(channels, poles).double())
    return tuple(x.to(dtype).requires_grad_() for x in (v, w))


@pytest.mark.parametrize("sizes", SIZES)
def test_vandermonde_gradcheck_in_float64(sizes, vandermonde_backend):
    length = min(sizes[3], 67)
    gradcheck(lambda v, w: zoo_kernels.vandermonde(v, w, length, backend=vandermonde_backend), problem(sizes))


@pytest.mark.parametrize(("dtype", "limit"), [(torch.complex64, 2e-6), (torch.complex128, 1e-12)])
@pytest.mark.parametrize("sizes", SIZES)
def test_vandermonde_agrees_with_the_reference_in_values_and_gradients(sizes, dtype, limit, vandermonde_backend):
    arguments = problem(sizes, dtype)
    expected = reference.vandermonde(*arguments, sizes[3])
    found = zoo_kernels.vandermonde(*arguments, sizes[3], backend=vandermonde_backend)
    assert found.dtype == arguments[0].real.dtype
    torch.manual_seed(1)
    grad = torch.randn(found.shape, dtype=found.dtype)
    wanted = torch.autograd.grad(expected, arguments, grad.double())
    gradients = torch.autograd.grad(found, arguments, grad)
    for a, b in zip((found, *gradients), (expected, *wanted), strict=True):
        assert (a - b).abs().max() <= limit * b.abs().max()


def test_vandermonde_keeps_its_phase_over_a_minute(vandermonde_backend):
    """15,000 frames of undamped oscillations up to half a turn a step: float32's phase would be off by 3e-3."""
    w = torch.complex(torch.zeros(2, 16), math.pi * torch.linspace(0.01, 1, 32).reshape(2, 16))
    v = torch.ones(2, 16, dtype=torch.complex64)
    expected = reference.vandermonde(v, w, 15000)
    found = zoo_kernels.vandermonde(v, w, 15000, backend=vandermonde_backend)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_vandermonde_takes_any_leading_sizes(vandermonde_backend):
    v, w = (x.detach() for x in problem((6, 3, 4, 9)))
    flat = zoo_kernels.vandermonde(v, w, 9, backend=vandermonde_backend)
    shaped = zoo_kernels.vandermonde(v.reshape(2, 3, 3, 4), w, 9, backend=vandermonde_backend)
    # To rounding: a product of matrices may add up in another order for another size.
    torch.testing.assert_close(shaped.flatten(0, 1), flat)
    torch.testing.assert_close(zoo_kernels.vandermonde(v[0], w, 9, backend=vandermonde_backend), flat[0])


@pytest.mark.parametrize(
    ("sizes", "shape"), [((0, 3, 4, 5), (0, 3, 5)), ((2, 3, 0, 5), (2, 3, 5)), ((1, 2, 3, 0), (1, 2, 0))]
)
def test_vandermonde_of_nothing_is_empty_or_zero(sizes, shape, vandermonde_backend):
    found = zoo_kernels.vandermonde(*problem(sizes), sizes[3], backend=vandermonde_backend)
    assert found.shape == shape
    assert not found.detach().any()
    found.sum().backward()


@pytest.mark.parametrize(
    ("v", "w", "length", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(3, 4), 5, "v must be complex64"),
        (torch.zeros(3, 4, dtype=torch.complex64), torch.zeros(3, 4, dtype=torch.complex128), 5, "convert one"),
        (torch.zeros(3, 4, dtype=torch.complex64), torch.zeros(4, dtype=torch.complex64), 5, r"w is \[4\]"),
        (torch.zeros(3, 4, dtype=torch.complex64), torch.zeros(3, 4, dtype=torch.complex64), -1, "and is -1"),
    ],
)
def test_vandermonde_refuses_what_does_not_fit(v, w, length, message):
    with pytest.raises(ValueError, match=message):
        zoo_kernels.vandermonde(v, w, length)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", ["torch", "keops", "auto"])
def test_vandermonde_on_cuda_agrees_with_the_reference(backend):
    if backend == "keops" and (reason := zoo_kernels._backends.state("vandermonde", backend, "cuda")) != "ok":
        pytest.skip(f"{backend} does not work here: {reason}")
    arguments = problem((4, 8, 32, 1000), torch.complex64)
    there = [x.detach().cuda().requires_grad_() for x in arguments]
    expected = reference.vandermonde(*arguments, 1000)
    found = zoo_kernels.vandermonde(*there, 1000, backend=backend)
    expected.abs().sum().backward()
    found.abs().sum().backward()
    for a, b in [(found, expected), *((x.grad, y.grad) for x, y in zip(there, arguments, strict=True))]:
        assert (a.cpu() - b).abs().max() <= 1e-4 * b.abs().max()
