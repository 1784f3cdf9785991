"""The losses of all runs in one picture, as lines of a drawing that is 100 wide and 100 high."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from zoo_report.runs import Run

_SHARED = "reconstruction"
_MOST_POINTS = 600
_HUGE = 1e100  # what has come so far is no loss to look at; NaN is not under it either


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where it stands, from 0 to 100, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """A run's line.

    Attributes:
        run: The run's place among the runs.
        label: The run's.
        points: As SVG has them.
        thin: Whether it is there as background only.
        summary: Where it begins and ends, in words; empty for a thin one.
    """

    run: int
    label: str
    points: str
    thin: bool
    summary: str


@dataclass(frozen=True)
class Chart:
    """A picture of several runs.

    Attributes:
        title: What is drawn.
        note: How to read it.
        lines: A run's each, and thin ones.
        x_ticks: Steps.
        y_ticks: Values.
    """

    title: str
    note: str
    lines: Sequence[Line]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]


def loss_charts(runs: Sequence[Run]) -> list[Chart]:
    """The losses of runs, first the picture in which they can be compared.

    The weighted sum that a run is trained with means something else in every run that has other losses; the distance to
    the recordings, before its weight, is the same in all of them.
    """
    charts = []
    if all(any(row.get(_SHARED) is not None for row in run.history) for run in runs if run.history):
        charts.append(
            _chart(
                runs,
                "Validation: distance to the recordings (the loss reconstruction, before its weight)",
                "The same measure for all runs that have the same data and the same settings of this loss.",
                _SHARED,
            )
        )
    charts.append(
        _chart(
            runs,
            "Weighted sum of the losses: validation, and training (thin)",
            "What each run was trained with: a sum of other losses is another measure.",
            "val_loss",
            "train_loss",
        )
    )
    return [chart for chart in charts if chart is not None]


def _chart(runs: Sequence[Run], title: str, note: str, column: str, thin: str | None = None) -> Chart | None:
    drawn = []
    for place, run in enumerate(runs):
        for name in filter(None, (thin, column)):
            if points := _points(run, name):
                drawn.append((place, run.label, name == thin, points))
    values = [value for *_, points in drawn for _, value in points]
    if not values:
        return None
    last_step = max(step for *_, points in drawn for step, _ in points) or 1.0
    y_of, y_ticks = value_axis(min(values), max(values))
    lines = [
        Line(
            place,
            label,
            " ".join(f"{100 * step / last_step:.2f},{100 - y_of(value):.2f}" for step, value in _thinned(points)),
            is_thin,
            "" if is_thin else _summary(points),
        )
        for place, label, is_thin, points in drawn
    ]
    x_ticks = [Tick(100 * step / last_step, _short(step)) for step in round_values(0.0, last_step, whole=True)]
    return Chart(title, note, lines, x_ticks, y_ticks)


def _short(step: float) -> str:
    return f"{step / 1000:g}k" if step >= 10_000 else f"{step:g}"


def _points(run: Run, column: str) -> list[tuple[float, float]]:
    found = ((row.get("step"), row.get(column)) for row in run.history)
    return [(x, y) for x, y in found if x is not None and y is not None and abs(x) < _HUGE and abs(y) < _HUGE]


def _thinned(points: Sequence[tuple[float, float]]) -> Iterable[tuple[float, float]]:
    """Not more points than can be seen, the last one always."""
    stride = math.ceil(len(points) / _MOST_POINTS)
    kept = list(points[::stride])
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _summary(points: Sequence[tuple[float, float]]) -> str:
    best = min(points, key=lambda point: point[1])
    return f"{points[0][1]:.3g} at first; lowest {best[1]:.3g}, at step {best[0]:,.10g} of {points[-1][0]:,.10g}"


def value_axis(low: float, high: float) -> tuple[Callable[[float], float], list[Tick]]:
    """A vertical axis, logarithmic where no value is 0 or under.

    Returns:
        What gives a value's height, from 0 to 100; and the marks.
    """
    logarithmic = low > 0

    def inner(value: float) -> float:
        return math.log(value) if logarithmic else value

    bottom, top = inner(low), inner(high)
    margin = 0.05 * (top - bottom) or 0.5 * (abs(top) or 1.0)
    bottom, top = bottom - margin, top + margin
    ends = (math.exp(bottom), math.exp(top)) if logarithmic else (bottom, top)
    marks = _log_values(*ends) if logarithmic else round_values(*ends)

    def height(value: float) -> float:
        return 100 * (inner(value) - bottom) / (top - bottom)

    return height, [Tick(height(value), f"{value:.6g}") for value in marks]


def round_values(low: float, high: float, *, whole: bool = False, most: int = 6) -> list[float]:
    """Round values within bounds, some four to six of them.

    Args:
        low: The lower bound.
        high: The upper bound, over it.
        whole: No fractions.
        most: How many at most.
    """
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    if whole:
        step = max(1.0, step)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _log_values(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 4, 6, 8)):
        found = [factor * 10.0**power for power in decades for factor in factors if low <= factor * 10.0**power <= high]
        if 3 <= len(found) <= 7:
            return found
    return round_values(low, high, most=5)
