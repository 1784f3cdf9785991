"""Which backends work here, found out by trying each once on a tiny input."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import torch

from zoo_kernels import reference
from zoo_kernels._spectral import Plan

OK = "ok"

# kernel -> backend -> (its module, the device types it serves or None for any, the package it needs)
TABLE: dict[str, dict[str, tuple[str, tuple[str, ...] | None, str]]] = {
    "harmonic_oscillators": {
        "numba": ("zoo_kernels._numba_oscillators", ("cpu",), "numba"),
        "torch": ("zoo_kernels._torch_oscillators", None, "torch"),
    },
    "spectral_distances": {
        "numba": ("zoo_kernels._numba_spectral", ("cpu",), "numba"),
        "torch": ("zoo_kernels._torch_spectral", None, "torch"),
    },
}


def backends() -> dict[str, dict[str, str]]:
    """Say which backend of which kernel works here.

    Example:
        >>> backends()["harmonic_oscillators"]["torch"]
        'ok'

    Returns:
        kernel -> {backend: "ok", or the reason why it cannot be used}. Each is tried once per process.
    """
    return {kernel: {name: state(kernel, name) for name in table} for kernel, table in TABLE.items()}


@functools.cache
def state(kernel: str, name: str) -> str:
    """Try a backend on a tiny input: "ok", or the reason why it cannot be used."""
    try:
        _TRIALS[kernel](module(kernel, name))
    except Exception as error:  # noqa: BLE001 - whatever stops a backend, the answer is that it does not work, and why
        return f"{type(error).__name__}: {error}"
    return OK


def module(kernel: str, name: str) -> ModuleType:
    """Import the module of a backend."""
    return import_module(TABLE[kernel][name][0])


def choose(kernel: str, backend: str, device: torch.device) -> ModuleType:
    """The module that does a kernel's work on `device`.

    Args:
        kernel: A key of `backends()`.
        backend: A backend's name, or "auto": the first that serves the device and works.
        device: Where the inputs are.

    Raises:
        ValueError: There is no such backend, or it does not serve that device.
        RuntimeError: It does not work here (its package is missing, for one); or, with "auto", none does.
    """
    table = TABLE[kernel]
    if backend == "auto":
        reasons = []
        for name, (_, devices, _) in table.items():
            if devices is not None and device.type not in devices:
                continue
            found = state(kernel, name)
            if found == OK:
                return module(kernel, name)
            _warn_once(kernel, name, found)
            reasons.append(f"{name} ({found})")
        raise RuntimeError(f"No backend of {kernel} works on {device.type}: {'; '.join(reasons)}.")
    if backend not in table:
        raise ValueError(f"{kernel} has no backend {backend!r}. It has: auto, {', '.join(table)}.")
    _, devices, package = table[backend]
    if devices is not None and device.type not in devices:
        raise ValueError(
            f"The backend {backend!r} of {kernel} works on {', '.join(devices)}, and the inputs are on {device.type}. "
            "Use backend='auto'."
        )
    found = state(kernel, backend)
    if found != OK:
        raise RuntimeError(
            f"The backend {backend!r} of {kernel} does not work here ({found}). It needs the package {package}: "
            f"pip install {package}. Or use backend='auto'."
        )
    return module(kernel, backend)


@functools.cache
def _warn_once(kernel: str, name: str, reason: str) -> None:
    warnings.warn(f"{kernel} falls back to a slower backend: {name} does not work here ({reason})", stacklevel=4)


def _try_oscillators(backend: ModuleType) -> None:
    phase = torch.linspace(-3.0, 3.0, 8, dtype=torch.float64).reshape(2, 4)
    amplitudes = torch.linspace(0.1, 1.0, 6).reshape(2, 3)
    expected = reference.harmonic_oscillators(phase.reshape(1, 8), amplitudes.reshape(1, 2, 3), hop=4)
    found = backend.forward(phase, amplitudes, None).reshape(1, 8)
    gradients = backend.backward(phase, amplitudes, None, torch.ones_like(amplitudes[:1, :1]).expand(2, 4), True, True)
    if not torch.allclose(found.double(), expected, atol=1e-5) or not all(g.isfinite().all() for g in gradients):
        raise RuntimeError("its result differs from the reference's")


def _try_spectral(backend: ModuleType) -> None:
    plan = Plan((8,), (2,))
    signal = torch.linspace(-1.0, 1.0, 16).square().reshape(1, 16)
    targets = [backend.magnitudes(-0.5 * signal, plan)]
    counts, scales = torch.full((1, 1), 9), torch.full((1, 1), 1 / 45, dtype=torch.float64)
    found, gradient = backend.distances(signal, targets, plan, counts, scales, torch.ones(1, 1))
    expected = reference.spectral_distance(signal, -0.5 * signal, fft_size=8, hop=2)
    if not torch.allclose(found[0], expected, rtol=1e-4) or not gradient.isfinite().all():
        raise RuntimeError("its result differs from the reference's")


_TRIALS: dict[str, Callable[[ModuleType], None]] = {
    "harmonic_oscillators": _try_oscillators,
    "spectral_distances": _try_spectral,
}
