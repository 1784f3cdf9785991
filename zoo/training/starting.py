"""Beginning with the weights of a trained model: an instrument with few recordings learns from one with more."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from zoo import hub
from zoo.checkpoint import load_folder, weights_hash
from zoo.errors import ConfigError
from zoo.model import Model

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Where a model's first weights come from.

    Attributes:
        model: The trained model.
        found: Where it was found.
        hash: Of its weights.
    """

    model: Model
    found: hub.Found
    hash: str

    def lineage(self) -> dict[str, Any]:
        """What config.json says of it."""
        return self.found.record(self.model.config, self.hash)


def find_start(reference: str, student: Model) -> Start:
    """Find a trained model to begin with, and check that its weights fit.

    It may play another instrument.

    Args:
        reference: A folder, a name, or a Hub id; `{instrument}` in it is filled in.
        student: What is to begin with its weights.

    Raises:
        ModelNotFoundError: There is no such model, or it has no trained weights.
        ConfigError: It is built otherwise.
    """
    found = hub.find(reference.replace("{instrument}", student.config.instrument or ""))
    model = load_folder(found.folder)
    own, its = student.config.build_arguments(), model.config.build_arguments()
    if own != its:
        differing = ", ".join(key for key in own if own[key] != its[key])
        raise ConfigError(
            f"{student.name} cannot begin with the weights of {reference}, which is built otherwise ({differing}): "
            f"{model.config.architecture} with {its}, and this is {student.config.architecture} with {own}. Take a "
            "model of the same architecture and options."
        )
    return Start(model, found, weights_hash(model))


def begin_with(student: Model, start: Start) -> None:
    """Give a model the network of another one.

    The synth begins anew: its reverb is the room of the other recordings, and has to be unlearned before the right one
    is learned.
    """
    student.decoder.load_state_dict(start.model.decoder.state_dict())
    _log.info("begins with the network of %s (%s)", start.model.name, start.found)
