"""The convolutional decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.decoders.base import Decoded, Decoder, Frame, check_batch, split_frame
from zoo.decoders.blocks import ControlHead, FeatureEncoder
from zoo.decoders.dropout import ReLUDropout


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

    def step(self, x: Tensor, weight: Tensor, inputs: Tensor, frame: int) -> Tensor:
        """One frame.

        Args:
            x: `[batch, inputs]`.
            weight: `self.weight()` as `[outputs, kernel_size * inputs]`, oldest tap first.
            inputs: `[batch, frames, inputs]`: what was seen so far; `x` is written there.
            frame: `x` belongs at `frame + self.past`.

        Returns:
            `[batch, outputs]`.
        """
        now = frame + self.past
        inputs[:, now] = x
        taps = inputs[:, frame : now + 1 : self.dilation]
        return F.linear(taps.flatten(1), weight, self.bias)


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

    def step(self, x: Tensor, weights: FrameWeights, inputs: tuple[Tensor, Tensor], frame: int) -> Tensor:
        """One frame `[batch, inputs]` -> `[batch, outputs]`; `inputs` and `frame` are those of `CausalConv1d.step`."""
        y = F.relu(self.first.step(x, weights.first, inputs[0], frame))
        y = self.second.step(y, weights.second, inputs[1], frame)
        if not self.last:
            y = F.relu(y)
        if self.residual is None or weights.residual is None:
            return y
        return y + F.linear(x, weights.residual, self.residual.bias)


class FrameWeights(NamedTuple):
    """A residual block's weights, laid out for one frame at a time.

    Attributes:
        first: `[channels, kernel_size * inputs]`: all taps of the first convolution as one matrix, oldest tap first.
        second: The same of the second one.
        residual: `[channels, inputs]`; None where the block has none.
    """

    first: Tensor
    second: Tensor
    residual: Tensor | None


class HistoryBuffer:
    """What every convolution has seen, as far back as it looks, and room for some frames to come.

    Shifting a buffer, or copying a ring, at every frame would cost more than the arithmetic where buffers are long. So
    frames are appended, and once in `ROOM` frames the past moves back to the buffers' start. A state is a place in it:
    what lies before that place is never written again. Whoever continues from a place that has been continued from
    already (or is being so, in another thread) writes to a copy.

    Args:
        inputs: For each convolution `[batch, past + ROOM, channels]`, of which the first `past` frames are known.
        pasts: How many frames each convolution looks back.
    """

    ROOM = 64

    def __init__(self, inputs: Sequence[Tensor], pasts: Sequence[int]) -> None:
        self.inputs = inputs
        self.pasts = pasts
        self._free = [0]  # the one frame that may be written next; taken out while that is being done

    def claim(self, frame: int) -> bool:
        """Ask for the right to write `frame`, which `release` passes on to the next one."""
        if frame == self.ROOM:
            return False
        try:
            free = self._free.pop()  # one step of the interpreter: of two threads one finds nothing
        except IndexError:
            return False
        if free != frame:
            self._free.append(free)
        return free == frame

    def release(self, frame: int) -> None:
        """Let `frame` be the next to be written."""
        self._free.append(frame)

    def copy(self, frame: int) -> HistoryBuffer:
        """What is seen from `frame`, at the start of buffers of its own."""
        copies = [torch.empty_like(x) for x in self.inputs]
        for new, old, past in zip(copies, self.inputs, self.pasts, strict=True):
            new[:, :past] = old[:, frame : frame + past]
        return HistoryBuffer(copies, self.pasts)


@dataclass(frozen=True)
class TCNState:
    """What a stack of residual blocks carries from frame to frame.

    Attributes:
        weights: Of each block, ready for use.
        past: What the convolutions have seen; shared with the states before and after.
        frame: The state's place in it: how many frames of `HistoryBuffer.ROOM` are known.
    """

    weights: tuple[FrameWeights, ...]
    past: HistoryBuffer
    frame: int

    @property
    def batch(self) -> int:
        """Voices that are played at the same time."""
        return len(self.past.inputs[0])


class ResidualStack(nn.Sequential):
    """Residual blocks one after the other, for whole clips and frame by frame.

    Args:
        *blocks: The blocks; the names of their weights begin with their places.
    """

    def __init__(self, *blocks: ResidualBlock) -> None:
        super().__init__(*blocks)

    @torch.no_grad()
    def initial_state(self, batch: int) -> TCNState:
        """Silence before the first frame, as `forward` pads with."""
        check_batch(batch)
        weights, inputs, pasts = [], [], []
        for block in self._blocks():
            first, second = (conv.weight().transpose(1, 2).flatten(1) for conv in (block.first, block.second))
            residual = None if block.residual is None else block.residual.weight[..., 0].contiguous()
            weights.append(FrameWeights(first, second, residual))
            for conv in (block.first, block.second):
                pasts.append(conv.past)
                inputs.append(conv.weight_v.new_zeros(batch, conv.past + HistoryBuffer.ROOM, conv.weight_v.shape[1]))
        return TCNState(tuple(weights), HistoryBuffer(inputs, pasts), 0)

    def step(self, x: Tensor, state: TCNState) -> tuple[list[Tensor], TCNState]:
        """One frame `[batch, inputs]`: what every block gives, each `[batch, channels]`, and the state after it."""
        past, frame = state.past, state.frame
        if not past.claim(frame):
            past, frame = past.copy(frame), 0
            past.claim(frame)
        inputs = iter(past.inputs)
        outputs = []
        for block, weights in zip(self._blocks(), state.weights, strict=True):
            x = block.step(x, weights, (next(inputs), next(inputs)), frame)
            outputs.append(x)
        past.release(frame + 1)
        return outputs, TCNState(state.weights, past, frame + 1)

    def _blocks(self) -> list[ResidualBlock]:
        return [block for block in self if isinstance(block, ResidualBlock)]


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

    def initial_state(self, batch: int) -> TCNState:
        """Silence before the first frame, as `forward` pads with; see `Decoder.initial_state`."""
        return self.blocks.initial_state(batch)

    @torch.no_grad()
    def step(self, features_t: Frame, state: TCNState) -> tuple[Decoded, TCNState]:
        """One frame; see `Decoder.step`."""
        f0_scaled, loudness_scaled = split_frame(features_t, batch=state.batch)
        outputs, after = self.blocks.step(self.encoder(f0_scaled, loudness_scaled), state)
        return self.head(outputs[-1], f0_scaled, loudness_scaled), after
