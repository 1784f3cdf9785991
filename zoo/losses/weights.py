"""How much a loss counts: a number, a number that changes over the run, or one that is learned.

Schedules are registered components (group `zoo_loss_weights`), so that a gin file can name them:
`output_audio.weight = @linear()`. Places in a run are fractions of its length, 0 its start and 1 its end.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.checks.options import number_fault, refuse, shown
from zoo.errors import ConfigError


class Schedule(ABC):
    """A weight that changes over a run. A child is a frozen dataclass of plain values, and implements `at`."""

    @abstractmethod
    def at(self, fraction: float) -> float:
        """The weight at a place of the run.

        Args:
            fraction: Steps done over steps in all, 0 to 1.
        """


@dataclass(frozen=True)
class Linear(Schedule):
    """In a straight line from one weight to another.

    Example:
        >>> [Linear(1.0, 0.0, begin=0.5).at(fraction) for fraction in (0.0, 0.5, 0.75, 1.0)]
        [1.0, 1.0, 0.5, 0.0]

    Args:
        start: Weight before `begin`.
        stop: Weight after `end`.
        begin: Where it starts to change, a fraction of the run.
        end: Where it has changed.
    """

    start: float = 1.0
    stop: float = 0.0
    begin: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        name = type(self).__name__.lower()
        _check(name, start=self.start, stop=self.stop)
        _check_span(name, self.begin, self.end)

    def at(self, fraction: float) -> float:
        """See `Schedule.at`."""
        return self.start + (self.stop - self.start) * self._done(_passed(fraction, self.begin, self.end))

    def _done(self, passed: float) -> float:
        """How much of the change is done where so much of its time has passed."""
        return passed


@dataclass(frozen=True)
class Cosine(Linear):
    """From one weight to another along half a cosine: slowly at both ends. Its arguments are those of `Linear`."""

    def _done(self, passed: float) -> float:
        return 0.5 - 0.5 * math.cos(math.pi * passed)


@dataclass(frozen=True)
class Step(Schedule):
    """One weight after the other, without a transition.

    Example:
        >>> [Step(values=(1.0, 0.5, 0.0), boundaries=(0.2, 0.8)).at(fraction) for fraction in (0.0, 0.2, 1.0)]
        [1.0, 0.5, 0.0]

    Args:
        values: The weights.
        boundaries: Where each but the first begins, rising fractions of the run.
    """

    values: Sequence[float] = (1.0, 0.0)
    boundaries: Sequence[float] = (0.5,)

    def __post_init__(self) -> None:
        if not isinstance(self.values, list | tuple) or not isinstance(self.boundaries, list | tuple):
            raise ConfigError(
                f"step.values and step.boundaries must be lists, e.g. (1.0, 0.0) and (0.5,); found {self}."
            )
        if len(self.values) != len(self.boundaries) + 1:
            raise ConfigError(
                f"step needs one value more than places, found {len(self.values)} values and {len(self.boundaries)} "
                "places. For instance: step.values = (1.0, 0.0) with step.boundaries = (0.5,)"
            )
        _check("step", **{f"values[{i}]": value for i, value in enumerate(self.values)})
        for place in self.boundaries:
            _check_span("step", 0.0, place)
        if list(self.boundaries) != sorted(self.boundaries):
            raise ConfigError(f"step.boundaries must rise, found {self.boundaries}.")
        object.__setattr__(self, "values", tuple(map(float, self.values)))
        object.__setattr__(self, "boundaries", tuple(map(float, self.boundaries)))

    def at(self, fraction: float) -> float:
        """See `Schedule.at`."""
        return self.values[sum(fraction >= place for place in self.boundaries)]


class Uncertainty(nn.Module):
    """A weight that is learned: each loss has an uncertainty of its own, and a loss that stays large counts less.

    The term of a loss `L` becomes `exp(-s) L + s`, where `s`, the logarithm of its variance, is trained with the
    student; `exp(-s)` is the weight.

    Args:
        start: The weight at the start, over 0.

    Raises:
        ConfigError: `start` is not over 0.

    Source: Kendall et al., "Multi-Task Learning Using Uncertainty to Weigh Losses", CVPR 2018, equation 7, up to the
    factor of a half that both of its terms share.
    """

    def __init__(self, *, start: float = 1.0) -> None:
        super().__init__()
        _check("uncertainty", start=start)
        if start == 0:
            raise ConfigError("uncertainty.start must be over 0: a weight of 0 has no logarithm.")
        self.start = float(start)
        self.log_variance = nn.Parameter(torch.tensor(-math.log(start)))

    def __repr__(self) -> str:
        return f"Uncertainty(start={self.start:g})"

    @property
    def weight(self) -> Tensor:
        """The weight now, with its gradient."""
        return torch.exp(-self.log_variance)

    def term(self, value: Tensor) -> Tensor:
        """What a loss's weighted value lacks: the gradient of its variance, and the variance's own part.

        Args:
            value: The loss before its weight, without gradient.
        """
        weight = self.weight
        return (weight - weight.detach()) * value + self.log_variance


Weight = float | Schedule | Uncertainty
"""What `Loss(weight=...)` takes."""


def checked_number(owner: str, value: object) -> float:
    """A weight that is a number.

    Raises:
        ConfigError: It is none, negative, or not finite.
    """
    refuse([number_fault(f"The weight of {owner}", value, least=0)])
    return float(value)  # type: ignore[arg-type]  # a number, as was found


def _check(schedule: str, **values: object) -> None:
    for name, value in values.items():
        if number_fault(name, value, least=0):
            raise ConfigError(f"{schedule}.{name} is a weight: a number of at least 0, found {shown(value)}.")


def _check_span(schedule: str, begin: object, end: object) -> None:
    for place in (begin, end):
        if isinstance(place, bool) or not isinstance(place, (int, float)) or not 0 <= place <= 1:
            raise ConfigError(f"{schedule}: places are fractions of the run, from 0 (its start) to 1; found {place!r}.")
    if begin > end:  # type: ignore[operator]  # both were found to be numbers
        raise ConfigError(f"{schedule} ends at {end}, before it begins at {begin}.")


def _passed(fraction: float, begin: float, end: float) -> float:
    if fraction >= end:
        return 1.0
    return 0.0 if fraction <= begin else (fraction - begin) / (end - begin)
