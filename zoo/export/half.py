"""Copying what of a run is for others, with its weights in half precision: a folder that a package can ship.

Requirements it meets:

- what is written plays as the run does: both are rendered, and a difference that could be heard is refused;
- what is compared is the model as it loads from the new folder, not one that was rounded in memory;
- the folder is whole or not there, and holds no path of this machine;
- nothing is replaced but a model's own files, and that only when it is asked for.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from zoo import resolve
from zoo.cards import card_text
from zoo.cards.safe_yaml import read_card
from zoo.datasets import open_dataset
from zoo.errors import ConfigError, listing
from zoo.features.loudness import FLOOR_DB
from zoo.hub.client import HubClient
from zoo.hub.publishing import find_leak, public_files
from zoo.models.loading import load_folder
from zoo.models.model import Model
from zoo.registry import paths
from zoo.storage.checkpoint import save, weights_hash
from zoo.storage.config import ModelConfig
from zoo.storage.files import new_folder, write_atomically
from zoo.storage.lineage import COMPACTED, rounding_difference_db
from zoo.storage.locks import hold_name
from zoo.storage.reading import copy_run
from zoo.storage.run_files import CARD, CONFIG, RECORDING, WEIGHTS, is_export, published_files
from zoo.training.batches import Batch, in_order
from zoo.training.evaluation import play
from zoo.training.report import held_out
from zoo.training.teacher import check_fits_data

DTYPE = "float16"

_LEAST_DB = -200.0
"""Of sounds that are equal; JSON knows no infinity."""

_BATCH = 8

# The built-in phrases: each covers an octave at one of the levels, all of them what instruments play.
_LOWEST_HZ, _OCTAVES, _SECONDS = 55.0, 5, 4.0
_LEVELS_DB = (-50.0, -35.0, -20.0)


@dataclass(frozen=True)
class HalfCopy:
    """What was written.

    Attributes:
        folder: With the model.
        config: The model's.
        difference_db: Energy of the sound's difference over that of the sound.
        measured_on: What was played, for messages.
        bytes_before: Size of the weights' file in the run.
        bytes_after: In the new folder.
    """

    folder: Path
    config: ModelConfig
    difference_db: float
    measured_on: str
    bytes_before: int
    bytes_after: int


def halve(
    run: str | Path,
    out: str | Path,
    *,
    data: str | None = None,
    limit_db: float,
    samples: int | None = None,
    plots: bool = False,
    recordings: bool = False,
    force: bool = False,
) -> HalfCopy:
    """Copy what of a run is for others, with its weights stored as float16.

    Args:
        run: A run's folder, or a name.
        out: The folder to write; one in a package's `model_cards` is called what the model is called.
        data: A prepared dataset, on whose held-out segments both are played; built-in phrases by default.
        limit_db: The largest difference of the sound that is allowed.
        samples: Keep the sounds of the first so many phrases; all by default.
        plots: Keep the pictures.
        recordings: Keep the recordings that the model's sounds stand beside; they are somebody else's.
        force: Replace a model that is there.

    Raises:
        ConfigError: The difference is larger; the folder is taken; something would give away a path of this machine.
        CheckpointError: The run's files are damaged.
        InUseError: Another process copies into the same folder.
        ModelNotFoundError: There is no such run.
        DatasetError: There is no such data.
    """
    found = resolve.find(run)
    if found.source == "hub":
        raise ConfigError(f"{run} is on the Hub. Fetch it first: zoo fetch {run} --name NAME")
    out = Path(out).expanduser()
    advice = "give another folder"
    with hold_name(out, doing="halving the weights of a run", advice=advice), TemporaryDirectory() as place:
        load_folder(found.folder)  # what is wrong with it is told of the run, not of the copy
        copy = Path(place) / found.folder.resolve().name
        copy.mkdir()
        copy_run(found.folder, copy)  # one version, whatever else is saved there meanwhile
        options = _Options(data, limit_db, samples, plots, recordings, force)
        return _halve(run, found.folder, copy, out, options)


@dataclass(frozen=True)
class _Options:
    """What `halve` was asked for; see there."""

    data: str | None
    limit_db: float
    samples: int | None
    plots: bool
    recordings: bool
    force: bool


def _halve(run: str | Path, source: Path, copy: Path, out: Path, options: _Options) -> HalfCopy:
    data, limit_db, samples = options.data, options.limit_db, options.samples
    public = public_files(copy)
    check = partial(_check_target, out, source, public.config, force=options.force)
    check()
    original = load_folder(copy)
    segments, measured_on = _segments(original, data)
    chosen = _chosen(public.files, samples=samples, plots=options.plots, recordings=options.recordings)
    previous = read_card(out / CARD) if (out / CARD).exists() else ""
    with new_folder(out, check=check) as folder:
        for name in chosen:
            _put(public.files[name], folder / name)
        original.config = public.config
        save(original, folder, weights_dtype=DTYPE)
        rounded = load_folder(folder)
        difference = difference_db(original, rounded, segments)
        if difference > limit_db:
            raise ConfigError(
                f"Nothing was written: with weights of {DTYPE}, the sound of {original.name} differs by "
                f"{difference:.1f} dB (on {measured_on}), and the limit is {limit_db:g} dB. Allow more with "
                f"--limit-db {difference + 0.1:.1f}, or publish the run as it is: zoo push {run} org/name"
            )
        config = _recorded(rounded.config, original, difference)
        write_atomically(folder / CONFIG, config.to_json())
        write_atomically(folder / CARD, card_text(folder, other_cards=[previous]))
        if leak := find_leak(dict(published_files(folder)), HubClient()):
            raise ConfigError(f"Nothing was written: {leak}. Take it out of {source} and try again.")
    sizes = [(place / WEIGHTS).stat().st_size for place in (copy, out)]
    return HalfCopy(out, config, difference, measured_on, *sizes)


@torch.no_grad()
def difference_db(a: Model, b: Model, segments: torch.utils.data.Dataset[Batch]) -> float:
    """How much two models' sounds differ: energy of the difference over that of `a`'s sound, in dB, padding left out.

    Both get the same noise. It is the mean of the segments' ratios, so that soft ones count as much as loud ones.
    """
    ratios = []
    for batch in in_order(segments, batch_size=_BATCH):
        first, second = (play(model, batch, seed=0).double() for model in (a, b))
        sounding = torch.arange(first.shape[-1]) < batch["valid_frames"][:, None] * a.hop
        energy, difference = ((sound * sounding).square().sum(-1) for sound in (first, first - second))
        ratios.append(torch.where(difference == 0, 0.0, difference / energy))  # two silences are equal
    mean = float(torch.cat(ratios).mean())
    if math.isnan(mean):
        return math.inf
    return max(_LEAST_DB, 10 * math.log10(mean)) if mean > 0 else _LEAST_DB


class Phrases(torch.utils.data.Dataset[Batch]):
    """Curves of pitch and loudness over the range of instruments, synthetic.

    Each glides through an octave with vibrato, swells and fades about a level, and rests.

    Args:
        frame_rate: Frames per second.
        inputs: What else drives the model; each rises from 0 to 1.
    """

    def __init__(self, frame_rate: float, inputs: Sequence[str] = ()) -> None:
        self._frames = round(_SECONDS * frame_rate)
        self._frame_rate = frame_rate
        self._inputs = inputs

    def __len__(self) -> int:
        return _OCTAVES * len(_LEVELS_DB)

    def __getitem__(self, position: int) -> Batch:
        octave, level = divmod(position, len(_LEVELS_DB))
        if octave >= _OCTAVES:
            raise IndexError(position)
        time = torch.arange(self._frames) / self._frame_rate
        octaves = octave + time / _SECONDS + 0.02 * torch.sin(2 * torch.pi * 5.5 * time)
        f0_hz = _LOWEST_HZ * 2.0**octaves
        loudness_db = _LEVELS_DB[level] + 10.0 * torch.sin(2 * torch.pi * 0.75 * time)
        rests = (time % 2.0) > 1.8
        return {
            "f0_hz": torch.where(rests, 0.0, f0_hz),
            "loudness_db": torch.where(rests, FLOOR_DB, loudness_db),
            "valid_frames": torch.tensor(self._frames),
            "index": torch.tensor(position),
            **dict.fromkeys(self._inputs, time / _SECONDS),
        }


def _segments(model: Model, data: str | None) -> tuple[torch.utils.data.Dataset[Batch], str]:
    if data is None:
        return Phrases(model.sample_rate / model.hop, model.decoder.further_inputs), "built-in phrases"
    dataset = open_dataset(data)
    check_fits_data(model, dataset)
    chosen = held_out(dataset)
    return chosen.segments, f"{len(chosen.positions)} {chosen.split} segments of {dataset.name}"


def _check_target(out: Path, run: Path, config: ModelConfig, *, force: bool) -> None:
    if out.resolve() == run.resolve():
        raise ConfigError(f"{out} is the run itself; give the copy another folder.")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; give the name of a folder to make.")
    if out.resolve().parent in [folder.resolve() for folder in paths.model_card_folders()] and out.name != config.name:
        raise ConfigError(
            f"The folder of a shipped model is called what the model is called: {out.with_name(config.name)}, not "
            f"{out.name}."
        )
    if not out.is_dir() or not any(out.iterdir()):
        return
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    if others := there - set(published_files(out)):
        raise ConfigError(f"{out} holds other files than a model's, which would be lost: {listing(others)[:300]}.")
    if not force:
        raise ConfigError(f"{out} holds a model already. Replace it with --force, or give another folder.")


def _recorded(config: ModelConfig, original: Model, difference: float) -> ModelConfig:
    """The config with what was rounded from what; of weights that were rounded before, the record of then stays."""
    if difference == _LEAST_DB and rounding_difference_db(config) is not None:
        return config
    record = {"weights": weights_hash(original), "difference_db": round(difference, 2)}
    return config.with_changes(lineage={**config.lineage, COMPACTED: record})


def _chosen(files: Iterable[str], *, samples: int | None, plots: bool, recordings: bool) -> list[str]:
    """The names of the files that are copied as they are."""
    if samples is not None and samples < 0:
        raise ConfigError(f"--samples must be 0 or more, found {samples}.")
    # exports are of the weights before rounding
    names = [name for name in files if name not in (WEIGHTS, CONFIG) and not is_export(name)]
    names = [name for name in names if plots or not name.startswith("plots/")]
    phrases = sorted({_phrase(name) for name in names if name.startswith("samples/")}, key=_by_number)
    dropped = set() if samples is None else set(phrases[samples:])
    kept = [name for name in names if _phrase(name) not in dropped]
    return [name for name in kept if recordings or not name.endswith(RECORDING)]


def _phrase(name: str) -> str:
    """What a sample is of: "samples/phrase2" of "samples/phrase2_student.wav"."""
    return name.rpartition("_")[0]


def _by_number(phrase: str) -> list[tuple[int, str]]:
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", phrase)]


def _put(content: Path | bytes, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if isinstance(content, bytes):
        target.write_bytes(content)
    else:
        shutil.copyfile(content, target)
