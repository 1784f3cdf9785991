"""The synth `wavetable`: a mixture of learned wavetables plus filtered noise, through a learned reverb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from zoo_kernels import exporting

from zoo.errors import ConfigError
from zoo.models import ModelRange
from zoo.synths import NoisePart, PitchedSynth, Reverb, scale_control
from zoo_wavetable.reading import mixed_amplitude, read_tables, sounding_harmonics
from zoo_wavetable.tables import harmonics_in, initial_tables, table_harmonics

if TYPE_CHECKING:
    from zoo_player import Phases, Program, Register

# A mixture with less than this to hear stays faint: lifting it to the asked amplitude would lift rounding errors.
_FAINT = 1e-6


class Wavetable(PitchedSynth):
    """Learned wavetables, mixed anew in each frame, plus filtered noise, then a reverb.

    Controls: `amplitude` (1), `table_weights` (tables), `noise_bands` (bands). The weights pass a softmax, and the
    mixture is then scaled so that the amplitudes of its harmonics under Nyquist sum to 1. So `amplitude` alone is the
    level and the weights alone are the timbre, at any pitch and however loud the tables have become; `amplitude` means
    what it means to `harmonic_noise`.

    Args:
        sample_rate: In Hz.
        hop: Samples per frame.
        tables: Wavetables, at least two.
        table_size: Samples in each; it holds the harmonics under half of that.
        noise_bands: Magnitudes of the noise filter, from 0 Hz to Nyquist; its response has `2 * (bands - 1)` taps.
        reverb_length: Taps of the learned impulse response; 0 for no reverb.
        unvoiced: What the tables do where f0 is 0: "mute", or "hold" the phase.

    Raises:
        ConfigError: An option is out of its range.

    Source: Shan, Hantrakul, Chen, Avent, Trevelyan, "Differentiable Wavetable Synthesis", ICASSP 2022.
    """

    noise_part: NoisePart

    ceiling: int
    """The highest harmonic of the tables that may sound: those over it were over Nyquist whatever pitch the model was
    trained on, so that they still are what the tables began with."""

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        hop: int = 64,
        tables: int = 20,
        table_size: int = 512,
        noise_bands: int = 65,
        reverb_length: int = 16000,
        unvoiced: str = "mute",
    ) -> None:
        for option, value, least in (
            ("tables", tables, 2),
            ("table_size", table_size, 3),
            ("noise_bands", noise_bands, 2),
            ("reverb_length", reverb_length, 0),
        ):
            if value < least:
                raise ConfigError(f"{option} of wavetable must be at least {least}, found {value}.")
        sizes = {"amplitude": 1, "table_weights": tables, "noise_bands": noise_bands}
        drawn = initial_tables(tables, table_size)
        super().__init__(
            sample_rate=sample_rate,
            hop=hop,
            control_sizes=sizes,
            unvoiced=unvoiced,
            noise_part=NoisePart(noise_bands, hop=hop),
            reverb=Reverb(reverb_length, sample_rate=sample_rate) if reverb_length else None,
        )
        self.tables = nn.Parameter(drawn)
        self.ceiling = harmonics_in(table_size)

    def restrict(self, trained: ModelRange | None) -> None:
        """See `zoo.synths.Synth.restrict`: harmonics that never sounded stay as silent as those over Nyquist."""
        self.ceiling = harmonics_in(self.tables.shape[-1])
        if trained is not None:
            self.ceiling = min(self.ceiling, trained.harmonics_under(self.sample_rate / 2))

    def control_scales(self) -> dict[str, str]:
        """See `Synth.control_scales`. Table weights are left out: two models' tables are not the same ones."""
        return {
            "amplitude": "gain of all harmonics together",
            "noise_bands": self.noise_part.scale,
        }

    def scaled_controls(self, f0_hz: Tensor, controls: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The gains that the signal path uses.

        Returns:
            `amplitude` `[batch, frames, 1]`; `table_weights` `[batch, frames, tables]`, summing to 1; `noise_bands`
            `[batch, frames, bands]`.
        """
        return {
            "amplitude": scale_control(controls["amplitude"]),
            "table_weights": torch.softmax(controls["table_weights"], dim=-1),
            "noise_bands": scale_control(controls["noise_bands"]),
        }

    def tone_constants(self) -> dict[str, Tensor]:
        """See `zoo.synths.PitchedSynth.tone_constants`: the tables' harmonics."""
        return {"harmonics": table_harmonics(self.tables.float())}

    def tone(
        self,
        phases: Tensor,
        f0_hz: Tensor,
        pitch_hz: Tensor,
        scaled: Mapping[str, Tensor],
        constants: Mapping[str, Tensor],
    ) -> Tensor:
        """See `zoo.synths.PitchedSynth.tone`: weights are held over each frame."""
        harmonics = constants["harmonics"]
        active = sounding_harmonics(pitch_hz, harmonics=self.ceiling, sample_rate=self.sample_rate)
        if self.unvoiced == "mute":
            active = active * (f0_hz > 0)
        # what sounds in no frame need not be mixed; to know it, a GPU would be waited for, and no graph can hold it
        if f0_hz.device.type == "cpu" and not exporting():
            harmonics = harmonics[..., : int(active.max())]
        gain = scaled["amplitude"] / mixed_amplitude(harmonics, scaled["table_weights"], active).clamp(min=_FAINT)
        return read_tables(phases[:, 0], harmonics, gain * scaled["table_weights"], hop=self.hop, active=active)

    def describe_controls(
        self, program: Program, f0_hz: Register, controls: Mapping[str, Register]
    ) -> dict[str, Register]:
        """See `zoo.synths.PitchedSynth.describe_controls`."""
        return {
            "amplitude": program.activate(controls["amplitude"], "scale"),
            "table_weights": program.softmax(controls["table_weights"]),
            "noise_bands": program.activate(controls["noise_bands"], "scale"),
        }

    def describe_tone(self, program: Program, phases: Phases, scaled: Mapping[str, Register]) -> Register:
        """See `zoo.synths.PitchedSynth.describe_tone`."""
        sine, cosine = table_harmonics(self.tables.float()).detach()
        return program.wavetable(
            program.delay(scaled["table_weights"]),
            program.delay(scaled["amplitude"]),
            phases,
            torch.complex(cosine, -sine),
            ceiling=self.ceiling,
            mute=self.unvoiced == "mute",
        )
