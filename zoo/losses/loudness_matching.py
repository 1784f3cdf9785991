"""The student as loud as it is asked to be, on notes that no recording holds."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from zoo.checks.options import number_fault, refuse
from zoo.errors import ConfigError
from zoo.features.frontend import measure_loudness
from zoo.features.loudness import FLOOR_DB, WINDOW_SECONDS
from zoo.losses.base import Loss
from zoo.losses.weights import Weight

if TYPE_CHECKING:
    from zoo.models.model import Model  # only for types: losses stand beside the model, not above it
    from zoo.models.rendering import Rendering
    from zoo.storage.model_range import ModelRange

_SHORTEST, _LONGEST = 0.15, 2.5  # seconds of a note
_REST = 0.4  # the chance that one comes before a note
_LATE, _LATEST = 0.5, 0.1  # the chance that a note's pitch begins after its loudness, and by how many seconds at most
_BREATH = 0.1  # the chance that a note has no pitch at all
_VIBRATO = 40.0  # cents at most
_OWN = ("audio", "f0_hz", "loudness_db", "valid_frames", "index")


class Limits(NamedTuple):
    """The lowest and highest pitch in Hz that is drawn, and the softest and loudest note in dB."""

    low_hz: float
    high_hz: float
    soft_db: float
    loud_db: float


class LoudnessMatching(Loss):
    """Compare the student's loudness with the one it is asked for, on notes drawn from its range.

    A model learns how loud to be from recordings alone, and so only for the ways in which they were played: where
    every note decays, as on a piano, a note that is held comes out 10 dB too soft. But the right loudness of any note
    is known without a recording: it is the model's own input. So at each step the student also plays notes of random
    pitch, length and loudness, held, swelling or falling, with rests between, all within the range of its training
    data (of the batch, where that is unknown); and its loudness is measured as that of its data was. Half of the notes
    begin with up to 100 ms without a pitch, as those that are heard live do, and some have none at all: there, too, the
    model is to be as loud as it is asked, and frames with and without a pitch count half each. Rests do not count: how
    a sound fades is left to the recordings.

    Noise is the cheapest way to be loud, and a network does not tell a low pitch from none by much. So where a note has
    a pitch and the synth has harmonics and noise, the noise is to be `clear_db` softer than they are; what is missing
    of that counts in dB too.

    What is played depends on the step and the segments' indices alone; validations play the same each time. It needs
    no recording and no teacher, and costs as much as rendering `share` of the batch again.

    Args:
        weight: See `Loss`; the value is in dB.
        share: Of the batch's segments, over 0 to 1: how long the notes of one row are in all.
        slope_db: By how much a note may swell or fall in a second, in dB.
        clear_db: How much softer than its harmonics a note's noise is to be, in dB. 15 is what soft notes of trumpets
            and voices have; a breathy instrument has less.

    Raises:
        ConfigError: An option is out of its range.
    """

    name = "loudness_matching"
    runs_student = True

    def __init__(
        self, *, weight: Weight = 1.0, share: float = 0.5, slope_db: float = 15.0, clear_db: float = 15.0
    ) -> None:
        super().__init__(weight=weight)
        given = {"share": share, "slope_db": slope_db, "clear_db": clear_db}
        refuse(number_fault(f"{option} of {self.name}", value) for option, value in given.items())
        if not 0.0 < share <= 1.0:
            raise ConfigError(f"share of {self.name} must be over 0 and at most 1, found {share!r}.")
        if not 0.0 <= slope_db <= -FLOOR_DB:
            raise ConfigError(f"slope_db of {self.name} must be from 0 to {-FLOOR_DB:g}, found {slope_db!r}.")
        self.share, self.slope_db, self.clear_db = share, slope_db, clear_db
        self._step = 0
        # in a tuple, so that the model is neither among its parameters nor in its state
        self._student: tuple[Model] | None = None

    def options(self) -> dict[str, Any]:
        """See `Loss.options`."""
        return {"share": self.share, "slope_db": self.slope_db, "clear_db": self.clear_db}

    def bind(self, student: Model, teacher: Model | None) -> None:
        """See `Loss.bind`."""
        super().bind(student, teacher)
        self._student = (student,)

    def advance(self, step: int) -> None:
        """See `Loss.advance`; what is played changes with the step."""
        super().advance(step)
        self._step = step

    def forward(self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]) -> Tensor:
        """See `Loss.forward`; the value is in dB.

        Raises:
            ConfigError: It is not bound, or what is played is so short that none of it can be measured.
        """
        if self._student is None:
            raise ConfigError(f"The loss {self.label} must be bound to its pair first: loss.bind(student, teacher).")
        (model,) = self._student
        step = self._step if self.training else None
        # at the ends the window sees the silence beyond
        edge = math.ceil(WINDOW_SECONDS / 2 * model.sample_rate / model.hop)
        if (length := self._length(batch)) <= 2 * edge:
            raise ConfigError(
                f"With {self.name}.share = {self.share:g} the notes of a row have {length} frames, and the first and "
                f"the last {edge} cannot be measured. Take a larger share, or longer segments."
            )
        limits = _limits(model.config.range, batch)
        played = self.sample_inputs(batch, limits, sample_rate=model.sample_rate, hop=model.hop, step=step)
        made: Rendering = model(played["f0_hz"], played["loudness_db"], played.pop("noise"), **model.further(played))
        found = _loudness(model, made.audio)
        frames = torch.arange(found.shape[1], device=found.device)
        inside = (frames >= edge) & (frames < found.shape[1] - edge)
        voiced = played["f0_hz"] > 0
        breath = ~voiced & (played["loudness_db"] >= limits.soft_db) & (limits.low_hz > 0)
        kinds = torch.stack([voiced, breath]) & inside
        counts = kinds.sum(dim=(1, 2))
        away = torch.where(kinds, (found - played["loudness_db"]).abs(), 0.0).sum(dim=(1, 2)) / counts.clamp(min=1)
        differs = away.sum() / (counts > 0).sum().clamp(min=1)
        return differs + _noisiness(model, made, voiced & inside, self.clear_db)

    def _length(self, batch: Mapping[str, Tensor]) -> int:
        return max(1, round(self.share * batch["f0_hz"].shape[-1]))

    def sample_inputs(
        self, batch: Mapping[str, Tensor], limits: Limits, *, sample_rate: int, hop: int, step: int | None
    ) -> dict[str, Tensor]:
        """What the student plays beside a batch: a row of notes for each segment.

        Args:
            batch: With `f0_hz` `[batch, frames]` and `index`.
            limits: Where pitches and loudnesses are drawn from.
            sample_rate: In Hz.
            hop: Samples per frame.
            step: Decides what is played; None in validations.

        Returns:
            `f0_hz`, `loudness_db` and what else is per frame in the batch `[batch, piece]`, and `noise` `[batch, piece
            * hop]`. A loudness changes as one that is measured does: within the window of 64 ms.
        """
        like, length = batch["f0_hz"], self._length(batch)
        pitches, loudnesses, noises = [], [], []
        for index in batch["index"].tolist():
            # the index says which segment it is whatever batch it comes in, so that a resumed run goes on alike
            draw = random.Random(f"loudness {step} {index}")
            f0_hz, loudness_db = _notes(length, limits, self.slope_db, sample_rate / hop, draw)
            generator = torch.Generator().manual_seed(draw.getrandbits(32))
            pitches.append(f0_hz)
            loudnesses.append(through_window(loudness_db, frame_rate=sample_rate / hop))
            noises.append(torch.rand(length * hop, generator=generator) * 2 - 1)
        others = {name: value[:, :length] for name, value in batch.items() if name not in _OWN}
        drawn = {"f0_hz": pitches, "loudness_db": loudnesses, "noise": noises}
        return {name: torch.stack(values).to(like) for name, values in drawn.items()} | others


def _loudness(model: Model, audio: Tensor) -> Tensor:
    """As the model's data was measured, `[batch, frames]` in dB."""
    settings = model.feature_settings()
    return measure_loudness(audio.float(), sample_rate=model.sample_rate, hop=model.hop, settings=settings)


def _noisiness(model: Model, made: Rendering, notes: Tensor, clear_db: float) -> Tensor:
    """By how many dB the noise beside notes `[batch, frames]` is louder than it is to be; 0 for a synth without one."""
    if made.harmonic is None or made.noise is None:
        return made.audio.new_zeros(())
    excess = (_loudness(model, made.noise) - _loudness(model, made.harmonic) + clear_db).relu()
    return torch.where(notes, excess, 0.0).sum() / notes.sum().clamp(min=1)


def _limits(known: ModelRange | None, batch: Mapping[str, Tensor]) -> Limits:
    """Where 98 % of the frames of the training data are; where a model does not know, those of the batch."""
    if known is not None:
        return Limits(*(curve.at(p) for curve in (known.f0_hz, known.loudness_db) for p in (0.01, 0.99)))
    voiced = batch["f0_hz"] > 0
    if not voiced.any():
        return Limits(0.0, 0.0, FLOOR_DB, FLOOR_DB)
    curves = batch["f0_hz"][voiced], batch["loudness_db"][voiced]
    return Limits(*(float(end) for curve in curves for end in (curve.min(), curve.max())))


def _notes(
    length: int, limits: Limits, slope_db: float, frame_rate: float, draw: random.Random
) -> tuple[Tensor, Tensor]:
    """Pitch and loudness of notes one after the other, each `[length]`."""
    low, high, soft, loud = limits
    f0_hz, loudness_db = torch.zeros(length), torch.full((length,), FLOOR_DB)
    at = 0
    while at < length:
        if draw.random() < _REST:
            rest = round(draw.uniform(0.04, 0.4) * frame_rate)
            loudness_db[at : at + rest] = draw.uniform(FLOOR_DB, soft)
            at += rest
        frames = max(1, round(_SHORTEST * (_LONGEST / _SHORTEST) ** draw.random() * frame_rate))
        seconds = torch.arange(max(0, min(frames, length - at))) / frame_rate
        cents = draw.uniform(0.0, _VIBRATO) * torch.sin(2 * math.pi * draw.uniform(3.0, 7.0) * seconds)
        pitch = low * (high / low) ** draw.random() if low else 0.0
        level = draw.uniform(soft, loud) + draw.uniform(-slope_db, slope_db) * seconds
        late = round(draw.uniform(0.0, _LATEST) * frame_rate) if draw.random() < _LATE else 0
        late = frames if draw.random() < _BREATH else late
        f0_hz[at : at + frames] = pitch * 2.0 ** (cents / 1200) * (seconds * frame_rate >= late - 0.5)
        loudness_db[at : at + frames] = level.clamp(soft, loud)
        at += frames
    return f0_hz, loudness_db


def through_window(loudness_db: Tensor, *, frame_rate: float, seconds: float = WINDOW_SECONDS) -> Tensor:
    """Loudness `[frames]` as it would be measured: its power averaged under the square of a Hann window.

    What is asked of a model may change from one frame to the next; a measured loudness does not.

    Args:
        loudness_db: `[frames]`; beyond its ends it goes on as it is there.
        frame_rate: Frames per second.
        seconds: Length of the window.

    Returns:
        `[frames]` in dB, -80 at least.
    """
    half = round(seconds / 2 * frame_rate)
    window = torch.hann_window(2 * half + 1, periodic=False).square() if half else torch.ones(1)
    power = torch.nn.functional.pad(10.0 ** (loudness_db / 10.0)[None, None], (half, half), mode="replicate")
    averaged = torch.nn.functional.conv1d(power, (window / window.sum())[None, None])
    return 10.0 * torch.log10(averaged[0, 0].clamp(min=10.0 ** (FLOOR_DB / 10.0)))
