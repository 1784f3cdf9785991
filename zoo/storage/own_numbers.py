"""Random numbers for building a model, drawn beside torch's own: another thread may be drawing from those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_ALIKE = {
    "rand_like": lambda made, generator: made.uniform_(0, 1, generator=generator),
    "randn_like": lambda made, generator: made.normal_(0, 1, generator=generator),
}


class OwnNumbers(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch does not annotate it
    """Within it, and in this thread alone, what draws random numbers draws them from a generator of its own.

    `torch.random.fork_rng` would put torch's generator back as it was, and so repeat to another thread the numbers that
    it drew meanwhile. What is drawn here is the same each time.
    """

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
