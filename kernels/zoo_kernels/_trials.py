"""The tiny inputs on which a backend is tried before it is used: each trial raises where the result is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType

import torch
from torch import Tensor

from zoo_kernels import reference
from zoo_kernels._spectral import Plan
from zoo_kernels.modulation import OperatorGraph


def _must_agree(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Raise unless a result is the reference's, to a small part of its largest value; NaN never is."""
    scale = float(expected.detach().abs().max())
    if not torch.allclose(found.detach().cpu().to(expected.dtype), expected, rtol=0.0, atol=tolerance * scale):
        raise RuntimeError("its result differs from the reference's")


def _gradients_must_agree(
    found: Sequence[Tensor | None], expected: Tensor, arguments: Sequence[Tensor], tolerance: float = 1e-5
) -> None:
    """The same for the gradients of a result's sum (of a complex one: of its real part's)."""
    total = expected.real.sum() if expected.is_complex() else expected.sum()
    for gradient, wanted in zip(found, torch.autograd.grad(total, arguments), strict=True):
        if gradient is None:
            raise RuntimeError("it gives no gradient")
        _must_agree(gradient, wanted, tolerance)


def _leaves(*tensors: Tensor) -> list[Tensor]:
    return [tensor.clone().requires_grad_() for tensor in tensors]


def _try_oscillators(backend: ModuleType, device: torch.device) -> None:
    phase = torch.linspace(-3.0, 3.0, 8, dtype=torch.float64).reshape(2, 4)
    amplitudes = torch.linspace(0.1, 1.0, 6).reshape(2, 3)
    with torch.inference_mode(False), torch.enable_grad():
        leaves = _leaves(phase, amplitudes)
        expected = reference.harmonic_oscillators(leaves[0].reshape(1, 8), leaves[1].reshape(1, 2, 3), hop=4)
        phase, amplitudes = phase.to(device), amplitudes.to(device)
        _must_agree(backend.forward(phase, amplitudes, None).reshape(1, 8), expected)
        grad = torch.ones_like(amplitudes[:1, :1]).expand(2, 4)
        _gradients_must_agree(backend.backward(phase, amplitudes, None, grad, True, True), expected, leaves)


def _try_cauchy(backend: ModuleType, device: torch.device) -> None:
    v = torch.complex(torch.linspace(-1.0, 1.0, 12), torch.linspace(0.3, 2.0, 12)).reshape(2, 2, 3)
    w = torch.complex(torch.full((2, 3), -0.5), torch.linspace(0.2, 3.0, 6).reshape(2, 3))
    z = torch.complex(torch.zeros(4), torch.linspace(-1.0, 2.0, 4))
    with torch.inference_mode(False), torch.enable_grad():
        leaves = _leaves(v, z, w)
        expected = reference.cauchy(*leaves)
        v, z, w = v.to(device), z.to(device), w.to(device)
        found = backend.forward(v, z, w)
        _must_agree(found, expected)
        gradients = backend.backward(v, z, w, torch.ones_like(found), True, True, True)
        _gradients_must_agree(gradients, expected, leaves)


def _try_vandermonde(backend: ModuleType, device: torch.device) -> None:
    v = torch.complex(torch.linspace(-1.0, 1.0, 12), torch.linspace(0.3, 2.0, 12)).reshape(2, 2, 3)
    w = torch.complex(torch.full((2, 3), -0.05), torch.linspace(0.2, 3.0, 6).reshape(2, 3))
    with torch.inference_mode(False), torch.enable_grad():
        leaves = _leaves(v, w)
        expected = reference.vandermonde(leaves[0], leaves[1], 37)
        v, w = v.to(device), w.to(device)
        found = backend.forward(v, w, 37)
        _must_agree(found, expected)
        _gradients_must_agree(backend.backward(v, w, torch.ones_like(found), True, True), expected, leaves)


def _try_recurrence(backend: ModuleType, device: torch.device) -> None:
    inputs = torch.linspace(-2.0, 2.0, 2 * 3 * 9).reshape(2, 3, 9)
    weight = torch.linspace(1.0, -1.0, 27).reshape(9, 3)
    bias = torch.linspace(-0.5, 0.5, 9)
    with torch.inference_mode(False), torch.enable_grad():
        leaves = _leaves(inputs)
        expected = reference.gated_recurrence(leaves[0], weight, bias)
        inputs, weight, bias = inputs.to(device), weight.to(device), bias.to(device)
        states, gates = backend.forward(inputs, weight, bias, True)
        _must_agree(states, expected)
        grad_inputs, _ = backend.backward(weight, states, gates, torch.ones_like(states))
        _gradients_must_agree([grad_inputs], expected, leaves)


def _try_spectral(backend: ModuleType, device: torch.device) -> None:
    plan = Plan((8,), (2,))
    signal = torch.linspace(-1.0, 1.0, 16).square().reshape(1, 16)
    with torch.inference_mode(False), torch.enable_grad():
        leaves = _leaves(signal)
        expected = reference.spectral_distance(leaves[0], -0.5 * signal, fft_size=8, hop=2)
        signal = signal.to(device)
        targets = [backend.magnitudes(-0.5 * signal, plan)]
        counts = torch.full((1, 1), 9, device=device)
        scales = torch.full((1, 1), 1 / 45, dtype=torch.float64, device=device)
        found, gradients = backend.distances(signal, targets, plan, counts, scales, torch.ones(1, 1, device=device))
        _must_agree(found[0], expected)
        # Where a magnitude is all but 0 its logarithm's slope is large, and float32 finds its angle roughly.
        _gradients_must_agree([gradients[0]], expected, leaves, tolerance=1e-2)


def _try_modulation(backend: ModuleType, device: torch.device) -> None:
    graph = OperatorGraph(modulators=((1, 2), (2,), ()), carriers=(0, 1), phases=(0, 1, 0), multiples=(1, 1, 3))
    phases = torch.linspace(-3.0, 3.0, 16, dtype=torch.float64).reshape(1, 2, 8)
    levels = torch.linspace(0.1, 0.6, 6).reshape(1, 2, 3)
    with torch.inference_mode(False), torch.enable_grad():
        leaves = _leaves(phases, levels)
        expected = reference.frequency_modulation(leaves[0], leaves[1], graph, hop=4)
        phases, levels = phases.to(device), levels.to(device)
        found = backend.forward(phases, levels, graph, 4)
        _must_agree(found, expected)
        gradients = backend.backward(phases, levels, graph, 4, torch.ones_like(found), True)
        _gradients_must_agree(gradients, expected, leaves)


TRIALS: dict[str, Callable[[ModuleType, torch.device], None]] = {
    "harmonic_oscillators": _try_oscillators,
    "cauchy": _try_cauchy,
    "vandermonde": _try_vandermonde,
    "gated_recurrence": _try_recurrence,
    "frequency_modulation": _try_modulation,
    "spectral_distances": _try_spectral,
}
