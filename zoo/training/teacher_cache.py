"""What a teacher makes of a dataset, computed once and kept on disk.

Requirements it meets:

- a segment is fixed, so what a teacher makes of it is a pure function of its weights, the segment and the noise: the
  cache is found by a hash of all that decides on it, and every run of this machine with the same teacher and data reads
  the same one;
- it holds what losses need, and no more; another loss adds what is missing;
- its noise is no fixed target: of what holds noise there are several renderings, taken in turns;
- it changes nothing but time: what is read is what the teacher would compute, to rounding. So all is kept in float32:
  float16 changes the distance between sounds by up to 1e-3 of it, and that of features that vary little as much;
- it goes on where a killed process left it, processes divide the work, and a damaged part is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.models.model import Model
from zoo.registry.paths import cache_home
from zoo.storage.cache_folder import CacheFolder
from zoo.storage.checkpoint import requirements
from zoo.storage.files import write_atomically
from zoo.storage.locks import is_locked, locked
from zoo.storage.tensor_shards import Shard, find_shard, write_shard
from zoo.training.batches import Batch, fixed_noise

if TYPE_CHECKING:
    from zoo.datasets import Dataset

_log = logging.getLogger(__name__)

FORMAT = 2
"""Another number where the same teacher and data give other content than before."""

ROWS = 32
"""Segments in a shard: some 30 MB of audio in four renderings."""

_BATCH = 16
_NOISY = ("audio", "dry")
_SAY_EVERY = 30.0


@dataclass(frozen=True)
class Part:
    """What is wanted of some segments.

    Attributes:
        split: Their split's name; of segments drawn from a split a name that no other drawing has.
        segments: The whole split, or what was drawn.
        positions: Which of it.
        fields: Fields of a rendering: of `zoo.losses.distillation.NEEDS`.
        noise_seeds: How many renderings, each with other noise.
    """

    split: str
    segments: torch.utils.data.Dataset[Batch]
    positions: Sequence[int]
    fields: frozenset[str]
    noise_seeds: int


@dataclass
class TeacherCache:
    """The cache of one teacher on one dataset.

    Args:
        folder: Where it lies.
        parts: What is wanted of it.
    """

    folder: CacheFolder
    parts: Sequence[Part]
    _shards: dict[tuple[str, int, str], Shard] = field(default_factory=dict)  # by split, number and field
    _places: dict[tuple[str, int], tuple[Shard, int]] = field(default_factory=dict)  # by field and segment

    @property
    def total(self) -> int:
        """Segments that are wanted."""
        return len(self._wanted())

    @property
    def present(self) -> int:
        """Segments of which everything that is wanted is there."""
        return sum(
            all((split, position // ROWS, name) in self._shards for name in names)
            for (split, position), names in self._wanted().items()
        )

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.present == self.total

    def _wanted(self) -> dict[tuple[str, int], set[str]]:
        wanted: dict[tuple[str, int], set[str]] = {}
        for part in self.parts:
            names = {_folder_of(name, part.noise_seeds) for name in part.fields}
            for position in part.positions:
                wanted.setdefault((part.split, position), set()).update(names)
        return wanted

    def look(self) -> None:
        """Find out what is there already; every byte of it is checked."""
        for split, number, name in self._pieces():
            if (split, number, name) not in self._shards:
                shard = find_shard(self.folder.path / name, _shard_name(split, number))
                if shard is not None:
                    self._add(split, number, name, shard)

    def _pieces(self) -> Iterator[tuple[str, int, str]]:
        pieces = {
            (split, position // ROWS, name) for (split, position), names in self._wanted().items() for name in names
        }
        yield from sorted(pieces)

    def _add(self, split: str, number: int, name: str, shard: Shard) -> None:
        self._shards[split, number, name] = shard
        kind, _, noise_seeds = name.partition("-")
        for index, row in shard.rows.items():
            # A segment may be there in one rendering and in several (without a validation split): the most count.
            known = self._places.get((kind, index))
            if known is None or _renderings_of(known[0], kind) < int(noise_seeds or 1):
                self._places[kind, index] = shard, row

    def fill(self, model: Model) -> None:
        """Compute what is missing; several processes, and machines that share the folder, divide the work.

        Args:
            model: The teacher, in eval mode.

        Raises:
            OSError: The disk is full, or cannot be written to.
        """
        missing: dict[tuple[str, int], list[str]] = {}
        for split, number, name in self._pieces():
            if (split, number, name) not in self._shards:
                missing.setdefault((split, number), []).append(name)
        # What another process is making is left to the end: then it is there, and both have worked all the time.
        left: dict[tuple[str, int], list[str]] = {}
        said = time.monotonic()
        for piece, names in chain(missing.items(), left.items()):
            if piece not in left and is_locked(self.folder.path / _shard_name(*piece)):
                left[piece] = names
                continue
            self._fill(model, *piece, names)
            if time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                _log.info("teacher cache: %d of %d segments so far", self.present, self.total)

    def _fill(self, model: Model, split: str, number: int, names: Sequence[str]) -> None:
        with locked(self.folder.path / _shard_name(split, number)):
            self.look_again(split, number, names)
            left = [name for name in names if (split, number, name) not in self._shards]
            if left:
                self._make(model, split, number, left)

    def look_again(self, split: str, number: int, names: Sequence[str]) -> None:
        """Look for pieces that were missing."""
        for name in names:
            shard = find_shard(self.folder.path / name, _shard_name(split, number))
            if shard is not None:
                self._add(split, number, name, shard)

    @torch.no_grad()
    def _make(self, model: Model, split: str, number: int, names: Sequence[str]) -> None:
        segments = next(part.segments for part in self.parts if part.split == split)
        count = len(segments)  # type: ignore[arg-type]  # torch's Dataset declares no length; ours has one
        positions = range(number * ROWS, min((number + 1) * ROWS, count))
        made: dict[str, dict[str, list[Tensor]]] = {name: {} for name in names}
        indices: list[int] = []
        for first in range(0, len(positions), _BATCH):
            chosen = positions[first : first + _BATCH]
            batch = torch.utils.data.default_collate([segments[position] for position in chosen])
            indices += batch["index"].tolist()
            for name, tensors in compute_fields(model, batch, names).items():
                for key, tensor in tensors.items():
                    made[name].setdefault(key, []).append(tensor)
        for name, lists in made.items():
            tensors = {key: _joined(pieces) for key, pieces in lists.items()}
            shard = write_shard(self.folder.path / name, _shard_name(split, number), tensors, indices)
            self._add(split, number, name, shard)

    def has(self, indices: Sequence[int], fields: frozenset[str]) -> bool:
        """Whether fields of segments are there."""
        return all((kind, index) in self._places for kind in fields for index in indices)

    def read(self, kind: str, indices: Sequence[int], noise_seeds: Sequence[int]) -> dict[str, Tensor]:
        """A field of some segments.

        Args:
            kind: The field.
            indices: Of the segments.
            noise_seeds: Which noise of each, where the field holds noise.

        Returns:
            The field's tensors by name, each `[segments, ...]`; one named as the field itself where it is one tensor.

        Raises:
            SafetensorError: A file was changed meanwhile.
            KeyError: It is not there.
        """
        rows: dict[str, list[Tensor]] = {}
        for index, noise_seed in zip(indices, noise_seeds, strict=True):
            shard, row = self._places[kind, index]
            for name in shard.shapes:
                place = (row, noise_seed % shard.shapes[name][1]) if kind in _NOISY else (row,)
                rows.setdefault(name, []).append(shard.read(name, *place))
        return {name: torch.stack(tensors) for name, tensors in rows.items()}

    def size(self, model: Model, dataset: Dataset) -> int:
        """Bytes that all that is wanted takes, at most."""
        frames = dataset.segment_frames
        controls = 4 * frames * sum(model.synth.control_sizes.values())
        each = {
            "controls": controls,
            "scaled_controls": controls,
            "hidden": 4 * frames * model.decoder.hidden_size,
            "audio": 4 * frames * dataset.hop,
            "dry": 4 * frames * dataset.hop,
        }
        total = 0
        for split, number, name in self._pieces():
            count = len(next(part.segments for part in self.parts if part.split == split))  # type: ignore[arg-type]
            kind, _, noise_seeds = name.partition("-")
            total += (min((number + 1) * ROWS, count) - number * ROWS) * each[kind] * int(noise_seeds or 1)
        return total


def open_cache(model: Model, weights: str, dataset: Dataset, parts: Sequence[Part]) -> TeacherCache | str:
    """Open the cache of a teacher on a dataset, with what is there of it.

    Args:
        model: The teacher.
        weights: Hash of its weights.
        dataset: The data.
        parts: What is wanted.

    Returns:
        The cache; or, in words, why there can be none.
    """
    definition = {
        "format": FORMAT,
        "teacher": model.name,
        "weights": weights,
        "build": model.config.build_arguments(),
        **({} if model.config.range is None else {"range": model.config.range.to_dict()}),
        "packages": requirements(model.config),
        "dataset": dataset.hash,
    }
    text = json.dumps(definition, indent=2, sort_keys=True)
    key = f"{model.name}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"
    folder = CacheFolder(cache_home() / "teachers", key)
    cache = TeacherCache(folder, parts)
    try:
        folder.hold()
        reason = folder.make_room(cache.size(model, dataset))
        if reason is None:
            write_atomically(folder.path / "cache.json", text + "\n")
            cache.look()
            return cache
    except OSError as error:
        reason = str(error)
    folder.release()
    return reason


def compute_fields(model: Model, batch: Batch, names: Sequence[str]) -> dict[str, dict[str, Tensor]]:
    """What a teacher makes of a batch, as it is stored.

    Args:
        model: The teacher.
        batch: Of segments.
        names: Fields; those that hold noise with their number of noises, e.g. "audio-4".

    Returns:
        For each field its tensors `[batch, ...]`, on the CPU; audio is `[batch, noise_seeds, samples]`, or with one
        where the synth uses no noise.
    """
    device = next(model.parameters()).device
    f0_hz, loudness_db = batch["f0_hz"].to(device), batch["loudness_db"].to(device)
    controls, hidden = model.decode(f0_hz, loudness_db, **model.further(batch))
    kinds = {name: name.partition("-")[0] for name in names}
    noise_seeds = max((int(name.partition("-")[2]) for name, kind in kinds.items() if kind in _NOISY), default=0)
    if "scaled_controls" in kinds.values():
        noise_seeds = max(noise_seeds, 1)
    played = []
    for noise_seed in range(noise_seeds):
        played.append(model.synth(f0_hz, controls, fixed_noise(batch, hop=model.hop, seed=noise_seed).to(device)))
        if noise_seed == 1 and torch.equal(played[0].dry, played[1].dry):  # noise changes nothing
            played = played[:1]
            break
    found: dict[str, dict[str, Tensor]] = {}
    for name, kind in kinds.items():
        if kind in _NOISY:
            wanted = int(name.partition("-")[2])
            found[name] = {kind: torch.stack([getattr(p, kind) for p in played[:wanted]], dim=1).float()}
        elif kind == "hidden":
            found[name] = {kind: hidden.float()}
        else:
            found[name] = dict(played[0].scaled_controls if kind == "scaled_controls" else controls)
    return {name: {key: tensor.cpu() for key, tensor in tensors.items()} for name, tensors in found.items()}


def noise_seeds_of(indices: Sequence[int], epoch: int, noise_seeds: int) -> list[int]:
    """Which noise each segment gets in an epoch: another one than in the epoch before.

    Args:
        indices: Of the segments.
        epoch: Epochs done.
        noise_seeds: How many there are.
    """
    return [(index + epoch) % noise_seeds for index in indices]


def _joined(pieces: list[Tensor]) -> Tensor:
    # A batch whose audio is the same with any noise has one; where others have several, it gets as many.
    if pieces[0].ndim < 3:
        return torch.cat(pieces)
    most = max(piece.shape[1] for piece in pieces)
    return torch.cat([piece if piece.shape[1] == most else piece.expand(-1, most, -1) for piece in pieces])


def _folder_of(name: str, noise_seeds: int) -> str:
    return f"{name}-{noise_seeds}" if name in _NOISY else name


def _shard_name(split: str, number: int) -> str:
    return f"{split}-{number:05d}"


def _renderings_of(shard: Shard, kind: str) -> int:
    return shard.shapes[kind][1] if kind in _NOISY else 1
