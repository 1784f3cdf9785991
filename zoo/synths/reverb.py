"""A reverb whose impulse response is learned: decaying noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_kernels import fast_fft_size

from zoo.synths.fourier import from_spectrum, to_spectrum

if TYPE_CHECKING:
    from zoo_player import Program, Register

_FEW = 8
"""Blocks up to which plain sums are faster than a grouped convolution."""


_WHOLE, _PIECE = 1 << 22, 1 << 18
"""Samples from which on audio is convolved in pieces, and those of one: four minutes at 16 kHz, and 16 s."""


class Reverb(nn.Module):
    """Convolution with `noise[t] exp(-softplus(-decay) 500 t / sample_rate) sigmoid(wet)`, and 1 at t = 0.

    It begins 6 to 9 dB under the dry sound (16,000 and 1,600 taps at 16 kHz). With `wet` at 0, where the thesis began,
    it is 20 dB louder than the dry sound, and hundreds of steps go into making it quieter before a model learns more.

    Args:
        length: Taps of the impulse response.
        sample_rate: In Hz.
    """

    def __init__(self, length: int, *, sample_rate: int) -> None:
        super().__init__()
        self.noise = nn.Parameter(torch.rand(length) * 2 - 1)
        self.decay = nn.Parameter(torch.tensor(5.0))
        self.wet = nn.Parameter(torch.tensor(-4.0))
        self.register_buffer("seconds", torch.arange(length) / sample_rate, persistent=False)
        self.seconds: Tensor

    @property
    def length(self) -> int:
        """Taps of the impulse response."""
        return len(self.noise)

    @torch.no_grad()
    def begin_as(self, other: Reverb) -> None:
        """Take over another reverb's impulse response, as far as both reach; taps after that stay as they are."""
        taps = min(len(self.noise), len(other.noise))
        self.noise[:taps] = other.noise[:taps]
        self.decay.copy_(other.decay)
        self.wet.copy_(other.wet)

    def impulse(self) -> Tensor:
        """The impulse response `[length]`."""
        envelope = torch.exp(-F.softplus(-self.decay) * 500 * self.seconds) * torch.sigmoid(self.wet)
        return torch.cat([self.noise.new_ones(1), (self.noise * envelope)[1:]])

    def forward(self, audio: Tensor) -> Tensor:
        """`[batch, samples]` -> `[batch, samples]`: linear convolution, its tail cut off."""
        samples = audio.shape[-1]
        if samples > _WHOLE and not torch.is_grad_enabled():
            return self._in_pieces(audio)
        size = fast_fft_size(samples + self.noise.shape[0] - 1)
        spectrum = torch.fft.rfft(audio.float(), n=size) * torch.fft.rfft(self.impulse().float(), n=size)
        return torch.fft.irfft(spectrum, n=size)[..., :samples]

    def _in_pieces(self, audio: Tensor) -> Tensor:
        # the spectrum of the whole takes several times its memory
        taps = self.noise.shape[0]
        size = fast_fft_size(_PIECE + taps - 1)
        impulse = torch.fft.rfft(self.impulse().float(), n=size)
        wet = torch.zeros_like(audio, dtype=torch.float32)
        for start in range(0, audio.shape[-1], _PIECE):
            piece = torch.fft.irfft(
                torch.fft.rfft(audio[..., start : start + _PIECE].float(), n=size) * impulse, n=size
            )
            here = wet[..., start : start + _PIECE + taps - 1]
            here += piece[..., : here.shape[-1]]
        return wet

    def stream_state(self, batch: int, *, block: int) -> dict[str, Tensor]:
        """Silence so far, for `stream`.

        Args:
            batch: Sounds at the same time.
            block: Samples in a piece; `stream` is given whole numbers of them.

        Returns:
            `history` `[batch, block + 1, 2, pieces]`: the spectra, real and imaginary parts, of as many blocks as the
            impulse response has pieces, the newest last; `last` `[batch, block]`: the block before the next one.
        """
        silence = self.seconds.new_zeros(
            batch, block, dtype=torch.float32
        )  # as the dry sound, whatever the weights are
        return {"history": silence.new_zeros(batch, block + 1, 2, -(-self.length // block)), "last": silence}

    def stream_constants(self, *, block: int) -> dict[str, Tensor]:
        """What blocks of so many samples are convolved with.

        Returns:
            `analysis` and `synthesis`, the real matrices from two blocks to their spectrum and from that to the second
            one; `pieces` `[block + 1, 2, 2, pieces]`: what the real and imaginary parts of a block's spectrum are made
            of, from the oldest block in `history` on, but for the dry sound.
        """
        impulse, size = self.impulse().float(), 2 * block
        pieces = -(-self.length // block)
        analysis = to_spectrum(size, size=size, device=impulse.device).float()
        padded = F.pad(impulse[1:], (1, pieces * block - self.length)).view(pieces, block)  # without the dry sound
        real, imaginary = (padded.flip(0) @ analysis[:block]).T.chunk(2)
        return {
            "analysis": analysis,
            "synthesis": from_spectrum(torch.arange(block, size, device=impulse.device), size=size).float(),
            "pieces": torch.stack([torch.stack([real, -imaginary], 1), torch.stack([imaginary, real], 1)], 1),
        }

    def stream(
        self, audio: Tensor, state: Mapping[str, Tensor], constants: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """`[batch, blocks * block]` -> the same shape, without delay: the next samples of what `forward` gives for all.

        The impulse response is cut into pieces as long as a block, whose spectra meet those of the blocks before:
        some 250 short products a block in place of 16,000 taps for each sample.

        Args:
            audio: The next blocks.
            state: From `stream_state`, or from the blocks before.
            constants: From `stream_constants`, for blocks of that length.

        Source: Gardner, "Efficient Convolution without Input-Output Delay", JAES 43 (1995), with pieces of one size.
        """
        batch, bins, _, count = state["history"].shape
        given = torch.cat([state["last"], audio], 1).view(batch, -1, bins - 1)
        blocks = given.shape[1] - 1
        spectra = torch.cat([given[:, :-1], given[:, 1:]], 2) @ constants["analysis"]
        spectra = spectra.view(batch, blocks, 2, bins).permute(0, 3, 2, 1)
        heard = torch.cat([state["history"][..., 1:], spectra], 3)
        pieces = constants["pieces"]
        if blocks <= _FEW or audio.device.type != "cpu":  # there a convolution may round to ten bits
            sums = [(heard[:, :, None, :, i : i + count] * pieces).sum((-2, -1)) for i in range(blocks)]
            mixed = torch.stack(sums, 1).transpose(2, 3)
        else:
            mixed = F.conv1d(heard.reshape(batch, 2 * bins, -1), pieces.flatten(0, 1), groups=bins)
            mixed = mixed.view(batch, bins, 2, blocks).permute(0, 3, 2, 1)
        wet = mixed.reshape(batch, blocks, 2 * bins) @ constants["synthesis"]
        # the dry sound goes by itself: it is louder than what is convolved, and keeps all its digits
        return audio + wet.flatten(1), {"history": heard[..., blocks - 1 :], "last": given[:, -1]}

    def describe(self, program: Program, audio: Register) -> Register:
        """Write the reverb as an operation of the player library."""
        return program.reverb(audio, self.impulse())
