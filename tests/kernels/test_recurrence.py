import pytest
import torch
import zoo_kernels
from torch.autograd import gradcheck
from zoo_kernels import reference

SIZES = [(1, 1, 1), (2, 7, 3), (3, 40, 8), (5, 25, 44), (16, 60, 17)]  # batch, steps, H


def problem(sizes, dtype):
    batch, steps, size = sizes
    torch.manual_seed(0)
    inputs = torch.randn(batch, steps, 3 * size, dtype=torch.float64)
    weight = torch.randn(3 * size, size, dtype=torch.float64) / size**0.5
    bias = torch.randn(3 * size, dtype=torch.float64)
    return tuple(x.to(dtype).requires_grad_() for x in (inputs, weight, bias))


@pytest.mark.parametrize("sizes", SIZES[:3])
def test_recurrence_gradcheck_in_float64(sizes):
    batch, steps, size = sizes
    gradcheck(zoo_kernels.gated_recurrence, problem((batch, min(steps, 5), size), torch.float64))


@pytest.mark.parametrize(
    ("dtype", "limit", "backend"),
    [(torch.float32, 3e-6, "numba"), (torch.float32, 3e-6, "torch"), (torch.float64, 1e-12, "torch")],
)
@pytest.mark.parametrize("sizes", SIZES)
def test_recurrence_agrees_with_the_reference_in_values_and_gradients(sizes, dtype, limit, backend):
    arguments = problem(sizes, dtype)
    expected = reference.gated_recurrence(*arguments)
    found = zoo_kernels.gated_recurrence(*arguments, backend=backend)
    assert found.dtype == dtype
    grad = torch.randn(found.shape, dtype=dtype)
    wanted = torch.autograd.grad(expected, arguments, grad.double())
    gradients = torch.autograd.grad(found, arguments, grad)
    for a, b in zip((found, *gradients), (expected, *wanted), strict=True):
        assert (a - b).abs().max() <= limit * b.abs().max()


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_recurrence_is_torchs_gru(backend):
    torch.manual_seed(0)
    gru = torch.nn.GRU(12, 20, batch_first=True)
    x = torch.randn(3, 30, 12)
    inputs = torch.nn.functional.linear(x, gru.weight_ih_l0, gru.bias_ih_l0)
    found = zoo_kernels.gated_recurrence(inputs, gru.weight_hh_l0, gru.bias_hh_l0, backend=backend)
    expected, _ = gru(x)
    torch.testing.assert_close(found, expected)
    names = [name for name, _ in gru.named_parameters()]
    for made in (found, expected):
        gru.zero_grad()
        made.square().sum().backward(retain_graph=True)
        gradients = {name: parameter.grad.clone() for name, parameter in gru.named_parameters()}
        if made is found:
            ours = gradients
    for name in names:
        torch.testing.assert_close(ours[name], gradients[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_recurrence_saturates_without_a_fault(backend):
    inputs, weight, bias = (x.detach() for x in problem((2, 6, 5), torch.float32))
    found = zoo_kernels.gated_recurrence(inputs * 1e4, weight, bias, backend=backend)
    torch.testing.assert_close(
        found.double(), reference.gated_recurrence(inputs * 1e4, weight, bias), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_nan_in_the_inputs_is_nan_from_there_on(backend):
    inputs, weight, bias = (x.detach() for x in problem((1, 6, 4), torch.float32))
    inputs[0, 3, 8] = float("nan")
    found = zoo_kernels.gated_recurrence(inputs, weight, bias, backend=backend)
    assert torch.isfinite(found[0, :3]).all()
    assert found[0, 3, 0].isnan()
    assert found[0, 4:].isnan().any()


def test_recurrence_without_gradients_keeps_nothing():
    arguments = problem((2, 50, 8), torch.float32)
    with torch.no_grad():
        found = zoo_kernels.gated_recurrence(*arguments)
    assert found.grad_fn is None
    torch.testing.assert_close(found, zoo_kernels.gated_recurrence(*arguments).detach())


def test_recurrence_does_not_depend_on_the_number_of_threads():
    arguments = [x.detach() for x in problem((5, 20, 9), torch.float32)]
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(zoo_kernels.gated_recurrence(*arguments))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_recurrence_of_no_steps_is_empty():
    inputs, weight, bias = problem((2, 0, 4), torch.float32)
    found = zoo_kernels.gated_recurrence(inputs, weight, bias)
    assert found.shape == (2, 0, 4)
    found.sum().backward()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, w, b: (i[0], w, b), r"inputs must be \[batch, steps, 3 H\]"),
        (lambda i, w, b: (i[..., 1:], w, b), "inputs must end in 12"),
        (lambda i, w, b: (i, w[1:], b), r"weight \[3 H, H\]"),
        (lambda i, w, b: (i, w.double(), b), "convert one"),
        (lambda i, w, b: (i.half(), w.half(), b.half()), "float32 or float64"),
    ],
)
def test_recurrence_refuses_what_does_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        zoo_kernels.gated_recurrence(*change(*problem((2, 3, 4), torch.float32)))


def test_compiled_recurrence_is_float32_alone():
    with pytest.raises(ValueError, match="takes float32"):
        zoo_kernels.gated_recurrence(*problem((2, 3, 4), torch.float64), backend="numba")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_recurrence_on_cuda_agrees_with_the_reference():
    arguments = problem((3, 50, 8), torch.float32)
    there = [x.detach().cuda().requires_grad_() for x in arguments]
    expected = reference.gated_recurrence(*arguments)
    found = zoo_kernels.gated_recurrence(*there)
    expected.square().sum().backward()
    found.square().sum().backward()
    for a, b in [(found, expected), *((x.grad, y.grad) for x, y in zip(there, arguments, strict=True))]:
        assert (a.cpu() - b).abs().max() <= 1e-4 * b.abs().max()
