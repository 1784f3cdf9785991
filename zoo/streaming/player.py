"""Playing a model in real time: pitch and loudness in, a block of samples out."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.checks.options import refuse, torch_seed_fault
from zoo.features import clean_f0, clean_loudness
from zoo.features.values import HALF, as_floats, check_curves

if TYPE_CHECKING:
    from zoo.models.model import Model

_AT_ONCE = 64
"""Frames that a synth is given at most: memory stays small however long a block is."""

Curve = Tensor | float
"""A number for one frame; `[frames]` for one voice; `[voices, frames]`."""


class Player:
    """A model that is played frame by frame, in blocks of any number of frames.

    What it plays in blocks is what the model plays of the whole (to rounding), `latency` samples late. It plays as in
    eval mode whatever mode the model is in, and records no gradients. After a change of the model's weights make a new
    one.

    Example:
        >>> player = zoo.Player(zoo.create("gru-S"))
        >>> player.latency
        64
        >>> player.process(440.0, -20.0).shape  # a frame: 4 ms
        torch.Size([64])
        >>> player.process([440.0, 442.0], [-20.0, -21.0]).shape
        torch.Size([128])

    Args:
        model: Its decoder and its synth need a streaming interface; zoo's own have one.
        voices: That are played at the same time, each with a state of its own.
        seed: Of the noise.

    Attributes:
        latency: Samples that the audio is late: the first so many are silence.

    Raises:
        NotImplementedError: The decoder or the synth plays whole clips only.
        ValueError: There is not at least one voice.
    """

    def __init__(self, model: Model, *, voices: int = 1, seed: int = 0) -> None:
        refuse([torch_seed_fault("seed", seed)])
        # half precision is too coarse to play in: its weights as they are, and more digits to work with
        half = next(model.parameters()).dtype in HALF
        self.model = copy.deepcopy(model).float() if half else model
        model = self.model
        self.voices = voices
        self.seed = seed
        self.latency = model.synth.latency * model.hop
        self._device = next(model.parameters()).device
        # a diagonalisation, a reverb's spectra: they are the same for every note, and take up to seconds
        self._beginning = model.decoder.initial_state(voices), model.synth.initial_state(voices)
        self.reset()

    def reset(self) -> None:
        """Begin anew, in silence, with the same noise."""
        self._decoder, self._synth = self._beginning
        self._generator = torch.Generator().manual_seed(self.seed)

    @torch.no_grad()
    def process(
        self, f0_hz: Curve | list[float], loudness_db: Curve | list[float], noise: Tensor | None = None
    ) -> Tensor:
        """Play the next frames.

        Args:
            f0_hz: In Hz, 0 where unvoiced, as a tensor, a numpy array or lists: a number, `[frames]` for one voice, or
                `[voices, frames]`.
            loudness_db: -80..0, of the same shape.
            noise: `[voices, frames * hop]` uniform in [-1, 1); drawn when not given.

        Returns:
            float32 `[frames * hop]`, or `[voices, frames * hop]` where the curves are such; on the model's device.

        Raises:
            ValueError: The shapes disagree, or are of another number of voices.
        """
        like = next(self.model.parameters())
        pitches = clean_f0(as_floats(f0_hz, name="f0_hz", like=like))
        levels = clean_loudness(as_floats(loudness_db, name="loudness_db", like=like))
        given = pitches.ndim
        check_curves(pitches, levels, shapes="be numbers, or both [frames], or both [voices, frames]", fits=given <= 2)
        pitches, levels = (curve.reshape(1, -1) if given < 2 else curve for curve in (pitches, levels))
        voices, frames = pitches.shape
        if voices != self.voices:
            raise ValueError(f"This player has {self.voices} voices, and was given {voices}: [voices, frames].")
        hop = self.model.hop
        noise = None if noise is None else as_floats(noise, name="noise", like=like)
        if noise is None:
            noise = (torch.rand(voices, frames * hop, generator=self._generator) * 2 - 1).to(self._device)
        if noise.shape != (voices, frames * hop):
            raise ValueError(
                f"noise must be [voices, frames * hop] = {[voices, frames * hop]}, found {list(noise.shape)}."
            )
        scaled_f0, scaled_loudness = self.model.scale(pitches, levels)
        decoder, synth = self._decoder, self._synth
        audio = [noise.new_zeros(voices, 0)]
        for begin in range(0, frames, _AT_ONCE):
            some = slice(begin, min(begin + _AT_ONCE, frames))
            decoded = []
            for frame in range(some.start, some.stop):
                features = scaled_f0[:, frame], scaled_loudness[:, frame]
                one, decoder = self.model.decoder.step(features, decoder)
                decoded.append(one.controls)
            controls = {name: torch.stack([one[name] for one in decoded], 1) for name in decoded[0]}
            made, synth = self.model.synth.step(
                pitches[:, some], controls, noise[:, some.start * hop : some.stop * hop], synth
            )
            audio.append(made.audio)
        self._decoder, self._synth = decoder, synth  # frames that were refused leave the player where it was
        played = torch.cat(audio, 1)
        return played if given == 2 else played[0]

    @torch.no_grad()
    def finish(self) -> Tensor:
        """What is still to come, `[latency]` or with several voices `[voices, latency]`; then begin anew.

        A reverb's tail is cut off there, as at the end of a clip. To hear it, play silence first.
        """
        audio = self.model.synth.flush(self._synth).audio
        self.reset()
        return audio if self.voices > 1 else audio[0]
