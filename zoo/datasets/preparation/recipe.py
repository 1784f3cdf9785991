"""`prepare`: everything that `python -m zoo.prepare` does but talk, as one function that gin files can set."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.checks.options import device_fault, is_finite, refuse, whole_fault, writable_fault
from zoo.datasets.preparation.analysis import Preparation
from zoo.datasets.preparation.outcome import Outcome
from zoo.datasets.preparation.picture import draw_dataset
from zoo.datasets.preparation.preparing import ProgressCallback, prepare_dataset
from zoo.datasets.recordings import Recording
from zoo.errors import ConfigError, DatasetError, near_matches
from zoo.features.frontend import FeatureSettings
from zoo.features.pitch import quick_options
from zoo.storage.config import check_instrument

_MOST_JOBS = 1024

Starting = Callable[[Sequence[Recording], Preparation], None]


def prepare(
    *,
    out: str | Path,
    recordings: str | Path | None = None,
    dataset: str = "folder",
    dataset_options: Mapping[str, Any] | None = None,
    instrument: str | None = None,
    attribution: str | None = None,
    pitch: str = "torchcrepe",
    pitch_model: str | None = None,
    fmin: float = 50.0,
    fmax: float = 2000.0,
    sample_rate: int = 16000,
    hop: int = 64,
    segment_seconds: float = 4.0,
    min_seconds: float = 1.0,
    silence_db: float = 40.0,
    min_confidence: float | None = None,
    voicing_threshold: float | None = None,
    normalize: str = "loudness",
    loudness: str = "a_weighted",
    loudness_options: Mapping[str, Any] | None = None,
    center: bool = True,
    whole: bool = False,
    bridge_ms: float = 40.0,
    min_snr: float | None = None,
    split_seed: int = 0,
    device: str = "cpu",
    jobs: int = 1,
    force: bool = False,
    starting: Starting | None = None,
    progress: ProgressCallback | None = None,
) -> list[Outcome]:
    """Turn recordings into a dataset of segments, or several where they hold several instruments.

    Example:
        >>> prepare(recordings="recordings/flute", out="data/flute", pitch="yin")  # doctest: +SKIP

    Args:
        out: The folder to make.
        recordings: Where the recordings are; a synthetic dataset needs none.
        dataset: What the recordings are: a component of the kind `datasets`.
        dataset_options: That component's own options, e.g. `{"phrases": 32}` for tones.
        instrument: What plays; the component's own word by default.
        attribution: Who made the recordings, and under which licence.
        pitch: Pitch tracker.
        pitch_model: torchcrepe's network, "tiny" (default here) or "full".
        fmin: Lowest pitch in Hz.
        fmax: Highest pitch in Hz.
        sample_rate: In Hz.
        hop: Samples per frame.
        segment_seconds: Length of a segment; a whole number of frames.
        min_seconds: Shortest stretch of sound that is kept.
        silence_db: How far under the loudest moment silence begins.
        min_confidence: Segments whose mean pitch confidence is under this are dropped; the tracker's own by default.
        voicing_threshold: Pitch is 0 in frames whose confidence is under this; the tracker's own by default.
        normalize: "loudness" brings each recording's A-weighted level to -20 dB, "peak" its peak to full scale; "none"
            leaves its level.
        loudness: What a model is driven by: "a_weighted", the thesis's "mean_db", or a plugin's.
        loudness_options: That one's own options, e.g. `{"window_seconds": 0.032}`.
        center: Whether analysis windows are centred on their frame.
        whole: Keep each recording whole, nothing cut or dropped.
        bridge_ms: Gaps of up to so many milliseconds in the pitch of a note are filled; 0 fills none.
        min_snr: Segments whose level is less than so many dB over their recording's noise floor are left out.
        split_seed: Another number splits otherwise.
        device: Where torchcrepe runs.
        jobs: Processes that analyse at once.
        force: Replace a dataset made with other settings or recordings.
        starting: Called before the work with the recordings that are still to be analysed.
        progress: Called after each recording with how many are done, of how many, and its name.

    Returns:
        What became of each dataset that was made.

    Raises:
        ConfigError: A setting is unknown or does not fit.
        DatasetError: The recordings cannot be used; nothing is left of them; `out` was made otherwise.
    """
    _check(out, instrument, fmin, fmax, device, jobs)
    component = registry.datasets.get(dataset)
    source = _source(component, dataset, recordings, out)
    preparation = Preparation(
        sample_rate=sample_rate,
        hop=hop,
        segment_seconds=segment_seconds,
        min_seconds=min_seconds,
        silence_db=silence_db,
        min_confidence=min_confidence,
        features=FeatureSettings(
            tracker=pitch,
            tracker_options=_tracker_options(pitch, pitch_model),
            fmin=fmin,
            fmax=fmax,
            center=center,
            normalize=normalize,
            voicing_threshold=voicing_threshold,
            loudness=loudness,
            loudness_options=dict(loudness_options or {}),
            bridge_ms=bridge_ms,
        ),
        whole=whole,
        split_seed=split_seed,
        device=device,
        min_snr=min_snr,
    )
    found = component(source, **_checked_options(component, dataset, dataset_options or {}))
    told = [
        dataclasses.replace(
            recording,
            instrument=instrument or recording.instrument,
            attribution={"text": attribution} if attribution else recording.attribution,
        )
        for recording in found
    ]
    outcomes = prepare_dataset(
        told,
        out,
        preparation,
        dataset=dataset,
        jobs=jobs,
        force=force,
        starting=None if starting is None else lambda todo: starting(todo, preparation),
        progress=progress,
    )
    for outcome in outcomes:
        if outcome.fresh and (problem := draw_dataset(outcome.path)):
            outcome.notes.append(problem)
    return outcomes


def _check(out: str | Path, instrument: str | None, fmin: float, fmax: float, device: str, jobs: int) -> None:
    """What the settings do not look at, before the recordings are read."""
    if instrument is not None:
        check_instrument(instrument, "--instrument:")
    swapped = is_finite(fmin) and is_finite(fmax) and fmin >= fmax
    refuse(
        (
            writable_fault(out, "OUT"),
            f"fmin must be under fmax, found {fmin} and {fmax}." if swapped else None,
            device_fault(device),
            whole_fault("--jobs", jobs, least=1, most=_MOST_JOBS),
        )
    )


def _source(component: Callable[..., Any], dataset: str, recordings: str | Path | None, out: str | Path) -> Path | None:
    if recordings is None:
        if inspect.signature(component).parameters["path"].default is inspect.Parameter.empty:
            raise ConfigError(
                f"The dataset {dataset} needs two paths, the recordings and the folder to make: "
                f"python -m zoo.prepare RECORDINGS {out}"
            )
        return None
    if Path(recordings).resolve() == Path(out).resolve():
        raise DatasetError(f"RECORDINGS and OUT are both {out}. Give another folder to make.")
    return Path(recordings)


def _checked_options(component: Callable[..., Any], dataset: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    known = [name for name in inspect.signature(component).parameters if name != "path"]
    for name in options:
        if name not in known:
            raise ConfigError(
                f"The dataset {dataset} has no option {name!r}.{near_matches(name, known)} "
                f"It has: {', '.join(known) or 'none'}."
            )
    return options


def _tracker_options(tracker: str, model: str | None) -> dict[str, object]:
    return quick_options(tracker) if model is None else {"model": model}
