"""`prepare`: everything that `zoo prepare` does but talk, and the settings that it takes."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.checks.limits import check_types, short
from zoo.checks.options import device_fault, is_finite, writable_fault
from zoo.checks.settings import DICTIONARY, PLACE, REQUIRED, TEXT, YES_OR_NO, Config, group, or_none, setting
from zoo.datasets.preparation.analysis import Preparation
from zoo.datasets.preparation.outcome import Outcome
from zoo.datasets.preparation.picture import draw_dataset
from zoo.datasets.preparation.preparing import ProgressCallback, prepare_dataset
from zoo.datasets.recordings import Recording
from zoo.errors import ConfigError, DatasetError, PluginError, ZooError, near_matches
from zoo.executors.base import ExecutorConfig
from zoo.features.frontend import FeatureSettings
from zoo.features.pitch import with_quick_options
from zoo.storage.config import check_instrument

Starting = Callable[[Sequence[Recording], Preparation], None]


@dataclass(frozen=True, kw_only=True)
class SegmentConfig(Config):
    """What is cut out of recordings; what each may be, `Preparation` says.

    Args:
        sample_rate: In Hz.
        hop: Samples per frame.
        segment_seconds: Length of a segment; a whole number of frames.
        min_seconds: Shortest stretch of sound that is kept.
        silence_db: How far under the loudest moment silence begins.
        min_confidence: Segments whose mean pitch confidence is under this are dropped; the tracker's own by default.
        min_snr: Segments whose level is less than so many dB over their recording's noise floor are left out.
        whole: Keep each recording whole, nothing cut or dropped.
        split_seed: Another number splits otherwise.
    """

    sample_rate: int = setting(Preparation.sample_rate)
    hop: int = setting(Preparation.hop)
    segment_seconds: float = setting(Preparation.segment_seconds)
    min_seconds: float = setting(Preparation.min_seconds)
    silence_db: float = setting(Preparation.silence_db)
    min_confidence: float | None = setting(Preparation.min_confidence)
    min_snr: float | None = setting(Preparation.min_snr)
    whole: bool = setting(Preparation.whole)
    split_seed: int = setting(Preparation.split_seed)


@dataclass(frozen=True, kw_only=True)
class FeatureConfig(Config):
    """How features are measured; what each may be, `FeatureSettings` says.

    Args:
        pitch: Pitch tracker.
        pitch_model: torchcrepe's network, "tiny" (default here, with YIN) or "full" (alone).
        pitch_options: The tracker's own options, e.g. `{"threshold": 0.2}` for yin.
        fmin: Lowest pitch in Hz.
        fmax: Highest pitch in Hz.
        voicing_threshold: Pitch is 0 in frames whose confidence is under this; the tracker's own by default.
        bridge_ms: Gaps of up to so many milliseconds in the pitch of a note are filled; 0 fills none.
        center: Whether analysis windows are centred on their frame.
        normalize: "loudness" brings each recording's A-weighted level to -20 dB, "peak" its peak to full scale; "none"
            leaves its level.
        loudness: What a model is driven by: "a_weighted", the thesis's "mean_db", or a plugin's.
        loudness_options: That one's own options, e.g. `{"window_seconds": 0.032}`.
    """

    pitch: str = setting(FeatureSettings.tracker)
    pitch_model: str | None = setting(None)
    pitch_options: Mapping[str, Any] | None = setting(None, or_none(DICTIONARY))
    fmin: float = setting(FeatureSettings.fmin)
    fmax: float = setting(FeatureSettings.fmax)
    voicing_threshold: float | None = setting(FeatureSettings.voicing_threshold)
    bridge_ms: float = setting(40.0)
    center: bool = setting(FeatureSettings.center)
    normalize: str = setting(FeatureSettings.normalize)
    loudness: str = setting(FeatureSettings.loudness)
    loudness_options: Mapping[str, Any] | None = setting(None, or_none(DICTIONARY))

    def faults(self) -> list[str]:
        """See `Config.faults`."""
        swapped = is_finite(self.fmin) and is_finite(self.fmax) and self.fmin >= self.fmax
        found = [f"fmin must be under fmax, found {self.fmin} and {self.fmax}."] if swapped else []
        named = self.pitch_options.get("model") if isinstance(self.pitch_options, Mapping) else None
        if self.pitch_model is not None and named not in (None, self.pitch_model):
            found.append(f"pitch_model is {self.pitch_model!r}, and pitch_options name the model {named!r}: give one.")
        return [*super().faults(), *found]

    def measured(self) -> FeatureSettings:
        """What is stored of it.

        Raises:
            ConfigError: Something does not fit.
        """
        own = {name: value for name, value in self.to_flat().items() if not name.startswith("pitch")}
        model = {} if self.pitch_model is None else {"model": self.pitch_model}
        options = with_quick_options(self.pitch, {**(self.pitch_options or {}), **model})
        own["loudness_options"] = dict(self.loudness_options or {})
        return FeatureSettings(tracker=self.pitch, tracker_options=options, **own)


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(Config):
    """What `prepare` is asked for.

    Example:
        >>> PrepareConfig(recordings="recordings/flute", out="data/flute").segments.hop
        64

    Args:
        out: The folder to make.
        recordings: Where the recordings are; a synthetic dataset needs none.
        dataset: What the recordings are: a component of the kind `datasets`.
        dataset_options: That component's own options, e.g. `{"phrases": 32}` for tones.
        instrument: What plays; the component's own word by default.
        attribution: Who made the recordings, and under which licence.
        device: Where torchcrepe runs.
        force: Replace a dataset made with other settings or recordings.
        segments: What is cut out of them.
        features: How features are measured.
        execution: What analyses the recordings, how many at a time.
    """

    out: str | Path = setting(REQUIRED, PLACE)
    recordings: str | Path | None = setting(None, or_none(PLACE))
    dataset: str = setting("folder", TEXT)
    dataset_options: Mapping[str, Any] | None = setting(None, or_none(DICTIONARY))
    instrument: str | None = setting(None, or_none(TEXT))
    attribution: str | None = setting(None, or_none(TEXT))
    device: str = setting("cpu", TEXT)
    force: bool = setting(False, YES_OR_NO)
    segments: SegmentConfig = group(SegmentConfig)
    features: FeatureConfig = group(FeatureConfig)
    execution: ExecutorConfig = group(ExecutorConfig)

    def faults(self) -> list[str]:
        """See `Config.faults`."""
        found = super().faults()
        if isinstance(self.out, str | Path):
            found += filter(None, [writable_fault(self.out, "OUT")])
        if isinstance(self.device, str):
            found += filter(None, [device_fault(self.device)])
        sound = [] if self.features.faults() else [self.features.measured]  # of what is no dictionary, none is made
        for part in (*sound, self._preparation):
            try:
                part()
            except ConfigError as error:
                found += str(error).splitlines()
        return list(dict.fromkeys(found))

    def preparation(self) -> Preparation:
        """What is to be made of the recordings.

        Raises:
            ConfigError: Something does not fit.
        """
        return dataclasses.replace(self._preparation(), features=self.features.measured())

    def _preparation(self) -> Preparation:
        return Preparation(**self.segments.to_flat(), device=self.device)


def prepare(
    config: PrepareConfig, *, starting: Starting | None = None, progress: ProgressCallback | None = None
) -> list[Outcome]:
    """Turn recordings into a dataset of segments, or several where they hold several instruments.

    Example:
        >>> prepare(PrepareConfig(recordings="recordings/flute", out="data/flute"))  # doctest: +SKIP

    Args:
        config: What to make, of what, and how.
        starting: Called before the work with the recordings that are still to be analysed.
        progress: Called after each recording with how many are done, of how many, and its name.

    Returns:
        What became of each dataset that was made.

    Raises:
        ConfigError: A setting is unknown or does not fit; all of them are told.
        DatasetError: The recordings cannot be used; nothing is left of them; `out` was made otherwise.
        PluginError: The dataset's component is broken.
    """
    if config.instrument is not None:
        check_instrument(config.instrument, "--instrument:")
    config.check()
    preparation = config.preparation()
    outcomes = prepare_dataset(
        _recordings_of(config),
        config.out,
        preparation,
        dataset=config.dataset,
        execution=config.execution,
        force=config.force,
        starting=None if starting is None else lambda todo: starting(todo, preparation),
        progress=progress,
    )
    for outcome in outcomes:
        if outcome.fresh and (problem := draw_dataset(outcome.path)):
            outcome.notes.append(problem)
    return outcomes


def _recordings_of(config: PrepareConfig) -> list[Recording]:
    component = registry.datasets.get(config.dataset)
    source = _source(component, config.dataset, config.recordings, config.out)
    options = _checked_options(component, config.dataset, config.dataset_options or {})
    told: list[Recording] = []
    try:
        for recording in component(source, **options):
            if not isinstance(recording, Recording) or not isinstance(recording.id, str):
                raise _broken(config.dataset, _wrong_item(recording), told)
            told.append(
                dataclasses.replace(
                    recording,
                    instrument=config.instrument or recording.instrument,
                    attribution={"text": config.attribution} if config.attribution else recording.attribution,
                )
            )
    except ZooError:  # what it refuses, it says
        raise
    except Exception as error:  # whatever else a plugin raises, it is the plugin that is broken, or what it was given
        fault = f"fails: {type(error).__name__}: {registry.message_of(error).rstrip('.')}"
        raise _broken(config.dataset, fault, told) from error
    return told


def _wrong_item(item: object) -> str:
    if isinstance(item, Recording):
        return f"gives a recording whose id is {short(item.id)}, and must be text"
    return f"gives {short(item)}, and must give objects of a class that extends zoo.datasets.Recording"


def _broken(dataset: str, fault: str, told: Sequence[Recording]) -> PluginError:
    entry = registry.datasets.entry(dataset)
    where = f"after the recording {told[-1].id!r}" if told else "before its first recording"
    author = f"; if they are right, tell its author, or remove that package: pip uninstall {entry.distribution}"
    return PluginError(
        f"The dataset {dataset!r} of {entry.origin} ({entry.target}), {where}, {fault}. Check the recordings and "
        f"prepare.dataset_options{author if entry.distribution else '.'}"
    )


def _source(component: Callable[..., Any], dataset: str, recordings: str | Path | None, out: str | Path) -> Path | None:
    if recordings is None:
        first = next(iter(inspect.signature(component).parameters.values()), None)  # whatever it is called
        if first is None or first.default is inspect.Parameter.empty:
            raise ConfigError(
                f"The dataset {dataset} needs two paths, the recordings and the folder to make: "
                f"zoo prepare RECORDINGS {out}"
            )
        return None
    if Path(recordings).resolve() == Path(out).resolve():
        raise DatasetError(f"RECORDINGS and OUT are both {out}. Give another folder to make.")
    return Path(recordings)


def _checked_options(component: Callable[..., Any], dataset: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    known = list(inspect.signature(component).parameters)[1:]
    for name in options:
        if name not in known:
            raise ConfigError(
                f"The dataset {dataset} has no option {name!r}.{near_matches(name, known)} "
                f"It has: {', '.join(known) or 'none'}."
            )
    check_types(component, options, part=f"dataset {dataset!r}")
    return options
