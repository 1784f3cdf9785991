"""Counting what a network computes: additions, multiplications and the like, by watching torch do it once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from zoo.decoders import Decoder

_NORMALISATION = 5  # operations an element: mean, variance, subtraction, division, scaling


def operations_per_second(decoder: Decoder, *, frame_rate: float) -> int:
    """How many operations a decoder takes for a second of audio, played frame by frame where it can be.

    A multiply-add in a product of matrices or in a convolution counts two, an elementwise operation one a value (of
    complex values, what their parts take). The synth is not counted.

    Args:
        decoder: Whose cost is asked.
        frame_rate: Frames a second.
    """
    counter = _Counter()
    frame = next(decoder.parameters()).new_full((1,), 0.5)
    with torch.no_grad():
        try:
            state = decoder.initial_state(1)
        except NotImplementedError:
            frames = round(frame_rate)
            with counter:
                decoder(frame.expand(1, frames), frame.expand(1, frames))
            return counter.total
        with counter:
            decoder.step((frame, frame), state)
    return round(counter.total * frame_rate)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch does not annotate it
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # as above
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's own
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operation gives
        out = func(*args, **(kwargs or {}))
        known = flop_registry.get(func.overloadpacket)
        if known is not None:
            self.total += int(known(*args, **(kwargs or {}), out_val=out))
        elif torch.Tag.pointwise in func.tags:
            self.total += _elements(out) * _parts(func, out)
        elif "norm" in func.name():
            self.total += _NORMALISATION * _elements(out)
        elif "fft" in func.name():
            self.total += round(2.5 * _elements(out) * math.log2(max(2, _elements(out))))
        elif func.name().startswith(("aten::sum", "aten::mean")):
            self.total += _elements(args[0])
        return out


def _elements(out: Any) -> int:  # noqa: ANN401 - a tensor, or several of which the first counts
    first = out[0] if isinstance(out, tuple | list) else out
    return first.numel() if isinstance(first, Tensor) else 0


def _parts(func: Any, out: Any) -> int:  # noqa: ANN401 - torch's own
    first = out[0] if isinstance(out, tuple | list) else out
    if not isinstance(first, Tensor) or not first.is_complex():
        return 1
    return 6 if "mul" in func.name() else 2
