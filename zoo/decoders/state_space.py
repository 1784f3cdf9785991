"""What the state space decoders share: long convolutions, the block around one, and the decoder made of blocks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_kernels import causal_convolution

from zoo.decoders.base import Decoded, Decoder, Frame, check_batch, split_frame
from zoo.decoders.blocks import ControlHead, FeatureEncoder
from zoo.decoders.dropout import Dropout
from zoo.decoders.linear import FastLinear


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


_LEARNING_RATE = 1e-3  # at most, for the parameters of the dynamics: they are more sensitive than the rest


class StateSpaceKernel(nn.Module, ABC):
    """A linear state space for each channel, as a convolution kernel and as a recurrence."""

    @abstractmethod
    def forward(self, frames: int) -> Tensor:
        """The first frames of the impulse response, `[channels, frames]`."""

    @abstractmethod
    def recurrence(self) -> Recurrence:
        """The same system step by step, with the parameters as they are now."""

    @abstractmethod
    def dynamics(self) -> list[nn.Parameter]:
        """The parameters of the dynamics, which train slowly and without weight decay."""


def log_uniform_steps(channels: int, *, smallest: float = 1e-3, largest: float = 1e-1) -> Tensor:
    """Logarithms of step sizes, log-uniform between two bounds, `[channels]`: time scales of 10 to 1,000 frames."""
    low, high = math.log(smallest), math.log(largest)
    return low + (high - low) * torch.rand(channels)


class StateSpaceBlock(nn.Module):
    """A long convolution in each channel, a mixing of the channels, and a residual connection; normalised last.

    Args:
        kernel: Of the convolution.
        channels: In and out.
        dropout: Of single values after the convolution, of whole channels after the mixing.
    """

    def __init__(self, kernel: StateSpaceKernel, channels: int, *, dropout: float) -> None:
        super().__init__()
        self.kernel = kernel
        self.skip = nn.Parameter(torch.randn(channels))
        self.mix = FastLinear(channels, 2 * channels)
        self.norm = nn.LayerNorm(channels)
        self.dropout = Dropout(dropout)
        self.channel_dropout = nn.Dropout1d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, frames, channels]` -> the same shape."""
        with torch.autocast(x.device.type, enabled=False):  # phases and FFTs need their digits
            u = x.to(self.skip.dtype).transpose(1, 2).contiguous()
            y = torch.addcmul(causal_convolution(u, self.kernel(u.shape[-1])), self.skip[:, None], u)
            y = self.dropout(F.gelu(y)).transpose(1, 2)
        y = F.glu(self.mix(y), dim=-1)
        y = self.channel_dropout(y.transpose(1, 2)).transpose(1, 2)
        return self.norm(x + y)

    def step(self, x: Tensor, recurrence: Recurrence, state: Tensor) -> tuple[Tensor, Tensor]:
        """One frame `[batch, channels]`, without dropout."""
        y, state = recurrence.step(x, state)
        y = F.gelu(torch.addcmul(y, self.skip, x))
        return self.norm(x + F.glu(self.mix(y), dim=-1)), state


class StateSpaceState(NamedTuple):
    """What a state space decoder carries from frame to frame.

    Attributes:
        recurrences: Of each block, worked out from the parameters once.
        states: Of each block, `[batch, channels, modes]`, complex128.
    """

    recurrences: tuple[Recurrence, ...]
    states: tuple[Tensor, ...]


class StateSpaceDecoder(Decoder):
    """A stack of blocks between two MLPs.

    Args:
        control_sizes: The synth's controls, name to size.
        model_size: Channels of each feature's input MLP; the blocks have twice as many, as has the output MLP.
        kernels: One for each block, of `2 * model_size` channels.
        dropout: Of each block.
    """

    def __init__(
        self,
        *,
        control_sizes: Mapping[str, int],
        model_size: int,
        kernels: Sequence[StateSpaceKernel],
        dropout: float,
    ) -> None:
        super().__init__(control_sizes=control_sizes)
        if not kernels:
            raise ValueError("blocks must be at least 1, and is 0.")
        channels = 2 * model_size
        self.encoder = FeatureEncoder(model_size)
        self.blocks = nn.ModuleList(StateSpaceBlock(kernel, channels, dropout=dropout) for kernel in kernels)
        self.head = ControlHead(channels, channels, control_sizes)

    @property
    def _blocks(self) -> list[StateSpaceBlock]:
        return [block for block in self.blocks if isinstance(block, StateSpaceBlock)]

    @property
    def hidden_size(self) -> int:
        """See `Decoder.hidden_size`."""
        return self.head.inputs

    def forward(self, f0_scaled: Tensor, loudness_scaled: Tensor) -> Decoded:
        """Turn features `[batch, frames]` into controls; `hidden` is the last block's output."""
        hidden = self.encoder(f0_scaled, loudness_scaled)
        for block in self.blocks:
            hidden = block(hidden)
        return self.head(hidden, f0_scaled, loudness_scaled)

    @torch.no_grad()
    def initial_state(self, batch: int) -> StateSpaceState:
        """Zeros, and the recurrences worked out from the parameters; see `Decoder.initial_state`."""
        check_batch(batch)
        recurrences = tuple(block.kernel.recurrence() for block in self._blocks)
        return StateSpaceState(recurrences, tuple(recurrence.start(batch) for recurrence in recurrences))

    @torch.no_grad()
    def step(self, features_t: Frame, state: StateSpaceState) -> tuple[Decoded, StateSpaceState]:
        """One frame; see `Decoder.step`."""
        f0_scaled, loudness_scaled = split_frame(features_t, batch=len(state.states[0]))
        hidden = self.encoder(f0_scaled, loudness_scaled)
        states = []
        for block, recurrence, before in zip(self._blocks, state.recurrences, state.states, strict=True):
            hidden, after = block.step(hidden, recurrence, before)
            states.append(after)
        return self.head(hidden, f0_scaled, loudness_scaled), StateSpaceState(state.recurrences, tuple(states))

    def param_groups(self) -> list[dict[str, Any]]:
        """The dynamics with a learning rate of their own and no weight decay; then all else."""
        dynamics = [parameter for block in self._blocks for parameter in block.kernel.dynamics()]
        slow = {id(parameter) for parameter in dynamics}
        others = [parameter for parameter in self.parameters() if id(parameter) not in slow]
        return [{"params": others}, {"params": dynamics, "lr": _LEARNING_RATE, "weight_decay": 0.0}]
