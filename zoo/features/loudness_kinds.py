"""The kinds of loudness that models are driven by, and calling one by its name.

A loudness is a component of the registry's kind `loudness`: a function of audio `[batch, samples]` with the keywords
`sample_rate, hop, center` and options of its own, that gives dB `[batch, samples // hop]`, -80 for silence and about 0
for the loudest there is. `@loudness(...)` adds in words what it measures.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from zoo import registry
from zoo.errors import ConfigError, listing, near_matches
from zoo.features.framing import check_audio
from zoo.features.level import WINDOW_SECONDS, a_weighted_level_db, window_size
from zoo.features.loudness import loudness_db

_COMMON = ("sample_rate", "hop", "center")


class Loudness:
    """A loudness with its definition in words.

    Attributes:
        definition: What it measures, with its options in braces: "... of a Hann window of {n_fft} samples".
    """

    def __init__(self, measure: Callable[..., Tensor], *, definition: str) -> None:
        functools.update_wrapper(self, measure)
        self.measure = measure
        self.definition = definition

    def __call__(self, audio: Tensor, **options: Any) -> Tensor:  # noqa: ANN401 - the measure's own types
        """Measure loudness, `[batch, samples // hop]` in dB."""
        return self.measure(audio, **options)


def loudness(*, definition: str) -> Callable[[Callable[..., Tensor]], Loudness]:
    """Make a function a loudness with its definition in words.

    Args:
        definition: What it measures, with its options in braces; dataset.json says it.
    """

    def wrap(measure: Callable[..., Tensor]) -> Loudness:
        return Loudness(measure, definition=definition)

    return wrap


mean_db = loudness(
    definition="mean over the bins of the A-weighted level in dB, each bin floored at -80, of a Hann window of {n_fft} "
    "samples"
)(loudness_db)


@loudness(definition="A-weighted power in dB of full scale, -80 to 0, of a Hann window of {window_seconds:g} s")
def a_weighted(
    audio: Tensor, *, sample_rate: int, hop: int, center: bool = True, window_seconds: float = WINDOW_SECONDS
) -> Tensor:
    """Measure the A-weighted level as a loudness from -80 to 0.

    Args:
        audio: `[batch, samples]`.
        sample_rate: In Hz.
        hop: Samples per frame.
        center: As for `a_weighted_level_db`.
        window_seconds: Length of the window, so that it means the same at every rate.

    Returns:
        `[batch, samples // hop]` in dB, -80 to 0.

    Raises:
        ConfigError: The audio is not `[batch, samples]`, or the window is not of a positive length.
    """
    if not 0.0 < window_seconds < 10.0:
        raise ConfigError(f"window_seconds must be above 0 and under 10, not {window_seconds}.")
    n_fft = window_size(sample_rate, window_seconds)
    return a_weighted_level_db(audio, sample_rate=sample_rate, hop=hop, n_fft=n_fft, center=center).clamp(max=0.0)


def measure_by_name(
    audio: Tensor,
    *,
    sample_rate: int,
    hop: int,
    kind: str,
    center: bool,
    n_fft: int,
    options: Mapping[str, Any],
) -> Tensor:
    """Measure a loudness by its registered name.

    Args:
        audio: `[batch, samples]`.
        sample_rate: In Hz.
        hop: Samples per frame.
        kind: A name of the registry's kind `loudness`.
        center: Whether windows are centred on sample `frame * hop`.
        n_fft: For a loudness that takes its window in samples.
        options: Its own options.

    Returns:
        `[batch, samples // hop]` in dB.

    Raises:
        ConfigError: There is no such loudness or option, or the audio is not `[batch, samples]`.
        PluginError: What it needs is not installed.
    """
    check_audio(audio, sample_rate=sample_rate, hop=hop)
    component = registry.loudness.get(kind)
    found: Tensor = component(
        audio, sample_rate=sample_rate, hop=hop, center=center, **_given(component, kind, n_fft, options)
    )
    return found


def definition_of(kind: str, *, n_fft: int, options: Mapping[str, Any]) -> str:
    """Say in words what a loudness measures.

    Args:
        kind: Its registered name.
        n_fft: As for `measure_by_name`.
        options: Its own options.

    Raises:
        ConfigError: There is no such loudness or option.
        PluginError: It cannot be imported.
    """
    component = registry.loudness.get(kind)
    given = _given(component, kind, n_fft, options)
    parameters = inspect.signature(component).parameters
    values = {name: given.get(name, parameter.default) for name, parameter in parameters.items()}
    words = getattr(component, "definition", None)
    return str(words).format(**values) if words else f"the loudness {kind} with the options {given or 'of its own'}"


def _given(component: Callable[..., Tensor], kind: str, n_fft: int, options: Mapping[str, Any]) -> dict[str, Any]:
    takes = [name for name in inspect.signature(component).parameters if name not in _COMMON][1:]
    for name in options:
        if name not in takes:
            raise ConfigError(
                f"The loudness {kind!r} has no option {name!r}.{near_matches(name, takes)} "
                f"Its options: {listing(takes) or 'none'}."
            )
    return {**({"n_fft": n_fft} if "n_fft" in takes else {}), **options}
