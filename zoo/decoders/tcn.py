"""The convolutional decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.decoders.base import Decoded, Decoder, check_batch
from zoo.decoders.blocks import ControlHead, FeatureEncoder
from zoo.decoders.dropout import ReLUDropout

if TYPE_CHECKING:
    from zoo_player import Program, Register


class CausalConv1d(nn.Module):
    """A weight-normalised convolution that sees the present frame and earlier ones only.

    The weight is `weight_g * weight_v / |weight_v|`, one norm for each output channel (Salimans and Kingma, 2016).

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel_size: Frames that the kernel spans, before dilation.
        dilation: Frames between its taps.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        plain = nn.Conv1d(inputs, outputs, kernel_size)  # for its initialisation
        self.dilation = dilation
        self.weight_v = nn.Parameter(plain.weight.detach().clone())
        self.weight_g = nn.Parameter(torch.linalg.vector_norm(self.weight_v.detach(), dim=(1, 2), keepdim=True))
        self.bias = nn.Parameter(torch.zeros(outputs) if plain.bias is None else plain.bias.detach().clone())

    @property
    def past(self) -> int:
        """Frames before the present one that it sees."""
        return self.dilation * (self.weight_v.shape[-1] - 1)

    def weight(self) -> Tensor:
        """The normalised weight `[outputs, inputs, kernel_size]`."""
        return torch._weight_norm(self.weight_v, self.weight_g, 0)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, inputs, frames]` -> `[batch, outputs, frames]`."""
        return F.conv1d(F.pad(x, (self.past, 0)), self.weight(), self.bias, dilation=self.dilation)

    def stream(self, x: Tensor, weight: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The next frames.

        The taps as one product of matrices: for a few frames a dilated convolution takes torch up to eight times as
        long.

        Args:
            x: `[batch, inputs, frames]`.
            weight: `self.weight()`.
            before: `[batch, inputs, past]`, the frames before them; None where it sees none.

        Returns:
            `[batch, outputs, frames]`, and what `before` is next time.
        """
        frames, after = x.shape[-1], None
        if before is not None:
            x = torch.cat([before, x], dim=-1)
            after = x[..., -self.past :]
        begins = range(0, self.past + 1, self.dilation)
        taps = torch.stack([x[..., begin : begin + frames] for begin in begins], dim=2)  # [batch, inputs, taps, frames]
        return _by_frames(taps.flatten(1, 2), weight, self.bias), after

    def describe(self, program: Program, x: Register, activation: str) -> Register:
        """The convolution and what follows it, as the player's operations."""
        return program.convolution(x, self.weight(), self.bias, dilation=self.dilation, activation=activation)


def _by_frames(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """What a convolution makes of each frame's inputs `[batch, inputs, frames]` by itself, as a product of matrices."""
    return F.linear(x.transpose(1, 2), weight.flatten(1), bias).transpose(1, 2)


class ResidualBlock(nn.Module):
    """Two causal convolutions of one dilation, and a 1x1 convolution around them.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel_size: Of both convolutions.
        dilation: Of both convolutions.
        dropout: After every activation.
        last: The stack's last block ends with the bare convolution, so that its output is not clipped at 0.
        hidden_channels: Channels between the two convolutions; as many as come out by default.
        residual_conv: Whether there is a 1x1 convolution around them.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel_size: int,
        dilation: int,
        dropout: float,
        last: bool,
        hidden_channels: int | None = None,
        residual_conv: bool = True,
    ) -> None:
        super().__init__()
        hidden = outputs if hidden_channels is None else hidden_channels
        self.first = CausalConv1d(inputs, hidden, kernel_size, dilation)
        self.second = CausalConv1d(hidden, outputs, kernel_size, dilation)
        self.residual = nn.Conv1d(inputs, outputs, 1) if residual_conv else None
        self.activation = ReLUDropout(dropout)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, inputs, frames]` -> `[batch, outputs, frames]`."""
        y = self.second(self.activation(self.first(x)))
        if not self.last:
            y = self.activation(y)
        return y if self.residual is None else y + self.residual(x)

    def describe(self, program: Program, x: Register) -> Register:
        """The same, as the player's operations."""
        y = self.first.describe(program, x, "relu")
        y = self.second.describe(program, y, "identity" if self.last else "relu")
        if self.residual is None:
            return y
        return program.add(y, program.linear(x, self.residual.weight[..., 0], self.residual.bias))


class ResidualStack(nn.Sequential):
    """Residual blocks one after the other, for whole clips and block by block.

    Args:
        *blocks: The blocks; the names of their weights begin with their places.
    """

    def __init__(self, *blocks: ResidualBlock) -> None:
        super().__init__(*blocks)

    def stream_state(self, batch: int) -> dict[str, Tensor]:
        """Silence before the first frame, as `forward` pads with: `[batch, inputs, past]` per convolution."""
        check_batch(batch)
        return {
            name: conv.weight_v.new_zeros(batch, conv.weight_v.shape[1], conv.past)
            for name, conv in self._convolutions().items()
            if conv.past
        }

    def stream_constants(self) -> dict[str, Tensor]:
        """The normalised weights, by the names of the states."""
        return {name: conv.weight() for name, conv in self._convolutions().items()}

    def stream(
        self, x: Tensor, state: Mapping[str, Tensor], constants: Mapping[str, Tensor] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The next frames `[batch, inputs, frames]`: what every block gives, and the state after them.

        See `zoo.decoders.Decoder.stream`.
        """
        weights = self.stream_constants() if constants is None else constants
        outputs, after = [], dict(state)

        def convolve(name: str, conv: CausalConv1d, x: Tensor) -> Tensor:
            y, seen = conv.stream(x, weights[name], state.get(name))
            if seen is not None:
                after[name] = seen
            return y

        for i, block in enumerate(self._blocks()):
            y = F.relu(convolve(f"block{i}_first", block.first, x))
            y = convolve(f"block{i}_second", block.second, y)
            if not block.last:
                y = F.relu(y)
            x = y if block.residual is None else y + _by_frames(x, block.residual.weight, block.residual.bias)
            outputs.append(x)
        return outputs, after

    def describe(self, program: Program, x: Register) -> Register:
        """What the last block gives, as the player's operations."""
        for block in self._blocks():
            x = block.describe(program, x)
        return x

    def _blocks(self) -> list[ResidualBlock]:
        return [block for block in self if isinstance(block, ResidualBlock)]

    def _convolutions(self) -> dict[str, CausalConv1d]:
        found: dict[str, CausalConv1d] = {}
        for i, block in enumerate(self._blocks()):
            found |= {f"block{i}_first": block.first, f"block{i}_second": block.second}
        return found


class TCNDecoder(Decoder):
    """A stack of dilated causal convolutions between two MLPs (Bai et al., "TCN", 2018; for DDSP as in DDX7, 2022).

    Args:
        control_sizes: The synth's controls, name to size.
        input_size: Channels of each feature's input MLP.
        channels: Of the convolutions.
        output_size: Channels of the output MLP.
        blocks: Residual blocks; block i has dilation `2 ** i`.
        kernel_size: Frames a convolution spans before dilation.
        dropout: After every convolution but the very last.
    """

    def __init__(
        self,
        *,
        control_sizes: Mapping[str, int],
        input_size: int = 128,
        channels: int = 256,
        output_size: int = 256,
        blocks: int = 9,
        kernel_size: int = 3,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(control_sizes=control_sizes)
        self.encoder = FeatureEncoder(input_size)
        self.blocks = ResidualStack(
            *(
                ResidualBlock(
                    2 * input_size if i == 0 else channels,
                    channels,
                    kernel_size=kernel_size,
                    dilation=2**i,
                    dropout=dropout,
                    last=i == blocks - 1,
                )
                for i in range(blocks)
            )
        )
        self.head = ControlHead(channels, output_size, control_sizes)

    @property
    def hidden_size(self) -> int:
        """See `Decoder.hidden_size`."""
        return self.head.inputs

    def forward(self, f0_scaled: Tensor, loudness_scaled: Tensor) -> Decoded:
        """Turn features `[batch, frames]` into controls; `hidden` is the last block's output."""
        encoded = self.encoder(f0_scaled, loudness_scaled)
        hidden = self.blocks(encoded.transpose(1, 2)).transpose(1, 2)
        return self.head(hidden, f0_scaled, loudness_scaled)

    def stream_state(self, batch: int) -> dict[str, Tensor]:
        """Silence before the first frame, as `forward` pads with; see `Decoder.stream_state`."""
        return self.blocks.stream_state(batch)

    def stream_constants(self) -> dict[str, Tensor]:
        """The normalised weights; see `Decoder.stream_constants`."""
        return self.blocks.stream_constants()

    def stream(
        self,
        inputs: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        constants: Mapping[str, Tensor] | None = None,
    ) -> tuple[Decoded, dict[str, Tensor]]:
        """See `Decoder.stream`."""
        features = self.features(inputs, state)
        outputs, after = self.blocks.stream(self.encoder(*features).transpose(1, 2), state, constants)
        return self.head(outputs[-1].transpose(1, 2), *features), after

    def describe(self, program: Program) -> dict[str, Register]:
        """See `Decoder.describe`."""
        features = self.registers(program)
        hidden = self.blocks.describe(program, self.encoder.describe(program, *features))
        return self.head.describe(program, hidden, *features)
