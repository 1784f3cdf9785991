"""A model's range: which pitches and loudnesses the data had that it was trained on, as config.json holds it.

Nothing here imports torch: a config is read without it. `zoo.datasets.data_range` counts the frames.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from zoo.errors import ConfigError, listing, near_matches

PROBABILITIES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
"""Of the quantiles that are kept."""

_FALL = "fall_db_per_second"
_STRUCK_DB_PER_SECOND = 8.0

QUANTILE_NAMES = ("lowest", *(f"{p:g}" for p in PROBABILITIES[1:-1]), "highest")
"""What they are called in config.json."""


@dataclass(frozen=True)
class Quantiles:
    """How a feature is distributed over the frames of a dataset.

    Example:
        >>> spread = Quantiles((100.0, 110.0, 120.0, 200.0, 300.0, 400.0, 500.0, 600.0, 900.0))
        >>> spread.lowest, spread.at(0.05), spread.median, spread.highest
        (100.0, 120.0, 300.0, 900.0)

    Args:
        values: At `PROBABILITIES`, never falling, in the feature's unit.

    Raises:
        ConfigError: They are too few or too many, fall, or are not finite.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(PROBABILITIES):
            raise ConfigError(
                f"Quantiles are {len(PROBABILITIES)} values ({listing(QUANTILE_NAMES)}), found {len(self.values)}."
            )
        if not all(map(math.isfinite, self.values)) or list(self.values) != sorted(self.values):
            raise ConfigError(f"Quantiles are finite and never fall from one to the next, found {list(self.values)}.")

    @property
    def lowest(self) -> float:
        """The lowest value of all."""
        return self.values[0]

    @property
    def median(self) -> float:
        """The value that half of the frames lie under."""
        return self.at(0.5)

    @property
    def highest(self) -> float:
        """The highest value of all."""
        return self.values[-1]

    def at(self, probability: float) -> float:
        """The value that this fraction of the frames lie under.

        Args:
            probability: In 0..1; between two quantiles that are kept the value is interpolated linearly.

        Raises:
            ValueError: It is not in 0..1.
        """
        if not 0.0 <= probability <= 1.0:
            raise ValueError(f"A quantile's probability is in 0..1, found {probability}.")
        above = min(bisect_right(PROBABILITIES, probability), len(PROBABILITIES) - 1)
        (low, high), (first, second) = PROBABILITIES[above - 1 : above + 1], self.values[above - 1 : above + 1]
        if probability in (low, high):  # exact at those that are kept
            return first if probability == low else second
        return first + (second - first) * (probability - low) / (high - low)

    def to_dict(self) -> dict[str, float]:
        """As config.json holds it."""
        return dict(zip(QUANTILE_NAMES, self.values, strict=True))

    @classmethod
    def from_dict(cls, value: object, *, where: str) -> Quantiles:
        """Read them from parsed JSON; `where` names the place in messages.

        Raises:
            ConfigError: A quantile is missing, unknown or no finite number, or they are not in order.
        """
        found = _object(value, QUANTILE_NAMES, where=where)
        values = tuple(_number(found[name], where=f"{where}: {name}") for name in QUANTILE_NAMES)
        if list(values) != sorted(values):
            raise ConfigError(f"{where}: quantiles never fall from one to the next, found {json.dumps(found)[:300]}.")
        return cls(values)


@dataclass(frozen=True)
class ModelRange:
    """What a model was trained to play; outside it nobody knows what it does.

    Example:
        >>> range = model.config.range  # None where it is unknown  # doctest: +SKIP
        >>> range.f0_hz.at(0.05), range.loudness_db.median  # doctest: +SKIP

    Args:
        f0_hz: Pitch in Hz of the voiced frames of the training split.
        loudness_db: Loudness in dB of the same frames, in the model's own kind of loudness: that of pauses says nothing
            about how loud a note may be.
        lowest_f0_hz: Pitch in Hz of the lowest note that is held for long enough to teach a model anything; a tracker's
            mistakes are not. A harmonic that is over Nyquist there, and so for every higher pitch, never sounded in
            training, and what plays it is as random as it began.
        fall_db_per_second: By how much a held note's loudness falls, as a median over notes: under 5 dB for what is
            blown, bowed or sung, 15 to 30 dB for strings that are struck or plucked. None where it is unknown.

    Raises:
        ConfigError: A pitch is not positive.
    """

    f0_hz: Quantiles
    loudness_db: Quantiles
    lowest_f0_hz: float
    fall_db_per_second: float | None = None

    def __post_init__(self) -> None:
        for name, pitch in (("f0_hz", self.f0_hz.lowest), ("lowest_f0_hz", self.lowest_f0_hz)):
            if not (math.isfinite(pitch) and pitch > 0):
                raise ConfigError(f"A range's {name} is over 0 Hz, found {pitch}.")

    def harmonics_under(self, nyquist_hz: float) -> int:
        """How many harmonics of the lowest pitch lie under a frequency: those that could sound in training, at least 1.

        Args:
            nyquist_hz: Half the sample rate, in Hz.
        """
        return max(1, math.ceil(nyquist_hz / self.lowest_f0_hz) - 1)

    @property
    def struck(self) -> bool:
        """Whether notes fall while they are held, as those of a piano or a guitar do; False where it is unknown."""
        return (self.fall_db_per_second or 0.0) > _STRUCK_DB_PER_SECOND

    def in_words(self) -> str:
        """What 98 % of the frames lie in, to be read.

        Example:
            >>> model.config.range.in_words()  # doctest: +SKIP
            '258 to 1,763 Hz and -71 to -40 dB'
        """
        low, high = self.f0_hz.at(0.01), self.f0_hz.at(0.99)
        soft, loud = self.loudness_db.at(0.01), self.loudness_db.at(0.99)
        return f"{low:,.0f} to {high:,.0f} Hz and {soft:.0f} to {loud:.0f} dB"

    def to_dict(self) -> dict[str, object]:
        """As config.json holds it."""
        known = {
            "f0_hz": self.f0_hz.to_dict(),
            "loudness_db": self.loudness_db.to_dict(),
            "lowest_f0_hz": self.lowest_f0_hz,
        }
        return known if self.fall_db_per_second is None else {**known, _FALL: self.fall_db_per_second}

    @classmethod
    def from_dict(cls, value: object, *, where: str = "range") -> ModelRange:
        """Read one from parsed JSON.

        Args:
            value: What was parsed.
            where: What messages call it.

        Raises:
            ConfigError: A field is missing, unknown, of another type, or out of order.
        """
        known = dict(value) if isinstance(value, dict) else value
        fall = known.pop(_FALL, None) if isinstance(known, dict) else None  # models from before it was measured lack it
        found = _object(known, ("f0_hz", "loudness_db", "lowest_f0_hz"), where=where)
        f0_hz, loudness_db = (
            Quantiles.from_dict(found[name], where=f"{where}: {name}") for name in ("f0_hz", "loudness_db")
        )
        lowest_f0_hz = _number(found["lowest_f0_hz"], where=f"{where}: lowest_f0_hz")
        for name, pitch in (("f0_hz", f0_hz.lowest), ("lowest_f0_hz", lowest_f0_hz)):
            if pitch <= 0:
                raise ConfigError(f"{where}: {name} must be over 0 Hz, found {pitch:g}.")
        fall = None if fall is None else _number(fall, where=f"{where}: {_FALL}")
        return cls(f0_hz, loudness_db, lowest_f0_hz, fall)


def _object(value: object, names: Iterable[str], *, where: str) -> dict[str, object]:
    expected = list(names)
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be an object with {listing(expected)}, found {json.dumps(value)[:100]}.")
    if unknown := sorted(set(value) - set(expected)):
        raise ConfigError(f"{where} has unknown fields: {listing(unknown)}.{near_matches(unknown[0], expected)}")
    if missing := [name for name in expected if name not in value]:
        raise ConfigError(f"{where} lacks {listing(missing)}.")
    return value


def _number(value: object, *, where: str) -> float:
    # JSON's true is a Python int, and a number of 400 digits is an int that no float holds
    if isinstance(value, bool) or not isinstance(value, int | float) or not _fits(value):
        raise ConfigError(f"{where} must be a finite number, found {json.dumps(value)[:100]}.")
    return float(value)


def _fits(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
