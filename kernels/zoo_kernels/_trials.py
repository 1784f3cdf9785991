"""The tiny inputs on which a backend is tried before it is used: each trial raises where the result is wrong."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor

from zoo_kernels import reference
from zoo_kernels._spectral import Plan


def _must_agree(found: Tensor, expected: Tensor, gradients: list[Tensor | None]) -> None:
    finite = all(g is not None and bool(torch.isfinite(torch.view_as_real(g) if g.is_complex() else g).all())
                 for g in gradients)  # fmt: skip
    scale = float(expected.abs().max())
    if not finite or not torch.allclose(found.cpu().to(expected.dtype), expected, rtol=0.0, atol=1e-5 * scale):
        raise RuntimeError("its result differs from the reference's")


def _try_oscillators(backend: ModuleType, device: torch.device) -> None:
    phase = torch.linspace(-3.0, 3.0, 8, dtype=torch.float64).reshape(2, 4)
    amplitudes = torch.linspace(0.1, 1.0, 6).reshape(2, 3)
    expected = reference.harmonic_oscillators(phase.reshape(1, 8), amplitudes.reshape(1, 2, 3), hop=4)
    phase, amplitudes = phase.to(device), amplitudes.to(device)
    found = backend.forward(phase, amplitudes, None).reshape(1, 8)
    grad = torch.ones_like(amplitudes[:1, :1]).expand(2, 4)
    _must_agree(found, expected, list(backend.backward(phase, amplitudes, None, grad, True, True)))


def _try_cauchy(backend: ModuleType, device: torch.device) -> None:
    v = torch.complex(torch.linspace(-1.0, 1.0, 12), torch.linspace(0.3, 2.0, 12)).reshape(2, 2, 3)
    w = torch.complex(torch.full((2, 3), -0.5), torch.linspace(0.2, 3.0, 6).reshape(2, 3))
    z = torch.complex(torch.zeros(4), torch.linspace(-1.0, 2.0, 4))
    expected = reference.cauchy(v, z, w)
    v, z, w = v.to(device), z.to(device), w.to(device)
    found = backend.forward(v, z, w)
    _must_agree(found, expected, list(backend.backward(v, z, w, torch.ones_like(found), True, True, True)))


def _try_vandermonde(backend: ModuleType, device: torch.device) -> None:
    v = torch.complex(torch.linspace(-1.0, 1.0, 12), torch.linspace(0.3, 2.0, 12)).reshape(2, 2, 3)
    w = torch.complex(torch.full((2, 3), -0.05), torch.linspace(0.2, 3.0, 6).reshape(2, 3))
    expected = reference.vandermonde(v, w, 37)
    v, w = v.to(device), w.to(device)
    found = backend.forward(v, w, 37)
    _must_agree(found, expected, list(backend.backward(v, w, torch.ones_like(found), True, True)))


def _try_spectral(backend: ModuleType, device: torch.device) -> None:
    plan = Plan((8,), (2,))
    signal = torch.linspace(-1.0, 1.0, 16).square().reshape(1, 16)
    expected = reference.spectral_distance(signal, -0.5 * signal, fft_size=8, hop=2)
    signal = signal.to(device)
    targets = [backend.magnitudes(-0.5 * signal, plan)]
    counts = torch.full((1, 1), 9, device=device)
    scales = torch.full((1, 1), 1 / 45, dtype=torch.float64, device=device)
    found, gradient = backend.distances(signal, targets, plan, counts, scales, torch.ones(1, 1, device=device))
    _must_agree(found[0], expected, [gradient])


TRIALS: dict[str, Callable[[ModuleType, torch.device], None]] = {
    "harmonic_oscillators": _try_oscillators,
    "cauchy": _try_cauchy,
    "vandermonde": _try_vandermonde,
    "spectral_distances": _try_spectral,
}
