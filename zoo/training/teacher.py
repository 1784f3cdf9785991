"""Trained models that a run needs: the frozen teacher, and those whose network or reverb a student begins with.

Requirements that the teacher meets:

- found and checked before anything is computed: trained weights, the same rates, the same instrument;
- in eval mode, without gradients, in neither the optimizer nor the checkpoint: it is no part of the module tree;
- evaluated once a segment, not once a step, and not at all where an earlier run did that (`teacher_cache.py`);
- its noise changes from epoch to epoch, since a single one would become a target of its own;
- what it gives depends on the segment and the epoch alone: not on where a run was interrupted, nor on the cache.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from zoo import resolve
from zoo.errors import ConfigError, listing
from zoo.features import FeatureSettings
from zoo.models.loading import load_folder
from zoo.models.model import Model
from zoo.models.rendering import Rendering
from zoo.storage.checkpoint import weights_hash
from zoo.training.batches import Batch, fixed_noise
from zoo.training.teacher_cache import Part, TeacherCache, noise_seeds_of, open_cache

if TYPE_CHECKING:
    from zoo.datasets import Dataset
    from zoo.training.config import RunConfig

_log = logging.getLogger(__name__)

NOISE_SEEDS = 4
"""Draws of its noise by default, taken in turns."""


class Teacher:
    """A trained model that a student learns from.

    Args:
        model: The model; it is frozen and put into eval mode.
        found: Where it was found.
        noise_seeds: How many renderings, each with other noise, training takes in turns.

    Attributes:
        cache: What is kept of it on disk, where `use_cache` found or made that.
    """

    def __init__(self, model: Model, *, found: resolve.ResolvedModel, noise_seeds: int = NOISE_SEEDS) -> None:
        self.model = model.eval().requires_grad_(False)
        self.found = found
        self.hash = weights_hash(model)
        self.noise_seeds = noise_seeds
        self.cache: TeacherCache | None = None

    def lineage(self) -> dict[str, Any]:
        """What a student's config.json says of its teacher, and of that one's own making."""
        return self.found.record(self.model.config, self.hash)

    def to(self, device: torch.device) -> None:
        """Move it to where the student is."""
        self.model.to(device)

    def use_cache(self, dataset: Dataset, parts: Sequence[Part], *, visits: int) -> None:
        """Read what it makes from disk, after computing there what is missing; say how much that was.

        Args:
            dataset: What `parts` are of.
            parts: What will be asked for.
            visits: How often a segment will be asked for in all. Where that is less than there are segments, nothing is
                computed: step by step is cheaper then.
        """
        opened = open_cache(self.model, self.hash, dataset, parts)
        if isinstance(opened, str):
            _log.warning("The teacher runs at every step, without a cache: %s.", opened)
            return
        _log.info("teacher cache: %d of %d segments (%s)", opened.present, opened.total, opened.folder.path)
        if not opened.complete and visits >= opened.total:
            try:
                opened.fill(self.model)
            except OSError as error:  # a full disk, for one: the run itself can do without
                _log.warning("The teacher's cache could not be completed: %s", error)
            else:
                _log.info("teacher cache: %d of %d segments", opened.present, opened.total)
        self.cache = opened

    def close(self) -> None:
        """Let other runs remove its cache where they need the room."""
        if self.cache is not None:
            self.cache.folder.release()
            self.cache = None

    @torch.no_grad()
    def render(self, batch: Batch, noise: Tensor | None = None) -> Rendering:
        """Render a batch by the network; noise is drawn anew unless given."""
        made: Rendering = self.model(batch["f0_hz"], batch["loudness_db"], noise, **self.model.further(batch))
        return made

    def give(self, batch: Batch, fields: Iterable[str], *, epoch: int | None = None) -> Rendering:
        """What losses or a listener need of its rendering of a batch, from the cache where it is there.

        Args:
            batch: Of the dataset's segments.
            fields: Which fields of the rendering; the others are empty.
            epoch: Decides which noise each segment gets; the first where None.
        """
        fields = frozenset(fields)
        indices = batch["index"].tolist()
        noise_seeds = [0] * len(indices) if epoch is None else noise_seeds_of(indices, epoch, self.noise_seeds)
        if self.cache is not None and self.cache.has(indices, fields):
            try:
                return self._read(self.cache, batch, fields, noise_seeds)
            except (SafetensorError, OSError) as error:
                _log.warning("The teacher's cache can no longer be read (%s): the teacher runs at every step.", error)
                self.close()
        noise = fixed_noise(batch, hop=self.model.hop, seed=noise_seeds)
        return self.render(batch, noise).only(fields)

    def _read(self, cache: TeacherCache, batch: Batch, fields: Iterable[str], noise_seeds: Sequence[int]) -> Rendering:
        device = batch["f0_hz"].device
        indices = batch["index"].tolist()
        found = {
            kind: {name: tensor.to(device) for name, tensor in cache.read(kind, indices, noise_seeds).items()}
            for kind in fields
        }
        none = torch.empty(len(indices), 0, device=device)
        return Rendering(
            audio=found.get("audio", {}).get("audio", none),
            dry=found.get("dry", {}).get("dry", none),
            harmonic=None,
            noise=None,
            controls=found.get("controls", {}),
            hidden=found.get("hidden", {}).get("hidden", none[..., None]),
            scaled_controls=found.get("scaled_controls", {}),
        )


def find_teacher(
    reference: str,
    *,
    dataset: Dataset,
    instrument: str,
    allow_other_instrument: bool = False,
    noise_seeds: int = NOISE_SEEDS,
) -> Teacher:
    """Find and load a teacher, and check that it can teach on this data.

    Args:
        reference: A folder, a name, or a Hub id; `{instrument}` in it is filled in.
        dataset: What it will be heard on.
        instrument: The student's.
        allow_other_instrument: Whether a teacher for another instrument will do.
        noise_seeds: See `Teacher`.

    Raises:
        ModelNotFoundError: There is no such model, or it has no trained weights.
        ConfigError: Its rates, its inputs, its loudness or its instrument are not the data's.
    """
    reference = reference.replace("{instrument}", instrument)
    found = resolve.find(reference)
    model = load_folder(found.folder)
    check_fits_data(model, dataset, what="The teacher")
    other = model.config.instrument
    if other != instrument and not allow_other_instrument:
        raise ConfigError(
            f"The teacher {reference} plays {other or 'no named instrument'}, and the data is {instrument}. Take "
            f'another teacher, or allow it: --set "distill.allow_other_instrument=True"'
        )
    return Teacher(model, found=found, noise_seeds=noise_seeds)


def check_fits_data(model: Model, dataset: Dataset, *, what: str = "The model") -> None:
    """Make sure that a dataset has a model's sample rate and hop, its further inputs, and its kind of loudness.

    Args:
        model: What is to be played.
        dataset: What it is to be played from.
        what: How the message begins.

    Raises:
        ConfigError: They have not.
    """
    if (model.sample_rate, model.hop) != (dataset.sample_rate, dataset.hop):
        raise ConfigError(
            f"{what} {model.name} makes {model.sample_rate} Hz audio with {model.hop} samples per frame, and the "
            f"dataset {dataset.path} has {dataset.sample_rate} Hz and {dataset.hop}. Prepare the recordings anew: "
            f"zoo prepare RECORDINGS OUT --sample-rate {model.sample_rate} --hop {model.hop}"
        )
    if missing := [name for name in model.decoder.further_inputs if name not in dataset.inputs]:
        raise ConfigError(
            f"{what} {model.name} is driven by {listing(missing)} too, and the dataset {dataset.path} has "
            f"{listing(dataset.inputs) if dataset.inputs else 'nothing'} beside pitch and loudness. Its recordings "
            "have to say it: see known_inputs of zoo.datasets.Recording."
        )
    _check_same_loudness(model, dataset, what)


def _check_same_loudness(model: Model, dataset: Dataset, what: str) -> None:
    """Make sure that a dataset's loudness means to a model what it was trained with.

    The numbers of two kinds of loudness differ by tens of dB on one sound: a model that is given the other kind plays
    far too loud or too soft, and nothing else would show it. Another normalisation is told as a warning.
    """
    expected, actual = FeatureSettings.from_dict(model.config.features), dataset.features
    if (expected.loudness, expected.loudness_options) != (actual.loudness, actual.loudness_options):
        options = expected.loudness_options
        more = f' --set "prepare.loudness_options={options!r}"' if options or actual.loudness_options else ""
        raise ConfigError(
            f"{what} {model.name} was trained with the loudness {_words(expected)}, and the dataset {dataset.path} has "
            f"{_words(actual)}: on one sound their numbers differ by tens of dB. Prepare the recordings as this model "
            f"hears them: zoo prepare RECORDINGS OUT --loudness {expected.loudness} "
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


@dataclass(frozen=True)
class _Origin:
    """A trained model of which a student gets a part.

    Attributes:
        model: The model,
        found: where it was found,
        hash: and the hash of its weights.
    """

    model: Model
    found: resolve.ResolvedModel
    hash: str

    @classmethod
    def find(cls, reference: str | Path | None, instrument: str | None) -> _Origin | None:
        """Find it; None where there is no reference."""
        if reference is None:
            return None
        found = resolve.find(str(reference).replace("{instrument}", instrument or ""))
        model = load_folder(found.folder)
        return cls(model, found, weights_hash(model))

    def record(self) -> dict[str, Any]:
        """What config.json says of it."""
        return self.found.record(self.model.config, self.hash)


@dataclass(frozen=True)
class Beginning:
    """What of trained models a student begins with, in place of random weights.

    Attributes:
        init_from: Of the same architecture: the student gets its network, and what a synth of the same kind learned.
            The reverb begins anew: it is the room of the other recordings, and has to be unlearned before the right one
            is learned.
        reverb_from: The student gets its reverb, as far as its own reaches.
    """

    init_from: _Origin | None
    reverb_from: _Origin | None

    @classmethod
    def find(cls, config: RunConfig, student: Model) -> Beginning:
        """Find them, and check that they fit.

        Raises:
            ModelNotFoundError: There is no such model, or it has no trained weights.
            ConfigError: It has another network, or other rates; one of two synths has no reverb.
        """
        instrument = student.config.instrument
        found = cls(_Origin.find(config.init_from, instrument), _Origin.find(config.reverb_from, instrument))
        if found.init_from is not None:
            own, its = _network(student), _network(found.init_from.model)
            if own != its:
                keys = sorted(key for key in {**own, **its} if own.get(key) != its.get(key))
                differing = listing(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
                raise ConfigError(
                    f"{student.name} cannot begin with the network of {config.init_from}, a "
                    f"{found.init_from.model.config.architecture}, which is built otherwise (in {differing}). "
                    "Take a model of the same architecture, options and rates."
                )
        if found.reverb_from is not None:
            for model in (student, found.reverb_from.model):
                if model.synth.reverb is None or model.sample_rate != student.sample_rate:
                    why = f"the synth of {model.name} has none" if model.synth.reverb is None else "their rates differ"
                    raise ConfigError(
                        f"{student.name} cannot begin with the reverb of {config.reverb_from}: {why}. "
                        "Leave out reverb_from."
                    )
        return found

    def identity(self) -> dict[str, str | None]:
        """What must be the same when the run is resumed."""
        parts = {"init_from": self.init_from, "reverb_from": self.reverb_from}
        return {name: None if origin is None else origin.hash for name, origin in parts.items()}

    def lineage(self, teacher: Teacher | None) -> dict[str, Any]:
        """What config.json says of them; the teacher is in it anyway."""
        known = {} if self.init_from is None else {"start": self.init_from.record()}
        if self.reverb_from is not None and (teacher is None or self.reverb_from.hash != teacher.hash):
            known["reverb"] = self.reverb_from.record()
        return known

    def give(self, student: Model) -> None:
        """Give them to the student."""
        if self.init_from is not None:
            model = self.init_from.model
            student.decoder.load_state_dict(model.decoder.state_dict())
            if student.config.synth.name == model.config.synth.name:
                sounds, others = student.synth.state_dict(), model.synth.state_dict()
                # such as wavetables, without which the network's weights for them mean nothing
                learned = {part: value for part, value in others.items() if not part.startswith("reverb.")}
                if all(part in sounds and sounds[part].shape == value.shape for part, value in learned.items()):
                    student.synth.load_state_dict(learned, strict=False)
            _log.info("begins with the network of %s (%s)", model.name, self.init_from.found)
        if self.reverb_from is not None:
            own, its = student.synth.reverb, self.reverb_from.model.synth.reverb
            if own is not None and its is not None:  # `find` saw to it
                own.begin_as(its)
                taps = min(len(own.noise), len(its.noise))
                _log.info(
                    "begins with the reverb of %s (%d of %d taps)", self.reverb_from.model.name, taps, len(its.noise)
                )


def _network(model: Model) -> dict[str, object]:
    """What must be the same for a network's weights to fit and to mean the same; dropout need not, nor the synth."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.decoder.state_dict().items()}
    return {"decoder": model.config.decoder.name, "sample_rate": model.sample_rate, "hop": model.hop, **shapes}
