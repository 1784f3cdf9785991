"""What pitch and loudness mean where they are no ordinary numbers, and curves as people have them.

One meaning everywhere, for models, players and synths: `f0_hz` that is not finite or not positive is unvoiced; loudness
of NaN or minus infinity is -80 dB, of plus infinity 0 dB. Ordinary values stay as they are, to the bit, gradients pass,
and nothing here branches on a value, so that graphs can be recorded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import listing
from zoo.features.loudness import FLOOR_DB

CEILING_DB = 0.0
FARTHEST_DB = 1e6
"""Loudness beyond it is cut: its square in a network must not be infinite, which a state would keep for ever."""
HALF = (torch.float16, torch.bfloat16)


def clean_f0(f0_hz: Tensor) -> Tensor:
    """Pitch with 0 wherever it is unvoiced.

    >>> clean_f0(torch.tensor([440.0, -1.0, float("nan"), float("inf")]))
    tensor([440.,   0.,   0.,   0.])

    Args:
        f0_hz: In Hz, any shape.
    """
    return torch.where((f0_hz > 0.0) & (f0_hz < math.inf), f0_hz, 0.0)


def clean_loudness(loudness_db: Tensor) -> Tensor:
    """Loudness with a number wherever it is none.

    >>> clean_loudness(torch.tensor([-20.0, float("nan"), float("-inf"), float("inf")]))
    tensor([-20., -80., -80.,   0.])

    Args:
        loudness_db: In dB, any shape.
    """
    numbers = torch.nan_to_num(loudness_db, nan=FLOOR_DB, posinf=CEILING_DB, neginf=FLOOR_DB)
    farthest = min(FARTHEST_DB, torch.finfo(numbers.dtype).max)
    return numbers.clamp(-farthest, farthest)


def clean_value(values: Tensor) -> Tensor:
    """A further input with 0 wherever it is not finite.

    Args:
        values: In whatever unit, any shape.
    """
    return torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def as_floats(values: Any, *, name: str, like: Tensor) -> Tensor:  # noqa: ANN401 - whatever people have
    """Numbers as people have them, as a tensor that a model can work with.

    Pitch in half precision would be out of tune, so whatever the model is in, this is float32, or float64 for a model
    of that. A float32 tensor on the model's device is given back as it is, and gradients pass.

    Args:
        values: A tensor of any real type and device, a numpy array, or lists of numbers (None is NaN).
        name: What messages call it.
        like: A parameter of the model.

    Raises:
        ValueError: They are no real numbers, or lists of several lengths.
    """
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    if isinstance(values, Tensor):
        if values.is_complex():
            raise ValueError(f"{name} must be real numbers, found {values.dtype}.")
        return values.to(device=like.device, dtype=dtype)
    try:
        array = np.asarray(values)
        if array.dtype.kind in "cSUmM":  # complex, text, times: numpy would make numbers of them
            raise ValueError(f"they are {array.dtype}")
        with np.errstate(over="ignore"):  # beyond float32 is infinite, which has its meaning
            # a copy of torch's own layout and byte order, whatever the array's are
            array = np.array(array, dtype=np.float64 if dtype == torch.float64 else np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a tensor, a numpy array or lists of numbers, all rows of one length; found "
            f"{type(values).__name__} ({str(error).splitlines()[0][:120]})."
        ) from None
    return torch.from_numpy(array).to(like.device)


def check_curves(f0_hz: Tensor, loudness_db: Tensor, *, shapes: str, fits: bool) -> None:
    """Make sure that two curves go together.

    Args:
        f0_hz: Pitch.
        loudness_db: Loudness.
        shapes: What is taken, for the message: "both be [batch, frames] ...".
        fits: Whether the pitch is of one of these shapes.

    Raises:
        ValueError: They do not; it says what is wrong, and what makes them fit.
    """
    first, second = list(f0_hz.shape), list(loudness_db.shape)
    if fits and first == second:
        return
    advice = ""
    if len(first) == len(second) > 0 and first[:-1] == second[:-1] and first[-1] != second[-1]:
        longer, frames = ("f0_hz", second[-1]) if first[-1] > second[-1] else ("loudness_db", first[-1])
        advice = (
            f" They differ in frames, {first[-1]} and {second[-1]}: cut the longer one ({longer}[..., :{frames}]), or "
            "measure both with one hop."
        )
    elif not fits and len(first) == len(second) == 1 and first == second:
        advice = " For one clip: f0_hz[None] and loudness_db[None]."
    raise ValueError(f"f0_hz and loudness_db must {shapes}; found {first} and {second}.{advice}")


def further_curves(given: Mapping[str, Any], names: Sequence[str], *, f0_hz: Tensor) -> dict[str, Tensor]:
    """A decoder's further inputs, one value per frame each, as `as_floats` and `clean_value` make them.

    Args:
        given: As people have them, by name.
        names: What the decoder is driven by, beside pitch and loudness.
        f0_hz: The pitch, whose shape, dtype and device they get.

    Raises:
        ValueError: One is missing or unknown, or of another shape than the pitch.
    """
    if set(given) != set(names):
        wanted = listing(("f0_hz", "loudness_db", *names))
        faults = [f"missing: {listing(set(names) - set(given))}"] if set(names) - set(given) else []
        faults += [f"unknown: {listing(set(given) - set(names))}"] if set(given) - set(names) else []
        raise ValueError(f"This model is driven by {wanted}, each by its name; {', '.join(faults)}.")
    curves = {name: clean_value(as_floats(given[name], name=name, like=f0_hz)) for name in names}
    for name, curve in curves.items():
        if curve.shape != f0_hz.shape:
            raise ValueError(
                f"{name} must have one value per frame, as f0_hz has: {list(f0_hz.shape)}; found {list(curve.shape)}."
            )
    return curves
