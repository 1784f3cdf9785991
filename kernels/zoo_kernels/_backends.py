"""Which backends work here, found out by trying each once on a tiny input."""

from __future__ import annotations

import functools
import warnings
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

import torch

OK = "ok"
_LONGEST = 300  # characters of a reason: compilers say more than anyone wants to read


class UnusableError(RuntimeError):
    """A backend cannot be used here; the message is the whole reason."""


class Backend(NamedTuple):
    """Where a backend is and what it takes.

    Attributes:
        module: Its module; every backend of a kernel has the same functions.
        package: What `pip install` needs to be told where it is missing.
        devices: The device types that it serves; None: any.
        automatic: The device types for which "auto" may take it; None: all that it serves.
        optional: Whether its package comes with an extra only.
    """

    module: str
    package: str
    devices: tuple[str, ...] | None = None
    automatic: tuple[str, ...] | None = None
    optional: bool = False


# kernel -> backend -> what it is; "auto" takes the first that serves the inputs' device and works.
TABLE: dict[str, dict[str, Backend]] = {
    "harmonic_oscillators": {
        "numba": Backend("zoo_kernels._numba_oscillators", "numba", ("cpu",)),
        "triton": Backend("zoo_kernels._triton_oscillators", "triton", ("cuda",), optional=True),
        "torch": Backend("zoo_kernels._torch_oscillators", "torch"),
    },
    # KeOps wants a compiler (on a GPU the CUDA toolkit), compiles for some seconds, and cannot be captured in a CUDA
    # graph: "auto" takes it only where it is faster than torch and numba is not there.
    "cauchy": {
        "numba": Backend("zoo_kernels._numba_cauchy", "numba", ("cpu",)),
        "keops": Backend("zoo_kernels._keops_cauchy", "pykeops", ("cpu", "cuda"), automatic=("cpu",), optional=True),
        "torch": Backend("zoo_kernels._torch_cauchy", "torch"),
    },
    "vandermonde": {
        "numba": Backend("zoo_kernels._numba_vandermonde", "numba", ("cpu",)),
        "keops": Backend("zoo_kernels._keops_vandermonde", "pykeops", ("cpu", "cuda"), automatic=(), optional=True),
        "torch": Backend("zoo_kernels._torch_vandermonde", "torch"),
    },
    "gated_recurrence": {
        "numba": Backend("zoo_kernels._numba_recurrence", "numba", ("cpu",)),
        "torch": Backend("zoo_kernels._torch_recurrence", "torch"),
    },
    "frequency_modulation": {
        "numba": Backend("zoo_kernels._numba_modulation", "numba", ("cpu",)),
        "torch": Backend("zoo_kernels._torch_modulation", "torch"),
    },
    "spectral_distances": {
        "numba": Backend("zoo_kernels._numba_spectral", "numba", ("cpu",)),
        "torch": Backend("zoo_kernels._torch_spectral", "torch"),
    },
}


def backends() -> dict[str, dict[str, str]]:
    """Say which backend of which kernel works here.

    Example:
        >>> backends()["harmonic_oscillators"]["torch"]
        'ok'

    Returns:
        kernel -> {backend: "ok", or the reason why it cannot be used}. Each is tried once per process, on the CPU and
        on the GPU where there is one, as far as it serves them.
    """
    return {kernel: {name: _everywhere(kernel, name) for name in table} for kernel, table in TABLE.items()}


def _everywhere(kernel: str, name: str) -> str:
    served = TABLE[kernel][name].devices or ("cpu", "cuda")
    here = [device for device in served if device == "cpu" or torch.cuda.is_available()]
    if not here:
        return state(kernel, name, served[0])
    found = {device: state(kernel, name, device) for device in here}
    reasons = {device: reason for device, reason in found.items() if reason != OK}
    if not reasons:
        return OK
    if len(reasons) == len(found):
        return next(iter(reasons.values()))
    return f"ok on {next(d for d in found if d not in reasons)}; " + "; ".join(f"{d}: {r}" for d, r in reasons.items())


def state(kernel: str, name: str, device: str) -> str:
    """Try a backend on a tiny input on a device type: "ok", or the reason why it cannot be used there, in one line.

    Each is tried once per process.

    Raises:
        RuntimeError: It has not been tried, and a CUDA graph is being captured, which could not hold the trial.
    """
    key = (kernel, name, device)
    if key not in _tried:
        if device == "cuda" and torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            raise RuntimeError(
                f"Call {kernel} once before a CUDA graph is captured: its first call tries the backends."
            )
        _tried[key] = _try(kernel, name, device)
    return _tried[key]


_tried: dict[tuple[str, str, str], str] = {}


def _try(kernel: str, name: str, device: str) -> str:
    from zoo_kernels._trials import TRIALS

    try:
        found = module(kernel, name)
        if device == "cuda" and not torch.cuda.is_available():
            return "it needs a CUDA device, and torch sees none here"
        TRIALS[kernel](found, torch.device(device))
    except UnusableError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever stops a backend, the answer is that it does not work, and why
        return " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
    return OK


def module(kernel: str, name: str) -> ModuleType:
    """Import the module of a backend."""
    return import_module(TABLE[kernel][name].module)


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
        return module(kernel, automatic_backend(kernel, device.type))
    if backend not in table:
        raise ValueError(f"{kernel} has no backend {backend!r}. It has: auto, {', '.join(table)}.")
    wanted = table[backend]
    if wanted.devices is not None and device.type not in wanted.devices:
        raise ValueError(
            f"The backend {backend!r} of {kernel} works on {' and '.join(wanted.devices)}, and the inputs are on "
            f"{device.type}. Use backend='auto'."
        )
    found = state(kernel, backend, device.type)
    if found != OK:
        missing = found.startswith(("ModuleNotFoundError", "ImportError"))
        remedy = f" It needs the package {wanted.package}: pip install {wanted.package}." if missing else ""
        raise RuntimeError(
            f"The backend {backend!r} of {kernel} does not work here ({found}).{remedy} Or use backend='auto'."
        )
    return module(kernel, backend)


def automatic_backend(kernel: str, device: str = "cpu") -> str:
    """The backend that "auto" takes: the first of a kernel's that serves a device type and works there.

    One that should work and does not is named in a warning, once; an optional package that is not installed is not
    missed.

    Example:
        >>> automatic_backend("cauchy", "cpu")
        'numba'

    Args:
        kernel: A key of `backends()`.
        device: "cpu" or "cuda", say.

    Raises:
        RuntimeError: None works.
    """
    reasons = []
    for name, known in TABLE[kernel].items():
        if any(served is not None and device not in served for served in (known.devices, known.automatic)):
            continue
        found = state(kernel, name, device)
        if found == OK:
            return name
        if not (known.optional and found == f"ModuleNotFoundError: No module named {known.package!r}"):
            _warn_once(kernel, name, found)
        reasons.append(f"{name} ({found})")
    raise RuntimeError(f"No backend of {kernel} works on {device}: {'; '.join(reasons)}.")


@functools.cache
def _warn_once(kernel: str, name: str, reason: str) -> None:
    warnings.warn(f"{kernel} falls back to a slower backend: {name} does not work here ({reason})", stacklevel=5)
