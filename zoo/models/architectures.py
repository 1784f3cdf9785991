"""What an untrained model's name means: the config that its preset gives."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zoo import registry
from zoo.checks.path_names import check_path_name
from zoo.errors import ConfigError, ModelNotFoundError, ZooError
from zoo.models import naming
from zoo.registry import paths
from zoo.storage.config import ComponentConfig, ModelConfig, check_instrument
from zoo.storage.locks import hold_name
from zoo.storage.store import check_free


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
        PluginError: The plugin that brings it is broken.
    """
    registered, named = naming.parse_name(name)
    if named and instrument and named != instrument:
        raise ConfigError(f"{name!r} names the instrument {named}, and instrument={instrument!r} another.")
    wanted = named or instrument
    if wanted is not None:
        check_instrument(wanted, "The instrument")
    config = _config_of_preset(registered, wanted)
    if config.architecture != registered and wanted is not None and config.instrument != wanted:
        raise ConfigError(
            f"{registered!r} is short for {config.name}, which does not play {wanted}; take "
            f"{config.architecture}-{wanted}."
        )
    return config.with_changes(instrument=wanted or config.instrument)


def _config_of_preset(name: str, instrument: str | None) -> ModelConfig:
    """What a preset gives; one that gives no config is a plugin's that is broken.

    Raises:
        PluginError: It cannot be called, fails, or gives something else than a config.
    """
    preset: Any = registry.models.get(name)
    try:
        takes_instrument = "instrument" in inspect.signature(preset).parameters
        config = preset(instrument=instrument) if takes_instrument else preset()
    except (ZooError, KeyboardInterrupt):  # what it refuses, it says
        raise
    except BaseException as error:  # whatever else a plugin raises, it is the plugin that is broken
        fault = f"fails: {type(error).__name__}: {registry.message_of(error).rstrip('.')}"
        raise registry.models.broken(name, fault) from error
    if not isinstance(config, ModelConfig):
        raise registry.models.broken(name, f"gives {type(config).__name__}, and must give a zoo.models.ModelConfig")
    if not all(isinstance(part, ComponentConfig) for part in (config.decoder, config.synth)):
        raise registry.models.broken(name, "gives a config whose decoder or synth is no zoo.models.ComponentConfig")
    if not isinstance(config.architecture, str) or not isinstance(config.instrument, str | None):
        raise registry.models.broken(name, "gives a config whose architecture or instrument is no text")
    return config


def other_names(name: str) -> list[str]:
    """Other names of the same trained model: the one that a short name stands for, and short ones of it.

    Raises:
        ModelNotFoundError: The name begins with no architecture.
    """
    means = config_of(name).name
    brought_by = registry.models.entry(naming.parse_name(name)[0]).distribution
    siblings = [n for n in registry.models.names() if registry.models.entry(n).distribution == brought_by]
    # a short name begins as what it is short for, so that no other architecture is asked
    found = [means, *(n for n in siblings if n.startswith(means.split("-")[0]) and _means(n) == means)]
    return [other for other in dict.fromkeys(found) if other != name]


def _means(name: str) -> str | None:
    try:
        return config_of(name).name
    except ZooError:  # a sibling that is broken is no name of this one
        return None


def check_name(name: str, *, config: ModelConfig, force: bool) -> None:
    """Make sure that a model may enter the local store under a name, before hours are spent on it.

    Raises:
        ConfigError: The name is of another architecture or of none, or taken.
    """
    check_path_name(name, "--name", fix="Call it architecture-instrument, e.g. gru-L-flute.")
    try:
        meant = config_of(name)
    except ModelNotFoundError:  # it begins with no architecture
        meant = None
    own = config.instrument is not None and name == config.name
    if meant is None or meant.architecture != config.architecture or not (meant.instrument is not None or own):
        raise ConfigError(
            f"--name {name}: a name in your store is ARCHITECTURE-INSTRUMENT, for example "
            f"{config.architecture}-{config.instrument or 'violin'}. This model is a {config.architecture}; call it "
            f"{config.architecture}-INSTRUMENT."
        )
    check_free(name, force=force)


@contextmanager
def reserved(name: str, *, config: ModelConfig, force: bool, doing: str) -> Iterator[None]:
    """As `check_name`; and nobody else enters a model under that name until the block ends.

    Args:
        name: In the local store.
        config: Of the model.
        force: Whether a model of that name may be replaced.
        doing: What others are told who want the same name: "training gru-S-flute".

    Raises:
        ConfigError: The name is of another architecture, or taken.
        InUseError: Another process is making a model of that name.
    """
    check_name(name, config=config, force=force)
    with hold_name(paths.store_folder() / name, doing=doing, advice="take another --name"):
        check_free(name, force=force)
        yield


def no_weights(name: str, known: list[str]) -> ModelNotFoundError:
    """What is said of a name that no trained model has: what is here instead, and what would make one.

    Args:
        name: That was asked for.
        known: Trained models that are here.
    """
    naming.parse_name(name, also=known)  # a name that is none is told with near matches
    config = config_of(name)
    trained = sorted(other for other in set(known) if other.startswith(f"{config.architecture}-"))
    there = f" Trained ones here: {', '.join(trained)}." if trained else ""
    if not paths.has_shipped_models():
        there += (
            " The trained models of this project come in a package that is not installed here: "
            f"pip install {registry.MODELS_DISTRIBUTION}. From a checkout: pip install ./model_cards."
        )
    if config.instrument is None:
        return ModelNotFoundError(
            f"{name} is an architecture, without trained weights.{there} Build it untrained with zoo.create({name!r}), "
            f"or train it: {_training_command(config.with_changes(instrument='flute'))}"
        )
    return ModelNotFoundError(
        f"There are no trained weights for {name} here.{there} Look on the Hub: zoo list --hub '*{name}*'. "
        f"Or train it: {_training_command(config)}"
    )


def _training_command(config: ModelConfig) -> str:
    """What trains a model, and enters it into the store under its name."""
    recipe = f"train/{config.architecture}.gin"
    if not any((folder / recipe).is_file() for folder in paths.gin_folders()):
        recipe = f"train/default.gin --set \"train.model='{config.architecture}'\""
    return (
        f"zoo train --gin {recipe} --set \"INSTRUMENT='{config.instrument}'\" --set \"DATASET='FOLDER'\" "
        f"--name {config.name}"
    )
