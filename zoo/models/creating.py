"""Building an untrained model by the name of its architecture, with options in place of the preset's."""

from __future__ import annotations

from typing import Any

from zoo.checks import limits
from zoo.checks.build_guard import BuildGuard
from zoo.features import FeatureSettings
from zoo.models import architectures
from zoo.models.builder import with_options
from zoo.models.model import Model
from zoo.storage.config import ModelConfig

_MOST_VALUES = 2**28
_MOST_TENSORS = 100_000
"""What `create` builds at most: a thousand times the largest of the thesis's models."""


def create(
    name: str | ModelConfig,
    *,
    instrument: str | None = None,
    **options: Any,  # noqa: ANN401 - a component's own
) -> Model:
    """Build an untrained model.

    Example:
        >>> zoo.create("gru-S", instrument="flute", hidden_size=48).name
        'gru-S-flute'

    Args:
        name: An architecture, e.g. "gru-S"; or with an instrument, "gru-S-flute"; or a config.
        instrument: What it is to play.
        **options: Options of the decoder, the synth, or `sample_rate`, `hop` and `features`, in place of the preset's.
            `features` is a `FeatureSettings`, or its `to_dict()` as config.json and dataset.json hold it.

    Raises:
        ModelNotFoundError: There is no such architecture.
        ConfigError: An option is unknown, or its value does not fit.
    """
    if isinstance(name, ModelConfig):
        config = name if instrument is None else name.with_changes(instrument=instrument)
    else:
        config = architectures.config_of(name, instrument=instrument)
    for key in ("sample_rate", "hop"):
        if key in options:
            config = config.with_changes(**{key: options.pop(key)})
    features = options.pop("features", None) or config.features or FeatureSettings()  # a new model has today's defaults
    config = config.with_changes(features=features.to_dict() if isinstance(features, FeatureSettings) else features)
    config = with_options(config, options)
    limits.check_rates(config.sample_rate, config.hop, where=config.name)
    for part, chosen in (("decoder", config.decoder), ("synth", config.synth)):
        limits.check_arguments(
            chosen.args, part=f"{part} {chosen.name}", values=_MOST_VALUES, holds=f"{_MOST_VALUES:,} is the most"
        )
    with BuildGuard(values=_MOST_VALUES, tensors=_MOST_TENSORS, patient=True):
        return Model(config)
