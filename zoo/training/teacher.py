"""The frozen teacher.

Requirements it meets:

- found and checked before anything is computed: trained weights, the same rates, the same instrument;
- in eval mode, without gradients, in neither the optimizer nor the checkpoint: it is no part of the module tree;
- its network is evaluated once a segment, not once a step: segments are fixed, so its controls are a pure function of
  the segment. Its noise is drawn anew at every step, since a stored draw would become a target of its own;
- what it gives does not depend on where a run was interrupted: the network always sees the segments in the same groups.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from zoo import hub
from zoo.checkpoint import load_folder, weights_hash
from zoo.errors import ConfigError
from zoo.features import scale_f0, scale_loudness
from zoo.model import Model, Rendering
from zoo.training.batches import Batch, in_order

if TYPE_CHECKING:
    from zoo.datasets import Dataset as PreparedDataset

_log = logging.getLogger(__name__)

CACHE_BYTES = 2 * 2**30
"""Most memory that stored controls may take; beyond it the teacher is evaluated at every step."""


@dataclass
class _Stored:
    controls: dict[str, Tensor]
    hidden: Tensor
    row: dict[int, int]


class Teacher:
    """A trained model that a student learns from.

    Args:
        model: The model; it is frozen and put into eval mode.
        found: Where it was found.
    """

    def __init__(self, model: Model, *, found: hub.Found) -> None:
        self.model = model.eval().requires_grad_(False)
        self.found = found
        self.hash = weights_hash(model)
        self._stored: _Stored | None = None

    def lineage(self) -> dict[str, Any]:
        """What a student's config.json says of its teacher, and of that one's own making.

        `id` is what finds it again: with `commit` a Hub repo, else a name; a mere folder is under `path`, which stays
        on this machine.
        """
        found = self.found
        known: dict[str, Any] = {"id": found.repo_id or found.reference.name or self.model.name}
        if found.repo_id:
            known["commit"] = found.commit
        elif found.source == "folder":
            known["path"] = str(found.folder.resolve())
        known |= {"name": self.model.name, "weights": self.hash}
        if self.model.config.lineage:
            known["lineage"] = self.model.config.lineage
        return known

    def to(self, device: torch.device) -> None:
        """Move it to where the student is."""
        self.model.to(device)

    @torch.no_grad()
    def store(self, splits: Iterable[Dataset[Batch]], *, batch_size: int, hidden: bool) -> bool:
        """Evaluate the network for all segments, once; whether that was possible.

        Args:
            splits: The segments that will be asked for.
            batch_size: Segments a group.
            hidden: Whether a loss needs the hidden features too.
        """
        device = next(self.model.parameters()).device
        kept: list[tuple[dict[str, Tensor], Tensor]] = []
        row: dict[int, int] = {}
        size = 0
        for split in splits:
            for batch in in_order(split, batch_size=batch_size):
                scaled = scale_f0(batch["f0_hz"].to(device)), scale_loudness(batch["loudness_db"].to(device))
                controls, features = self.model.decoder(*scaled)
                if not hidden:
                    features = features[..., :0]
                kept.append(({name: value.cpu() for name, value in controls.items()}, features.cpu()))
                size += sum(t.numel() * t.element_size() for t in (*controls.values(), features))
                if size > CACHE_BYTES:
                    _log.info("The teacher's controls for all segments take too much memory: it runs at every step.")
                    return False
                for index in batch["index"].tolist():
                    row[index] = len(row)
        if kept:
            controls = {name: torch.cat([c[name] for c, _ in kept]) for name in kept[0][0]}
            self._stored = _Stored(controls, torch.cat([h for _, h in kept]), row)
        return True

    @torch.no_grad()
    def render(self, batch: Batch, noise: Tensor | None = None) -> Rendering:
        """Render a batch, from stored controls where there are any; noise is drawn anew unless given."""
        f0_hz = batch["f0_hz"]
        indices = batch["index"].tolist()
        stored = self._stored
        if stored is None or any(index not in stored.row for index in indices):
            made: Rendering = self.model(f0_hz, batch["loudness_db"], noise)
            return made
        rows = torch.tensor([stored.row[index] for index in indices])
        controls = {name: value[rows].to(f0_hz.device) for name, value in stored.controls.items()}
        played = self.model.synth(f0_hz, controls, noise)
        hidden = stored.hidden[rows].to(f0_hz.device)
        return Rendering(played.audio, played.dry, played.harmonic, played.noise, controls, hidden)


def trimmed(rendering: Rendering, needs: Iterable[str]) -> Rendering:
    """A rendering with only what losses need, to be kept."""
    needs = set(needs)
    return replace(
        rendering,
        harmonic=None,
        noise=None,
        controls=rendering.controls if "controls" in needs else {},
        hidden=rendering.hidden if "hidden" in needs else rendering.hidden[..., :0],
    )


def find_teacher(
    reference: str, *, dataset: PreparedDataset, instrument: str, allow_other_instrument: bool = False
) -> Teacher:
    """Find and load a teacher, and check that it can teach on this data.

    Args:
        reference: A folder, a name, or a Hub id; `{instrument}` in it is filled in.
        dataset: What it will be heard on.
        instrument: The student's.
        allow_other_instrument: Whether a teacher for another instrument will do.

    Raises:
        ModelNotFoundError: There is no such model, or it has no trained weights.
        ConfigError: Its rates or its instrument are not the data's.
    """
    reference = reference.replace("{instrument}", instrument)
    found = hub.find(reference)
    model = load_folder(found.folder)
    if (model.sample_rate, model.hop) != (dataset.sample_rate, dataset.hop):
        raise ConfigError(
            f"The teacher {reference} makes {model.sample_rate} Hz audio with {model.hop} samples a frame, and the "
            f"dataset {dataset.path} has {dataset.sample_rate} Hz and {dataset.hop}. Prepare the recordings anew: "
            f"python -m zoo.prepare RECORDINGS OUT --sample-rate {model.sample_rate} --hop {model.hop}"
        )
    other = model.config.instrument
    if other != instrument and not allow_other_instrument:
        raise ConfigError(
            f"The teacher {reference} plays {other or 'no named instrument'}, and the data is {instrument}. Take "
            f'another teacher, or allow it: --set "distill.allow_other_instrument=True"'
        )
    return Teacher(model, found=found)
