"""The measures of an evaluation: which they are, what they find in batches, and what comes of it over all segments."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zoo import registry
from zoo.checks.limits import check_types
from zoo.errors import ConfigError, PluginError, ZooError, near_matches
from zoo.metrics.sets import SetMetric, SetTally

_log = logging.getLogger(__name__)

DISTANCES = (
    "multi_scale_spectral",
    "multi_scale_spectral_held_out",
    "log_spectral_distance",
    "log_mel_distance",
    "mfcc_distance",
    "onset_flux_distance",
    "loudness_error_db",
    "level_error_db",
    "frechet_log_mel",
)
"""What every evaluation measures between two sounds; the f0 error is apart, since it compares a sound with a pitch."""

_SOUNDS = ("a", "b", "valid_samples", "sample_rate")


class Measures:
    """Measures by name, with their options, ready to be called.

    Args:
        also: Registered names of further measures, each with its own options. One of `DISTANCES` with options is
            measured beside the same without, under a name that says them: numbers of one name can be compared.
        sample_rate: Of what is measured, in Hz.
        hop: Samples per frame.

    Raises:
        ConfigError: There is no such measure or option, or the measure cannot be taken with these options.
        PluginError: A measure's package cannot be imported.
    """

    def __init__(self, also: Mapping[str, Mapping[str, Any]] | None, *, sample_rate: int, hop: int) -> None:
        also = dict(also or {})
        # A hop with a default is that of a measure's own windows, but for loudness and level, which have the features'
        # frames.
        rates = {"sample_rate": sample_rate, "hop": hop}
        own: dict[str, dict[str, Any]] = {"loudness_error_db": {"hop": hop}, "level_error_db": {"hop": hop}}
        self._called: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {}
        for name in DISTANCES:
            self._called[name] = _prepared(name, rates, own.get(name, {}))
        labels = {name: _label(name, options) for name, options in also.items()}
        for name, label in labels.items():
            self._called[label] = _prepared(name, rates, own.get(name, {}) | dict(also[name]))
        # A wrong option, or a file that is not there, shows at once, not after the first segments were played.
        second = torch.zeros(1, sample_rate)
        for name, label in labels.items():
            try:
                self._measure(label, second, second, torch.tensor([sample_rate]))
            except ZooError:
                raise
            except Exception as error:  # whatever a metric raises on silence, its options led to it
                reason = str(error).split("\n")[0].rstrip(".")[:200] or type(error).__name__
                raise ConfigError(f"The metric {name} cannot be taken with {dict(also[name])}: {reason}.") from error

    def compare(self, a: Tensor, b: Tensor, valid_samples: Tensor, into: Found) -> None:
        """Compare sounds `[batch, samples]` by all measures.

        Args:
            a: One.
            b: The other.
            valid_samples: int64 `[batch]`: a row ends there.
            into: Where to add what is found.
        """
        for name, (function, options) in list(self._called.items()):
            if not isinstance(function, SetMetric):
                try:
                    into.add_rows(name, self._measure(name, a, b, valid_samples))
                except PluginError as error:
                    # A library that one measure needs is broken: the others are of use all the same.
                    _log.warning("%s is left out: %s", name, error)
                    del self._called[name]
                continue
            for row in range(len(a)):
                one = slice(row, row + 1)
                mine, other = (
                    function.statistics(sound[one], valid_samples=valid_samples[one], **options) for sound in (a, b)
                )
                into.sets.setdefault(name, SetTally()).add(mine, other)

    def _measure(self, name: str, a: Tensor, b: Tensor, valid_samples: Tensor) -> Tensor:
        function, options = self._called[name]
        found: Tensor = function(a, b, valid_samples=valid_samples, **options)
        if not isinstance(function, SetMetric):
            registry.metrics.check_shape(name, found, (len(a),), "a value for each sound, [batch]")
        return found


def _label(name: str, options: Mapping[str, Any]) -> str:
    if name not in DISTANCES or not options:
        return name
    return f"{name} ({', '.join(f'{option}={value}' for option, value in options.items())})"


def _prepared(
    name: str, rates: Mapping[str, int], options: Mapping[str, Any]
) -> tuple[Callable[..., Any], dict[str, Any]]:
    function = registry.metrics.get(name)
    parameters = inspect.signature(function).parameters
    takes = list(parameters)
    if takes[1:2] == ["f0_hz"]:
        raise ConfigError(f"{name} compares a sound with a pitch: an evaluation measures the f0 error by itself.")
    known = [option for option in takes if option not in _SOUNDS]
    for option in options:
        if option not in known:
            raise ConfigError(
                f"The metric {name} has no option {option!r}.{near_matches(option, known)} "
                f"It has: {', '.join(known) or 'none'}."
            )
    check_types(function, options, part=f"metric {name!r}")
    needed = [key for key in rates if key in takes and parameters[key].default is inspect.Parameter.empty]
    return function, {key: rates[key] for key in needed} | dict(options)


@dataclass
class Found:
    """What measures found over segments.

    Attributes:
        rows: Values by measure, a tensor a batch.
        sets: For measures over the whole set, what is known of it.
    """

    rows: dict[str, list[Tensor]] = field(default_factory=dict)
    sets: dict[str, SetTally] = field(default_factory=dict)

    def add_rows(self, name: str, values: Tensor) -> None:
        """Add a measure's values of one batch, `[batch]`."""
        self.rows.setdefault(name, []).append(values.double().flatten())

    def summary(self) -> dict[str, dict[str, float]]:
        """Give `{metric: {mean, std, n}}`; of a measure over the set, its value, standard error and number of clips."""
        result = {}
        for name, batches in self.rows.items():
            values = torch.cat(batches)
            if infinite := int(values.isinf().sum()):
                _log.warning(
                    "%s is infinite for %d of %d segments: its mean is without them.", name, infinite, len(values)
                )
            values = values[torch.isfinite(values)]  # a row without enough voiced frames has no pitch error
            if len(values):
                result[name] = statistics(values)
        for name, tally in self.sets.items():
            distance, error = tally.distance()
            if math.isnan(distance):
                _log.warning("%s is left out: %d clips are too few, or too short, for it.", name, tally.clips)
                continue
            result[name] = {"mean": distance, "std": 0.0 if math.isnan(error) else error, "n": tally.clips}
        return result


def statistics(values: Tensor) -> dict[str, float]:
    """Mean, standard deviation and count of values `[count]`."""
    std = float(values.std()) if len(values) > 1 else 0.0
    return {"mean": float(values.mean()), "std": std, "n": len(values)}
