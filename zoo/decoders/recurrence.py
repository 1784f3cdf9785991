"""Linear state spaces as recurrences: one input sample in, one output sample out, a state in between."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Recurrence(Protocol):
    """A discrete linear system for each channel, with the numbers of its steps worked out."""

    def start(self, batch: int) -> Tensor:
        """The state before the first sample: zeros, `[batch, channels, modes]`."""

    def step(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """From input `[batch, channels]` and state to output `[batch, channels]` and the next state."""


class DiagonalRecurrence:
    """`x[t] = decay x[t-1] + drive u[t]`, `y[t] = Re sum of read x[t]`: every mode by itself.

    Args:
        decay: `[channels, modes]`, complex.
        drive: `[channels, modes]`, complex.
        read: `[channels, modes]`, complex.
    """

    def __init__(self, decay: Tensor, drive: Tensor, read: Tensor) -> None:
        self.decay, self.drive, self.read = decay, drive, read

    def start(self, batch: int) -> Tensor:
        """Zeros `[batch, channels, modes]`."""
        return self.decay.new_zeros(batch, *self.decay.shape)

    def step(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One sample; see `Recurrence.step`."""
        state = torch.addcmul(self.drive * u[..., None], self.decay, state)
        return torch.linalg.vecdot(self.read.conj(), state).real.to(u.dtype), state


class LowRankRecurrence:
    """The bilinear recurrence of `x' = (diag(w) - P P*) x + B u`, `y = C x`, at no more than a few vectors a step.

    Every mode stands for itself and its conjugate. With A = diag(w) - P P* and a step of 1,
    `(I - A/2) x[t] = (I + A/2) x[t-1] + B u[t]`; the left side is inverted by Woodbury's identity. It needs no
    eigenvectors, so it is exact where they are not to be had.

    Args:
        w: `[channels, modes]`, complex poles, times the step.
        low_rank: P, `[channels, modes]`, times the square root of the step.
        drive: B, times the step.
        read: C.
    """

    def __init__(self, w: Tensor, low_rank: Tensor, drive: Tensor, read: Tensor) -> None:
        self.drive, self.read, self.low_rank = drive, read, low_rank
        self._inverse = 1 / (1 - w / 2)
        self._ahead = 1 + w / 2
        along = self._inverse * low_rank / 2
        self._correction = along / (1 + self._onto_low_rank(along))[..., None]

    def _onto_low_rank(self, x: Tensor) -> Tensor:
        """`P* x` over both halves of the pairs."""
        return 2 * torch.linalg.vecdot(self.low_rank, x).real

    def start(self, batch: int) -> Tensor:
        """Zeros `[batch, channels, modes]`."""
        return self.drive.new_zeros(batch, *self.drive.shape)

    def step(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One sample; see `Recurrence.step`."""
        right = self._ahead * state - self.low_rank * (self._onto_low_rank(state)[..., None] / 2)
        state = self._inverse * (right + self.drive * u[..., None])
        state = state - self._correction * self._onto_low_rank(state)[..., None]
        return 2 * torch.linalg.vecdot(self.read.conj(), state).real.to(u.dtype), state
