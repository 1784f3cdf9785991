"""The noise part: white noise through a filter that changes from frame to frame."""

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


class NoisePart(nn.Module):
    """What a synth adds to its pitched sound: white noise, filtered by the control `noise_bands`.

    Args:
        bands: Magnitudes of the filter, from 0 Hz to Nyquist, at least two; its response has `2 * (bands - 1)` taps.
        hop: Samples per frame.
    """

    def __init__(self, bands: int, *, hop: int) -> None:
        super().__init__()
        self.hop = hop
        response = windowed_response(bands, fast_fft_size(hop + 2 * (bands - 1)))
        self.register_buffer("response", response.float(), persistent=False)
        self.response: Tensor

    @property
    def scale(self) -> str:
        """What the magnitudes mean, for `zoo.synths.Synth.control_scales`."""
        return "gain of full noise filter at equally spaced frequencies up to Nyquist"

    @property
    def latency(self) -> int:
        """Frames after a frame whose noise reaches into it, where it is played frame by frame."""
        return -(-self._reach // self.hop)

    @property
    def _reach(self) -> int:
        return self.response.shape[0] - 1

    def stream_state(self, batch: int) -> dict[str, Tensor]:
        """What `stream` carries, before the first frame."""
        return {"overlap": torch.zeros(batch, self.latency * self.hop + self._reach, device=self.response.device)}

    def stream_constants(self) -> dict[str, Tensor]:
        """The filter as real matrices: of the noise, of the magnitudes, and from the spectrum to samples."""
        size, device = 2 * (self.response.shape[1] - 1), self.response.device
        positions = torch.arange(-self._reach, self.hop + self._reach, device=device)
        return {
            "analysis": to_spectrum(self.hop, size=size, device=device).float(),
            "response": self.response.float().repeat(1, 2),
            "synthesis": from_spectrum(positions, size=size).float(),
        }

    def stream(
        self, magnitudes: Tensor, noise: Tensor, state: Mapping[str, Tensor], constants: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Filter the next frames' noise, and add it to that of the frames before.

        Args:
            magnitudes: `[batch, frames, bands]`.
            noise: `[batch, frames * hop]`.
            state: From `stream_state`, or from the frames before.
            constants: From `stream_constants`.

        Returns:
            The noise part `[batch, frames * hop]` from `latency` frames ago on, and the state after it.
        """
        samples, begin = noise.shape[1], self.latency * self.hop - self._reach
        spectra = noise.reshape(noise.shape[0], -1, self.hop) @ constants["analysis"]
        frames = (spectra * (magnitudes @ constants["response"])) @ constants["synthesis"]
        added = overlap_added(frames, hop=self.hop)[:, : samples + 2 * self._reach]
        total = F.pad(state["overlap"], (0, samples)) + F.pad(added, (begin, 0))
        return total[:, :samples], {"overlap": total[:, samples:]}

    def describe(self, program: Program, magnitudes: Register) -> Register:
        """Write the noise part as an operation of the player library.

        Args:
            program: What is written to.
            magnitudes: The scaled control `noise_bands`.

        Returns:
            Its audio, `latency` frames late.
        """
        return program.noise(magnitudes, frames_late=self.latency)

    def forward(self, magnitudes: Tensor, noise: Tensor | None = None) -> Tensor:
        """Filter noise.

        Args:
            magnitudes: `[batch, frames, bands]`, linear gain, float32.
            noise: `[batch, frames * hop]` uniform in [-1, 1); drawn when not given.

        Returns:
            `[batch, frames * hop]`.
        """
        if noise is None:
            noise = torch.rand(magnitudes.shape[0], magnitudes.shape[1] * self.hop, device=magnitudes.device) * 2 - 1
        return self.filtered(noise, magnitudes)

    def filtered(self, noise: Tensor, magnitudes: Tensor) -> Tensor:
        """Filter a whole clip's noise.

        Args:
            noise: `[batch, frames * hop]`.
            magnitudes: `[batch, frames, bands]`.
        """
        return full_filtered_noise(noise.float(), magnitudes, self.response.float(), hop=self.hop)


def windowed_response(bands: int, size: int) -> Tensor:
    """The matrix from magnitudes at `bands` equally spaced frequencies to the filter's spectrum of FFT length `size`.

    The zero-phase impulse response of `2 * (bands - 1)` taps is under a periodic Hann window (frequency sampling, as
    in DDSP, Engel et al. 2020). The window is 0 at the one tap that has no mirror image, so the response is symmetric
    about 0 and its spectrum is real: the whole filter design is one real matrix.

    Returns:
        `[bands, size // 2 + 1]` float64.
    """
    taps = 2 * (bands - 1)
    impulse = torch.fft.irfft(torch.eye(bands, dtype=torch.float64), n=taps)
    impulse = torch.roll(impulse, taps // 2, -1) * torch.hann_window(taps, dtype=torch.float64)
    centred = F.pad(impulse, (0, size - taps)).roll(-(taps // 2), -1)
    return torch.fft.rfft(centred).real


def filtered_frames(noise: Tensor, magnitudes: Tensor, response: Tensor, *, hop: int) -> Tensor:
    """Filter each frame's noise with its whole response, centred on the frame.

    Args:
        noise: `[batch, frames * hop]`.
        magnitudes: `[batch, frames, bands]`.
        response: As `full_filtered_noise` takes it.
        hop: Samples per frame.

    Returns:
        `[batch, frames, hop + 2 * (bands - 1)]`: it reaches over both ends of the frame by half of the response.
    """
    batch, frames, bands = magnitudes.shape
    size = 2 * (response.shape[-1] - 1)
    reach = bands - 1  # half of the response: samples that a frame's sound reaches to each side
    spectrum = torch.fft.rfft(noise.view(batch, frames, hop), n=size)
    filtered = torch.fft.irfft(spectrum * (magnitudes @ response), n=size)
    # The circular result holds positions -reach .. hop + reach of the frame; the negative ones stand at the end.
    return torch.cat([filtered[..., size - reach :], filtered[..., : hop + reach]], dim=-1)


def full_filtered_noise(noise: Tensor, magnitudes: Tensor, response: Tensor, *, hop: int) -> Tensor:
    """Filter each frame's noise with its whole response, centred on the frame, and overlap-add.

    Args:
        noise: `[batch, frames * hop]`.
        magnitudes: `[batch, frames, bands]`, linear gain at equally spaced frequencies from 0 to Nyquist.
        response: `windowed_response(bands, size)` with `size >= hop + 2 * (bands - 1)`, of the magnitudes' dtype.
        hop: Samples per frame.

    Returns:
        `[batch, frames * hop]`; what reaches over the clip's ends is left out.
    """
    reach = magnitudes.shape[-1] - 1
    total = overlap_added(filtered_frames(noise, magnitudes, response, hop=hop), hop=hop)
    return total[:, reach : reach + noise.shape[1]]


def overlap_added(frames: Tensor, *, hop: int) -> Tensor:
    """Add frames that reach into those after them.

    Args:
        frames: `[batch, frames, samples]`, each beginning `hop` samples after the one before.
        hop: See above.

    Returns:
        `[batch, samples]` from the first frame's beginning to the last one's end, and zeros up to a whole hop.
    """
    batch, count, samples = frames.shape
    hops = -(-samples // hop)
    if count == 1:
        return F.pad(frames[:, 0], (0, hops * hop - samples))
    pieces = F.pad(frames, (0, hops * hop - samples)).view(batch, count, hops, hop).unbind(2)
    total = F.pad(pieces[0], (0, 0, 0, hops - 1))
    for late, piece in enumerate(pieces[1:], 1):
        total += F.pad(piece, (0, 0, late, hops - 1 - late))
    return total.flatten(1)
