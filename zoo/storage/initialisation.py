"""Building a model whose weights are about to be loaded, without random numbers of the user's.

`SkipInit` leaves the drawing out. `OwnNumbers` draws beside torch's own numbers: another thread may be drawing from
those.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

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


_ALIKE = {
    "rand_like": lambda made, generator: made.uniform_(0, 1, generator=generator),
    "randn_like": lambda made, generator: made.normal_(0, 1, generator=generator),
}


class OwnNumbers(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch does not annotate it
    """Within it, and in this thread alone, what draws random numbers draws them from a generator of its own.

    `torch.random.fork_rng` would put torch's generator back as it was, and so repeat to another thread the numbers that
    it drew meanwhile. What is drawn here is the same each time.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: to be left alone by torch's compiler, it would have to be imported first, which takes seconds."""
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # as above
        self._generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's own
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operation gives
        """Do what was asked for, with another generator where it draws."""
        kwargs = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded not in func.tags or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        device = kwargs.get("device") or next((a.device for a in args if isinstance(a, torch.Tensor)), "cpu")
        generator = self._generator(torch.device(device))
        if generator is None:
            return func(*args, **kwargs)
        if any(argument.name == "generator" for argument in func._schema.arguments):
            return func(*args, **{**kwargs, "generator": generator})
        if (alike := _ALIKE.get(func._schema.name.partition("::")[2])) is not None:
            return alike(torch.empty_like(*args, **kwargs), generator)
        # of rand, randn, randint, randperm
        overload = "generator" if func._overloadname == "default" else f"{func._overloadname}_generator"
        if overload in func.overloadpacket.overloads():
            return getattr(func.overloadpacket, overload)(*args, **{**kwargs, "generator": generator})
        return func(*args, **kwargs)

    def _generator(self, device: torch.device) -> torch.Generator | None:
        if device.type == "meta":  # nothing is drawn there
            return None
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(0)
        return self._generators[device]
