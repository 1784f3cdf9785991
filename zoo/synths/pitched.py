"""What zoo's synths have in common: a tone that follows the pitch, filtered noise beside it, a reverb behind both.

A child says what its tone is; whole clips and playing frame by frame follow from that.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import ConfigError, listing
from zoo.features.values import clean_f0
from zoo.synths.base import Synth, Synthesis
from zoo.synths.filtered_noise import NoisePart
from zoo.synths.oscillators import (
    UNVOICED,
    fade_gains,
    forward_fill_f0,
    fundamental_phase,
    gate_between,
    phase_between,
    phase_weights,
    voicing_gate,
)
from zoo.synths.reverb import Reverb

if TYPE_CHECKING:
    from zoo_player import Phases, Program, Register


class PitchedSynth(Synth):
    """A tone plus filtered noise through a reverb.

    A child implements `scaled_controls` and `tone`; and `describe_controls` and `describe_tone` for the player library.

    Args:
        sample_rate: In Hz.
        hop: Samples per frame.
        control_sizes: The controls that it is driven by, name to size; `noise_bands` among them where there is noise.
        unvoiced: What the tone does where f0 is 0: "mute", with a fade of one frame, or "hold" the phase.
        noise_part: Filters the noise; None for a tone alone.
        reverb: After both; None for none.
        frequency_ratios: Multiples of the pitch, whose phases `tone` is given.

    Raises:
        ConfigError: `unvoiced` is unknown.
    """

    reach: int = 1
    """Frames to each side of a frame that its tone depends on, 0 or 1."""

    def __init__(
        self,
        *,
        sample_rate: int,
        hop: int,
        control_sizes: Mapping[str, int],
        unvoiced: str = "mute",
        noise_part: NoisePart | None = None,
        reverb: Reverb | None = None,
        frequency_ratios: Sequence[float] = (1.0,),
    ) -> None:
        if unvoiced not in UNVOICED:
            raise ConfigError(f"{type(self).__name__} has no unvoiced={unvoiced!r}; it knows {listing(UNVOICED)}.")
        super().__init__(sample_rate=sample_rate, hop=hop, control_sizes=control_sizes, reverb=reverb)
        self.unvoiced = unvoiced
        self.frequency_ratios = tuple(frequency_ratios)
        self.noise_part = noise_part

    @abstractmethod
    def scaled_controls(self, f0_hz: Tensor, controls: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The controls as the signal path uses them, each frame by itself; with `noise_bands` where there is noise.

        Args:
            f0_hz: `[batch, frames]` in Hz, 0 where unvoiced.
            controls: Raw, float32.
        """

    @abstractmethod
    def tone(
        self,
        phases: Tensor,
        f0_hz: Tensor,
        pitch_hz: Tensor,
        scaled: Mapping[str, Tensor],
        constants: Mapping[str, Tensor],
    ) -> Tensor:
        """The pitched part, which a frame's own values decide, and with a `reach` of 1 those of its neighbours.

        What it gives in unvoiced frames is muted afterwards, unless `unvoiced` is "hold".

        Args:
            phases: `[batch, ratios, frames * hop]`, radians, float64, wrapped.
            f0_hz: `[batch, frames]` in Hz, 0 where unvoiced.
            pitch_hz: The same; in "mute" mode with a neighbour's pitch where unvoiced.
            scaled: What `scaled_controls` gave, but for `noise_bands`.
            constants: What `tone_constants` gave.

        Returns:
            `[batch, frames * hop]`.
        """

    def tone_constants(self) -> dict[str, Tensor]:
        """What the parameters alone give to `tone`; nothing here. See `Synth.stream_constants`."""
        return {}

    @property
    def latency(self) -> int:
        """See `Synth.latency`."""
        return max(1, 0 if self.noise_part is None else self.noise_part.latency)

    def forward(self, f0_hz: Tensor, controls: Mapping[str, Tensor], noise: Tensor | None = None) -> Synthesis:
        """Render audio.

        Args:
            f0_hz: `[batch, frames]` in Hz. Not positive and not finite mean unvoiced; over Nyquist it is Nyquist.
            controls: Raw controls, each `[batch, frames, size]`.
            noise: `[batch, frames * hop]` uniform in [-1, 1); drawn when not given.

        Raises:
            ValueError: Shapes disagree, a control is missing, or one holds NaN.
        """
        self.check_inputs(f0_hz, controls, noise)
        # Signal processing stays in float32 under autocast: phases and sums of a hundred sines need the digits.
        with torch.autocast(f0_hz.device.type, enabled=False):
            f0_hz = self._clean(f0_hz)
            scaled = self.scaled_controls(f0_hz, {name: value.float() for name, value in controls.items()})
            pitch_hz = f0_hz if self.unvoiced == "hold" else forward_fill_f0(f0_hz)
            tone = self.tone(self._phases(pitch_hz), f0_hz, pitch_hz, _of_tone(scaled), self.tone_constants())
            if self.unvoiced == "mute":
                tone = tone * voicing_gate(f0_hz, hop=self.hop).to(tone)
            noise_part = None if self.noise_part is None else self.noise_part(scaled["noise_bands"], noise)
            dry = tone if noise_part is None else tone + noise_part
            audio = dry if self.reverb is None else self.reverb(dry)
        return Synthesis(audio=audio, dry=dry, harmonic=tone, noise=noise_part, scaled_controls=scaled)

    def _clean(self, f0_hz: Tensor) -> Tensor:
        return clean_f0(f0_hz.float()).clamp(max=self.sample_rate / 2)

    def _phases(self, pitch_hz: Tensor) -> Tensor:
        hz = pitch_hz.double()[:, None] * self._ratios(pitch_hz.device)
        phases = fundamental_phase(hz.flatten(0, 1), sample_rate=self.sample_rate, hop=self.hop)
        return phases.view(pitch_hz.shape[0], len(self.frequency_ratios), -1)

    def _ratios(self, device: torch.device) -> Tensor:
        return torch.tensor(self.frequency_ratios, dtype=torch.float64, device=device)[:, None]

    def _device(self) -> torch.device:
        return next((value.device for value in (*self.parameters(), *self.buffers())), torch.device("cpu"))

    def stream_state(self, batch: int) -> dict[str, Tensor]:
        """See `Synth.stream_state`. Frame n is the next one.

        Returns:
            `frames` `[batch]`, float64: how many there have been: n. `f0_hz` `[batch, 2]`, and in "mute" mode
            `pitch_hz`: of frames n - 2 and n - 1. `scaled_NAME` `[batch, 1 + reach, size]`: of as many frames before
            n. `phase` `[batch, ratios]`, float64: where frame n - 1 begins, in cycles. `tones` and `noises` `[batch,
            samples]`: what was not given out yet. And the noise part's and the reverb's. What would be empty is left
            out.
        """
        if batch < 1:
            raise ValueError(f"stream_state needs a batch of at least 1, found {batch}.")
        zeros = partial(torch.zeros, device=self._device())
        one = {name: zeros(1, 1, size) for name, size in self.control_sizes.items()}
        with torch.no_grad():
            scaled = _of_tone(self.scaled_controls(zeros(1, 1), one))
        state = {
            "frames": zeros(batch, dtype=torch.float64),
            "f0_hz": zeros(batch, 2),
            **{f"scaled_{name}": zeros(batch, 1 + self.reach, *part.shape[2:]) for name, part in scaled.items()},
            "phase": zeros(batch, len(self.frequency_ratios), dtype=torch.float64),
        }
        if self.unvoiced == "mute":
            state["pitch_hz"] = zeros(batch, 2)
        for name, late in (("tones", 1), ("noises", 0 if self.noise_part is None else self.noise_part.latency)):
            if late < self.latency:
                state[name] = zeros(batch, (self.latency - late) * self.hop)
        if self.noise_part is None:
            state.pop("noises")
        else:
            state |= _prefixed("noise_", self.noise_part.stream_state(batch))
        if self.reverb is not None:
            state |= _prefixed("reverb_", self.reverb.stream_state(batch, block=self.hop))
        return state

    def stream_constants(self) -> dict[str, Tensor]:
        """See `Synth.stream_constants`."""
        device = self._device()
        constants = {
            "ratios": self._ratios(device),
            "weights": phase_weights(sample_rate=self.sample_rate, hop=self.hop, device=device),
            "fades": fade_gains(self.hop, device=device),
            **_prefixed("tone_", self.tone_constants()),
        }
        if self.noise_part is not None:
            constants |= _prefixed("noise_", self.noise_part.stream_constants())
        if self.reverb is not None:
            constants |= _prefixed("reverb_", self.reverb.stream_constants(block=self.hop))
        return constants

    def stream(
        self,
        inputs: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        constants: Mapping[str, Tensor] | None = None,
    ) -> tuple[Synthesis, dict[str, Tensor]]:
        """See `Synth.stream`."""
        self.check_stream(inputs, state)
        f0_hz, noise = inputs["f0_hz"], inputs["noise"]
        with _float32(f0_hz.device.type):
            constants = self.stream_constants() if constants is None else constants
            f0_hz = self._clean(f0_hz)
            scaled = self.scaled_controls(f0_hz, {name: inputs[name].float() for name in self.control_sizes})
            tone, after = self._stream_tone(f0_hz, _of_tone(scaled), state, constants)
            # a clip has no samples before its first frame
            missing = (self.latency - state["frames"][:, None]) * self.hop
            ready = torch.arange(noise.shape[1], device=noise.device) >= missing
            tone, after["tones"] = _delayed(tone, state.get("tones"), ready)
            made = Synthesis(tone, tone, tone, None, scaled)
            if self.noise_part is not None:
                made.noise, overlap = self.noise_part.stream(
                    scaled["noise_bands"], noise.float(), _part("noise_", state), _part("noise_", constants)
                )
                made.noise, after["noises"] = _delayed(made.noise, state.get("noises"), ready)
                made.audio = made.dry = tone + made.noise
                after |= _prefixed("noise_", overlap)
            if self.reverb is not None:
                made.audio, heard = self.reverb.stream(made.dry, _part("reverb_", state), _part("reverb_", constants))
                after |= _prefixed("reverb_", heard)
        return made, {name: after[name] for name in state}

    def _stream_tone(
        self,
        f0_hz: Tensor,
        scaled: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        constants: Mapping[str, Tensor],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The tone of the frame before and of all of these but the last, which waits for its neighbour."""
        frames = f0_hz.shape[1]
        started = state["frames"][:, None] > 0

        # a clip's first frame is its own neighbour
        voiced_hz = torch.cat([torch.where(started, state["f0_hz"], f0_hz[:, :1]), f0_hz], 1)
        parts = {}
        for name, part in scaled.items():
            before = state[f"scaled_{name}"]
            if self.reach:
                before = torch.where(started[..., None], before, part[:, :1])
            parts[name] = torch.cat([before, part], 1)
        after = {"frames": state["frames"] + frames, "f0_hz": voiced_hz[:, frames:]}
        after |= {f"scaled_{name}": part[:, frames:] for name, part in parts.items()}
        pitch_hz, moving = voiced_hz, started
        if self.unvoiced == "mute":
            pitch_hz = forward_fill_f0(torch.cat([state["pitch_hz"], f0_hz], 1))
            after["pitch_hz"], moving = pitch_hz[:, frames:], state["pitch_hz"][:, 1:] > 0
        hz = pitch_hz.double()[:, None] * constants["ratios"]
        # The first pitch holds for all that was before it, so the phase has come so far by frame n - 1.
        begun = hz[..., 0] * ((state["frames"] - 1) * (self.hop / self.sample_rate))[:, None]
        start = torch.where(moving, state["phase"], begun - torch.round(begun))
        phases, end = phase_between(hz.flatten(0, 1), start.flatten(), weights=constants["weights"])
        phases, after["phase"] = phases.view(*start.shape, -1), end.view(start.shape)
        inner = slice(1 - self.reach, frames + 1 + self.reach)
        tone = self.tone(
            F.pad(phases, (self.reach * self.hop,) * 2) if self.reach else phases,
            voiced_hz[:, inner],
            pitch_hz[:, inner],
            {name: part[:, : frames + 2 * self.reach] for name, part in parts.items()},
            _part("tone_", constants),
        )
        tone = tone[:, self.reach * self.hop : (self.reach + frames) * self.hop]
        if self.unvoiced == "mute":
            tone = tone * gate_between(voiced_hz, fades=constants["fades"])
        return tone, after

    def check_stream(self, inputs: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
        """Refuse inputs whose shapes do not fit each other or the state.

        Raises:
            ValueError: They do not, or one is missing.
        """
        if missing := {"f0_hz", "noise"} - inputs.keys():
            raise ValueError(f"The input {min(missing)!r} is missing; there are {listing(inputs)}.")
        self.check_shapes(inputs["f0_hz"], inputs, inputs["noise"])
        batch = len(state["frames"])
        if len(inputs["f0_hz"]) != batch:
            found = list(inputs["f0_hz"].shape)
            raise ValueError(f"f0_hz must be [batch, frames] with a batch of {batch}, as the state has; found {found}.")

    def describe(self, program: Program, controls: Mapping[str, Register]) -> Register:
        """See `Synth.describe`."""
        f0_hz, mute = program.input("f0_hz", "f0_hz"), self.unvoiced == "mute"
        scaled = self.describe_controls(program, f0_hz, controls)
        phases = program.pitch(f0_hz, mute=mute, multiples=self.frequency_ratios)
        audio = self.describe_tone(program, phases, scaled)
        if mute:
            audio = program.multiply(audio, phases.gate)
        audio = program.delay(audio, self.latency - 1)
        if self.noise_part is not None:
            noise = self.noise_part.describe(program, scaled["noise_bands"])
            audio = program.add(audio, program.delay(noise, self.latency - self.noise_part.latency))
        audio = program.silence(audio, self.latency)
        return audio if self.reverb is None else self.reverb.describe(program, audio)

    def describe_controls(
        self, program: Program, f0_hz: Register, controls: Mapping[str, Register]
    ) -> dict[str, Register]:
        """Write `scaled_controls` as operations of the player library.

        Args:
            program: What is written to.
            f0_hz: 0 where unvoiced.
            controls: Raw.

        Raises:
            NotImplementedError: The synth has no C form.
        """
        raise self._no_c_form()

    def describe_tone(self, program: Program, phases: Phases, scaled: Mapping[str, Register]) -> Register:
        """Write `tone` as operations of the player library.

        Args:
            program: What is written to.
            phases: Of the frame before this one, its pitch and its neighbours'.
            scaled: What `describe_controls` gave, of this frame: `program.delay` gives those of the frame before.

        Returns:
            The tone of the frame before, `[hop]`.

        Raises:
            NotImplementedError: The synth has no C form.
        """
        raise self._no_c_form()


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def _of_tone(scaled: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in scaled.items() if name != "noise_bands"}


def _delayed(audio: Tensor, kept: Tensor | None, ready: Tensor) -> tuple[Tensor, Tensor]:
    """Audio from some frames ago on, silent unless ready, and what is kept of it."""
    whole = audio if kept is None else torch.cat([kept, audio], 1)
    samples = audio.shape[1]
    return torch.where(ready, whole[:, :samples], 0.0), whole[:, samples:]


def _part(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _float32(device: str) -> AbstractContextManager[object]:
    """Without autocast; nothing at all where there is none, as a graph needs no trace of that."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
