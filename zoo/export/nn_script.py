# No `from __future__ import annotations`: torch.jit.script reads this module's types, and operators of torch 2.5 only.
"""What nn~ loads: a traced step of a model between the host's signals and its sample rate."""

import torch
from torch import Tensor, nn

_REACH = 32
"""Samples of the model to each side of the one that is interpolated."""


class Instrument(nn.Module):
    """A model behind nn~'s protocol.

    Pitch and loudness are taken where each frame begins. Frames are played so many at once, and their audio is
    interpolated at the host's rate by a sinc under a Hann window; at the model's own rate that changes nothing. The
    result does not depend on the size of blocks.

    Args:
        step: Of curves `[1, inputs, frames]`, noise and the state's two tensors; gives audio `[samples]` and the next
            two.
        state: Before the first frame.
        inputs: Their names.
        rate: Of the model, in Hz.
        hop: Samples per frame.
        frames: Per step.
        latency: Of the model, in samples.
        sample_rate: Of the host, in Hz.
    """

    curves: Tensor
    noise: Tensor
    audio: Tensor
    narrow: Tensor
    wide: Tensor
    first_narrow: Tensor
    first_wide: Tensor

    def __init__(
        self,
        step: nn.Module,
        state: tuple[Tensor, Tensor],
        inputs: tuple[str, ...],
        *,
        rate: int,
        hop: int,
        frames: int,
        latency: int,
        sample_rate: int,
    ) -> None:
        super().__init__()
        self.step = step
        self.rate, self.hop, self.frames, self.latency = rate, hop, frames, latency
        self.reach = _REACH
        self.delay = (frames - 1) * hop + _REACH  # until what is asked for is there, whatever the block
        self.inputs = len(inputs)
        self.forward_input_labels = [f"(signal) {name}" for name in inputs]
        self.forward_output_labels = ["(signal) audio"]
        self.transpose = 0.0
        self.loudness_shift_db = 0.0
        self.sample_rate = sample_rate
        self.heard = 0  # the host's samples
        self.asked = 0  # frames whose pitch and loudness were taken
        self.first = -(self.delay + _REACH)  # where in the model's time `audio` begins
        self.register_buffer("forward_params", torch.tensor([len(inputs), 1, 1, 1]))
        self.register_buffer("transpose_params", torch.tensor([2]))
        self.register_buffer("loudness_shift_db_params", torch.tensor([2]))
        self.register_buffer("sample_rate_params", torch.tensor([1]))
        for name, value in zip(("narrow", "wide"), state, strict=True):
            self.register_buffer(name, value.clone())
            self.register_buffer(f"first_{name}", value.clone())
        self.register_buffer("curves", torch.zeros(1, len(inputs), 0))
        self.register_buffer("noise", torch.zeros(1, 0))
        self.register_buffer("audio", torch.zeros(-self.first))

    def forward(self, signals: Tensor) -> Tensor:
        """Play `[1, inputs, samples]` at the host's rate: pitch in Hz, loudness in dB; gives `[1, 1, samples]`."""
        return self.play(signals, self.noise[:, :0])

    @torch.jit.export
    def play(self, signals: Tensor, noise: Tensor) -> Tensor:
        """As `forward`, with noise `[1, samples]` at the model's rate in place of one that is drawn."""
        if signals.size(0) != 1:
            raise RuntimeError("this instrument has one voice: give each voice an nn~ of its own")
        samples = signals.size(2)
        known = ((self.heard + samples - 1) * self.rate) // (self.hop * self.sample_rate) + 1
        places = torch.arange(self.asked, known) * (self.hop * self.sample_rate) + (self.rate - 1)
        places = torch.div(places, self.rate, rounding_mode="floor") - self.heard
        taken = signals[:, :, places].float()
        taken[:, 0] = taken[:, 0] * 2.0 ** (self.transpose / 12.0)
        taken[:, 1] = taken[:, 1] + self.loudness_shift_db
        self.asked = known
        self.curves = torch.cat([self.curves, taken], 2)
        self.noise = torch.cat([self.noise, noise], 1)
        played = [self.audio]
        needed = self.frames * self.hop
        while self.curves.size(2) >= self.frames:
            if self.noise.size(1) >= needed:
                drawn = self.noise[:, :needed]
                self.noise = self.noise[:, needed:]
            else:
                drawn = torch.rand(1, needed) * 2.0 - 1.0
            audio, narrow, wide = self.step(self.curves[:, :, : self.frames], drawn, self.narrow, self.wide)
            self.narrow, self.wide = narrow, wide
            self.curves = self.curves[:, :, self.frames :]
            played.append(audio)
        self.audio = torch.cat(played)
        made = self.resampled(samples)
        self.heard += samples
        begin = (self.heard * self.rate) // self.sample_rate - self.delay - self.reach  # what the next block needs
        self.audio = self.audio[begin - self.first :]
        self.first = begin
        return made

    def resampled(self, samples: int) -> Tensor:
        """The next samples at the host's rate, `[1, 1, samples]`."""
        asked = torch.arange(self.heard, self.heard + samples, dtype=torch.float64)
        places = asked * float(self.rate) / float(self.sample_rate) - float(self.delay)
        whole = torch.floor(places)
        taps = torch.arange(1 - self.reach, self.reach + 1)
        apart = (places - whole).unsqueeze(1) - taps
        band = min(1.0, float(self.sample_rate) / float(self.rate))
        window = torch.cos(apart * (1.5707963267948966 / self.reach)) ** 2
        weights = (band * torch.sinc(apart * band) * window).float()
        index = whole.long().unsqueeze(1) + (taps - self.first)
        return (self.audio[index] * weights).sum(1).view(1, 1, samples)

    @torch.jit.export
    def reset(self) -> None:
        """Begin anew, in silence."""
        self.narrow, self.wide = self.first_narrow.clone(), self.first_wide.clone()
        self.curves, self.noise = self.curves[:, :, :0], self.noise[:, :0]
        self.heard, self.asked = 0, 0
        self.first = -(self.delay + self.reach)
        self.audio = torch.zeros(-self.first)

    @torch.jit.export
    def get_methods(self) -> list[str]:
        """What nn~ can play."""
        return ["forward"]

    @torch.jit.export
    def get_attributes(self) -> list[str]:
        """What a host can set."""
        return ["transpose", "loudness_shift_db", "sample_rate"]

    @torch.jit.export
    def get_transpose(self) -> float:
        """Semitones up, or down."""
        return self.transpose

    @torch.jit.export
    def set_transpose(self, transpose: float) -> int:
        """See `get_transpose`."""
        self.transpose = transpose
        return 0

    @torch.jit.export
    def get_loudness_shift_db(self) -> float:
        """What is added to the loudness."""
        return self.loudness_shift_db

    @torch.jit.export
    def set_loudness_shift_db(self, loudness_shift_db: float) -> int:
        """See `get_loudness_shift_db`."""
        self.loudness_shift_db = loudness_shift_db
        return 0

    @torch.jit.export
    def get_sample_rate(self) -> int:
        """The host's, in Hz."""
        return self.sample_rate

    @torch.jit.export
    def set_sample_rate(self, sample_rate: int) -> int:
        """See `get_sample_rate`; begins anew."""
        if sample_rate < 1000 or 768000 < sample_rate:  # noqa: SIM300 - torch 2.5 knows this comparison
            return -1
        self.sample_rate = sample_rate
        self.reset()
        return 0

    @torch.jit.export
    def get_latency(self) -> int:
        """The host's samples that the audio is late."""
        return ((self.delay + self.latency) * self.sample_rate + self.rate - 1) // self.rate
