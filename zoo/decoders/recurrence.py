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
    """`x[t] = A x[t-1] + B u[t]`, `y[t] = Re sum of C x[t]`: every mode by itself.

    Args:
        A: The diagonal, `[channels, modes]`, complex.
        B: `[channels, modes]`, complex.
        C: `[channels, modes]`, complex.
    """

    def __init__(self, A: Tensor, B: Tensor, C: Tensor) -> None:
        self.A, self.B, self.C = A, B, C

    def start(self, batch: int) -> Tensor:
        """Zeros `[batch, channels, modes]`."""
        return self.A.new_zeros(batch, *self.A.shape)

    def step(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One sample; see `Recurrence.step`."""
        state = torch.addcmul(self.B * u[..., None], self.A, state)
        return torch.linalg.vecdot(self.C.conj(), state).real.to(u.dtype), state


class LowRankRecurrence:
    """The bilinear recurrence of `x' = (diag(w) - P P*) x + B u`, `y = C x`, at no more than a few vectors a step.

    Every mode stands for itself and its conjugate. With A = diag(w) - P P* and a step of 1,
    `(I - A/2) x[t] = (I + A/2) x[t-1] + B u[t]`; the left side is inverted by Woodbury's identity. It needs no
    eigenvectors, so it is exact where they are not to be had.

    Args:
        w: `[channels, modes]`, complex poles, times the step.
        P: `[channels, modes]`, times the square root of the step.
        B: `[channels, modes]`, times the step.
        C: `[channels, modes]`.
    """

    def __init__(self, w: Tensor, P: Tensor, B: Tensor, C: Tensor) -> None:
        self.B, self.C, self.P = B, C, P
        self._inverse = 1 / (1 - w / 2)
        self._ahead = 1 + w / 2
        along = self._inverse * P / 2
        self._correction = along / (1 + self._onto_P(along))[..., None]

    def _onto_P(self, x: Tensor) -> Tensor:
        """`P* x` over both halves of the pairs."""
        return 2 * torch.linalg.vecdot(self.P, x).real

    def start(self, batch: int) -> Tensor:
        """Zeros `[batch, channels, modes]`."""
        return self.B.new_zeros(batch, *self.B.shape)

    def step(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One sample; see `Recurrence.step`."""
        right = self._ahead * state - self.P * (self._onto_P(state)[..., None] / 2)
        state = self._inverse * (right + self.B * u[..., None])
        state = state - self._correction * self._onto_P(state)[..., None]
        return 2 * torch.linalg.vecdot(self.C.conj(), state).real.to(u.dtype), state
