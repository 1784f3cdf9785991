import math
import tracemalloc

import pytest
import torch
import zoo_kernels
from torch.autograd import gradcheck
from zoo_kernels import reference

SIZES = [(1, 1, 1, 1), (1, 3, 5, 7), (4, 2, 3, 300), (2, 5, 1, 513)]  # M, H, N, F


def problem(sizes, dtype=torch.complex128, seed=0, imaginary=False):
    count, channels, poles, nodes = sizes
    torch.manual_seed(seed)
    v = torch.randn(count, channels, poles, dtype=torch.complex128)
    w = torch.complex(-0.1 - torch.rand(channels, poles).double(), 3 * torch.rand(channels, poles).double())
    z = 3 * torch.randn(nodes, dtype=torch.complex128)
    if imaginary:
        z = 1j * z.imag
    return tuple(x.to(dtype).requires_grad_() for x in (v, z, w))


def s4_nodes(length, dtype=torch.complex64):
    """All but the last: z = 2 (1 - omega) / (1 + omega) is on the imaginary axis, up to 1.3 times the length."""
    angle = torch.arange(length // 2, dtype=torch.float64) * 2 * math.pi / length
    return torch.complex(torch.zeros_like(angle), 2 * torch.tan(angle / 2)).to(dtype)


@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_cauchy_gradcheck_in_float64(sizes, imaginary, cauchy_backend):
    sizes = (*sizes[:3], min(sizes[3], 9))
    gradcheck(lambda v, z, w: zoo_kernels.cauchy(v, z, w, backend=cauchy_backend), problem(sizes, imaginary=imaginary))


@pytest.mark.parametrize(("dtype", "limit"), [(torch.complex64, 2e-6), (torch.complex128, 1e-13)])
@pytest.mark.parametrize("sizes", SIZES)
def test_cauchy_agrees_with_the_reference_in_values_and_gradients(sizes, dtype, limit, cauchy_backend):
    arguments = problem(sizes, dtype)
    expected = reference.cauchy(*arguments)
    found = zoo_kernels.cauchy(*arguments, backend=cauchy_backend)
    assert found.dtype == dtype
    torch.manual_seed(1)
    grad = torch.randn(expected.shape, dtype=dtype)
    wanted = torch.autograd.grad(expected, arguments, grad.to(expected.dtype))
    gradients = torch.autograd.grad(found, arguments, grad)
    for a, b in zip((found, *gradients), (expected, *wanted), strict=True):
        assert (a - b).abs().max() <= limit * b.abs().max()


@pytest.mark.parametrize("length", [1000, 16000])
def test_cauchy_is_precise_on_the_nodes_of_s4(length, cauchy_backend):
    torch.manual_seed(0)
    dt = torch.logspace(-3, -1, 8)[:, None]
    w = torch.complex(-0.5 * dt.expand(8, 32), dt * math.pi * torch.arange(32))
    v = torch.randn(4, 8, 32, dtype=torch.complex64)
    z = s4_nodes(length)
    expected = reference.cauchy(v, z, w)
    found = zoo_kernels.cauchy(v, z, w, backend=cauchy_backend)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_cauchy_neither_overflows_nor_vanishes(scale, cauchy_backend):
    v, z, w = (x.detach() for x in problem((1, 2, 3, 5)))
    expected = reference.cauchy(v, z * scale, w * scale)
    found = zoo_kernels.cauchy(*(x.to(torch.complex64) for x in (v, z * scale, w * scale)), backend=cauchy_backend)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_cauchy_with_gradients_for_some_arguments_only(cauchy_backend):
    for wanted in range(3):
        arguments = [x.detach().requires_grad_(i == wanted) for i, x in enumerate(problem((2, 3, 2, 4)))]
        zoo_kernels.cauchy(*arguments, backend=cauchy_backend).abs().sum().backward()
        expected = [x.detach().requires_grad_(i == wanted) for i, x in enumerate(arguments)]
        reference.cauchy(*expected).abs().sum().backward()
        assert torch.allclose(arguments[wanted].grad, expected[wanted].grad)


def test_cauchy_takes_any_leading_sizes_and_layouts(cauchy_backend):
    v, z, w = (x.detach() for x in problem((6, 3, 4, 5)))
    flat = zoo_kernels.cauchy(v, z, w, backend=cauchy_backend)
    # To rounding: a product of matrices may add up in another order for another size.
    shaped = zoo_kernels.cauchy(v.reshape(2, 3, 3, 4), z, w, backend=cauchy_backend)
    torch.testing.assert_close(shaped.flatten(0, 1), flat)
    torch.testing.assert_close(zoo_kernels.cauchy(v[0], z, w, backend=cauchy_backend), flat[0])
    transposed = v.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(zoo_kernels.cauchy(transposed, z, w, backend=cauchy_backend), flat)
    conjugated = zoo_kernels.cauchy(v.conj(), z, w.conj(), backend=cauchy_backend)
    assert torch.allclose(conjugated, reference.cauchy(v.conj(), z, w.conj()))


@pytest.mark.parametrize(("sizes", "shape"), [((0, 3, 4, 5), (0, 3, 5)), ((2, 3, 0, 5), (2, 3, 5))])
def test_cauchy_of_nothing_is_empty_or_zero(sizes, shape, cauchy_backend):
    found = zoo_kernels.cauchy(*problem(sizes), backend=cauchy_backend)
    assert found.shape == shape
    assert not found.detach().any()
    found.abs().sum().backward()


def test_cauchy_does_not_write_the_large_product():
    """At H 512, N 32, F 1000 an array of channels x poles x nodes takes 131 MB in complex64; the result 16 MB."""
    torch.manual_seed(0)
    v = torch.randn(4, 512, 32, dtype=torch.complex64, requires_grad=True)
    w = torch.complex(-torch.rand(512, 32) - 0.01, 10 * torch.rand(512, 32)).requires_grad_()
    z = s4_nodes(2000)
    grad = torch.ones(4, 512, 1000, dtype=torch.complex64)
    for backend in ("numba", "torch"):
        with torch.profiler.profile(profile_memory=True) as profile:
            tracemalloc.start()
            zoo_kernels.cauchy(v, z, w, backend=backend).backward(grad)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        largest = max(event.cpu_memory_usage for event in profile.events())
        assert max(peak, largest) < 40e6, backend


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"v": torch.zeros(3, 4)}, "v must be complex64 or complex128, and is torch.float32"),
        ({"z": torch.zeros(5, dtype=torch.complex64)}, r"v is torch.complex128 and z torch.complex64"),
        ({"w": torch.zeros(3, 5, dtype=torch.complex128)}, r"v is \[3, 4\], w is \[3, 5\]"),
        ({"z": torch.zeros(5, 1, dtype=torch.complex128)}, r"z is \[5, 1\]"),
        ({"v": torch.zeros(4, dtype=torch.complex128)}, r"v is \[4\]"),
        ({"w": torch.zeros(3, 4, dtype=torch.complex128, device="meta")}, "v is on cpu and w on meta"),
    ],
)
def test_cauchy_refuses_what_does_not_fit(change, message):
    v, z, w = (x.detach() for x in problem((1, 3, 4, 5)))
    arguments = {"v": v[0], "z": z, "w": w, **change}
    with pytest.raises(ValueError, match=message):
        zoo_kernels.cauchy(**arguments)


def test_cauchy_backend_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ValueError, match=r"no backend 'cuda'. It has: auto, numba, keops, torch"):
        zoo_kernels.cauchy(*problem((1, 1, 1, 1)), backend="cuda")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", ["torch", "keops", "auto"])
def test_cauchy_on_cuda_agrees_with_the_reference(backend):
    if backend == "keops" and (reason := zoo_kernels._backends.state("cauchy", backend, "cuda")) != "ok":
        pytest.skip(f"{backend} does not work here: {reason}")
    arguments = problem((4, 8, 32, 1000), torch.complex64)
    there = [x.detach().cuda().requires_grad_() for x in arguments]
    expected, found = reference.cauchy(*arguments), zoo_kernels.cauchy(*there, backend=backend)
    expected.abs().sum().backward()
    found.abs().sum().backward()
    for a, b in [(found, expected), *((x.grad, y.grad) for x, y in zip(there, arguments, strict=True))]:
        assert (a.cpu() - b).abs().max() <= 1e-4 * b.abs().max()
