"""The Triton kernels: on a GPU where there is one, elsewhere in Triton's interpreter and through its compiler."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest
import torch
import zoo_kernels
from zoo_kernels import reference
from zoo_kernels.oscillators import _Oscillators

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs the package triton")

# Set in the process that `test_kernels_pass_in_tritons_interpreter` starts: there the kernels run on CPU tensors.
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
on_a_gpu = [
    pytest.mark.cuda,
    pytest.mark.skipif(INTERPRETED or not torch.cuda.is_available(), reason="needs a CUDA device"),
]
devices = pytest.mark.parametrize(
    "device",
    [
        pytest.param("cpu", marks=pytest.mark.skipif(not INTERPRETED, reason="runs in Triton's interpreter")),
        pytest.param("cuda", marks=on_a_gpu),
    ],
)


def kernels():
    from zoo_kernels import _triton_oscillators

    return _triton_oscillators


def example(frames, hop, harmonics, device, phase_dtype=torch.float64, dtype=torch.float64):
    phase = (40 * torch.rand(frames, hop, dtype=torch.float64) - 20).to(phase_dtype)
    amplitudes = torch.rand(frames, harmonics, dtype=torch.float64).to(dtype)
    return phase.to(device).requires_grad_(), amplitudes.to(device).requires_grad_()


def counts(kind, frames, harmonics):
    """Numbers of active harmonics as users may give them: none given, none active, and anything."""
    if kind == "all":
        return None
    if kind == "none":
        return torch.zeros(frames, dtype=torch.int64)
    return torch.arange(frames) % (harmonics + 3) - 1  # from -1 to harmonics + 1


def expected(phase, amplitudes, active, grad):
    frames, hop = phase.shape
    phase, amplitudes = (tensor.detach().cpu().double().requires_grad_() for tensor in (phase, amplitudes))
    active = None if active is None else active.cpu()[None]
    out = reference.harmonic_oscillators(phase.reshape(1, -1), amplitudes[None], hop=hop, active=active)
    out = out.reshape(frames, hop)
    return (out.detach(), *torch.autograd.grad(out, (phase, amplitudes), grad.cpu().double()))


def largest_error(found, wanted):
    return float((found.detach().cpu().double() - wanted).abs().max() / wanted.abs().max().clamp(min=1e-300))


@devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("phase_dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("frames", "hop", "harmonics", "kind"),
    [
        (1, 1, 1, "all"),
        (7, 1, 5, "some"),
        (5, 3, 1, "some"),
        (3, 64, 20, "all"),
        (3, 64, 20, "none"),
        (5, 100, 7, "some"),
        (2, 300, 17, "some"),
    ],
)
def test_triton_oscillators_agree_with_the_reference(device, dtype, phase_dtype, frames, hop, harmonics, kind):
    phase, amplitudes = example(frames, hop, harmonics, device, phase_dtype, dtype)
    active = counts(kind, frames, harmonics)
    active = active if active is None else active.to(device)
    grad = torch.randn(frames, hop, dtype=torch.float64).to(device, dtype)
    out = _Oscillators.apply(phase, amplitudes, active, kernels())
    found = (out, *torch.autograd.grad(out, (phase, amplitudes), grad))
    assert [tensor.dtype for tensor in found] == [dtype, phase_dtype, dtype]
    for value, wanted in zip(found, expected(phase, amplitudes, active, grad), strict=True):
        single = torch.float32 in (value.dtype, dtype)
        assert largest_error(value, wanted) < (1e-6 if single else 1e-12)


@devices
def test_triton_oscillators_lose_nothing_at_a_hundred_harmonics_and_a_phase_far_from_zero(device):
    near = torch.tensor([0.0, torch.pi, -torch.pi, 1e-9, torch.pi / 2, -torch.pi / 2, torch.pi - 1e-7, 3.0])
    phase = (near.double() + 2 * torch.pi * torch.tensor([[0.0], [1e5], [-3.0]], dtype=torch.float64)).to(device)
    amplitudes = torch.rand(3, 100).to(device)
    out = kernels().forward(phase, amplitudes, None)
    wanted, *_ = expected(phase, amplitudes, None, torch.ones(3, 8))
    assert float((out.cpu() - wanted).abs().max()) < 1e-5  # of a sum whose amplitudes add up to about 50


@devices
def test_triton_oscillators_pass_gradcheck(device):
    phase, amplitudes = example(4, 5, 3, device)
    with torch.no_grad():
        amplitudes[0, 1:] = 0
    for active in (None, torch.tensor([3, 0, 5, 1], device=device)):
        assert torch.autograd.gradcheck(
            lambda p, a, n=active: _Oscillators.apply(p, a, n, kernels()), (phase, amplitudes)
        )


@devices
def test_triton_oscillators_take_strided_gradients_and_give_only_what_is_needed(device):
    phase, amplitudes = example(4, 6, 3, device)
    grad = torch.ones(1, 1, dtype=torch.float64, device=device).expand(4, 6)
    _, wanted_phase, wanted_amplitudes = expected(phase, amplitudes, None, grad)
    for need_phase in (False, True):
        for need_amplitudes in (False, True):
            found = kernels().backward(phase.detach(), amplitudes.detach(), None, grad, need_phase, need_amplitudes)
            assert [tensor is not None for tensor in found] == [need_phase, need_amplitudes]
            if need_phase:
                assert largest_error(found[0], wanted_phase) < 1e-12
            if need_amplitudes:
                assert largest_error(found[1], wanted_amplitudes) < 1e-12


@devices
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_triton_oscillators_keep_nan_where_nobody_can_look_for_it(device, bad):
    # In a captured graph the public function cannot refuse such input.
    phase, amplitudes = (tensor.detach() for tensor in example(3, 4, 2, device))
    phase[1, 2] = bad
    out = kernels().forward(phase, amplitudes, None)
    grad_phase, grad_amplitudes = kernels().backward(phase, amplitudes, None, torch.ones_like(phase), True, True)
    assert out.isnan().nonzero().tolist() == grad_phase.isnan().nonzero().tolist() == [[1, 2]]
    assert grad_amplitudes.isnan().all(dim=1).tolist() == [False, True, False]


@pytest.mark.skipif(INTERPRETED, reason="this is the test that starts the interpreter")
def test_kernels_pass_in_tritons_interpreter():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "TRITON_INTERPRET": "1"},
    )
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout
    assert passed, done.stdout
    assert int(passed[1]) >= 30, done.stdout


@pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Triton's compiler comes for Linux")
@pytest.mark.parametrize("capability", [75, 90])
@pytest.mark.parametrize("sizes", ["i32", 1])  # Triton takes a size of 1 for a constant
@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
def test_kernels_compile_for_gpus_that_are_not_here(capability, sizes, dtype, tmp_path, monkeypatch):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler import compile as compile_kernel

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    double, found = dtype == "fp64", kernels()
    pointers = {"phase": "*fp64", "amplitude": f"*{dtype}", "active": "*i64", "grad": f"*{dtype}", "out": f"*{dtype}"}
    pointers = {f"{name}_pointer": kind for name, kind in pointers.items()}
    counts = {"limited": True, "double": double}
    for kernel, constants in (
        (found._sum_harmonics, {"slope": False, "rows": 2, "samples": 64, **counts}),
        (found._sum_harmonics, {"slope": True, "rows": 2, "samples": 64, **counts}),
        (found._sum_samples, {"samples": 64, "group": 16, **counts}),
    ):
        signature = {}
        for name in kernel.arg_names:
            if name in pointers:
                signature[name] = pointers[name]
            elif name in constants or sizes == 1:
                signature[name] = "constexpr"
                constants.setdefault(name, sizes)
            else:
                signature[name] = sizes
        constants = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
        assert compile_kernel(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"]


@pytest.mark.cuda
@pytest.mark.skipif(INTERPRETED or not torch.cuda.is_available(), reason="needs a CUDA device")
def test_triton_is_what_auto_takes_on_a_gpu_and_can_be_captured_in_a_graph():
    assert zoo_kernels.backends()["harmonic_oscillators"]["triton"] == "ok"
    phase = torch.rand(2, 640, dtype=torch.float64, device="cuda")
    amplitudes = torch.rand(2, 10, 100, device="cuda", requires_grad=True)
    active = torch.full((2, 10), 40, device="cuda")

    def step():
        out = zoo_kernels.harmonic_oscillators(phase, amplitudes, hop=64, active=active)
        return out, *torch.autograd.grad(out.square().sum(), amplitudes)

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        phase.copy_(torch.rand_like(phase) * 6 - 3)
        amplitudes.copy_(torch.rand_like(amplitudes))
        active.fill_(17)
    graph.replay()
    for found, wanted in zip(captured, step(), strict=True):
        torch.testing.assert_close(found, wanted)
    expected = reference.harmonic_oscillators(phase.cpu(), amplitudes.detach().cpu(), hop=64, active=active.cpu())
    torch.testing.assert_close(captured[0].detach().cpu().double(), expected, atol=1e-5, rtol=0)
