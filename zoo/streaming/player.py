"""Playing a model in real time: pitch and loudness in, a block of samples out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from zoo.checks.options import refuse, torch_seed_fault
from zoo.errors import ConfigError, PluginError, listing
from zoo.features.values import as_floats, check_curves, further_curves
from zoo.streaming.instrument import instrument_file
from zoo.streaming.streaming_model import StreamingModel

if TYPE_CHECKING:
    from zoo.models.model import Model

log = logging.getLogger(__name__)

BACKENDS = ("auto", "native", "torch")

_AT_ONCE = 64
"""Frames that torch is given at most: memory stays small however long a block is."""

Curve = Tensor | float
"""A number for one frame; `[frames]` for one voice; `[voices, frames]`."""


class Player:
    """A model that is played frame by frame, in blocks of any number of frames.

    What it plays in blocks is what the model plays of the whole (to rounding), `latency` samples late. It plays as in
    eval mode whatever mode the model is in, and records no gradients. It has a copy of the model: after a change of the
    weights make a new one.

    Example:
        >>> player = zoo.Player(zoo.create("gru-S"))
        >>> player.latency
        64
        >>> player.process(440.0, -20.0).shape  # a frame: 4 ms
        torch.Size([64])
        >>> player.process([440.0, 442.0], [-20.0, -21.0]).shape
        torch.Size([128])

    Args:
        model: Its decoder and its synth need a streaming interface, or a C form; zoo's own have both.
        voices: That are played at the same time, each with a state of its own.
        seed: Of the noise.
        backend: "native" plays with the player library (the package ddsp-zoo-player), many times as fast as "torch".
            "auto" takes it where it is installed, the weights are on the CPU and of at most 32 bits, and decoder and
            synth have a C form.

    Attributes:
        latency: Samples that the audio is late: the first so many are silence.
        backend: What plays, "native" or "torch".

    Raises:
        NotImplementedError: The decoder or the synth plays whole clips only.
        PluginError: The backend is to be "native", and cannot be; it says why.
        ConfigError: There is no such backend, or the model is a name.
        ValueError: There is not at least one voice, in whole numbers.
    """

    def __init__(self, model: Model, *, voices: int = 1, seed: int = 0, backend: str = "auto") -> None:
        refuse([torch_seed_fault("seed", seed)])
        if backend not in BACKENDS:
            raise ConfigError(f"Player has no backend={backend!r}; it knows {listing(BACKENDS)}.")
        if isinstance(model, (str, Path)):  # as zoo.export and the commands take it
            raise ConfigError(f"Player takes a model, not its name: zoo.Player(zoo.load({str(model)!r})).")
        if not hasattr(voices, "__index__") or voices < 1:
            raise ValueError(f"voices must be a whole number of at least 1, found {voices!r}.")
        self.model = model
        self.voices = voices
        self.seed = seed
        self._like = torch.zeros((), dtype=next(model.parameters()).dtype, device=next(model.parameters()).device)
        self._hop, self._further = model.hop, model.decoder.further_inputs
        self._engine, self.backend = self._engine_for(backend)
        self.latency = model.synth.latency * model.hop

    def _engine_for(self, backend: str) -> tuple[_Engine, str]:
        name, asked = self.model.name, {"voices": self.voices, "seed": self.seed}
        if backend != "torch":
            try:
                native = _Native(self.model, **asked)
                log.debug("%s is played with the player library.", name)
                return native, "native"
            except (PluginError, NotImplementedError) as reason:
                if backend == "native":
                    raise PluginError(f"{name} cannot be played with backend='native': {reason}") from None
                log.debug("%s is played with torch: %s", name, reason)
        return _Torch(self.model, **asked), "torch"

    def reset(self) -> None:
        """Begin anew, in silence, with the same noise."""
        self._engine.reset()

    def process(
        self,
        f0_hz: Curve | list[float],
        loudness_db: Curve | list[float],
        noise: Tensor | None = None,
        **inputs: Curve | list[float],
    ) -> Tensor:
        """Play the next frames.

        Args:
            f0_hz: In Hz, 0 where unvoiced, as a tensor, a numpy array or lists: a number, `[frames]` for one voice, or
                `[voices, frames]`.
            loudness_db: -80..0, of the same shape.
            noise: `[voices, frames * hop]` uniform in [-1, 1); drawn when not given.
            **inputs: What else drives the decoder (see `zoo.decoders.Decoder.inputs`), of the same shape.

        Returns:
            float32 `[frames * hop]`, or `[voices, frames * hop]` where the curves are such; on the model's device.

        Raises:
            ValueError: The shapes disagree, are of another number of voices, or an input is missing or unknown.
        """
        pitches = as_floats(f0_hz, name="f0_hz", like=self._like)
        levels = as_floats(loudness_db, name="loudness_db", like=self._like)
        given = pitches.ndim
        check_curves(pitches, levels, shapes="be numbers, or both [frames], or both [voices, frames]", fits=given <= 2)
        further = further_curves(inputs, self._further, f0_hz=pitches)
        curves = [curve.detach() for curve in (pitches, levels, *further.values())]
        if given < 2:
            curves = [curve.reshape(1, -1) for curve in curves]
        voices, frames = curves[0].shape
        if voices != self.voices:
            raise ValueError(f"This player has {self.voices} voices, and was given {voices}: [voices, frames].")
        if noise is not None:
            noise = as_floats(noise, name="noise", like=self._like).detach()
            expected = [voices, frames * self._hop]
            if list(noise.shape) != expected:
                raise ValueError(f"noise must be [voices, frames * hop] = {expected}, found {list(noise.shape)}.")
        played = self._engine.process(curves[0], curves[1], noise, dict(zip(further, curves[2:], strict=True)))
        return played if given == 2 else played[0]

    def finish(self) -> Tensor:
        """What is still to come, `[latency]` or with several voices `[voices, latency]`; then begin anew.

        A reverb's tail is cut off there, as at the end of a clip. To hear it, play silence first.
        """
        audio = self._engine.finish()
        self.reset()
        return audio if self.voices > 1 else audio[0]


class _Engine(Protocol):
    """What plays: curves `[voices, frames]` in, `[voices, samples]` out; see `Player`."""

    def process(
        self, f0_hz: Tensor, loudness_db: Tensor, noise: Tensor | None, inputs: Mapping[str, Tensor]
    ) -> Tensor: ...

    def finish(self) -> Tensor: ...

    def reset(self) -> None: ...


class _Native:
    """The player library.

    Raises:
        NotImplementedError: The decoder or the synth has no C form.
        PluginError: It is something else that keeps the library from playing the model.
    """

    def __init__(self, model: Model, *, voices: int, seed: int) -> None:
        like = next(model.parameters())
        if like.device.type != "cpu" or like.dtype == torch.float64:
            raise PluginError(f"its weights are {like.dtype} on {like.device}, and the player library is for the CPU")
        file = instrument_file(model)
        from zoo_player import Instrument, PlayerError  # it is there: the file was made with it

        try:
            self._instrument = Instrument(file, voices=voices, seed=seed)
        except PlayerError as error:
            raise PluginError(str(error)) from None
        self._voices = voices

    def process(self, f0_hz: Tensor, loudness_db: Tensor, noise: Tensor | None, inputs: Mapping[str, Tensor]) -> Tensor:
        further = {name: curve.numpy() for name, curve in inputs.items()}
        drawn = None if noise is None else noise.numpy()
        return torch.from_numpy(self._instrument.process(f0_hz.numpy(), loudness_db.numpy(), drawn, **further))

    def finish(self) -> Tensor:
        return torch.from_numpy(self._instrument.finish()).reshape(self._voices, -1)

    def reset(self) -> None:
        self._instrument.reset()


class _Torch:
    """The model's own streaming interface."""

    def __init__(self, model: Model, *, voices: int, seed: int) -> None:
        self._model = StreamingModel(model)
        self._hop = model.hop
        self._voices, self._seed = voices, seed
        self._beginning = self._model.stream_state(voices)
        self.reset()

    def reset(self) -> None:
        self._state = self._beginning
        self._last: tuple[Tensor, dict[str, Tensor]] | None = None
        self._generator = torch.Generator().manual_seed(self._seed)

    @torch.no_grad()
    def process(self, f0_hz: Tensor, loudness_db: Tensor, noise: Tensor | None, inputs: Mapping[str, Tensor]) -> Tensor:
        voices, frames = f0_hz.shape
        if noise is None:
            drawn = torch.rand(voices, frames * self._hop, generator=self._generator) * 2 - 1
            noise = drawn.to(f0_hz.device)
        state, last = self._state, self._last
        audio = [noise.new_zeros(voices, 0, dtype=torch.float32)]
        for begin in range(0, frames, _AT_ONCE):
            some = slice(begin, min(begin + _AT_ONCE, frames))
            heard = noise[:, some.start * self._hop : some.stop * self._hop]
            now = {name: curve[:, some] for name, curve in inputs.items()}
            controls, decoder = self._model.decode(f0_hz[:, some], loudness_db[:, some], state, **now)
            made, synth = self._model.play(f0_hz[:, some], controls, heard, state)
            state = decoder | synth
            last = f0_hz[:, some][:, -1:], {name: values[:, -1:] for name, values in controls.items()}
            audio.append(made.audio)
        self._state, self._last = state, last  # frames that were refused leave the player where it was
        return torch.cat(audio, 1)

    @torch.no_grad()
    def finish(self) -> Tensor:
        frames = self._model.latency
        silence = torch.zeros(self._voices, frames * self._hop)
        if self._last is None or frames == 0:
            return silence
        f0_hz, controls = self._last
        held = {name: values.expand(-1, frames, -1) for name, values in controls.items()}
        quiet = silence.to(f0_hz)
        return self._model.play(f0_hz.expand(-1, frames), held, quiet, self._state)[0].audio
