"""Phrases for `instruments.py` to play: which are chosen, and where in an instrument's range they lie."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from zoo.datasets import Dataset
from zoo.errors import DatasetError
from zoo.features import Features, read_audio
from zoo.features.audio import AUDIO_SUFFIXES
from zoo.features.frontend import normalize
from zoo.models.fit import into_range
from zoo.models.model import Model


@dataclass(frozen=True)
class Asked:
    """What a phrase asks a model to play.

    Attributes:
        instrument: The phrase's.
        path: Where the phrase is.
        octaves: That it was moved by, into the model's range.
        features: After that.
    """

    instrument: str
    path: Path
    octaves: int
    features: Features


RANGE = (0.01, 0.99)
"""The part of an instrument's voiced frames that its range spans."""


class Phrases:
    """Phrases of instruments, and what models' front ends hear in them, measured once.

    Args:
        folder: With an INDEX.tsv, or with a folder for each instrument (see `phrases_in`).
        count: Of each instrument.
        seconds: Of a phrase, at most.
        least: Frames with a pitch that a phrase must have,
        every: where every so many frames are looked at.
    """

    def __init__(self, folder: Path, *, count: int, seconds: float, least: int, every: int) -> None:
        self._found = {name: in_order_of_choice(paths, count) for name, paths in sorted(phrases_in(folder).items())}
        self._count = count
        self._seconds = seconds
        self._least = least
        self._every = every
        self._heard: dict[tuple[Path, int, int, str], Features] = {}

    def for_model(self, model: Model, span: tuple[float, float] | None) -> Iterator[Asked]:
        """Phrases of all instruments but the model's own, with what they ask it to play.

        One without enough pitch to follow, such as one of chords, is passed over.

        Args:
            model: To play them.
            span: Its range in Hz, for a model whose config has none; phrases out of it are moved by octaves.
        """
        for name, paths in self._found.items():
            if name == model.config.instrument:
                continue
            heard = ((path, self._ask(model, path)) for path in paths)
            pitched = ((path, features) for path, features in heard if self._has_pitch(features.f0_hz))
            for path, features in itertools.islice(pitched, self._count):
                if model.config.range is not None:
                    fitted = into_range(features, model.config.range, sample_rate=model.sample_rate, hop=model.hop)
                    yield Asked(name, path, fitted.fit.octaves, fitted)
                    continue
                octaves = octaves_into(features.f0_hz, *span) if span else 0
                yield Asked(name, path, octaves, replace(features, f0_hz=features.f0_hz * 2.0**octaves))

    def _has_pitch(self, f0_hz: Tensor) -> bool:
        return int((f0_hz[:: self._every] > 0).sum()) >= self._least

    def _ask(self, model: Model, path: Path) -> Features:
        key = (path, model.sample_rate, model.hop, repr(model.feature_settings()))
        if key not in self._heard:
            audio = read_audio(path, sample_rate=model.sample_rate)
            beginning, _ = normalize(audio[: round(self._seconds * model.sample_rate)], "peak")
            self._heard[key] = model.analyse(beginning, sample_rate=model.sample_rate, fit="off")
        return self._heard[key]


def phrases_in(folder: Path) -> dict[str, list[Path]]:
    """Recordings of phrases by instrument, sorted.

    Raises:
        DatasetError: There are none.
    """
    index = folder / "INDEX.tsv"
    found: dict[str, list[Path]] = {}
    if index.is_file():
        with index.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if row.get("kind", "phrases") == "phrases":
                    found.setdefault(row["instrument"], []).append(folder / row["path"])
    elif folder.is_dir():
        for own in sorted(path for path in folder.iterdir() if path.is_dir()):
            within = own / "phrases" if (own / "phrases").is_dir() else own
            found[own.name] = [path for path in within.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES]
    found = {name: sorted(paths) for name, paths in found.items() if paths}
    if not found:
        raise DatasetError(f"{folder} has no phrases: give --phrases a folder with a folder for each instrument.")
    return found


def in_order_of_choice(paths: Sequence[Path], count: int) -> list[Path]:
    """So many of them, evenly spread, since neighbours are often of one recording; then the others."""
    chosen = [paths[i * len(paths) // count] for i in range(count)] if count < len(paths) else list(paths)
    return [*chosen, *(path for path in paths if path not in chosen)]


def octaves_into(f0_hz: Tensor, lowest_hz: float, highest_hz: float) -> int:
    """By how many octaves a phrase has to move so that its median pitch is in a range."""
    voiced = f0_hz[f0_hz > 0]
    if not len(voiced):
        return 0
    median = float(voiced.median())
    if median < lowest_hz:
        return math.ceil(math.log2(lowest_hz / median))
    return -math.ceil(math.log2(median / highest_hz)) if median > highest_hz else 0


def range_of(dataset: Dataset) -> tuple[float, float]:
    """The lowest and highest pitch in Hz that an instrument is trained with, but for a hundredth at either end."""
    segments = dataset.split("train")
    pitches = torch.cat([segments[i]["f0_hz"] for i in range(len(segments))])
    lowest, highest = pitches[pitches > 0].double().quantile(torch.tensor(RANGE, dtype=torch.float64))
    return float(lowest), float(highest)
