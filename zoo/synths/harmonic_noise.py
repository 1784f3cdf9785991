"""The synth of DDSP: harmonic oscillators plus filtered noise, through a learned reverb."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from zoo_kernels import harmonic_oscillators

from zoo.errors import ConfigError, listing
from zoo.storage.model_range import ModelRange
from zoo.synths.filtered_noise import NOISE_FILTERS, NoisePart
from zoo.synths.oscillators import UNVOICED
from zoo.synths.pitched import PitchedSynth
from zoo.synths.reverb import Reverb

ABOVE_NYQUIST = ("zero", "thesis")


def scale_control(x: Tensor) -> Tensor:
    """Map a raw control to a positive gain: `2 sigmoid(x) ** ln(10) + 1e-7` (Engel et al., 2020, equation 5).

    Computed through the logarithm of the sigmoid, which keeps value and gradient right for very negative inputs.
    """
    return 2 * torch.exp(math.log(10) * F.logsigmoid(x)) + 1e-7


class HarmonicNoise(PitchedSynth):
    """Harmonic oscillators plus filtered noise, then a reverb (Engel et al., "DDSP", 2020).

    Controls: `amplitude` (1), `harmonic_distribution` (harmonics), `noise_bands` (bands).

    Args:
        sample_rate: In Hz.
        hop: Samples a frame.
        harmonics: Oscillators.
        noise_bands: Magnitudes of the noise filter, from 0 Hz to Nyquist; its response has `2 * (bands - 1)` taps.
        reverb_length: Taps of the learned impulse response; 0 for no reverb.
        unvoiced: What oscillators do where f0 is 0: "mute", or "hold" the phase as the thesis did.
        noise_filter: "full" overlap-adds the whole response; "thesis" crops it as that code did.
        above_nyquist: Harmonics at or over Nyquist are "zero"; "thesis" leaves a ten-thousandth of them.
    """

    thesis_options: ClassVar[Mapping[str, Any]] = {
        "noise_filter": "thesis",
        "unvoiced": "hold",
        "above_nyquist": "thesis",
    }

    noise_part: NoisePart

    ceiling: int
    """The highest harmonic that may sound: those over it were over Nyquist whatever pitch the model was trained on."""

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        hop: int = 64,
        harmonics: int = 100,
        noise_bands: int = 65,
        reverb_length: int = 16000,
        unvoiced: str = "mute",
        noise_filter: str = "full",
        above_nyquist: str = "zero",
    ) -> None:
        sizes = {"amplitude": 1, "harmonic_distribution": harmonics, "noise_bands": noise_bands}
        for name, size in (("harmonics", harmonics), ("noise_bands", noise_bands - 1)):
            if size < 1:
                raise ConfigError(f"harmonic_noise needs at least one of {name}, and two noise bands.")
        for option, value, known in (
            ("unvoiced", unvoiced, UNVOICED),
            ("noise_filter", noise_filter, NOISE_FILTERS),
            ("above_nyquist", above_nyquist, ABOVE_NYQUIST),
        ):
            if value not in known:
                raise ConfigError(f"harmonic_noise has no {option}={value!r}; it knows {listing(known)}.")
        super().__init__(sample_rate=sample_rate, hop=hop, control_sizes=sizes)
        self.unvoiced = unvoiced
        self.above_nyquist = above_nyquist
        self.reverb = Reverb(reverb_length, sample_rate=sample_rate) if reverb_length else None
        self.register_buffer("harmonic_number", torch.arange(1, harmonics + 1, dtype=torch.float32), persistent=False)
        self.harmonic_number: Tensor
        self.ceiling = harmonics
        self.noise_part = NoisePart(noise_bands, hop=hop, noise_filter=noise_filter)

    def restrict(self, trained: ModelRange | None) -> None:
        """See `Synth.restrict`: harmonics that never sounded stay as silent as those over Nyquist, at any pitch."""
        self.ceiling = len(self.harmonic_number)
        if trained is not None:
            self.ceiling = min(self.ceiling, trained.harmonics_under(self.sample_rate / 2))

    def control_scales(self) -> dict[str, str]:
        """See `Synth.control_scales`."""
        return {
            "amplitude": "gain of all harmonics together",
            "harmonic_distribution": "share of each harmonic in the amplitude, from the first",
            "noise_bands": self.noise_part.scale,
        }

    def scaled_controls(self, f0_hz: Tensor, controls: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The gains that the signal path uses.

        Returns:
            `amplitude` `[batch, frames, 1]`; `harmonic_distribution` `[batch, frames, harmonics]`, summing to 1 over
            the harmonics that can sound; `noise_bands` `[batch, frames, bands]`.
        """
        distribution = scale_control(controls["harmonic_distribution"])
        audible = self._audible(f0_hz)
        if self.above_nyquist == "thesis":
            distribution = distribution * (audible.to(distribution) + 1e-4)
            total = distribution.sum(-1, keepdim=True)
        else:
            distribution = distribution * audible
            # where even the fundamental is over Nyquist nothing sounds, and 0 / 0 must not become NaN
            total = distribution.sum(-1, keepdim=True).clamp(min=torch.finfo(distribution.dtype).tiny)
        return {
            "amplitude": scale_control(controls["amplitude"]),
            "harmonic_distribution": distribution / total,
            "noise_bands": scale_control(controls["noise_bands"]),
        }

    def _audible(self, f0_hz: Tensor) -> Tensor:
        """Which harmonics may sound, `[batch, frames, harmonics]`; always the first ones of a frame."""
        audible = f0_hz[..., None] * self.harmonic_number < self.sample_rate / 2
        if self.ceiling < len(self.harmonic_number):
            audible &= self.harmonic_number <= self.ceiling
        return audible

    def tone(self, phases: Tensor, f0_hz: Tensor, pitch_hz: Tensor, scaled: Mapping[str, Tensor]) -> Tensor:
        """See `PitchedSynth.tone`: amplitudes are held over each frame."""
        amplitudes = scaled["amplitude"] * scaled["harmonic_distribution"]
        # where the others' amplitudes are 0 by definition, the loops stop there
        active = None if self.above_nyquist == "thesis" else self._audible(f0_hz).sum(-1)
        if self.unvoiced == "mute":
            voiced = f0_hz > 0
            amplitudes = amplitudes * voiced[..., None]
            active = None if active is None else active * voiced
        return harmonic_oscillators(phases[:, 0], amplitudes, hop=self.hop, active=active)
