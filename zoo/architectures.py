"""What an untrained model's name means: the config that its preset gives."""

from __future__ import annotations

import inspect
from typing import Any

from zoo import naming, registry
from zoo.config import ModelConfig, check_instrument
from zoo.errors import ConfigError


def config_of(name: str, *, instrument: str | None = None) -> ModelConfig:
    """The config that a name means, untrained.

    A preset is a function that gives a `ModelConfig`. One that takes `instrument` is told it, and may choose by it. One
    whose config has another architecture than its own name, and an instrument, is short for that model: `ddx7-violin`
    may stand for `ddx7-strings-violin`.

    Example:
        >>> config_of("gru-S-flute").name
        'gru-S-flute'

    Args:
        name: An architecture, an architecture with an instrument, or a name that is short for one.
        instrument: What it is to play.

    Raises:
        ModelNotFoundError: There is no such architecture.
        ConfigError: The name has one instrument, and `instrument` is another, or is no name.
    """
    registered, named = naming.parse_name(name)
    if named and instrument and named != instrument:
        raise ConfigError(f"{name!r} names the instrument {named}, and instrument={instrument!r} another.")
    preset: Any = registry.models.get(registered)
    wanted = named or instrument
    if wanted is not None:
        check_instrument(wanted, "The instrument")
    takes_instrument = "instrument" in inspect.signature(preset).parameters
    config: ModelConfig = preset(instrument=wanted) if takes_instrument else preset()
    if config.architecture != registered and wanted is not None and config.instrument != wanted:
        raise ConfigError(
            f"{registered!r} is short for {config.name}, which does not play {wanted}; take "
            f"{config.architecture}-{wanted}."
        )
    return config.with_changes(instrument=wanted or config.instrument)


def other_names(name: str) -> list[str]:
    """Other names of the same trained model: the one that a short name stands for, and short ones of it.

    Raises:
        ModelNotFoundError: The name begins with no architecture.
    """
    means = config_of(name).name
    brought_by = registry.models.entry(naming.parse_name(name)[0]).distribution
    siblings = [n for n in registry.models.names() if registry.models.entry(n).distribution == brought_by]
    # a short name begins as what it is short for, so that no other architecture is asked
    found = [means, *(n for n in siblings if n.startswith(means.split("-")[0]) and config_of(n).name == means)]
    return [other for other in dict.fromkeys(found) if other != name]
