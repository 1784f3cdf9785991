"""A model's parts, decoder and synth: found, given their options, built, and checked against each other."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from zoo_kernels import exporting

from zoo import registry
from zoo.checks import limits
from zoo.checks.build_guard import BeyondBoundsError, OversizedError
from zoo.decoders import Decoder
from zoo.errors import ConfigError, PluginError, ZooError, listing, near_matches
from zoo.storage.checkpoint import MEASURED_BY
from zoo.storage.config import ComponentConfig, ModelConfig
from zoo.synths import Synth

_MOST_REASON = 300

# Options that moved to a component of their own, which configs of earlier versions give to another one: which they are,
# the component that has them now, and what was meant where one of its options was left out.
_MOVED: dict[str, tuple[set[str], str, dict[str, Any]]] = {
    "harmonic_noise": (
        {"noise_filter", "above_nyquist"},
        "thesis_harmonic_noise",
        {"unvoiced": "mute", "noise_filter": "full", "above_nyquist": "zero"},
    )
}


def current_component(wanted: ComponentConfig) -> ComponentConfig:
    """What builds a component that a config names, be it one of an earlier version."""
    options, name, defaults = _MOVED.get(wanted.name, (set(), "", {}))
    return ComponentConfig(name, {**defaults, **wanted.args}) if options & set(wanted.args) else wanted


def component(of: registry.Registry, wanted: ComponentConfig, config: ModelConfig) -> Any:  # noqa: ANN401 - its class
    """Get a config's component; where it is not installed, say which package brings it."""
    if wanted.name not in of:
        others = {name: version for name, version in config.requires.items() if name != registry.OWN_DISTRIBUTION}
        if others:
            packages = " ".join(sorted(others))
            raise PluginError(
                f"{config.name} needs the {of.singular} {wanted.name!r}, which is not installed here. "
                f"It comes with {listing(f'{n} {v}' for n, v in others.items())}: "
                + (registry.where_others_are() if registry.safe_mode() else f"pip install {packages}")
            )
    return of.get(wanted.name)


def check_features(config: ModelConfig, *, tracked: bool) -> None:
    """Make sure that what measures a model's features in a recording is installed.

    Args:
        config: The model's.
        tracked: Whether its own tracker is to track the pitch.

    Raises:
        PluginError: It is not; it says which package brings it.
    """
    for key, of in MEASURED_BY.items():
        if key in config.features and (tracked or key != "tracker"):  # what is left out is zoo's own
            component(of, ComponentConfig(config.features[key]), config)


def build_parts(config: ModelConfig) -> tuple[Decoder, Synth]:
    """Build a config's decoder and synth, which fit each other.

    Raises:
        ConfigError: An option is unknown, or they do not fit.
        PluginError: One is not installed.
    """
    named = current_component(config.synth)
    synth_class = component(registry.synths, named, config)
    decoder_class = component(registry.decoders, config.decoder, config)
    synth_args = {**named.args, "sample_rate": config.sample_rate, "hop": config.hop}
    synth: Synth = build_part(synth_class, synth_args, f"synth {named.name}")
    decoder_args = {**config.decoder.args, "control_sizes": synth.control_sizes}
    decoder: Decoder = build_part(decoder_class, decoder_args, f"decoder {config.decoder.name}")
    check_handshake(decoder, synth, config)
    return decoder, synth


def check_handshake(decoder: Decoder, synth: Synth, config: ModelConfig) -> None:
    """Make sure that decoder and synth agree on the controls' names and sizes and on the rates.

    Raises:
        ConfigError: They do not; it says in what.
    """
    problems = []
    for name in sorted(set(decoder.control_sizes) | set(synth.control_sizes)):
        has, wants = decoder.control_sizes.get(name), synth.control_sizes.get(name)
        if has != wants:
            problems.append(f"control {name!r}: decoder {has or 'lacks it'}, synth {wants or 'lacks it'}")
    for rate in ("sample_rate", "hop"):
        has, wants = getattr(synth, rate), getattr(config, rate)
        if has != wants:
            problems.append(f"{rate}: synth {has}, config {wants}")
    if problems:
        raise ConfigError(
            f"The decoder {config.decoder.name!r} and the synth {config.synth.name!r} do not fit: {'; '.join(problems)}"
        )


def check_controls(decoded: Any, f0_hz: Tensor, *, decoder: Decoder, config: ModelConfig) -> None:  # noqa: ANN401
    """Make sure that a decoder gives the controls that it promised.

    Args:
        decoded: What it gave, whatever that is.
        f0_hz: What drove it, `[batch, frames]`.
        decoder: It.
        config: Of its model.

    Raises:
        PluginError: It does not; it says whose decoder it is.
    """
    if exporting():  # a tracer takes shapes for data
        return
    of, name = registry.decoders, config.decoder.name
    controls = getattr(decoded, "controls", None)
    if not isinstance(controls, Mapping) or not hasattr(decoded, "hidden"):
        raise of.broken(name, f"gives {type(decoded).__name__}, and must give a zoo.decoders.Decoded")
    if set(controls) != set(decoder.control_sizes):
        raise of.broken(name, f"gives the controls {listing(controls)}, and must give {listing(decoder.control_sizes)}")
    for control, size in decoder.control_sizes.items():
        of.check_shape(name, controls[control], (*f0_hz.shape, size), f"{control} [batch, frames, size]")


def _options_of(cls: type) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(cls).parameters
    return {name: p for name, p in parameters.items() if name not in ("sample_rate", "hop", "control_sizes")}


def with_options(config: ModelConfig, options: Mapping[str, Any]) -> ModelConfig:
    """Sort options to decoder and synth by the names that each takes."""
    parts = {"decoder": config.decoder, "synth": config.synth}
    known = {
        "decoder": _options_of(component(registry.decoders, config.decoder, config)),
        "synth": _options_of(component(registry.synths, config.synth, config)),
    }
    for name, value in options.items():
        takers = [part for part in parts if name in known[part]]
        if not takers:
            names = {*known["decoder"], *known["synth"], "sample_rate", "hop", "features"}
            raise ConfigError(
                f"{config.architecture} has no option {name!r}.{near_matches(name, names)} It has {listing(names)}."
            )
        for part in takers:
            parts[part] = ComponentConfig(parts[part].name, {**parts[part].args, name: value})
    return config.with_changes(**parts)


def build_part(cls: Any, arguments: dict[str, Any], what: str) -> Any:  # noqa: ANN401 - a decoder or a synth
    """Build a decoder or a synth; what it refuses is told with its options.

    Args:
        cls: Its class.
        arguments: By name.
        what: What messages call it.

    Raises:
        ConfigError: An argument is unknown, or it cannot be built.
    """
    names = inspect.signature(cls).parameters
    unknown = set(arguments) - set(names)
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in names.values()):
        first = min(unknown)
        raise ConfigError(
            f"The {what} has no option {limits.short(first)}.{near_matches(first, names)} "
            f"It has {listing(_options_of(cls))}."
        )
    limits.check_types(cls, arguments, part=what)
    try:
        return cls(**arguments)
    except BeyondBoundsError as error:
        raise OversizedError(
            f"The {what} is larger than its weights can be ({error}): {limits.largest_argument(cls, arguments)}."
        ) from None
    except ZooError:
        raise
    except (Exception, SystemExit) as error:  # whatever a component's constructor raises, its arguments led to it
        reason = str(error).split("\n")[0].rstrip(".")[:_MOST_REASON] or type(error).__name__
        shown = {name: value for name, value in arguments.items() if name != "control_sizes"}
        raise ConfigError(f"The {what} cannot be built with {limits.short(shown)}: {reason}.") from error
