"""What all measures share: checks of their arguments, and rows without their padding."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.errors import ConfigError


def checked_audio(name: str, audio: Tensor) -> Tensor:
    """Audio as a measure takes it: `[batch, samples]`, finite, at least float32, without gradient.

    Raises:
        ConfigError: It is not.
    """
    if audio.ndim != 2 or not audio.is_floating_point():
        raise ConfigError(
            f"{name} must be audio [batch, samples] of floating-point numbers, and is {list(audio.shape)} of "
            f"{audio.dtype}. One signal alone: {name}[None]."
        )
    if audio.shape[1] == 0:
        raise ConfigError(f"{name} has no samples: {list(audio.shape)}.")
    audio = audio.detach()
    audio = audio if audio.dtype in (torch.float32, torch.float64) else audio.float()
    if not torch.isfinite(audio).all():
        raise ConfigError(f"{name} holds NaN or infinity, and cannot be measured. Did a training diverge?")
    return audio


def checked_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two signals of one shape on one device.

    Raises:
        ConfigError: They differ, or one is not audio `[batch, samples]`.
    """
    a, b = checked_audio("a", a), checked_audio("b", b)
    if a.shape != b.shape:
        raise ConfigError(f"Both signals must have the same shape; a is {list(a.shape)} and b {list(b.shape)}.")
    if a.device != b.device:
        raise ConfigError(f"a is on {a.device} and b on {b.device}: move one of them (.to(device)).")
    return a, b.to(a.dtype)


def valid_lengths(valid_samples: Tensor | None, batch: int, samples: int) -> list[int] | None:
    """Length of each row's sound in samples; None where every row is whole.

    Raises:
        ConfigError: `valid_samples` is not one integer a row.
    """
    if valid_samples is None:
        return None
    if valid_samples.shape != (batch,) or valid_samples.is_floating_point():
        raise ConfigError(
            f"valid_samples must be integers [batch] = [{batch}], and is {list(valid_samples.shape)} of "
            f"{valid_samples.dtype}."
        )
    lengths = [min(max(int(n), 0), samples) for n in valid_samples]
    return None if all(n == samples for n in lengths) else lengths


def over_rows(
    measure: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor, valid_samples: Tensor | None
) -> Tensor:
    """Apply a measure to all rows at once, or to each without its padding; NaN for a row that is all padding.

    Args:
        measure: From two signals `[batch, samples]` to `[batch]`.
        a: `[batch, samples]`.
        b: `[batch, samples]`.
        valid_samples: int64 `[batch]`, or None.

    Returns:
        `[batch]`.
    """
    lengths = valid_lengths(valid_samples, a.shape[0], a.shape[1])
    if a.shape[0] == 0:
        return a.new_zeros(0)
    if lengths is None:
        return measure(a, b)
    nothing = a.new_full((1,), float("nan"))
    return torch.cat([measure(a[i : i + 1, :n], b[i : i + 1, :n]) if n else nothing for i, n in enumerate(lengths)])
