"""The synth of DDSP: harmonic oscillators plus filtered noise, through a learned reverb."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F
from zoo_kernels import harmonic_oscillators

from zoo.errors import ConfigError
from zoo.storage.model_range import ModelRange
from zoo.synths.filtered_noise import NoisePart
from zoo.synths.pitched import PitchedSynth
from zoo.synths.reverb import Reverb

if TYPE_CHECKING:
    from zoo_player import Phases, Program, Register


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
        hop: Samples per frame.
        harmonics: Oscillators.
        noise_bands: Magnitudes of the noise filter, from 0 Hz to Nyquist; its response has `2 * (bands - 1)` taps.
        reverb_length: Taps of the learned impulse response; 0 for no reverb.
        unvoiced: What oscillators do where f0 is 0: "mute", or "hold" the phase.
    """

    noise_part: NoisePart

    reach = 0

    inaudible_gain = 0.0
    """What is left of a harmonic that may not sound."""

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
    ) -> None:
        sizes = {"amplitude": 1, "harmonic_distribution": harmonics, "noise_bands": noise_bands}
        for name, size in (("harmonics", harmonics), ("noise_bands", noise_bands - 1)):
            if size < 1:
                raise ConfigError(f"harmonic_noise needs at least one of {name}, and two noise bands.")
        super().__init__(
            sample_rate=sample_rate,
            hop=hop,
            control_sizes=sizes,
            unvoiced=unvoiced,
            noise_part=NoisePart(noise_bands, hop=hop),
            reverb=Reverb(reverb_length, sample_rate=sample_rate) if reverb_length else None,
        )
        self.register_buffer("harmonic_number", torch.arange(1, harmonics + 1, dtype=torch.float32), persistent=False)
        self.harmonic_number: Tensor
        self.ceiling = harmonics

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
        distribution = scale_control(controls["harmonic_distribution"]) * self.audible(f0_hz)
        # where even the fundamental is over Nyquist nothing sounds, and 0 / 0 must not become NaN
        total = distribution.sum(-1, keepdim=True).clamp(min=torch.finfo(distribution.dtype).tiny)
        return {
            "amplitude": scale_control(controls["amplitude"]),
            "harmonic_distribution": distribution / total,
            "noise_bands": scale_control(controls["noise_bands"]),
        }

    def audible(self, f0_hz: Tensor) -> Tensor:
        """Which harmonics may sound, boolean `[batch, frames, harmonics]`; always the first ones of a frame."""
        audible = f0_hz[..., None] * self.harmonic_number < self.sample_rate / 2
        if self.ceiling < len(self.harmonic_number):
            audible &= self.harmonic_number <= self.ceiling
        return audible

    def tone(
        self,
        phases: Tensor,
        f0_hz: Tensor,
        pitch_hz: Tensor,
        scaled: Mapping[str, Tensor],
        constants: Mapping[str, Tensor],
    ) -> Tensor:
        """See `PitchedSynth.tone`: amplitudes are held over each frame."""
        amplitudes = scaled["amplitude"] * scaled["harmonic_distribution"]
        if self.unvoiced == "mute":
            amplitudes = amplitudes * (f0_hz > 0)[..., None]
        active = None
        if torch.is_grad_enabled():  # the others' amplitudes are 0 by definition: their gradients need no loop
            active = self.audible(f0_hz).sum(-1)
            if self.unvoiced == "mute":
                active = active * (f0_hz > 0)
        return harmonic_oscillators(phases[:, 0], amplitudes, hop=self.hop, active=active)

    def describe_controls(
        self, program: Program, f0_hz: Register, controls: Mapping[str, Register]
    ) -> dict[str, Register]:
        """See `PitchedSynth.describe_controls`."""
        shares = program.distribution(
            controls["harmonic_distribution"], f0_hz, ceiling=self.ceiling, floor=self.inaudible_gain
        )
        return {
            "amplitude": program.activate(controls["amplitude"], "scale"),
            "harmonic_distribution": shares,
            "noise_bands": program.activate(controls["noise_bands"], "scale"),
        }

    def describe_tone(self, program: Program, phases: Phases, scaled: Mapping[str, Register]) -> Register:
        """See `PitchedSynth.describe_tone`."""
        return program.harmonics(program.delay(scaled["harmonic_distribution"]), program.delay(scaled["amplitude"]))
