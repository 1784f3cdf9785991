"""What came of a preparation, and what its numbers mean, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.datasets.preparation.analysis import Preparation
from zoo.datasets.preparation.splits import SPLITS
from zoo.features.frontend import LEVEL_QUANTILE, LEVEL_TARGET_DB
from zoo.features.loudness import definition_of

_NAMED = 3  # recordings of one oddity that are named


@dataclass(frozen=True)
class Skipped:
    """What was left out of a dataset: where, how much, and why."""

    source: str
    seconds: float
    reason: str


@dataclass
class Outcome:
    """What came of a preparation.

    Attributes:
        path: The dataset's folder.
        fresh: Whether it was made now; otherwise it was there, with these settings and recordings.
        recordings: How many recordings are in it.
        segments: Segments of each split.
        minutes: Minutes of sound in each split, padding not counted.
        skipped: What was left out.
        notes: What the user should know.
    """

    path: Path
    fresh: bool
    recordings: int
    segments: dict[str, int]
    minutes: dict[str, float]
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def outcome_of(path: Path, info: dict[str, Any], *, fresh: bool) -> Outcome:
    """Read the outcome from dataset.json.

    Args:
        path: The dataset's folder.
        info: Its dataset.json, parsed.
        fresh: Whether it was made now.
    """
    frame = info["hop"] / info["sample_rate"]
    splits = {name: info["splits"].get(name, []) for name in SPLITS}
    return Outcome(
        path=path,
        fresh=fresh,
        recordings=len(info.get("sources", [])),
        segments={name: len(entries) for name, entries in splits.items()},
        minutes={name: sum(e["valid_frames"] for e in entries) * frame / 60 for name, entries in splits.items()},
        skipped=[Skipped(**values) for values in info.get("skipped", [])],
        notes=info.get("notes", []),
    )


def notes_of(told: Iterable[tuple[str, str]]) -> list[str]:
    """Say what is odd about recordings, those with the same oddity together.

    Args:
        told: Pairs of a recording's id and a clause.
    """
    by_note: dict[str, list[str]] = {}
    for source, note in told:
        by_note.setdefault(note, []).append(source)
    result = []
    for note, sources in by_note.items():
        more = f" and {len(sources) - _NAMED} more" if len(sources) > _NAMED else ""
        result.append(f"{', '.join(sources[:_NAMED])}{more}: {note}.")
    return result


LEVELS = {
    "loudness": f"its A-weighted level (quantile {LEVEL_QUANTILE:g} over the frames within 30 dB of the loudest one) "
    f"brought to {LEVEL_TARGET_DB:g} dB",
    "peak": "its peak brought to 1",
}
"""What each normalisation does, in words."""


def definitions(preparation: Preparation) -> dict[str, str]:
    """Say in words what each stored array is.

    Args:
        preparation: The settings, resolved.
    """
    features = preparation.features
    where = "centred on" if features.center else "starting at"
    measured = definition_of(features.loudness, n_fft=features.n_fft, options=features.loudness_options)
    level = LEVELS.get(features.normalize, "at its own level")
    bridged = f"; gaps of up to {features.bridge_ms:g} ms in a note filled" if features.bridge_ms else ""
    return {
        "audio": f"float32, mono, full scale at 1; each recording as a whole with {level}",
        "f0_hz": f"pitch by {features.tracker} in a window {where} sample frame * hop, {features.fmin:g} to "
        f"{features.fmax:g} Hz; 0 where its confidence is under {features.resolved_threshold():g}{bridged}; or the "
        "known pitch",
        "loudness_db": f"{measured} {where} sample frame * hop",
        "periodicity": "the pitch tracker's confidence, 0 to 1; 1 where the pitch is known",
        "noise_floor_db": "of a source as it was read: mean square of its noise in dB of full scale, measured in its "
        "pauses, or in the bands between its partials, where it is at most this; null where it cannot be told",
        "snr_db": "how far the level of the source's sound is over that of its noise",
        "padding": "not stored; read as audio 0, f0 0 and -80 dB after valid_frames",
    }
