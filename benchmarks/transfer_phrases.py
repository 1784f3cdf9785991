"""Excerpts for `transfer_pairs.py` to play, and what is heard in them, measured once and kept in a folder.

The definitions here are none that a model was trained with: level is that of an A-weighting filter in the time domain,
pitch is tracked by pYIN and YIN.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.errors import DatasetError
from zoo.features import Features, FeatureSettings, extract_features, read_audio, track_pitch
from zoo.features.audio import resample

HOP = 256
"""Samples from one tracked frame to the next: 16 ms at 16 kHz."""

HEARD_DB = 30.0
"""A frame counts where it is at most so much under the loudest one."""

AGREE_CENTS = 50.0
AGREEMENT = 0.8
MIN_FRAMES = 20
"""A phrase is monophonic where two trackers agree within `AGREE_CENTS`, octaves aside, in `AGREEMENT` of the frames
that are heard, and in at least so many frames."""

YIN_CONFIDENCE = 0.8
PYIN_CONFIDENCE = 0.1

_FINE_RATE = 48000
_POLES_HZ = (20.598997, 20.598997, 107.65265, 737.86223, 12194.217, 12194.217)


@dataclass(frozen=True)
class Excerpt:
    """A piece of a recording.

    Attributes:
        instrument: That is heard in it.
        path: The recording.
        start: First sample.
        samples: How many, at most.
    """

    instrument: str
    path: Path
    start: int
    samples: int

    @property
    def name(self) -> str:
        """For a person."""
        return f"{self.path.stem}@{self.start}"


@dataclass(frozen=True)
class Heard:
    """An excerpt, measured.

    Attributes:
        level_db: A-weighted, see `a_weighted_level_db`.
        f0_hz: `[frames]` at `HOP`, 0 where the trackers do not agree on one.
        monophonic: Whether it has one pitch at a time, by two trackers.
        features: As a model's front end gives them, before any shift.
    """

    level_db: float
    f0_hz: Tensor
    monophonic: bool
    features: Features


def excerpts_in(folder: Path, *, sample_rate: int, seconds: float, per_file: int) -> list[Excerpt]:
    """All phrases of a folder's INDEX.tsv, long ones cut into pieces, of which so many are taken, evenly spread.

    Raises:
        DatasetError: There is no index, or no phrase in it.
    """
    index = folder / "INDEX.tsv"
    if not index.is_file():
        raise DatasetError(f"{folder} has no INDEX.tsv with the columns path, instrument, kind and seconds.")
    found: list[Excerpt] = []
    size = round(seconds * sample_rate)
    with index.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["kind"] != "phrases":
                continue
            # A rest of under two seconds is no piece of its own.
            pieces = max(1, math.ceil((float(row["seconds"]) - 2.0) / seconds))
            kept = min(pieces, per_file)
            starts = [i * pieces // kept * size for i in range(kept)]
            found += [Excerpt(row["instrument"], folder / row["path"], start, size) for start in starts]
    if not found:
        raise DatasetError(f"{index} lists no phrases (kind = phrases).")
    return found


def sample_of(excerpts: Sequence[Excerpt], count: int, *, seed: int) -> list[Excerpt]:
    """So many of each instrument, by chance but always the same."""
    chosen: list[Excerpt] = []
    for instrument in sorted({each.instrument for each in excerpts}):
        own = [each for each in excerpts if each.instrument == instrument]
        chosen += own if len(own) <= count else random.Random(f"{seed} {instrument}").sample(own, count)
    return chosen


def hear(excerpt: Excerpt, settings: FeatureSettings, *, sample_rate: int, hop: int, cache: Path) -> Heard:
    """Measure an excerpt, or take what was measured earlier.

    Args:
        excerpt: What to measure.
        settings: Of the model's front end.
        sample_rate: Of the model, in Hz.
        hop: Of the model, in samples.
        cache: Where measures are kept. Remove it when the front end changes.
    """
    words = f"{excerpt} {settings} {sample_rate} {hop} {HOP} {AGREE_CENTS} {AGREEMENT}"
    file = cache / f"{hashlib.sha256(words.encode()).hexdigest()[:24]}.pt"
    if file.is_file():
        kept = torch.load(file, weights_only=True)
        return Heard(kept["level_db"], kept["outside_f0_hz"], kept["monophonic"], Features(**kept["features"]))
    whole = read_audio(excerpt.path, sample_rate=sample_rate)
    audio = whole[excerpt.start : excerpt.start + excerpt.samples]
    features = extract_features(audio, sample_rate=sample_rate, hop=hop, settings=settings)
    f0_hz, monophonic = _agreed_pitch(audio, sample_rate=sample_rate)
    heard = Heard(a_weighted_level_db(audio, sample_rate=sample_rate), f0_hz, monophonic, features)
    cache.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "level_db": heard.level_db,
            "outside_f0_hz": f0_hz,
            "monophonic": monophonic,
            "features": {name: getattr(features, name) for name in features.__dataclass_fields__},
        },
        file,
    )
    return heard


def yin(audio: Tensor, *, sample_rate: int) -> Tensor:
    """Pitch by YIN, `[frames]` at `HOP`, 0 where it is not sure."""
    f0_hz, confidence = track_pitch(audio[None], sample_rate=sample_rate, hop=HOP, tracker="yin", center=True)
    return torch.where(confidence[0] >= YIN_CONFIDENCE, f0_hz[0], 0.0)


def cents_apart(a_hz: Tensor, b_hz: Tensor) -> Tensor:
    """Absolute difference in cents, octaves aside, over the frames that have a pitch in both."""
    frames = min(len(a_hz), len(b_hz))
    a_hz, b_hz = a_hz[:frames], b_hz[:frames]
    both = (a_hz > 0) & (b_hz > 0)
    octaves = torch.log2(a_hz[both].double() / b_hz[both].double())
    return 1200.0 * (octaves - octaves.round()).abs()


def a_weighted_level_db(audio: Tensor, *, sample_rate: int) -> float:
    """Level in dB of full scale (RMS) as the ear weighs it: the median over the frames within 30 dB of the loudest.

    The filter is that of IEC 61672-1, in the time domain at 48 kHz; frames are of 50 ms, every 25 ms. Silence is
    minus infinity.
    """
    levels = frame_levels_db(audio, sample_rate=sample_rate)
    loudest = levels.max()
    return float(np.median(levels[levels > loudest - HEARD_DB])) if np.isfinite(loudest) else -math.inf


def frame_levels_db(audio: Tensor, *, sample_rate: int) -> np.ndarray:
    """A-weighted levels in dB of full scale, frames of 50 ms, every 25 ms."""
    from scipy.signal import sosfilt

    fine = resample(audio[None].float(), sample_rate, _FINE_RATE)[0].double().numpy()
    weighted = sosfilt(_a_weighting(), fine)
    hop = _FINE_RATE // 40
    power = np.add.reduceat(np.square(weighted), np.arange(0, max(len(weighted) - 1, 1), hop))[:-1] / hop
    frames = (power[1:] + power[:-1]) / 2 if len(power) > 1 else power
    with np.errstate(divide="ignore"):
        return 10.0 * np.log10(frames)


@functools.cache
def _a_weighting() -> np.ndarray:
    from scipy.signal import bilinear_zpk, sosfreqz, zpk2sos

    poles = -2.0 * np.pi * np.array(_POLES_HZ)
    sections = zpk2sos(*bilinear_zpk(np.zeros(4), poles, 1.0, _FINE_RATE))
    _, at_1_khz = sosfreqz(sections, [1000.0], fs=_FINE_RATE)
    sections[0, :3] /= abs(at_1_khz[0])
    return sections


def _agreed_pitch(audio: Tensor, *, sample_rate: int) -> tuple[Tensor, bool]:
    first = yin(audio, sample_rate=sample_rate)
    f0_hz, confidence = track_pitch(audio[None], sample_rate=sample_rate, hop=HOP, tracker="pyin", center=True)
    second = torch.where(confidence[0] >= PYIN_CONFIDENCE, f0_hz[0], 0.0)
    # RMS in windows as long as YIN's, so that a frame is heard where its pitch is.
    padded = torch.nn.functional.pad(audio, (512, 512))
    power = padded.unfold(0, 1024, HOP).square().mean(-1)[: len(first)]
    heard = power > power.max() * 10 ** (-HEARD_DB / 10)
    both = (first > 0) & (second > 0)
    octaves = torch.log2(torch.where(both, first, 1.0) / torch.where(both, second, 1.0)).double()
    agreed = both & (1200.0 * (octaves - octaves.round()).abs() < AGREE_CENTS) & heard
    sure = int(agreed.sum())
    monophonic = sure >= MIN_FRAMES and sure >= AGREEMENT * int(heard.sum())
    return torch.where(agreed, second, 0.0), monophonic
