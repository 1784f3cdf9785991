"""Measures of one set of sounds against another: one value for all rows together, where others give one per row.

Requirements: what is known of a set is a few numbers that can be added up, so that a set of any size is measured batch
by batch; the same plain call as for other measures; a value says how sure it is.

Source: Dowson, Landau, "The Fréchet distance between multivariate normal distributions", J. Multivariate Analysis 12
(1982).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.metrics.rows import checked_audio, checked_pair, valid_lengths

# Into how many parts a set is divided to tell how sure a value is.
_PARTS = 10


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution fitted to vectors; those of two sets add up to that of both.

    Attributes:
        count: How many vectors there are.
        mean: `[size]`, float64.
        scatter: Sum of the products of what is left without the mean, `[size, size]`, float64.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, vectors: Tensor) -> Gaussian:
        """Fit vectors `[vectors, size]`."""
        vectors = vectors.detach().double().cpu()
        mean = vectors.mean(dim=0) if len(vectors) else vectors.new_zeros(vectors.shape[1])
        away = vectors - mean
        return cls(len(vectors), mean, away.T @ away)

    def __add__(self, other: Gaussian) -> Gaussian:
        """Of both sets of vectors together."""
        count = self.count + other.count
        if self.count == 0 or other.count == 0:
            return self if other.count == 0 else other
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        between = torch.outer(apart, apart) * (self.count * other.count / count)
        return Gaussian(count, mean, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> Tensor:
        """`[size, size]`; NaN where there are fewer than two vectors."""
        if self.count < 2:
            return torch.full_like(self.scatter, torch.nan)
        return self.scatter / (self.count - 1)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Give the squared Fréchet distance of two normal distributions: `|ma - mb|^2 + tr(A + B - 2 (A B)^(1/2))`.

    Args:
        a: One distribution.
        b: The other.

    Returns:
        0 where they are equal; NaN where one has fewer than two vectors.
    """
    if min(a.count, b.count) < 2:
        return float("nan")
    values, vectors = torch.linalg.eigh(a.covariance)
    root = (vectors * values.clamp(min=0.0).sqrt()) @ vectors.T
    # A B and this symmetric product have the same eigenvalues, none of them negative.
    product = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp(min=0.0)
    apart = (a.mean - b.mean).square().sum()
    traces = a.covariance.trace() + b.covariance.trace() - 2.0 * product.sqrt().sum()
    return max(0.0, float(apart + traces))


class SetMetric:
    """A measure of two sets of sounds, called like any other: `metric(a, b, **options)` gives a scalar.

    Attributes:
        statistics: From audio `[batch, samples]`, the options and `valid_samples` to the set's `Gaussian`.
    """

    def __init__(self, statistics: Callable[..., Gaussian]) -> None:
        functools.update_wrapper(self, statistics)
        self.statistics = statistics
        signature = inspect.signature(statistics)
        _, *options = signature.parameters.values()
        sounds = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("a", "b")]
        self.__signature__ = signature.replace(parameters=[*sounds, *options], return_annotation=Tensor)

    def __call__(self, a: Tensor, b: Tensor, **options: object) -> Tensor:
        """Compare two sets of sounds, `[batch, samples]` each.

        Returns:
            A scalar in float64; NaN where a set is too small.

        Raises:
            ConfigError: The signals do not agree, or an option does not fit.
        """
        a, b = checked_pair(a, b)
        found = frechet_distance(self.statistics(a, **options), self.statistics(b, **options))
        return torch.tensor(found, dtype=torch.float64)


def set_metric(statistics: Callable[..., Gaussian]) -> SetMetric:
    """Make a function that describes a set by a normal distribution a measure of two sets."""
    return SetMetric(statistics)


class SetTally:
    """What is known of two sets of clips so far, in at most ten parts: enough for a distance and how sure it is.

    Attributes:
        clips: How many clips each set has.
    """

    def __init__(self) -> None:
        self.clips = 0
        self._parts: list[tuple[Gaussian, Gaussian]] = []

    def add(self, a: Gaussian, b: Gaussian) -> None:
        """Add a clip: what it is in one set and in the other."""
        part = self.clips % _PARTS
        if part == len(self._parts):
            self._parts.append((a, b))
        else:
            own, others = self._parts[part]
            self._parts[part] = (own + a, others + b)
        self.clips += 1

    def distance(self) -> tuple[float, float]:
        """Give the distance of the sets, and its standard error.

        The error comes from leaving out one part after the other (the jackknife); it is 0 for a single clip. Both are
        NaN where there are too few vectors.
        """
        whole = _distance(self._parts)
        if len(self._parts) < 2:
            return whole, 0.0
        rests = [self._parts[:at] + self._parts[at + 1 :] for at in range(len(self._parts))]
        values = torch.tensor([_distance(rest) for rest in rests], dtype=torch.float64)
        return whole, float(((len(values) - 1) * (values - values.mean()).square().mean()).sqrt())


def _distance(parts: Sequence[tuple[Gaussian, Gaussian]]) -> float:
    (a, b), *others = parts
    for own, other in others:
        a, b = a + own, b + other
    return frechet_distance(a, b)


def rows_of(audio: Tensor, valid_samples: Tensor | None) -> list[Tensor]:
    """Rows `[1, samples]` without their padding; those that are all padding are left out.

    Raises:
        ConfigError: It is not audio `[batch, samples]`, or `valid_samples` is not one integer a row.
    """
    audio = checked_audio("audio", audio)
    lengths = valid_lengths(valid_samples, audio.shape[0], audio.shape[1]) or [audio.shape[1]] * len(audio)
    return [audio[i : i + 1, :n] for i, n in enumerate(lengths) if n]
