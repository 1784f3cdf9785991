"""The synth of the thesis, with its quirks: what was trained with them has to be played with them.

It is `harmonic_noise` but for three things: the noise filter's response is cropped, harmonics over Nyquist leave a
trace, and unvoiced frames hold the phase.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F
from zoo_kernels import harmonic_oscillators

from zoo.errors import ConfigError, listing
from zoo.synths import HarmonicNoise, NoisePart, from_spectrum, product, scale_control, to_spectrum

if TYPE_CHECKING:
    from zoo_player import Program, Register

NOISE_FILTERS = ("full", "thesis")
ABOVE_NYQUIST = ("zero", "thesis")

_TRACE = 1e-4


class ThesisHarmonicNoise(HarmonicNoise):
    """The thesis's harmonic oscillators plus filtered noise, then a reverb.

    Each quirk can be switched off by itself.

    Args:
        sample_rate: In Hz.
        hop: Samples per frame.
        harmonics: Oscillators.
        noise_bands: Magnitudes of the noise filter.
        reverb_length: Taps of the learned impulse response; 0 for no reverb.
        unvoiced: What oscillators do where f0 is 0: "hold" the phase, or "mute".
        noise_filter: "thesis" crops the response; "full" overlap-adds the whole of it.
        above_nyquist: "thesis" leaves a ten-thousandth of harmonics at or over Nyquist; "zero" nothing.

    Raises:
        ConfigError: An option is unknown or out of its range.
    """

    def __init__(
        self,
        *,
        unvoiced: str = "hold",
        noise_filter: str = "thesis",
        above_nyquist: str = "thesis",
        **options: int,
    ) -> None:
        for option, value, known in (
            ("noise_filter", noise_filter, NOISE_FILTERS),
            ("above_nyquist", above_nyquist, ABOVE_NYQUIST),
        ):
            if value not in known:
                raise ConfigError(f"{type(self).__name__} has no {option}={value!r}; it knows {listing(known)}.")
        super().__init__(unvoiced=unvoiced, **options)
        if above_nyquist == "thesis":
            self.inaudible_gain = _TRACE
        if noise_filter == "thesis":
            self.noise_part = CroppedNoisePart(self.control_sizes["noise_bands"], hop=self.hop)

    def scaled_controls(self, f0_hz: Tensor, controls: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `HarmonicNoise.scaled_controls`."""
        scaled = super().scaled_controls(f0_hz, controls)
        if self.inaudible_gain:
            distribution = scale_control(controls["harmonic_distribution"])
            distribution = distribution * (self.audible(f0_hz).to(distribution) + self.inaudible_gain)
            scaled["harmonic_distribution"] = distribution / distribution.sum(-1, keepdim=True)
        return scaled

    def tone(
        self,
        phases: Tensor,
        f0_hz: Tensor,
        pitch_hz: Tensor,
        scaled: Mapping[str, Tensor],
        constants: Mapping[str, Tensor],
    ) -> Tensor:
        """See `HarmonicNoise.tone`: where a trace of every harmonic is left, all of them sound."""
        if not self.inaudible_gain:
            return super().tone(phases, f0_hz, pitch_hz, scaled, constants)
        amplitudes = scaled["amplitude"] * scaled["harmonic_distribution"]
        if self.unvoiced == "mute":
            amplitudes = amplitudes * (f0_hz > 0)[..., None]
        return harmonic_oscillators(phases[:, 0], amplitudes, hop=self.hop, active=None)


def _with_inherited_options() -> inspect.Signature:
    """What the constructor takes, by name: what `**options` stands for is in the signature too."""
    own, inherited = (inspect.signature(kind).parameters for kind in (ThesisHarmonicNoise, HarmonicNoise))
    named = {name: one for name, one in own.items() if one.kind is one.KEYWORD_ONLY}
    return inspect.Signature(list({**inherited, **named}.values()))


ThesisHarmonicNoise.__signature__ = _with_inherited_options()  # type: ignore[attr-defined] # inspect reads it


class CroppedNoisePart(NoisePart):
    """Filtered noise whose response is cropped as the thesis did, so that no frame reaches into another one."""

    @property
    def scale(self) -> str:
        """See `NoisePart.scale`."""
        return "gain of thesis noise filter at equally spaced frequencies up to Nyquist"

    @property
    def latency(self) -> int:
        """None: a frame's noise ends with it."""
        return 0

    def stream_state(self, batch: int) -> dict[str, Tensor]:
        """Nothing is carried; see `NoisePart.stream_state`."""
        return {}

    def stream_constants(self) -> dict[str, Tensor]:
        """See `NoisePart.stream_constants`: the responses are cropped before they are used."""
        size, device = 2 * self.hop, self.response.device
        taps = 2 * (len(self.response) - 1)
        kept = min(self.hop, taps)
        window = torch.hann_window(taps, dtype=torch.float64, device=device)[:kept]
        positions = torch.arange(kept, device=device) - taps // 2
        impulses = from_spectrum(positions, size=taps)[: len(self.response)] * window  # magnitudes are real
        return {
            "analysis": to_spectrum(self.hop, size=size, device=device).float(),
            "response": (impulses @ to_spectrum(kept, size=size, device=device)).float(),
            "synthesis": from_spectrum(torch.arange(self.hop, device=device), size=size).float(),
        }

    def stream(
        self, magnitudes: Tensor, noise: Tensor, state: Mapping[str, Tensor], constants: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `NoisePart.stream`."""
        spectra = noise.reshape(noise.shape[0], -1, self.hop) @ constants["analysis"]
        return (product(spectra, magnitudes @ constants["response"]) @ constants["synthesis"]).flatten(1), {}

    def describe(self, program: Program, magnitudes: Register) -> Register:
        """See `NoisePart.describe`."""
        return program.cropped_noise(magnitudes)

    def filtered(self, noise: Tensor, magnitudes: Tensor) -> Tensor:
        """See `NoisePart.filtered`."""
        return _cropped_noise(noise, magnitudes, hop=self.hop)


def _cropped_noise(noise: Tensor, magnitudes: Tensor, *, hop: int) -> Tensor:
    """Filter noise with only the first `hop` taps of the centred response; each frame ends with itself.

    The crop removes the filter's peak (flat bands give silence). It is here to play what was trained with it.

    Args:
        noise: `[batch, frames * hop]`.
        magnitudes: `[batch, frames, bands]`.
        hop: Samples per frame.

    Returns:
        `[batch, frames * hop]`.
    """
    batch, frames, bands = magnitudes.shape
    taps = 2 * (bands - 1)
    impulse = torch.fft.irfft(magnitudes, n=taps).roll(taps // 2, -1)
    impulse = impulse * torch.hann_window(taps, dtype=impulse.dtype, device=impulse.device)
    impulse = F.pad(impulse[..., :hop], (0, max(0, hop - taps)))
    size = 2 * hop
    spectrum = torch.fft.rfft(noise.view(batch, frames, hop), n=size) * torch.fft.rfft(impulse, n=size)
    return torch.fft.irfft(spectrum, n=size)[..., :hop].flatten(1)
