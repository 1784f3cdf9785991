"""Whether a model can be played from a dataset: its loudness must be the one that the model was trained with."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zoo.errors import ConfigError
from zoo.features import FeatureSettings
from zoo.models.model import Model

if TYPE_CHECKING:
    from zoo.datasets import Dataset

_log = logging.getLogger(__name__)


def check_same_loudness(model: Model, dataset: Dataset, *, what: str = "The model") -> None:
    """Make sure that a dataset's loudness means to a model what it was trained with.

    The numbers of two kinds of loudness differ by tens of dB on one sound: a model that is given the other kind plays
    far too loud or too soft, and nothing else would show it. Another normalisation is told as a warning.

    Args:
        model: What is to be played.
        dataset: What it is to be played from.
        what: How the message begins.

    Raises:
        ConfigError: They have different kinds of loudness, or the same with other options.
    """
    expected, actual = FeatureSettings.from_dict(model.config.features), dataset.features
    if (expected.loudness, expected.loudness_options) != (actual.loudness, actual.loudness_options):
        options = expected.loudness_options
        more = f' --set "prepare.loudness_options={options!r}"' if options or actual.loudness_options else ""
        raise ConfigError(
            f"{what} {model.name} was trained with the loudness {_words(expected)}, and the dataset {dataset.path} has "
            f"{_words(actual)}: on one sound their numbers differ by tens of dB. Prepare the recordings as this model "
            f"hears them: python -m zoo.prepare RECORDINGS OUT --loudness {expected.loudness} "
            f"--normalize {expected.normalize}{more}"
        )
    if expected.normalize != actual.normalize:
        _log.warning(
            "%s %s was trained on recordings normalised by %s, and %s is by %s: levels differ.",
            what,
            model.name,
            expected.normalize,
            dataset.path,
            actual.normalize,
        )


def _words(settings: FeatureSettings) -> str:
    options = ", ".join(f"{name}={value}" for name, value in settings.loudness_options.items())
    return f"{settings.loudness} ({options})" if options else settings.loudness
