"""Beginning with what a trained model knows: its network, or its reverb."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from zoo import resolve
from zoo.errors import ConfigError, listing
from zoo.models.loading import load_folder
from zoo.models.model import Model
from zoo.storage.checkpoint import weights_hash
from zoo.synths.reverb import Reverb

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
    found: resolve.ResolvedModel
    hash: str

    def lineage(self) -> dict[str, Any]:
        """What config.json says of it."""
        return self.found.record(self.model.config, self.hash)


def find_start(reference: str, student: Model) -> Start:
    """Find a trained model to begin with, and check that its network fits.

    It may play another instrument.

    Args:
        reference: A folder, a name, or a Hub id; `{instrument}` in it is filled in.
        student: What is to begin with its network.

    Raises:
        ModelNotFoundError: There is no such model, or it has no trained weights.
        ConfigError: It has another network, or other rates.
    """
    found = resolve.find(reference.replace("{instrument}", student.config.instrument or ""))
    model = load_folder(found.folder)
    own, its = _network(student), _network(model)
    if own != its:
        differing = listing([key for key in {**own, **its} if own.get(key) != its.get(key)])
        raise ConfigError(
            f"{student.name} cannot begin with the network of {reference}, a {model.config.architecture}, which is "
            f"built otherwise (in {differing[:200]}). Take a model of the same architecture, options and rates."
        )
    return Start(model, found, weights_hash(model))


def _network(model: Model) -> dict[str, object]:
    """What must be the same for a network's weights to fit and to mean the same; dropout need not, nor the synth."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.decoder.state_dict().items()}
    return {"decoder": model.config.decoder.name, "sample_rate": model.sample_rate, "hop": model.hop, **shapes}


def begin_with(student: Model, start: Start) -> None:
    """Give a model the network of another one.

    The synth begins anew: its reverb is the room of the other recordings, and has to be unlearned before the right one
    is learned.
    """
    student.decoder.load_state_dict(start.model.decoder.state_dict())
    _log.info("begins with the network of %s (%s)", start.model.name, start.found)


def find_reverbs(student: Model, teacher: Model) -> tuple[Reverb, Reverb]:
    """The reverbs of both synths, which may be of different kinds and lengths.

    Raises:
        ConfigError: One of the two has none.
    """
    found = []
    for model in (student, teacher):
        reverb = model.synth.reverb
        if reverb is None:
            raise ConfigError(
                f"{student.name} cannot begin with the reverb of {teacher.name}: the synth of {model.name} has none. "
                "Leave out distill.teacher_reverb."
            )
        found.append(reverb)
    return found[0], found[1]


def begin_with_reverb(own: Reverb, its: Reverb) -> None:
    """Give a student the teacher's reverb, as far as it reaches; it is trained on from there."""
    own.begin_as(its)
    _log.info("begins with the teacher's reverb (%d of %d taps)", min(len(own.noise), len(its.noise)), len(its.noise))
