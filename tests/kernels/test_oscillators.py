import math
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
import zoo_kernels
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo_kernels import reference

on_a_gpu = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
# Each with the device that it is tried on.
BACKENDS = [
    ("numba", "cpu"),
    ("torch", "cpu"),
    pytest.param(("torch", "cuda"), marks=on_a_gpu),
    pytest.param(("triton", "cuda"), marks=on_a_gpu),
]


def oscillators(backend, phase, amplitudes, *, hop, active=None):
    """`harmonic_oscillators` by a backend on its device, and back on the CPU."""
    name, device = backend
    active = None if active is None else active.to(device)
    out = zoo_kernels.harmonic_oscillators(
        phase.to(device), amplitudes.to(device), hop=hop, active=active, backend=name
    )
    return out.cpu()


def wrapped(phase):
    return torch.remainder(phase + math.pi, 2 * math.pi) - math.pi


def example(batch=2, frames=5, hop=8, harmonics=7, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    phase = 40 * torch.rand(batch, frames * hop, generator=generator, dtype=torch.float64) - 20
    amplitudes = torch.rand(batch, frames, harmonics, generator=generator, dtype=torch.float64)
    return phase.to(dtype), amplitudes.to(dtype)


def signal_to_error_db(reference_signal, signal):
    error = (reference_signal - signal.double()).square().sum()
    return float(10 * torch.log10(reference_signal.square().sum() / error))


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    frames=st.integers(1, 4),
    hop=st.sampled_from([1, 3, 8, 64]),
    harmonics=st.integers(1, 11),
    seed=st.integers(0, 99),
)
def test_oscillators_equal_the_sum_of_sines(backend, batch, frames, hop, harmonics, seed):
    phase, amplitudes = example(batch, frames, hop, harmonics, seed)
    amplitudes[:, 0, harmonics // 2 :] = 0  # trailing zeros, which are skipped
    found = oscillators(backend, phase, amplitudes, hop=hop)
    torch.testing.assert_close(found, reference.harmonic_oscillators(phase, amplitudes, hop=hop), atol=1e-11, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("limited", [False, True])
def test_oscillators_gradients_hold_where_amplitudes_are_zero(backend, limited):
    phase, amplitudes = example(frames=3, hop=4)
    amplitudes[0, 0, 3:] = 0
    amplitudes[1, 1] = 0
    amplitudes[1, 2, 1] = 0
    active = torch.tensor([[7, 2, 0], [5, 9, 6]]) if limited else None
    assert torch.autograd.gradcheck(
        lambda p, a: oscillators(backend, p, a, hop=4, active=active),
        (phase.requires_grad_(), amplitudes.requires_grad_()),
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("batch", "frames", "hop", "harmonics"),
    [(1, 1, 1, 1), (1, 3, 1, 5), (3, 1, 7, 1), (2, 2, 3, 4), (1, 2, 17, 6), (1, 1, 33, 9)],
)
@pytest.mark.parametrize("active", [None, 0, 3])
def test_oscillators_pass_gradcheck_at_odd_sizes(backend, batch, frames, hop, harmonics, active):
    phase, amplitudes = example(batch, frames, hop, harmonics)
    active = None if active is None else torch.full((batch, frames), active)
    assert torch.autograd.gradcheck(
        lambda p, a: oscillators(backend, p, a, hop=hop, active=active),
        (phase.requires_grad_(), amplitudes.requires_grad_()),
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_oscillators_gradients_equal_the_references(backend, dtype):
    # 100 harmonics, and a hop that is no power of two.
    phase, amplitudes = example(batch=2, frames=3, hop=100, harmonics=100)
    amplitudes = amplitudes.to(dtype)
    active = torch.tensor([[100, 37, 1], [0, 120, 64]])
    grad = torch.randn(2, 300, dtype=torch.float64)
    leaves = [tensor.clone().requires_grad_() for tensor in (phase, amplitudes)]
    out = oscillators(backend, *leaves, hop=100, active=active)
    found = torch.autograd.grad(out, leaves, grad.to(out.dtype))
    exact = [tensor.double().requires_grad_() for tensor in (phase, amplitudes)]
    expected = torch.autograd.grad(reference.harmonic_oscillators(*exact, hop=100, active=active), exact, grad)
    for value, wanted in zip(found, expected, strict=True):
        error = float((value.double() - wanted).abs().max() / wanted.abs().max())
        assert error < (1e-11 if dtype == torch.float64 else 1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_oscillators_count_no_more_than_the_active_harmonics(backend):
    phase, amplitudes = example(frames=3, hop=4)
    active = torch.tensor([[7, 2, 0], [5, 9, -1]])
    amplitudes.requires_grad_()
    found = oscillators(backend, phase, amplitudes, hop=4, active=active)
    torch.testing.assert_close(found, reference.harmonic_oscillators(phase, amplitudes, hop=4, active=active))
    found.sum().backward()
    assert amplitudes.grad[0, 1, 2:].eq(0).all()
    assert amplitudes.grad[0, 1, :2].ne(0).all()
    assert amplitudes.grad[1, 2].eq(0).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("seconds", "harmonics"), [(4, 100), (600, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_oscillators_stay_accurate_over_long_signals(backend, seconds, harmonics, dtype):
    hop, rate = 160, 16000
    f0_hz = torch.full((1, seconds * rate), 77.7, dtype=torch.float64)
    phase = wrapped(torch.cumsum(2 * math.pi * f0_hz / rate, dim=1)).to(dtype)
    amplitudes = torch.rand(1, seconds * rate // hop, harmonics, generator=torch.Generator().manual_seed(1))
    keep = slice(-4 * rate, None)  # the last four seconds, where an error that grows would be largest
    found = oscillators(backend, phase, amplitudes, hop=hop)[:, keep]
    expected = reference.harmonic_oscillators(phase[:, keep], amplitudes[:, -4 * rate // hop :], hop=hop)
    assert found.dtype == torch.float32
    assert signal_to_error_db(expected, found) >= 120


@pytest.mark.parametrize("backend", BACKENDS)
def test_oscillators_accept_a_phase_that_was_never_wrapped(backend):
    phase = torch.cumsum(torch.full((1, 640000), 2 * math.pi * 500 / 16000, dtype=torch.float64), dim=1) + 1e6
    amplitudes = torch.ones(1, 10000, 3)
    found = oscillators(backend, phase, amplitudes, hop=64)
    assert signal_to_error_db(reference.harmonic_oscillators(phase, amplitudes, hop=64), found) >= 120


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("offset", [1e9, 1e15, 1e300])
def test_oscillators_take_the_phase_of_any_number(backend, offset):
    phase = torch.linspace(0, 3, 40, dtype=torch.float64)[None] * offset
    found = oscillators(backend, phase, torch.ones(1, 5, 2), hop=8)
    assert found.isfinite().all()
    if offset < 1e10 or backend[0] != "triton":  # Triton's angle has float64's digits of a turn, no more
        torch.testing.assert_close(found, torch.sin(phase).add(torch.sin(2 * phase)).float())


@pytest.mark.parametrize("backend", BACKENDS)
def test_oscillators_are_exact_at_the_turning_points(backend):
    phase = torch.tensor([[0.0, math.pi, -math.pi, math.pi / 2, -math.pi / 2, 1e-9, math.pi - 1e-7, 3 * math.pi / 2]])
    phase = phase.double()
    amplitudes = torch.ones(1, 1, 100, dtype=torch.float64)
    found = oscillators(backend, phase, amplitudes, hop=8)
    expected = reference.harmonic_oscillators(phase, amplitudes, hop=8)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


def test_oscillators_take_any_layout_and_half_precision_amplitudes():
    phase, amplitudes = example(frames=6, hop=4)
    expected = zoo_kernels.harmonic_oscillators(phase, amplitudes, hop=4)
    strided = zoo_kernels.harmonic_oscillators(
        phase.t().contiguous().t(), amplitudes.transpose(1, 2).contiguous().transpose(1, 2), hop=4
    )
    torch.testing.assert_close(strided, expected)
    halved = amplitudes.bfloat16().requires_grad_()
    out = zoo_kernels.harmonic_oscillators(phase, halved, hop=4)
    out.sum().backward()
    assert out.dtype == torch.float32
    assert halved.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("threads", [1, 3])
def test_oscillators_do_not_depend_on_threads_or_inference_mode(backend, threads):
    phase, amplitudes = example(batch=3, frames=700, hop=64, harmonics=5)
    expected = reference.harmonic_oscillators(phase, amplitudes, hop=64)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            found = oscillators(backend, phase.clone(), amplitudes.clone(), hop=64)
        graph = oscillators(backend, phase, amplitudes.requires_grad_(), hop=64)
        (gradient,) = torch.autograd.grad(graph.sum(), amplitudes)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, expected)
    sums = torch.sin(phase).reshape(3, 700, 64).sum(dim=2)
    torch.testing.assert_close(gradient[..., 0], sums)


@pytest.mark.parametrize("shape", [(0, 16, 2, 3), (2, 0, 0, 3), (2, 16, 2, 0)])
def test_oscillators_of_nothing_are_silent(shape):
    batch, samples, frames, harmonics = shape
    found = zoo_kernels.harmonic_oscillators(torch.ones(batch, samples), torch.ones(batch, frames, harmonics), hop=8)
    assert found.shape == (batch, samples)
    assert found.eq(0).all()


def test_oscillators_may_be_called_from_several_threads_at_once():
    phase, amplitudes = example(batch=4, frames=500, hop=64, harmonics=20)
    expected = zoo_kernels.harmonic_oscillators(phase, amplitudes, hop=64, backend="numba")
    results = [None] * 6

    def work(i):
        results[i] = zoo_kernels.harmonic_oscillators(phase, amplitudes, hop=64, backend="numba")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(result, expected) for result in results)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_oscillators_work_in_a_forked_child():
    # Small tensors: torch's own threads do not survive a fork, ours must.
    program = """
import os, torch, zoo_kernels
from zoo_kernels import _numba_oscillators
torch.set_num_threads(2)
_numba_oscillators._SMALLEST = 64
phase, amplitudes = torch.ones(4, 1280), torch.ones(4, 20, 10)
call = lambda: zoo_kernels.harmonic_oscillators(phase, amplitudes, hop=64, backend="numba").double().mean().item()
parent = call()
child = os.fork()
if child == 0:
    os._exit(0 if abs(call() - parent) < 1e-9 else 3)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def one_bad(*shape, value):
    tensor = torch.ones(*shape)
    tensor.view(-1)[-1] = value
    return tensor


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hop": 7}, r"hop of 7 does not divide the 40 samples"),
        ({"hop": 0}, r"hop of 0"),
        ({"amplitudes": torch.ones(2, 4, 7)}, r"phase \[2, 40\] and amplitudes \[2, 4, 7\] do not agree.*\[2, 32\]"),
        ({"amplitudes": torch.ones(3, 5, 7)}, r"do not agree"),
        ({"phase": torch.ones(40)}, r"must be \[batch, samples\]"),
        ({"phase": torch.ones(2, 40, dtype=torch.int64)}, r"phase must be float32 or float64"),
        ({"phase": one_bad(2, 40, value=float("nan"))}, r"phase holds NaN or infinity"),
        ({"phase": one_bad(2, 40, value=float("-inf"))}, r"phase holds NaN or infinity"),
        ({"amplitudes": one_bad(2, 5, 7, value=float("nan"))}, r"amplitudes holds NaN or infinity"),
        ({"amplitudes": one_bad(2, 5, 7, value=float("inf"))}, r"amplitudes holds NaN or infinity"),
        ({"active": torch.ones(2, 4, dtype=torch.int64)}, r"active \[2, 4\] must be"),
        ({"active": torch.ones(2, 5)}, r"active must hold integers"),
        ({"backend": "fortran"}, r"no backend 'fortran'. It has: auto, numba, triton, torch"),
        ({"backend": "triton"}, r"'triton' of harmonic_oscillators works on cuda.*inputs are on cpu.*backend='auto'"),
    ],
)
def test_oscillators_refuse_bad_input(change, message):
    phase, amplitudes = example()
    arguments = {"phase": phase, "amplitudes": amplitudes, "hop": 8} | change
    with pytest.raises(ValueError, match=message):
        zoo_kernels.harmonic_oscillators(arguments.pop("phase"), arguments.pop("amplitudes"), **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hop": 8.0}, r"hop must be a whole number of samples, and is 8\.0"),
        ({"hop": "8"}, r"hop must be a whole number of samples, and is '8'"),
        ({"phase": np.ones((2, 40))}, r"phase must be a torch.Tensor, and is of .*numpy.ndarray"),
        ({"amplitudes": [[[1.0]]]}, r"amplitudes must be a torch.Tensor, and is of .*list"),
        ({"active": 3}, r"active must be a torch.Tensor, and is of .*int"),
    ],
)
def test_oscillators_refuse_what_is_no_tensor(change, message):
    phase, amplitudes = example()
    arguments = {"phase": phase, "amplitudes": amplitudes, "hop": 8} | change
    with pytest.raises(TypeError, match=message):
        zoo_kernels.harmonic_oscillators(arguments.pop("phase"), arguments.pop("amplitudes"), **arguments)


def test_oscillators_of_nothing_keep_the_graph():
    amplitudes = torch.ones(2, 5, 0, requires_grad=True)
    out = zoo_kernels.harmonic_oscillators(torch.ones(2, 40), amplitudes, hop=8)
    (gradient,) = torch.autograd.grad(out.sum(), amplitudes)
    assert gradient.shape == (2, 5, 0)


def test_oscillators_accept_values_whose_sum_overflows():
    phase = torch.full((1, 8), math.pi / 2, dtype=torch.float64)
    found = zoo_kernels.harmonic_oscillators(phase, torch.tensor([[[3e38, 0.0, 3e38]]]), hop=8)
    assert found.abs().max() < 1e33  # the first and third harmonic cancel here
