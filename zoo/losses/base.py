"""What a loss is: the class that one derives from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.losses.weights import Schedule, Uncertainty, Weight, checked_number

if TYPE_CHECKING:
    from zoo.models.model import Model  # only for types: losses stand beside the model, not above it
    from zoo.models.rendering import Rendering

NEEDS = frozenset({"audio", "dry", "controls", "scaled_controls", "hidden"})
"""What a loss can ask of a teacher: fields of `zoo.Rendering`."""

_PLACES = 1000  # of a run where a schedule's largest weight is looked for: it may be any function


@dataclass(frozen=True)
class SpectralSettings:
    """How two signals are compared; see `zoo.losses.multi_scale_spectral`."""

    fft_sizes: tuple[int, ...]
    overlap: float
    alpha: float
    beta: float
    floor: float


class SpectralComparison(NamedTuple):
    """A multi-scale spectral distance that a loss asks for.

    Attributes:
        signal: The student's, `[batch, samples]`.
        target: What it is compared with, of the same shape.
        settings: How.
    """

    signal: Tensor
    target: Tensor
    settings: SpectralSettings


class Loss(nn.Module, ABC):
    """One term of what a student is trained with.

    A child sets `name` (the column in `history.csv`) and `needs`, and implements `forward`. Of the teacher's rendering
    it gets what it needs; the other fields are empty. Parameters of its own are trained with the student and kept in
    the run's checkpoint, and are no part of the student.

    Args:
        weight: Factor of this term in the sum that is minimised: a number, a schedule over the run, or `Uncertainty()`,
            which is learned. It is part of a run's checkpoint.

    Raises:
        ConfigError: The weight is negative or not finite.
    """

    name: ClassVar[str] = ""
    needs: frozenset[str] = frozenset()

    runs_student: ClassVar[bool] = False
    """Whether it runs the student itself, beside the step's one rendering of the batch."""

    def __init__(self, *, weight: Weight = 1.0) -> None:
        super().__init__()
        self.schedule: Schedule | None = None
        self.uncertainty: Uncertainty | None = None
        if isinstance(weight, Uncertainty):
            self.uncertainty = weight
            start = weight.start
        elif isinstance(weight, Schedule):
            self.schedule = weight
            start = self._scheduled(weight, 0.0)
        else:
            start = checked_number(self.label, weight)
        self.register_buffer("weight", torch.tensor(start))
        self.weight: Tensor
        if self.schedule is not None:
            self.register_buffer("steps", torch.tensor(1))
        # The buffers' values as numbers, so that a step on a GPU need not wait for them.
        self._factor, self._steps = start, 1
        self.register_load_state_dict_post_hook(lambda module, _: module._read_buffers())  # type: ignore[no-untyped-call] # torch does not annotate it

    @property
    def label(self) -> str:
        """What messages and columns call it."""
        return self.name or type(self).__name__.lower()

    @property
    def uses_teacher(self) -> bool:
        """Whether it compares with a teacher: by what it `needs` of the teacher's rendering, or of its own accord."""
        return bool(self.needs)

    @property
    def factor(self) -> float:
        """The weight now, as a number."""
        return self._factor

    @property
    def changes(self) -> bool:
        """Whether the weight changes over the run."""
        return self.schedule is not None or self.uncertainty is not None

    @property
    def final_factor(self) -> float:
        """The weight that validations count with all along, so that they can be compared.

        A schedule's last one; of one that is learned the first.
        """
        if self.schedule is not None:
            return self._scheduled(self.schedule, 1.0)
        return self.uncertainty.start if self.uncertainty is not None else self._factor

    @property
    def largest_factor(self) -> float:
        """The most that it counts at any time of the run; of a weight that is learned the first."""
        if self.schedule is not None:
            return max(self._scheduled(self.schedule, place / _PLACES) for place in range(_PLACES + 1))
        return self.final_factor

    def set_weight(self, weight: float) -> None:
        """Give it a plain weight, in place of whatever it had."""
        factor = checked_number(self.label, weight)
        if self.schedule is not None:
            self.schedule = None
            del self.steps
        self.uncertainty = None
        self._factor = factor
        self.weight.fill_(factor)

    def begin(self, steps: int) -> None:
        """Say how long the run is, before it starts; a resumed run keeps what it began with.

        Args:
            steps: Of the optimizer, in all.
        """
        if self.schedule is not None:
            self.steps = torch.tensor(steps)
            self._steps = steps

    def advance(self, step: int) -> None:
        """Bring the weight to where the run is.

        Args:
            step: Steps done.
        """
        if self.schedule is not None:
            self._set(self._scheduled(self.schedule, min(1.0, step / self._steps)))
        elif self.uncertainty is not None:
            self._set(float(self.uncertainty.weight.detach()))

    def _scheduled(self, schedule: Schedule, fraction: float) -> float:
        # a plugin's may give anything
        return checked_number(f"{self.label} by {schedule}", schedule.at(fraction))

    def _set(self, factor: float) -> None:
        if factor != self._factor:
            self._factor = factor
            self.weight.fill_(factor)

    def _read_buffers(self) -> None:
        # The buffer is the number in float32. Where it still is, the number keeps its digits, as if never stopped.
        if self.weight != self.weight.new_tensor(self._factor):
            self._factor = float(self.weight)
        if self.schedule is not None:
            self._steps = int(self.steps)

    def param_groups(self) -> list[dict[str, Any]]:
        """Its parameters as an optimizer takes them; empty for most."""
        own = [p for name, p in self.named_parameters() if not name.startswith("uncertainty.")]
        # weight decay would draw a variance to 1
        variance = list(self.uncertainty.parameters()) if self.uncertainty is not None else []
        return [g for g in ({"params": own}, {"params": variance, "weight_decay": 0.0}) if g["params"]]

    def options(self) -> dict[str, Any]:
        """The options that it was built with, but for the weight, as plain values: what a resumed run must share."""
        return {}

    def describe(self) -> str:
        """One line that says how it was built."""
        weight = self.schedule or self.uncertainty or f"{self.final_factor:g}"
        return ", ".join([f"{self.label}: weight {weight}", *(f"{k} {v}" for k, v in sorted(self.options().items()))])

    def bind(self, student: Model, teacher: Model | None) -> None:
        """Look at the pair before training starts; a child may build what depends on both.

        Raises:
            ConfigError: The pair cannot use this loss.
        """
        if self.uses_teacher and teacher is None:
            raise ConfigError(f"The loss {self.label} compares with a teacher, and there is none. Use it in distill.")

    def comparison(
        self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]
    ) -> SpectralComparison | None:
        """The spectral distance that this loss is, where it is one: those of one signal then share its transform.

        Args:
            student: As `forward` takes it.
            teacher: As there.
            batch: As there.

        Returns:
            What to compare; None, as here, for a loss that `forward` has to compute.
        """
        return None

    @abstractmethod
    def forward(self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]) -> Tensor:
        """The term's value, a scalar, before its weight.

        Args:
            student: What the student made of the batch.
            teacher: What the teacher made of it.
            batch: A batch of a prepared dataset: audio, f0_hz, loudness_db, valid_frames, index.
        """


def valid_mean(values: Tensor, valid_frames: Tensor) -> Tensor:
    """The mean of `[batch, frames]` over frames that are no padding, whatever stands there.

    Args:
        values: One per frame. A logarithm of silence, in padding, may be infinite where it has no gradient.
        valid_frames: int64 `[batch]`.

    Raises:
        ConfigError: There is not one value per frame.
    """
    if values.ndim != 2 or len(values) != len(valid_frames):
        raise ConfigError(
            f"valid_mean takes a value per frame, [batch, frames] with a batch of {len(valid_frames)}, and found "
            f"{list(values.shape)}. Take the mean over what else there is first: values.mean(-1)."
        )
    valid = torch.arange(values.shape[1], device=values.device) < valid_frames[:, None]
    return values.masked_fill(~valid, 0.0).sum() / valid.sum().clamp(min=1)
