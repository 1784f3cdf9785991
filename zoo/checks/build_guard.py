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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.overrides import TorchFunctionMode

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


Arguments = tuple[Any, ...]
Keywords = Mapping[str, Any]


def result_size(name: str, tensors: Sequence[Tensor], args: Arguments, kwargs: Keywords) -> float:
    """How many values a call gives.

    Args:
        name: The function's or method's, e.g. "zeros".
        tensors: Those among its arguments.
        args: Its arguments.
        kwargs: Those that were given by name.
    """
    if name in _EXACT:
        try:
            return float(_EXACT[name](args, kwargs))
        except (TypeError, ValueError, IndexError, KeyError, OverflowError):
            return 0.0  # arguments that it does not take: it says so itself
    if name.startswith("new_"):  # Tensor.new_zeros and its like
        return _out_of_nothing(args[1:], kwargs)
    if not tensors:
        return _out_of_nothing(args, kwargs)
    sizes = [tensor.numel() for tensor in tensors]
    if name in _MULTIPLYING:
        return math.prod(map(float, sizes)) * _out_of_nothing([a for a in args if not isinstance(a, Tensor)], kwargs)
    if name in _SQUARING:
        return float(max(sizes)) ** 2
    if name.rstrip("2n").endswith("fft"):
        longest = max([n for n in _numbers((*args[1:2], kwargs.get("n"), kwargs.get("s"))) if n > 0], default=1.0)
        return max(sizes[0], sizes[0] / max(1, tensors[0].shape[-1] if tensors[0].ndim else 1) * longest)
    return float(max(sum(sizes), _broadcast(tensors)))


_MULTIPLYING = {
    *("repeat", "tile", "repeat_interleave", "one_hot", "interpolate", "upsample", "resize", "resize_"),
    *("kron", "outer", "ger", "meshgrid", "cartesian_prod", "tensordot", "combinations"),
}
_SQUARING = {"diag", "diagflat", "diag_embed", "vander", "block_diag"}


def _numbers(values: Any) -> list[float]:  # noqa: ANN401 - anything
    found: list[float] = []
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.append(float(min(max(value, 1 - 2**62), 2**62)))
        elif isinstance(value, list | tuple) and len(value) <= 64:
            found += _numbers(value)
    return found


def _out_of_nothing(args: Sequence[Any], kwargs: Keywords) -> float:
    """The product of a shape: of a tuple where one is given, else of all numbers; of data its count."""
    shapes = [a for a in (*args, kwargs.get("size")) if isinstance(a, list | tuple)]
    if shapes and len(shapes[0]) > 64:
        return float(len(shapes[0]))
    return math.prod(max(0.0, n) for n in _numbers(shapes[:1] if shapes else args))


def _arange(args: Arguments, kwargs: Keywords) -> float:
    numbers = [*_numbers(args), *_numbers(kwargs[key] for key in ("start", "end", "step") if key in kwargs)]
    start, end, step = (0.0, *numbers, 1.0) if len(numbers) == 1 else (*numbers, 1.0)[:3]
    return (end - start) / step


def _steps(args: Arguments, kwargs: Keywords) -> float:
    return _numbers([kwargs.get("steps", args[2] if len(args) > 2 else 0)])[0]


def _eye(args: Arguments, kwargs: Keywords) -> float:
    numbers = _numbers([*args, *(kwargs[key] for key in ("n", "m") if key in kwargs)])
    return numbers[0] * numbers[-1]


def _data(args: Arguments, kwargs: Keywords) -> float:
    return 0.0  # what it is made of is there already


def _matmul(args: Arguments, kwargs: Keywords) -> float:
    first, second = args[0], args[1]
    rows = first.numel() / max(1, first.shape[-1])
    batch = math.prod(second.shape[:-2]) if second.ndim > 2 and first.ndim <= 2 else 1
    return rows * (second.shape[-1] if second.ndim > 1 else 1) * batch


def _linear(args: Arguments, kwargs: Keywords) -> float:
    return args[0].numel() / max(1, args[0].shape[-1]) * args[1].shape[0]


def _cdist(args: Arguments, kwargs: Keywords) -> float:
    return args[0].numel() / max(1, args[0].shape[-1]) * args[1].shape[-2]


def _pad(args: Arguments, kwargs: Keywords) -> float:
    shape, pads = list(args[0].shape), kwargs["pad"] if "pad" in kwargs else args[1]
    for place, pad in enumerate(pads):
        shape[-1 - place // 2] += max(0, int(pad))
    return math.prod(map(float, shape))


def _randint(args: Arguments, kwargs: Keywords) -> float:
    return _out_of_nothing([next(a for a in (*args, kwargs.get("size")) if isinstance(a, list | tuple))], {})


def _einsum(args: Arguments, kwargs: Keywords) -> float:
    equation, operands = args[0], [t for a in args[1:] for t in (a if isinstance(a, list | tuple) else [a])]
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    sizes = {
        letter: size
        for term, operand in zip(inputs.split(","), operands, strict=True)
        for letter, size in zip(term, operand.shape, strict=True)
    }
    return math.prod(float(sizes[letter]) for letter in (output if arrow else sizes))


_EXACT: dict[str, Callable[[Arguments, Keywords], float]] = {
    "arange": _arange,
    "range": _arange,
    "linspace": _steps,
    "logspace": _steps,
    "eye": _eye,
    "tensor": _data,
    "as_tensor": _data,
    "asarray": _data,
    "from_numpy": _data,
    "frombuffer": _data,
    "matmul": _matmul,
    "__matmul__": _matmul,
    "mm": _matmul,
    "bmm": _matmul,
    "linear": _linear,
    "cdist": _cdist,
    "pad": _pad,
    "randint": _randint,
    "einsum": _einsum,
    **dict.fromkeys(("expand", "expand_as", "broadcast_to", "view", "reshape", "as_strided", "unfold"), _data),
}


def _broadcast(tensors: Sequence[Tensor]) -> int:
    if len(tensors) == 1:
        return tensors[0].numel()
    try:  # torch.broadcast_shapes imports a system for symbolic algebra, which takes seconds
        return math.prod(np.broadcast_shapes(*(tuple(tensor.shape) for tensor in tensors)))
    except ValueError:
        return 0
