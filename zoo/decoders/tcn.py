"""The convolutional decoder."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.decoders.blocks import ControlHead, FeatureEncoder
from zoo.decoders.interface import Decoded, Decoder


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

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, inputs, frames]` -> `[batch, outputs, frames]`."""
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)
        past = self.dilation * (weight.shape[-1] - 1)
        return F.conv1d(F.pad(x, (past, 0)), weight, self.bias, dilation=self.dilation)


class ResidualBlock(nn.Module):
    """Two causal convolutions of one dilation, and a 1x1 convolution around them.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel_size: Of both convolutions.
        dilation: Of both convolutions.
        dropout: After every activation.
        last: The stack's last block ends with the bare convolution, so that its output is not clipped at 0.
    """

    def __init__(
        self, inputs: int, outputs: int, *, kernel_size: int, dilation: int, dropout: float, last: bool
    ) -> None:
        super().__init__()
        self.first = CausalConv1d(inputs, outputs, kernel_size, dilation)
        self.second = CausalConv1d(outputs, outputs, kernel_size, dilation)
        self.residual = nn.Conv1d(inputs, outputs, 1)
        self.dropout = nn.Dropout(dropout)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, inputs, frames]` -> `[batch, outputs, frames]`."""
        y = self.second(self.dropout(F.relu(self.first(x))))
        if not self.last:
            y = self.dropout(F.relu(y))
        return y + self.residual(x)


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
        self.blocks = nn.Sequential(
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

    def forward(self, f0_scaled: Tensor, loudness_scaled: Tensor) -> Decoded:
        """Turn features `[batch, frames]` into controls; `hidden` is the last block's output."""
        encoded = self.encoder(f0_scaled, loudness_scaled)
        hidden = self.blocks(encoded.transpose(1, 2)).transpose(1, 2)
        return self.head(hidden, f0_scaled, loudness_scaled)
