"""What the state space decoders share: long convolutions, the block around one, and the decoder made of blocks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_kernels import causal_convolution

from zoo.decoders.base import Decoded, Decoder, check_batch
from zoo.decoders.blocks import ControlHead, FeatureEncoder
from zoo.decoders.dropout import Dropout
from zoo.decoders.linear import FastLinear

if TYPE_CHECKING:
    from zoo_player import Program, Register


_LEARNING_RATE = 1e-3  # at most, for the parameters of the dynamics: they are more sensitive than the rest


class StateSpaceKernel(nn.Module, ABC):
    """A linear state space for each channel, as a convolution kernel and as a recurrence."""

    @abstractmethod
    def forward(self, frames: int) -> Tensor:
        """The first frames of the impulse response, `[channels, frames]`."""

    @abstractmethod
    def recurrence(self) -> Tensor:
        """The same system frame by frame, with the parameters as they are now.

        Returns:
            Complex128 tables on the CPU, `[tables, channels, modes]`, as `zoo_player.Program.state_space` takes them.
        """

    @abstractmethod
    def constants(self) -> Tensor:
        """What `stream` needs of the recurrence: real pairs `[tables, channels, modes, 2]`, float32 at least."""

    @staticmethod
    @abstractmethod
    def stream(u: Tensor, state: Tensor, constants: Tensor) -> tuple[Tensor, Tensor]:
        """The next frames of the recurrence.

        Complex numbers are pairs of real ones, since graphs know no others.

        Args:
            u: `[batch, frames, channels]`.
            state: `[batch, channels, modes, 2]`; zeros before the first frame.
            constants: Of `constants`.

        Returns:
            The output, `[batch, frames, channels]`, and the state after it.
        """

    def real(self, tables: Sequence[Tensor]) -> Tensor:
        """Complex tables `[channels, modes]` as real pairs, of the dtype and on the device that they are used in."""
        like = self.dynamics()[0]
        return torch.view_as_real(torch.stack(list(tables))).to(like.device, _working(like))

    @abstractmethod
    def dynamics(self) -> list[nn.Parameter]:
        """The parameters of the dynamics, which train slowly and without weight decay."""


def decays(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """What each mode is multiplied with per frame, complex, as the two tables of `decayed`.

    What is stored is how far it is from 1: a float32 near 1 is good to 6e-8, which for a mode that lasts a thousand
    frames would be an error of 1e-4.
    """
    real, imag = numbers.real - 1, numbers.imag
    return torch.complex(real, real), torch.complex(-imag, imag)


def decayed(state: Tensor, straight: Tensor, turned: Tensor) -> Tensor:
    """The complex product of pairs `[..., 2]` with the numbers that `decays` has made two tables of.

    Two operations on all pairs cost half of the four on their parts.
    """
    return torch.addcmul(torch.addcmul(state, straight, state), turned, state.flip(-1))


def log_uniform_steps(channels: int, *, smallest: float = 1e-3, largest: float = 1e-1) -> Tensor:
    """Logarithms of step sizes, log-uniform between two bounds, `[channels]`: time scales of 10 to 1,000 frames."""
    low, high = math.log(smallest), math.log(largest)
    return low + (high - low) * torch.rand(channels)


def _working(like: Tensor) -> torch.dtype:
    """What recurrences are worked in: half precision would lose their poles."""
    return torch.float64 if like.dtype == torch.float64 else torch.float32


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

    def stream(self, x: Tensor, state: Tensor, constants: Tensor) -> tuple[Tensor, Tensor]:
        """The next frames `[batch, frames, channels]`, without dropout; see `StateSpaceKernel.stream`."""
        y, after = self.kernel.stream(x.to(constants.dtype), state, constants)
        y = F.gelu(torch.addcmul(y.to(x.dtype), self.skip, x))
        return self.norm(x + F.glu(self.mix(y), dim=-1)), after

    def describe(self, program: Program, x: Register) -> Register:
        """The same, as the player's operations."""
        y = program.state_space(x, list(self.kernel.recurrence()))
        y = program.activate(program.skip(y, x, self.skip), "gelu")
        y = program.gated(program.linear(y, self.mix.weight, self.mix.bias))
        return program.layer_norm(program.add(x, y), self.norm)


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

    def stream_state(self, batch: int) -> dict[str, Tensor]:
        """Zeros `[batch, channels, modes, 2]` per block; see `Decoder.stream_state`."""
        check_batch(batch)
        shapes = {f"block{i}": block.kernel.dynamics()[0] for i, block in enumerate(self._blocks)}
        return {
            name: torch.zeros(batch, *like.shape, 2, dtype=_working(like), device=like.device)
            for name, like in shapes.items()
        }

    def stream_constants(self) -> dict[str, Tensor]:
        """The recurrence of each block; see `Decoder.stream_constants`."""
        return {f"block{i}": block.kernel.constants() for i, block in enumerate(self._blocks)}

    def stream(
        self,
        inputs: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        constants: Mapping[str, Tensor] | None = None,
    ) -> tuple[Decoded, dict[str, Tensor]]:
        """See `Decoder.stream`."""
        features = self.features(inputs, state)
        tables = self.stream_constants() if constants is None else constants
        hidden, after = self.encoder(*features), {}
        for i, block in enumerate(self._blocks):
            name = f"block{i}"
            hidden, after[name] = block.stream(hidden, state[name], tables[name])
        return self.head(hidden, *features), after

    def describe(self, program: Program) -> dict[str, Register]:
        """See `Decoder.describe`."""
        features = self.registers(program)
        hidden = self.encoder.describe(program, *features)
        for block in self._blocks:
            hidden = block.describe(program, hidden)
        return self.head.describe(program, hidden, *features)

    def param_groups(self) -> list[dict[str, Any]]:
        """The dynamics with a learning rate of their own and no weight decay; then all else."""
        dynamics = [parameter for block in self._blocks for parameter in block.kernel.dynamics()]
        slow = {id(parameter) for parameter in dynamics}
        others = [parameter for parameter in self.parameters() if id(parameter) not in slow]
        return [{"params": others}, {"params": dynamics, "lr": _LEARNING_RATE, "weight_decay": 0.0}]
