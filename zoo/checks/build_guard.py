"""Building a stranger's model within bounds: what would not fit its weights' file is stopped before it is made.

Requirements it meets:

- no constructor has to know of it: those of plugins are held to the same bounds;
- an operation whose result would be too large is refused before it allocates anything, so memory stays near that of the
  file, and the operating system's own refusal (or its end of the process) is never reached;
- loops that build without end, and decompositions of large matrices, are stopped within seconds;
- a model whose file fits is built as it is without.

What it cannot see is work that has nothing to do with torch: a plugin that counts to a million million in Python.
`zoo.checks.limits` keeps the numbers small with which it could be told to.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.overrides import TorchFunctionMode

from zoo.checks.result_sizes import result_size
from zoo.errors import ConfigError

_SPARE_VALUES = 2**24
_SPARE_TOTAL = 2**26
_SPARE_WORK = 2e9  # multiplications of decompositions: some ten seconds at worst
_SPARE_CALLS = 20_000
_SPARE_REGISTRATIONS = 1000


class BeyondBoundsError(RuntimeError):
    """What is being built is larger than anything that its weights' file could hold."""


class OversizedError(ConfigError):
    """The same, told with the component and its argument."""


class BuildGuard(TorchFunctionMode):
    """Within it, what is built in this thread is bounded by the size of a weights file.

    Args:
        values: How many numbers the file has.
        tensors: In how many tensors.
        patient: Whether decompositions may take as long as they like.

    Raises:
        BeyondBoundsError: By whatever goes beyond: an operation of torch, or a module that is given a parameter.
    """

    def __init__(self, *, values: int, tensors: int, patient: bool = False) -> None:
        super().__init__()
        self._largest = 2 * values + _SPARE_VALUES
        self._total = 16 * values + _SPARE_TOTAL
        self._work = math.inf if patient else _SPARE_WORK
        self._calls = 200 * tensors + _SPARE_CALLS
        self._registrations = 8 * tensors + _SPARE_REGISTRATIONS
        self._thread = 0
        self._hooks: list[Any] = []

    def __enter__(self) -> BuildGuard:
        """Begin."""
        self._thread = threading.get_ident()
        self._hooks = [
            torch_module.register_module_parameter_registration_hook(self._count_registration),
            torch_module.register_module_module_registration_hook(self._count_registration),
            torch_module.register_module_buffer_registration_hook(self._count_registration),
        ]
        super().__enter__()  # type: ignore[no-untyped-call] # torch does not annotate it
        return self

    def __exit__(self, *error: object) -> None:
        """End."""
        super().__exit__(*error)  # type: ignore[no-untyped-call] # nor this
        for hook in self._hooks:
            hook.remove()

    def _count_registration(self, module: nn.Module, name: str, value: object) -> None:
        if threading.get_ident() != self._thread:
            return
        self._registrations -= 1
        if self._registrations < 0:
            raise BeyondBoundsError("it has many times more parts than its weights")

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever torch's function gives
        """Do what was asked for, unless it is too much."""
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in ("__get__", "__set__"):
            return func(*args, **kwargs)
        self._calls -= 1
        if self._calls < 0:
            raise BeyondBoundsError("it takes endless steps")
        tensors = _tensors(args, kwargs)
        if (made := result_size(name, tensors, args, kwargs)) > self._largest:
            raise BeyondBoundsError(f"it takes a tensor of {made:.3g} values")
        if "linalg" in getattr(func, "__module__", "") or name.startswith(("linalg", "matrix_")) or name in _SLOW:
            self._work -= sum(t.numel() * min(t.shape[-2:]) for t in tensors if t.ndim > 1)
            if self._work < 0:
                raise BeyondBoundsError("it takes a large matrix apart")
        result = func(*args, **kwargs)
        if isinstance(result, Tensor):
            self._total -= result.numel()
            if self._total < 0:
                raise BeyondBoundsError("it takes many times as much memory as its weights")
        return result


_SLOW = ("svd", "qr", "pinverse", "inverse", "det", "logdet", "slogdet", "cholesky", "lstsq", "lu", "logm", "expm")


def _tensors(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += [item for item in value if isinstance(item, Tensor)]
    return found
