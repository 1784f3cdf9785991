"""How much a loss counts: a number, a number that changes over the run, or one that is learned.

Schedules are registered components (group `zoo_loss_weights`), so that a gin file can name them:
`output_audio.weight = @linear()`. Places in a run are shares of its length, 0 its start and 1 its end.
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
    def at(self, share: float) -> float:
        """The weight at a place of the run.

        Args:
            share: Steps done over steps in all, 0 to 1.
        """


@dataclass(frozen=True)
class Constant(Schedule):
    """The same weight all along.

    Args:
        value: The weight.
    """

    value: float = 1.0

    def __post_init__(self) -> None:
        _check("constant", value=self.value)

    def at(self, share: float) -> float:
        """See `Schedule.at`."""
        return self.value


@dataclass(frozen=True)
class Linear(Schedule):
    """In a straight line from one weight to another.

    Example:
        >>> [Linear(1.0, 0.0, begin=0.5).at(share) for share in (0.0, 0.5, 0.75, 1.0)]
        [1.0, 1.0, 0.5, 0.0]

    Args:
        start: Weight before `begin`.
        stop: Weight after `end`.
        begin: Where it starts to change, a share of the run.
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

    def at(self, share: float) -> float:
        """See `Schedule.at`."""
        return self.start + (self.stop - self.start) * self._done(_passed(share, self.begin, self.end))

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
        >>> [Step(values=(1.0, 0.5, 0.0), at_shares=(0.2, 0.8)).at(share) for share in (0.0, 0.2, 1.0)]
        [1.0, 0.5, 0.0]

    Args:
        values: The weights.
        at_shares: Where each but the first begins, rising shares of the run.
    """

    values: Sequence[float] = (1.0, 0.0)
    at_shares: Sequence[float] = (0.5,)

    def __post_init__(self) -> None:
        if not isinstance(self.values, list | tuple) or not isinstance(self.at_shares, list | tuple):
            raise ConfigError(
                f"step.values and step.at_shares must be lists, e.g. (1.0, 0.0) and (0.5,); found {self}."
            )
        if len(self.values) != len(self.at_shares) + 1:
            raise ConfigError(
                f"step needs one value more than places, found {len(self.values)} values and {len(self.at_shares)} "
                "places. For instance: step.values = (1.0, 0.0) with step.at_shares = (0.5,)"
            )
        _check("step", **{f"values[{i}]": value for i, value in enumerate(self.values)})
        for place in self.at_shares:
            _check_span("step", 0.0, place)
        if list(self.at_shares) != sorted(self.at_shares):
            raise ConfigError(f"step.at_shares must rise, found {self.at_shares}.")
        object.__setattr__(self, "values", tuple(map(float, self.values)))
        object.__setattr__(self, "at_shares", tuple(map(float, self.at_shares)))

    def at(self, share: float) -> float:
        """See `Schedule.at`."""
        return self.values[sum(share >= place for place in self.at_shares)]


def distil_first(*, weight: float = 1.0, until: float = 0.5, fade: float = 0.1) -> Schedule:
    """For losses that compare with the teacher: they count at first, and then fade out.

    The other half of it is `then_supervise`.

    Args:
        weight: At first.
        until: Where the teacher begins to leave, a share of the run.
        fade: How long that takes, a share of the run.
    """
    return Cosine(weight, 0.0, begin=until, end=_end_of_fade("distil_first", until, fade))


def then_supervise(*, weight: float = 1.0, after: float = 0.5, fade: float = 0.1) -> Schedule:
    """For losses that compare with the recording: they do not count at first, and then fade in.

    The other half of it is `distil_first`.

    Args:
        weight: In the end.
        after: Where the recordings begin to count, a share of the run.
        fade: How long that takes, a share of the run.
    """
    return Cosine(0.0, weight, begin=after, end=_end_of_fade("then_supervise", after, fade))


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
            raise ConfigError(f"{schedule}: places are shares of the run, from 0 (its start) to 1; found {place!r}.")
    if begin > end:  # type: ignore[operator]  # both were found to be numbers
        raise ConfigError(f"{schedule} ends at {end}, before it begins at {begin}.")


def _passed(share: float, begin: float, end: float) -> float:
    if share >= end:
        return 1.0
    return 0.0 if share <= begin else (share - begin) / (end - begin)


def _end_of_fade(schedule: str, begin: float, fade: float) -> float:
    _check_span(schedule, 0.0, begin)
    _check_span(schedule, 0.0, fade)
    end = round(begin + fade, 9)
    if end > 1:
        raise ConfigError(f"{schedule} fades until {end:g} of the run; it must be over by its end, 1.")
    return end
