"""The FM synth `ddx7`: sine operators that modulate each other, filtered noise where it is asked for, a reverb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from zoo_kernels import OperatorGraph, frequency_modulation

from zoo.errors import ConfigError
from zoo.synths import NoisePart, PitchedSynth, Reverb, scale_control
from zoo_ddx7.algorithm import parse

if TYPE_CHECKING:
    from zoo_player import Phases, Program, Register

QUIET = -3.0
"""Added to raw noise bands. Noise so begins 55 dB under full scale and not 8: a network whose first steps go into
making it softer makes the operators silent with it, and they do not come back."""


class DDX7(PitchedSynth):
    """Up to six sine operators, or as many as there are ratios, as in Caspe et al., "DDX7" (ISMIR 2022).

    Control: `ol`, the operators' output levels before `max_ol * sigmoid(ol)`, interpolated between frames. A
    modulator's level times 2 pi is its modulation index. The operators that modulate none are summed, and divided by
    `max_ol`. With noise bands there is also `noise_bands`; scaled, it means what it means to `harmonic_noise`.

    Every operator has a phase of its own, kept in float64 and wrapped: for a ratio that is no whole number a multiple
    of the wrapped fundamental would be wrong, and an unwrapped one goes out of tune.

    Args:
        sample_rate: In Hz.
        hop: Samples per frame.
        algorithm: Who modulates whom, see `zoo_ddx7.Patch`.
        ratios: Multiples of the pitch, of operator 1 first; used as float32 numbers, as in the thesis's checkpoints.
        max_ol: The highest output level.
        noise_bands: Magnitudes of a noise filter, from 0 Hz to Nyquist, for breath and bow, of which FM has neither; 0
            for no noise, as in the paper.
        reverb_length: Taps of the learned impulse response; 0 for no reverb.
        unvoiced: What operators do where f0 is 0: "mute", or "hold" the phase.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        hop: int = 64,
        algorithm: str = "6>5>1, 4>3>1, 2>1",
        ratios: Sequence[float] = (1, 1, 1, 2, 2, 1.5),
        max_ol: float = 0.32,
        noise_bands: int = 0,
        reverb_length: int = 16000,
        unvoiced: str = "mute",
    ) -> None:
        if not isinstance(ratios, list | tuple) or not all(isinstance(ratio, int | float) for ratio in ratios):
            raise ConfigError(f"ratios of ddx7 must be a list of numbers, found {str(ratios)[:100]}.")
        if max_ol <= 0 or not ratios or min(ratios) <= 0:
            raise ConfigError(f"ddx7 needs positive ratios and a positive max_ol; found {list(ratios)} and {max_ol}.")
        if noise_bands < 0 or noise_bands == 1:
            raise ConfigError(f"noise_bands of ddx7 must be 0, or two at least; found {noise_bands}.")
        sizes = {"ol": len(ratios)} | ({"noise_bands": noise_bands} if noise_bands else {})
        exact_ratios = torch.tensor(list(ratios), dtype=torch.float32)
        graph, frequency_ratios = _graph(algorithm, exact_ratios.tolist())
        super().__init__(
            sample_rate=sample_rate,
            hop=hop,
            control_sizes=sizes,
            unvoiced=unvoiced,
            noise_part=NoisePart(noise_bands, hop=hop) if noise_bands else None,
            reverb=Reverb(reverb_length, sample_rate=sample_rate) if reverb_length else None,
            frequency_ratios=frequency_ratios,
        )
        self.algorithm = algorithm
        self.max_ol = max_ol
        self.graph = graph
        self.register_buffer("ratios", exact_ratios, persistent=False)
        self.ratios: Tensor

    def control_scales(self) -> dict[str, str]:
        """See `zoo.synths.Synth.control_scales`: two synths of the same patch share their levels."""
        scales = {"ol": f"output levels up to {self.max_ol:g} of {self.algorithm} at {self.ratios.tolist()}"}
        return scales if self.noise_part is None else scales | {"noise_bands": self.noise_part.scale}

    def scaled_controls(self, f0_hz: Tensor, controls: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `zoo.synths.PitchedSynth.scaled_controls`: `ol`, and `noise_bands` where there are any."""
        scaled = {"ol": self.max_ol * torch.sigmoid(controls["ol"])}
        if self.noise_part is not None:
            scaled["noise_bands"] = scale_control(controls["noise_bands"] + QUIET)
        return scaled

    def tone(
        self,
        phases: Tensor,
        f0_hz: Tensor,
        pitch_hz: Tensor,
        scaled: Mapping[str, Tensor],
        constants: Mapping[str, Tensor],
    ) -> Tensor:
        """See `zoo.synths.PitchedSynth.tone`: levels are interpolated between frames."""
        return frequency_modulation(phases, scaled["ol"], self.graph, hop=self.hop) / self.max_ol

    def describe_controls(
        self, program: Program, f0_hz: Register, controls: Mapping[str, Register]
    ) -> dict[str, Register]:
        """See `zoo.synths.PitchedSynth.describe_controls`."""
        scaled = {"ol": program.activate(controls["ol"], "sigmoid", times=self.max_ol)}
        if self.noise_part is not None:
            scaled["noise_bands"] = program.activate(controls["noise_bands"], "scale", add=QUIET)
        return scaled

    def describe_tone(self, program: Program, phases: Phases, scaled: Mapping[str, Register]) -> Register:
        """See `zoo.synths.PitchedSynth.describe_tone`."""
        after, graph = scaled["ol"], self.graph
        return program.frequency_modulation(
            (program.delay(after, 2, repeat=True), program.delay(after, 1, repeat=True), after),
            modulators=graph.modulators,
            carriers=graph.carriers,
            phases=graph.phases,
            multiples=graph.multiples,
            order=graph.order,
            times=1 / self.max_ol,
        )


def _graph(algorithm: str, ratios: Sequence[float]) -> tuple[OperatorGraph, tuple[float, ...]]:
    """An algorithm as the kernel takes it, and the multiples of the pitch whose phases it is to be given."""
    modulators = parse(algorithm, len(ratios))
    modulating = {number for numbers in modulators for number in numbers}
    whole = [float(ratio).is_integer() for ratio in ratios]
    tones = [1.0, *sorted({ratio for ratio, is_whole in zip(ratios, whole, strict=True) if not is_whole})]
    try:
        graph = OperatorGraph(
            modulators=modulators,
            carriers=tuple(number for number in range(len(ratios)) if number not in modulating),
            phases=tuple(0 if is_whole else tones.index(ratio) for ratio, is_whole in zip(ratios, whole, strict=True)),
            multiples=tuple(int(ratio) if is_whole else 1 for ratio, is_whole in zip(ratios, whole, strict=True)),
        )
    except ValueError:  # nobody is left to be heard, or some go round
        raise ConfigError(f"The algorithm {algorithm!r} has operators that modulate each other in a circle.") from None
    return graph, tuple(tones)
