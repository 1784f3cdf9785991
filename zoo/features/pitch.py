"""Pitch trackers, and the one function that calls them by name.

A tracker is a component of the registry's kind `pitch`: a function of audio `[batch, samples]` with the keywords
`sample_rate, hop, fmin, fmax, center` and options of its own, that gives pitch and confidence, each
`[batch, samples // hop]`. `@tracker(...)` adds what its confidences mean.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo import registry
from zoo.checks.limits import check_types
from zoo.checks.options import number_fault, refuse
from zoo.errors import ConfigError, listing, near_matches
from zoo.features import crepe, yin
from zoo.features.audio import resample
from zoo.features.framing import check_audio, frame_count
from zoo.registry.requirements import library

Track = Callable[..., tuple[Tensor, Tensor]]

# For a tracker that does not say what its confidences mean.
DEFAULT_VOICING_THRESHOLD = 0.5
DEFAULT_MIN_CONFIDENCE = 0.5
# The lowest rate in Hz that pYIN is run at.
_PYIN_RATE = 32000
_COMMON = ("sample_rate", "hop", "fmin", "fmax", "center")


class Tracker:
    """A pitch tracker with the thresholds that fit its confidences.

    Attributes:
        voicing_threshold: A frame whose confidence is under this counts as unvoiced.
        min_confidence: A training segment whose mean confidence is under this is left out.
        by_model: Other values of `min_confidence` for some values of the option `model`.
        quick_options: Options with which it is quick enough for many recordings, where it is not by itself.
    """

    def __init__(
        self,
        track: Track,
        *,
        voicing_threshold: float,
        min_confidence: float,
        by_model: Mapping[str, float] | None = None,
        quick_options: Mapping[str, object] | None = None,
    ) -> None:
        functools.update_wrapper(self, track)
        self.track = track
        self.voicing_threshold = voicing_threshold
        self.min_confidence = min_confidence
        self.by_model = dict(by_model or {})
        self.quick_options = dict(quick_options or {})

    def __call__(self, audio: Tensor, **options: object) -> tuple[Tensor, Tensor]:
        """Track pitch; see `track_pitch`."""
        return self.track(audio, **options)


def tracker(**meaning: Any) -> Callable[[Track], Tracker]:  # noqa: ANN401 - the arguments of Tracker
    """Make a function a pitch tracker: `@tracker(voicing_threshold=0.5, min_confidence=0.8)`; see `Tracker`."""
    return functools.partial(Tracker, **meaning)


def track_pitch(
    audio: Tensor,
    *,
    sample_rate: int,
    hop: int,
    tracker: str = "torchcrepe",
    fmin: float = 50.0,
    fmax: float = 2000.0,
    center: bool = False,
    **options: object,
) -> tuple[Tensor, Tensor]:
    """Track the pitch of monophonic audio.

    >>> f0_hz, periodicity = track_pitch(torch.zeros(1, 16000), sample_rate=16000, hop=64, tracker="yin")
    >>> f0_hz.shape
    torch.Size([1, 250])

    Args:
        audio: `[batch, samples]`.
        sample_rate: In Hz.
        hop: Samples per frame.
        tracker: A name of the registry's kind `pitch`: "torchcrepe", "pyin", "yin", or a plugin's.
        fmin: Lowest pitch in Hz.
        fmax: Highest pitch in Hz.
        center: Centre frame t's window on sample `t * hop`. Otherwise the window starts there, as in the thesis, which
            places pitch half a window (32 ms with torchcrepe) early.
        **options: The tracker's own; torchcrepe: `model="full"` or `"tiny"`, and `with_yin=True`.

    Returns:
        `f0_hz` and `periodicity`, each `[batch, samples // hop]`: the pitch as tracked, unvoiced frames included, and
        the tracker's confidence from 0 to 1, which means something else for each tracker.

    Raises:
        ConfigError: There is no such tracker or option, an option is of another type, or the range of pitch does not
            fit.
        PluginError: What the tracker needs is not installed, or it gives something else than pitch and confidence.
    """
    check_audio(audio, sample_rate=sample_rate, hop=hop)
    refuse((number_fault("fmin", fmin), number_fault("fmax", fmax)))
    if not 0.0 < fmin < fmax:
        raise ConfigError(f"fmin must be above 0 Hz and under fmax, not {fmin} and {fmax}.")
    component = registry.pitch.get(tracker)
    known = [name for name in inspect.signature(component).parameters if name not in _COMMON][1:]
    for name in options:
        if name not in known:
            raise ConfigError(
                f"The pitch tracker {tracker!r} has no option {name!r}.{near_matches(name, known)} "
                f"Its options: {listing(known)}."
            )
    check_types(component, options, part=f"pitch tracker {tracker!r}")
    if not len(audio):
        return (audio.new_zeros(0, frame_count(audio.shape[-1], hop)),) * 2
    with torch.no_grad():
        found = component(audio, sample_rate=sample_rate, hop=hop, fmin=fmin, fmax=fmax, center=center, **options)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise registry.pitch.broken(tracker, f"gives {type(found).__name__}, and must give f0_hz and periodicity")
    f0_hz, periodicity = found
    shape = len(audio), frame_count(audio.shape[-1], hop)
    registry.pitch.check_shape(tracker, f0_hz, shape, "f0_hz [batch, samples // hop]")
    registry.pitch.check_shape(tracker, periodicity, shape, "periodicity [batch, samples // hop]")
    return f0_hz, periodicity


def default_thresholds(tracker: str, options: Mapping[str, object] | None = None) -> tuple[float, float]:
    """Give a tracker's own `voicing_threshold` and `min_confidence`.

    Args:
        tracker: A name of the registry's kind `pitch`.
        options: The tracker's own options; torchcrepe's model "tiny" is less confident than "full".

    Raises:
        ConfigError: There is no such tracker.
        PluginError: It cannot be imported.
    """
    component = registry.pitch.get(tracker)
    voicing = float(getattr(component, "voicing_threshold", DEFAULT_VOICING_THRESHOLD))
    confidence = float(getattr(component, "min_confidence", DEFAULT_MIN_CONFIDENCE))
    by_model: Mapping[str, float] = getattr(component, "by_model", {})
    return voicing, by_model.get(str((options or {}).get("model")), confidence)


def quick_options(tracker: str) -> dict[str, object]:
    """The options with which a tracker is quick enough for many recordings; none for one that is quick by itself.

    Args:
        tracker: A name of the registry's kind `pitch`.

    Raises:
        ConfigError: There is no such tracker.
        PluginError: It cannot be imported.
    """
    return dict(getattr(registry.pitch.get(tracker), "quick_options", {}))


def with_quick_options(tracker: str, options: Mapping[str, object]) -> dict[str, object]:
    """A tracker's options, quick where nothing else was asked for: the quick ones, unless another `model` is named.

    Args:
        tracker: A name of the registry's kind `pitch`.
        options: What was asked for.

    Raises:
        ConfigError: There is no such tracker.
        PluginError: It cannot be imported.
    """
    quick = quick_options(tracker)
    another = options.get("model", quick.get("model")) != quick.get("model")
    return dict(options) if another else {**quick, **options}


def options_today(tracker: str, options: Mapping[str, object]) -> dict[str, object]:
    """A tracker's options, with those that have come to its quick model since: torchcrepe's "tiny" searches with YIN.

    What pitch means is the same, and fewer notes are lost, so a model that was trained without is played with them.

    Args:
        tracker: A name of the registry's kind `pitch`.
        options: As they are stored, or were asked for. Those of another model, or of none, stay as they are.

    Raises:
        ConfigError: There is no such tracker.
        PluginError: It cannot be imported.
    """
    return with_quick_options(tracker, options) if "model" in options else dict(options)


# The thresholds below were found on real recordings, but for the 0.8, which is the thesis's: docs/data.md says how.


# "full", its own default, takes three times as long as the recording on a CPU core. With YIN, "tiny" is near it.
_QUICK = {"model": "tiny", "with_yin": True}


@tracker(voicing_threshold=0.5, min_confidence=0.8, by_model={"tiny": 0.65}, quick_options=_QUICK)
def torchcrepe_pitch(
    audio: Tensor,
    *,
    sample_rate: int,
    hop: int,
    fmin: float = 50.0,
    fmax: float = 2000.0,
    center: bool = False,
    model: str = "full",
    with_yin: bool = False,
) -> tuple[Tensor, Tensor]:
    """Track pitch with CREPE's network, from 31.7 to 2,006 Hz; see `track_pitch`.

    `model` is "full" or "tiny"; `with_yin` searches through YIN's difference function too, by which "tiny" comes near
    to "full".
    """
    return crepe.crepe_pitch(
        audio, sample_rate=sample_rate, hop=hop, fmin=fmin, fmax=fmax, center=center, model=model, with_yin=with_yin
    )


@tracker(voicing_threshold=0.8, min_confidence=0.85)
def yin_pitch(
    audio: Tensor,
    *,
    sample_rate: int,
    hop: int,
    fmin: float = 50.0,
    fmax: float = 2000.0,
    center: bool = False,
    threshold: float = yin.THRESHOLD,
) -> tuple[Tensor, Tensor]:
    """Track pitch with YIN, the quickest tracker; its confidence is one minus the trough; see `track_pitch`."""
    return yin.yin_pitch(
        audio, sample_rate=sample_rate, hop=hop, fmin=fmin, fmax=fmax, center=center, threshold=threshold
    )


@tracker(voicing_threshold=0.1, min_confidence=0.45)
def pyin_pitch(
    audio: Tensor,
    *,
    sample_rate: int,
    hop: int,
    fmin: float = 50.0,
    fmax: float = 2000.0,
    center: bool = False,
    resolution: float = 0.2,
) -> tuple[Tensor, Tensor]:
    """Track pitch with librosa's pYIN; its confidence is the voiced probability; see `track_pitch`.

    pYIN's search takes time with the square of its number of pitches: in steps of 0.2 semitones it is four times as
    quick as in librosa's 0.1, and each pitch is then moved to the trough of the difference function beside it.

    Source: Mauch, Dixon, "pYIN: a fundamental frequency estimator using probabilistic threshold distributions"
    (ICASSP 2014).
    """
    librosa = library("librosa", purpose="The pitch tracker pyin")
    frames = frame_count(audio.shape[-1], hop)
    if frames == 0:
        return audio.new_zeros((audio.shape[0], 0)), audio.new_zeros((audio.shape[0], 0))
    yin.lag_range(sample_rate, fmin, fmax)
    size = yin.window_size(sample_rate, fmin)
    before = size // 2 if center else 0
    padded = F.pad(audio, (before, size - before))
    # pYIN measures troughs at whole lags: where a high pitch's period lies between two, it hears the octave below.
    finer = max(1, math.ceil(_PYIN_RATE / sample_rate))
    padded = resample(padded, sample_rate, finer * sample_rate)
    pitches, confidences = [], []
    for row in padded.cpu().numpy():
        pitch, _, probability = librosa.pyin(
            row.astype(np.float64),
            fmin=fmin,
            fmax=min(fmax, sample_rate / 2),
            sr=finer * sample_rate,
            frame_length=finer * size,
            hop_length=finer * hop,
            resolution=resolution,
            fill_na=None,
            center=False,
        )
        pitches.append(torch.from_numpy(pitch[:frames]))
        confidences.append(torch.from_numpy(probability[:frames]))
    coarse = torch.stack(pitches).to(audio)
    fine, over = yin.refine_pitch(
        coarse, audio, sample_rate=sample_rate, hop=hop, fmin=fmin, fmax=fmax, center=center, cents=100.0 * resolution
    )
    return fine, torch.stack(confidences).to(audio).masked_fill(over, 0.0)
