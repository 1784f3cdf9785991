"""How this package compiles with numba: without the interpreter's lock, cached on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

Function = TypeVar("Function", bound=Callable[..., Any])


def jit(*, fastmath: bool | set[str] = False) -> Callable[[Function], Function]:
    """A decorator that compiles a function at its first call.

    Args:
        fastmath: What the compiler may assume beyond IEEE arithmetic, as numba's option.
    """
    import numba

    def compile_later(function: Function) -> Function:
        options: dict[str, Any] = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}
        try:
            compiled: Function = numba.njit(cache=True, **options)(function)
        except RuntimeError:  # neither the package's folder nor the user's cache can be written
            compiled = numba.njit(**options)(function)
        return compiled

    return compile_later
