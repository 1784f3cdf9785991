"""Both models on inputs that no recording holds: what the teacher knows beyond the data."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.checks.options import is_finite
from zoo.errors import ConfigError
from zoo.features.loudness import FLOOR_DB
from zoo.losses.base import Loss
from zoo.losses.control import Control
from zoo.losses.weights import Weight

if TYPE_CHECKING:
    from zoo.models.model import Model  # only for types: losses stand beside the model, not above it
    from zoo.models.rendering import Rendering
    from zoo.storage.model_range import ModelRange

_KEPT = 64  # batches of a validation whose targets stay in memory
_KEPT_BYTES = 2**30


class FunctionMatching(Loss):
    """Compare student and teacher on pitches and loudnesses that are not in the data.

    Recordings hold few of the ways to play: no breath without a pitch, for one, or two octaves, or two dynamics. What a
    small network does with the others is left to chance, and they are what it is asked for when phrases of other
    instruments are played on it. A teacher has an answer to any input. So at each step both models also play pieces of
    the batch's segments whose pitch is transposed, whose loudness is from elsewhere in the segment and at another
    level, and which have no pitch for a while; and are compared. The recording has no say here.

    What is played depends on the step and the segments' indices alone; validations play the same each time. The
    teacher computes it at each step, which is a large part of what the step costs, unless `variety` lets it be kept.

    A student that sees few of the teacher's recordings is asked to play all that the teacher knows with `spread`:
    each piece becomes two notes, moved to where the teacher's recordings were (their median pitch and loudness are
    drawn from the teacher's own range), with a rest between them that may be silent.

    Args:
        weight: See `Loss`.
        loss: How both are compared, a loss that needs nothing but them. `Control(relative=True)` where None.
        share: Of a segment that is played, over 0 to 1: the length of the pieces.
        semitones: That a piece is transposed by at most, up or down.
        decibels: That its loudness is changed by at most, up or down.
        unvoiced: The share of a piece without a pitch, on average; 0 to 0.5.
        spread: Move pieces over the teacher's range first, and let their part without a pitch fall to silence.
        variety: How many pieces of each segment there are; what the teacher makes of them stays in memory, up to 1 GiB,
            and is not computed again. None: others at each step.

    Raises:
        ConfigError: An option is out of its range, `loss` needs a recording or has a weight of its own, or the teacher
            has no range to spread over.

    Source: Beyer et al., "Knowledge Distillation: A Good Teacher Is Patient and Consistent", CVPR 2022, section 3: one
    input for both, from beyond the data.
    """

    name = "function_matching"
    runs_student = True

    def __init__(
        self,
        *,
        weight: Weight = 1.0,
        loss: Loss | None = None,
        share: float = 0.25,
        semitones: float = 12.0,
        decibels: float = 20.0,
        unvoiced: float = 0.2,
        spread: bool = False,
        variety: int | None = None,
    ) -> None:
        super().__init__(weight=weight)
        loss = Control(relative=True) if loss is None else loss
        if not isinstance(loss, Loss) or not loss.needs:
            raise ConfigError(
                "function_matching.loss must be one that compares with the teacher alone, such as @control(), found "
                f"{loss.label if isinstance(loss, Loss) else repr(loss)}: there are no recordings of what is played."
            )
        if loss.changes or loss.factor != 1:
            raise ConfigError(
                f"{loss.label} within function_matching has a weight of its own ({loss.describe()}). Give "
                "function_matching.weight, and the loss within a scope where other bindings are meant for another one: "
                f"function_matching.loss = @matched/{loss.label}()"
            )
        _within("share", share, 0.0, 1.0, over=True)
        _within("semitones", semitones, 0.0, 48.0)
        _within("decibels", decibels, 0.0, -FLOOR_DB)
        _within("unvoiced", unvoiced, 0.0, 0.5)
        if variety is not None and (not isinstance(variety, int) or isinstance(variety, bool) or variety < 1):
            raise ConfigError(f"variety of function_matching is a whole number of pieces or None, found {variety!r}.")
        if not isinstance(spread, bool):
            raise ConfigError(f"spread of function_matching is True or False, found {spread!r}.")
        self.loss = loss
        self.share, self.semitones, self.decibels, self.unvoiced = share, semitones, decibels, unvoiced
        self.spread, self.variety = spread, variety
        self._range: ModelRange | None = None
        self._step = 0
        # in a tuple, so that the models are neither among its parameters nor in its state
        self._pair: tuple[Model, Model] | None = None
        self._held_out: dict[tuple[int, ...], Rendering] = {}
        self._made: dict[tuple[int, int], Rendering] = {}  # of one piece each, by segment and draw
        self._made_bytes = 0

    @property
    def uses_teacher(self) -> bool:
        """See `Loss.uses_teacher`: always."""
        return True

    def options(self) -> dict[str, Any]:
        """See `Loss.options`."""
        own = {name: getattr(self, name) for name in ("share", "semitones", "decibels", "unvoiced")}
        if self.spread:
            own["spread"] = True
        if self.variety is not None:
            own["variety"] = self.variety
        return {"loss": f"({self.loss.describe()})", **own}

    def bind(self, student: Model, teacher: Model | None) -> None:
        """See `Loss.bind`; the loss within is bound too."""
        super().bind(student, teacher)
        if teacher is not None:
            self.loss.bind(student, teacher)
            self._pair = student, teacher
            self._range = teacher.config.range
            if self.spread and self._range is None:
                raise ConfigError(
                    f"function_matching cannot spread pieces over the range of {teacher.name}: it has none. Leave "
                    "function_matching.spread out."
                )
            self._held_out.clear()
            self._made.clear()
            self._made_bytes = 0

    def advance(self, step: int) -> None:
        """See `Loss.advance`; what is played changes with the step."""
        super().advance(step)
        self._step = step

    def forward(self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]) -> Tensor:
        """See `Loss.forward`; what both made of the batch is not looked at."""
        if self._pair is None:
            raise ConfigError(f"The loss {self.label} must be bound to its pair first: loss.bind(student, teacher).")
        student_model, teacher_model = self._pair
        draw = None if not self.training else self._step if self.variety is None else self._step % self.variety
        played = self.sample_inputs(batch, hop=student_model.hop, step=draw)
        noise = played.pop("noise")
        if draw is None:
            target = self._held_out_target(teacher_model, played, noise)
        elif self.variety is None:
            target = self._target(teacher_model, played, noise)
        else:
            target = self._kept_target(teacher_model, played, noise, draw)
        # the same noise for both, so that nothing is left between them when the student does as its teacher
        return self.loss(_render(student_model, played, noise), target, played)

    def _target(self, teacher: Model, played: Mapping[str, Tensor], noise: Tensor) -> Rendering:
        with torch.no_grad():
            return _render(teacher, played, noise).only(self.loss.needs)

    def _held_out_target(self, teacher: Model, played: Mapping[str, Tensor], noise: Tensor) -> Rendering:
        indices = tuple(played["index"].tolist())
        if (target := self._held_out.get(indices)) is None:
            target = self._target(teacher, played, noise)
            if len(self._held_out) < _KEPT:
                self._held_out[indices] = target
        return target

    def _kept_target(self, teacher: Model, played: Mapping[str, Tensor], noise: Tensor, draw: int) -> Rendering:
        keys = [(index, draw) for index in played["index"].tolist()]
        found = [self._made.get(key) for key in keys]
        missing = [row for row, one in enumerate(found) if one is None]
        # One by one: in a batch, the last bit of each would depend on what else is missing, and so on where a run
        # resumed. On a GPU, where sums have no fixed order anyway and a batch costs what one row does, together.
        for rows in [missing] if noise.is_cuda and missing else [[row] for row in missing]:
            target = self._target(teacher, {name: value[rows] for name, value in played.items()}, noise[rows])
            for place, row in enumerate(rows):
                found[row] = one = target.row(place)
                size = one.bytes()
                if self._made_bytes + size <= _KEPT_BYTES and keys[row] not in self._made:
                    self._made[keys[row]] = one
                    self._made_bytes += size
        first, *others = [one for one in found if one is not None]
        return first.followed_by(others)

    def sample_inputs(self, batch: Mapping[str, Tensor], *, hop: int, step: int | None) -> dict[str, Tensor]:
        """What both play in place of a batch: one piece for each segment.

        Args:
            batch: With `f0_hz` and `loudness_db` `[batch, frames]`, `valid_frames` and `index`.
            hop: Samples per frame.
            step: Decides what is played; None in validations.

        Returns:
            `f0_hz`, `loudness_db` and what else is per frame `[batch, piece]`, `valid_frames`, `index`, and `noise`
            `[batch, piece * hop]`.
        """
        f0_hz, loudness_db = batch["f0_hz"], batch["loudness_db"]
        length = max(1, round(self.share * f0_hz.shape[-1]))
        places = zip(batch["index"].tolist(), batch["valid_frames"].tolist(), strict=True)
        pieces: list[tuple[Tensor, Tensor, Tensor]] = []
        others = [name for name in batch if name not in ("audio", "f0_hz", "loudness_db", "valid_frames", "index")]
        further: dict[str, list[Tensor]] = {name: [] for name in others}
        for row, (index, valid) in enumerate(places):
            # the indices say which segments these are whatever batch they come in, so that a resumed run goes on alike
            draw = random.Random(f"{step} {index}")
            last = max(0, valid - length)
            pitch_at, loudness_at = draw.randint(0, last), draw.randint(0, last)
            ratio = 2.0 ** (draw.uniform(-self.semitones, self.semitones) / 12)
            level_db = draw.uniform(-self.decibels, self.decibels)
            rest = round(draw.uniform(0.0, 2 * self.unvoiced) * length)
            rest_at = draw.randint(0, length - rest)
            pitch = f0_hz[row, pitch_at : pitch_at + length]
            loudness = loudness_db[row, loudness_at : loudness_at + length]
            if self.spread and self._range is not None:
                pitch, loudness = _spread(pitch, loudness, slice(rest_at, rest_at + rest), self._range, draw)
            pitch = pitch * ratio
            pitch[rest_at : rest_at + rest] = 0.0
            loudness = (loudness + level_db).clamp(FLOOR_DB, 0.0)
            for name in others:  # with the loudness: both belong to how a note is played
                further[name].append(batch[name][row, loudness_at : loudness_at + length])
            generator = torch.Generator().manual_seed(draw.getrandbits(32))
            pieces.append((pitch, loudness, torch.rand(length * hop, generator=generator) * 2 - 1))
        pitches, loudnesses, noises = (torch.stack(parts) for parts in zip(*pieces, strict=True))
        return {
            "f0_hz": pitches,
            "loudness_db": loudnesses,
            "noise": noises.to(f0_hz.device),
            "valid_frames": batch["valid_frames"].clamp(max=length),
            "index": batch["index"],
            **{name: torch.stack(values) for name, values in further.items()},
        }


def _spread(
    pitch: Tensor, loudness: Tensor, rest: slice, known: ModelRange, draw: random.Random
) -> tuple[Tensor, Tensor]:
    """A piece as two notes with a rest between: their medians drawn from a range, the rest maybe silent."""
    pitch, loudness = pitch.clone(), loudness.clone()
    for note in (slice(0, rest.start), slice(rest.stop, len(pitch))):
        f0_hz, level_db = known.f0_hz.at(draw.random()), known.loudness_db.at(draw.random())
        voiced = pitch[note] > 0
        if voiced.any():
            pitch[note] *= f0_hz / float(pitch[note][voiced].median())
            loudness[note] += level_db - float(loudness[note][voiced].median())
    loudness[rest] += draw.uniform(FLOOR_DB, 0.0)
    return pitch, loudness


def _render(model: Model, played: Mapping[str, Tensor], noise: Tensor) -> Rendering:
    made: Rendering = model(played["f0_hz"], played["loudness_db"], noise, **model.further(played))
    return made


def _within(name: str, value: object, least: float, most: float, *, over: bool = False) -> None:
    if not is_finite(value) or not least <= value <= most or (over and value == least):  # type: ignore[operator]  # it is a number
        raise ConfigError(
            f"{name} of function_matching must be a number {'over' if over else 'from'} {least:g} to {most:g}, "
            f"found {value!r}."
        )
