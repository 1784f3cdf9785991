"""A reverb whose impulse response is learned: decaying noise."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_kernels import fast_fft_size

_AT_ONCE = 16
"""Blocks whose spectra are taken together: more gains nothing, and takes memory."""


_WHOLE, _PIECE = 1 << 22, 1 << 18
"""Samples from which on audio is convolved in pieces, and those of one: four minutes at 16 kHz, and 16 s."""


class ReverbState(NamedTuple):
    """What a reverb carries from block to block.

    Attributes:
        impulse: The spectra of the impulse response's pieces, `[pieces, block + 1]`, complex.
        heard: The spectra of as many blocks before this one, the newest first, `[batch, pieces, block + 1]`.
        last: The block before this one, `[batch, block]`.
    """

    impulse: Tensor
    heard: Tensor
    last: Tensor


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

    @torch.no_grad()
    def initial_state(self, batch: int, *, block: int) -> ReverbState:
        """Silence so far, for `step`.

        Args:
            batch: Sounds at the same time.
            block: Samples in a piece; `step` is given whole numbers of them.
        """
        impulse = self.impulse().float()
        pieces = -(-len(impulse) // block)
        spectra = torch.fft.rfft(F.pad(impulse, (0, pieces * block - len(impulse))).view(pieces, block), n=2 * block)
        return ReverbState(
            spectra,
            spectra.new_zeros(batch, pieces, block + 1),
            impulse.new_zeros(batch, block),
        )

    @torch.no_grad()
    def step(self, audio: Tensor, state: ReverbState) -> tuple[Tensor, ReverbState]:
        """`[batch, blocks * block]` -> the same shape, without delay: the next samples of what `forward` gives for all.

        The impulse response is cut into pieces as long as a block, whose spectra meet those of the blocks before:
        some 250 short products a block in place of 16,000 taps for each sample.

        Source: Gardner, "Efficient Convolution without Input-Output Delay", JAES 43 (1995), with pieces of one size.
        """
        pieces, block = state.impulse.shape[0], state.last.shape[1]
        heard, last, wet = state.heard, state.last, []
        for some in torch.split(audio.float(), _AT_ONCE * block, 1):
            spectra = torch.fft.rfft(torch.cat([last, some], 1).unfold(1, 2 * block, block))
            heard = torch.cat([spectra.flip(1), heard], 1)
            # Of each block, the newest last: itself and those before it. With one block it is a plain sum of products.
            mixed = torch.stack(
                [(heard[:, i : i + pieces] * state.impulse).sum(1) for i in reversed(range(spectra.shape[1]))], 1
            )
            wet.append(torch.fft.irfft(mixed, n=2 * block)[..., block:].flatten(1))
            heard, last = heard[:, :pieces], some[:, -block:]
        return torch.cat(wet, 1), ReverbState(state.impulse, heard, last)
