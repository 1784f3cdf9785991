"""How many values an operation of torch is about to give, said before it is done.

torch's own answer, its device "meta", takes seconds to import. What is here is arithmetic on shapes: exact for what
makes tensors out of nothing and for what makes them larger; for all else, as large as what goes in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

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
    try:
        return math.prod(torch.broadcast_shapes(*(tensor.shape for tensor in tensors)))  # type: ignore[no-untyped-call] # torch does not annotate it
    except RuntimeError:
        return 0
