"""What zoo's synths have in common: a tone that follows the pitch, filtered noise beside it, a reverb behind both.

A child says what its tone is; whole clips and playing frame by frame follow from that.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import ConfigError, listing
from zoo.features.values import clean_f0
from zoo.synths.base import Synth, Synthesis
from zoo.synths.filtered_noise import NoisePart
from zoo.synths.oscillators import UNVOICED, forward_fill_f0, fundamental_phase, phase_between, voicing_gate
from zoo.synths.reverb import Reverb, ReverbState


class PitchedState(NamedTuple):
    """What a pitched synth carries from frame to frame; frame n is the next one.

    Attributes:
        frames: How many there have been: n.
        f0_hz: Of frames n - 2 and n - 1, `[batch, 2]`; a clip's first frame is its own neighbour.
        pitch_hz: The same, as oscillators are given it.
        scaled: The scaled controls of frames n - 2 and n - 1, each `[batch, 2, size]`.
        phase_cycles: The phases at the beginning of frame n - 1, `[batch, ratios]` in cycles, float64.
        tones: What of the tone is finished and was not given out yet, `[batch, samples]`.
        noises: The same of the noise part.
        overlap_tail: What the noise of the frames so far adds to samples after that.
        reverb: The reverb's own state.
    """

    frames: int
    f0_hz: Tensor
    pitch_hz: Tensor
    scaled: dict[str, Tensor]
    phase_cycles: Tensor
    tones: Tensor
    noises: Tensor
    overlap_tail: Tensor
    reverb: ReverbState | None


class _Frames(NamedTuple):
    # Consecutive frames, each [batch, frames, ...]: a frame and its neighbours are all that its tone depends on.
    f0_hz: Tensor
    pitch_hz: Tensor
    scaled: dict[str, Tensor]


class PitchedSynth(Synth):
    """A tone plus filtered noise through a reverb.

    A child implements `scaled_controls` and `tone`.

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
    def tone(self, phases: Tensor, f0_hz: Tensor, pitch_hz: Tensor, scaled: Mapping[str, Tensor]) -> Tensor:
        """The pitched part, which a frame's own values and those of its neighbours decide.

        What it gives in unvoiced frames is muted afterwards, unless `unvoiced` is "hold".

        Args:
            phases: `[batch, ratios, frames * hop]`, radians, float64, wrapped.
            f0_hz: `[batch, frames]` in Hz, 0 where unvoiced.
            pitch_hz: The same; in "mute" mode with a neighbour's pitch where unvoiced.
            scaled: What `scaled_controls` gave.

        Returns:
            `[batch, frames * hop]`.
        """

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
            tone = self.tone(self._phases(pitch_hz), f0_hz, pitch_hz, scaled)
            if self.unvoiced == "mute":
                tone = tone * voicing_gate(f0_hz, hop=self.hop).to(tone)
            noise_part = None if self.noise_part is None else self.noise_part(scaled["noise_bands"], noise)
            dry = tone if noise_part is None else tone + noise_part
            audio = dry if self.reverb is None else self.reverb(dry)
        return Synthesis(audio=audio, dry=dry, harmonic=tone, noise=noise_part, scaled_controls=scaled)

    def _clean(self, f0_hz: Tensor) -> Tensor:
        return clean_f0(f0_hz.float()).clamp(max=self.sample_rate / 2)

    def _oscillator_hz(self, pitch_hz: Tensor) -> Tensor:
        """`[batch, frames]` -> `[batch * ratios, frames]`, float64."""
        if self.frequency_ratios == (1.0,):
            return pitch_hz.double()
        ratios = torch.tensor(self.frequency_ratios, dtype=torch.float64, device=pitch_hz.device)
        return (pitch_hz.double()[:, None] * ratios[:, None]).flatten(0, 1)

    def _phases(self, pitch_hz: Tensor) -> Tensor:
        phases = fundamental_phase(self._oscillator_hz(pitch_hz), sample_rate=self.sample_rate, hop=self.hop)
        return phases.view(pitch_hz.shape[0], len(self.frequency_ratios), -1)

    @torch.no_grad()
    def initial_state(self, batch: int) -> PitchedState:
        """See `Synth.initial_state`."""
        if batch < 1:
            raise ValueError(f"initial_state needs a batch of at least 1, found {batch}.")
        device = next((value.device for value in (*self.parameters(), *self.buffers())), torch.device("cpu"))
        none = torch.zeros(batch, 0, device=device)
        noise_latency = 0 if self.noise_part is None else self.noise_part.latency
        return PitchedState(
            frames=0,
            f0_hz=none,
            pitch_hz=none,
            scaled={},
            phase_cycles=torch.zeros(batch, len(self.frequency_ratios), dtype=torch.float64, device=device),
            tones=torch.zeros(batch, (self.latency - 1) * self.hop, device=device),
            noises=torch.zeros(batch, (self.latency - noise_latency) * self.hop, device=device),
            overlap_tail=none if self.noise_part is None else self.noise_part.initial_tail(batch).to(device),
            reverb=None if self.reverb is None else self.reverb.initial_state(batch, block=self.hop),
        )

    @torch.no_grad()
    def step(
        self, f0_hz: Tensor, controls: Mapping[str, Tensor], noise: Tensor, state: PitchedState
    ) -> tuple[Synthesis, PitchedState]:
        """See `Synth.step`."""
        batch = len(state.phase_cycles)
        self.check_inputs(f0_hz, controls, noise)
        if len(f0_hz) != batch:
            raise ValueError(
                f"f0_hz must be [batch, frames] with a batch of {batch}, as the state has; found {list(f0_hz.shape)}."
            )
        samples = noise.shape[1]
        with torch.autocast(f0_hz.device.type, enabled=False):
            f0_hz = self._clean(f0_hz)
            scaled = self.scaled_controls(f0_hz, {name: value.float() for name, value in controls.items()})
            block, overlap_tail = torch.zeros_like(noise), state.overlap_tail
            if self.noise_part is not None:
                block, overlap_tail = self.noise_part.step(scaled["noise_bands"], noise.float(), overlap_tail)
            pending, phase_cycles = self._pending_frames(f0_hz, scaled, state)
            tone, phase_cycles = self._inner_tone(pending, phase_cycles)
            if not state.frames:
                tone = F.pad(tone, (self.hop, 0))  # the last frame's waits for its neighbour
            tones, noises = torch.cat([state.tones, tone], 1), torch.cat([state.noises, block], 1)
            early = min(samples, max(0, self.latency - state.frames) * self.hop)
            tone, block = (_silent_until(early, part[:, :samples]) for part in (tones, noises))
            made, reverb = self._mixed(tone, block, state.reverb)
        made.scaled_controls = scaled
        after = PitchedState(
            frames=state.frames + f0_hz.shape[1],
            f0_hz=pending.f0_hz[:, -2:],
            pitch_hz=pending.pitch_hz[:, -2:],
            scaled={name: value[:, -2:] for name, value in pending.scaled.items()},
            phase_cycles=phase_cycles,
            tones=tones[:, samples:],
            noises=noises[:, samples:],
            overlap_tail=overlap_tail,
            reverb=reverb,
        )
        return made, after

    @torch.no_grad()
    def flush(self, state: PitchedState) -> Synthesis:
        """See `Synth.flush`."""
        rest = self.latency * self.hop
        if not state.frames:
            none = torch.zeros(len(state.phase_cycles), rest, device=state.phase_cycles.device)
            return Synthesis(none, none, none, None if self.noise_part is None else none)
        with torch.autocast(state.phase_cycles.device.type, enabled=False):
            scaled = {name: _and_again(value) for name, value in state.scaled.items()}
            pending = _Frames(_and_again(state.f0_hz), _and_again(state.pitch_hz), scaled)
            tones = torch.cat([state.tones, self._inner_tone(pending, state.phase_cycles)[0]], 1)
            noises = torch.cat([state.noises, state.overlap_tail[:, : rest - state.noises.shape[1]]], 1)
            early = max(0, self.latency - state.frames) * self.hop
            return self._mixed(_silent_until(early, tones), _silent_until(early, noises), state.reverb)[0]

    def _pending_frames(
        self, f0_hz: Tensor, scaled: Mapping[str, Tensor], state: PitchedState
    ) -> tuple[_Frames, Tensor]:
        """The frames that wait for a neighbour and the new ones, and the phases where the second of them begins."""
        if not state.frames:  # the first frame is its own neighbour, as at the beginning of a clip
            pitch_hz = f0_hz if self.unvoiced == "hold" else forward_fill_f0(f0_hz)
            parts = {name: _once_more(value) for name, value in scaled.items()}
            return _Frames(_once_more(f0_hz), _once_more(pitch_hz), parts), state.phase_cycles
        pitch_hz, phase_cycles = torch.cat([state.pitch_hz, f0_hz], 1), state.phase_cycles
        if self.unvoiced == "mute":
            pitch_hz = forward_fill_f0(pitch_hz)
            # The first pitch holds for all that was before it, so the phase has come so far by now.
            first = (state.pitch_hz[:, -1:] == 0) & (pitch_hz[:, :1] > 0)
            if bool(first.any()):
                advance = self._oscillator_hz(pitch_hz[:, :1]).view(len(f0_hz), -1)
                advance = advance * ((state.frames - 1) * self.hop / self.sample_rate)
                phase_cycles = torch.where(first, advance - torch.round(advance), phase_cycles)
        parts = {name: torch.cat([state.scaled[name], value], 1) for name, value in scaled.items()}
        return _Frames(torch.cat([state.f0_hz, f0_hz], 1), pitch_hz, parts), phase_cycles

    def _inner_tone(self, known: _Frames, phase_cycles: Tensor) -> tuple[Tensor, Tensor]:
        """The tone of all frames but the first and the last one, and the phases at the end of them."""
        batch, frames = known.f0_hz.shape
        if frames < 3:
            return torch.zeros(batch, 0, device=known.f0_hz.device), phase_cycles
        inner = slice(self.hop, (frames - 1) * self.hop)
        phase, phase_cycles = phase_between(
            self._oscillator_hz(known.pitch_hz), phase_cycles.flatten(), sample_rate=self.sample_rate, hop=self.hop
        )
        tone = self.tone(F.pad(phase, (self.hop, self.hop)).view(batch, len(self.frequency_ratios), -1), *known)[
            :, inner
        ]
        if self.unvoiced == "mute" and not bool((known.f0_hz > 0).all()):  # between voiced frames the gate is open
            tone = tone * voicing_gate(known.f0_hz, hop=self.hop)[:, inner].to(tone)
        return tone, phase_cycles.view(batch, -1)

    def _mixed(self, tone: Tensor, noise: Tensor, state: ReverbState | None) -> tuple[Synthesis, ReverbState | None]:
        dry = tone if self.noise_part is None else tone + noise
        audio = dry
        if self.reverb is not None and state is not None:
            audio, state = self.reverb.step(dry, state)
        return Synthesis(audio, dry, tone, None if self.noise_part is None else noise), state


def _once_more(frames: Tensor) -> Tensor:
    return torch.cat([frames[:, :1], frames], 1)


def _and_again(frames: Tensor) -> Tensor:
    return torch.cat([frames, frames[:, -1:]], 1)


def _silent_until(sample: int, audio: Tensor) -> Tensor:
    """Noise reaches before the first frame, where a clip has no samples."""
    return F.pad(audio[:, sample:], (sample, 0)) if sample else audio
