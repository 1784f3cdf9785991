"""Building a model whose weights are about to be loaded, without drawing random ones first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_DRAWS = frozenset({torch.Tensor.uniform_, torch.Tensor.normal_})
_within = threading.local()


def skipping() -> bool:
    """Whether the module that is being built is about to be given its weights: initial ones need not be worked out."""
    return bool(getattr(_within, "depth", 0))


class SkipInit(TorchFunctionMode):
    """Within it, initialising a parameter does nothing: its memory stays as it was allocated.

    Drawing initial weights is most of the time that a large model takes to build, and memory that is never written is
    never taken from the system: a config that asks for absurdly large layers costs nothing until its shapes have been
    compared with the file's. Buffers and plain tensors are left alone, since not all of them are in a checkpoint.
    """

    def __enter__(self) -> SkipInit:
        """Begin."""
        _within.depth = getattr(_within, "depth", 0) + 1
        super().__enter__()  # type: ignore[no-untyped-call] # torch does not annotate it
        return self

    def __exit__(self, *error: object) -> None:
        """End."""
        super().__exit__(*error)  # type: ignore[no-untyped-call] # nor this
        _within.depth -= 1

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever torch's function gives
        """Do what was asked for, unless it is to fill a parameter."""
        kwargs = kwargs or {}
        if func in _DRAWS or getattr(func, "__module__", None) == nn.init.__name__:
            filled = args[0] if args else kwargs.get("tensor")
            if isinstance(filled, nn.Parameter):
                return filled
        return func(*args, **kwargs)
