"""The decoder `ddx7_tcn`: dilated causal convolutions from both features straight to the controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.decoders import Decoded, Decoder, ResidualBlock, ResidualStack
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo_player import Program, Register


class DDX7Decoder(Decoder):
    """zoo's TCN without its MLPs; the last block gives the controls (Caspe et al., "DDX7", ISMIR 2022).

    A convolution goes around the first and the last block only, as in that work.

    Args:
        control_sizes: The synth's controls, name to size.
        channels: Of the convolutions.
        blocks: At least two; block i has dilation `2 ** i`.
        kernel_size: Frames a convolution spans before dilation.
        dropout: After every convolution but the very last.
    """

    def __init__(
        self,
        *,
        control_sizes: Mapping[str, int],
        channels: int = 128,
        blocks: int = 5,
        kernel_size: int = 3,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(control_sizes=control_sizes)
        if blocks < 2:
            raise ConfigError(f"ddx7_tcn needs at least two blocks, found {blocks}.")
        self.channels = channels
        sizes = [2, *[channels] * (blocks - 1), sum(control_sizes.values())]
        self.blocks = ResidualStack(
            *(
                ResidualBlock(
                    sizes[i],
                    sizes[i + 1],
                    kernel_size=kernel_size,
                    dilation=2**i,
                    dropout=dropout,
                    last=i == blocks - 1,
                    hidden_channels=channels,
                    residual_conv=i in (0, blocks - 1),
                )
                for i in range(blocks)
            )
        )

    @property
    def hidden_size(self) -> int:
        """See `zoo.decoders.Decoder.hidden_size`."""
        return self.channels

    def forward(self, f0_scaled: Tensor, loudness_scaled: Tensor) -> Decoded:
        """Turn features `[batch, frames]` into controls; `hidden` is the output of the last block but one."""
        hidden = torch.stack([f0_scaled, loudness_scaled], dim=1)
        *first, last = self.blocks
        for block in first:
            hidden = block(hidden)
        return self._decoded(last(hidden).transpose(1, 2), hidden.transpose(1, 2))

    def _decoded(self, controls: Tensor, hidden: Tensor) -> Decoded:
        parts = torch.split(controls, list(self.control_sizes.values()), dim=-1)
        return Decoded(dict(zip(self.control_sizes, parts, strict=True)), hidden)

    def stream_state(self, batch: int) -> dict[str, Tensor]:
        """Silence before the first frame; see `zoo.decoders.Decoder.stream_state`."""
        return self.blocks.stream_state(batch)

    def stream_constants(self) -> dict[str, Tensor]:
        """The normalised weights; see `zoo.decoders.Decoder.stream_constants`."""
        return self.blocks.stream_constants()

    def stream(
        self,
        inputs: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        constants: Mapping[str, Tensor] | None = None,
    ) -> tuple[Decoded, dict[str, Tensor]]:
        """See `zoo.decoders.Decoder.stream`."""
        outputs, after = self.blocks.stream(torch.stack(self.features(inputs, state), dim=1), state, constants)
        return self._decoded(outputs[-1].transpose(1, 2), outputs[-2].transpose(1, 2)), after

    def describe(self, program: Program) -> dict[str, Register]:
        """See `zoo.decoders.Decoder.describe`."""
        controls = self.blocks.describe(program, program.concatenate(*self.registers(program)))
        parts = program.split(controls, list(self.control_sizes.values()))
        return dict(zip(self.control_sizes, parts, strict=True))
