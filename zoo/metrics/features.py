"""Measures of how well a sound has the loudness, the level and the pitch that it should have."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.features import a_weighted_level_db, loudness_db, track_pitch
from zoo.features.loudness import heard_frames
from zoo.features.pitch import with_quick_options
from zoo.metrics.rows import checked_audio, checked_pair, over_rows, valid_lengths


def loudness_error_db(
    a: Tensor, b: Tensor, *, sample_rate: int, hop: int = 64, valid_samples: Tensor | None = None
) -> Tensor:
    """Measure the mean absolute difference over the frames of the thesis's loudness, a mean over bins of dB.

    It counts noise between harmonics as much as the harmonics, and is the same whatever a model was trained with:
    `level_error_db` measures what people hear.

    Args:
        a: Audio `[batch, samples]`.
        b: Audio `[batch, samples]`.
        sample_rate: In Hz.
        hop: Samples per frame.
        valid_samples: int64 `[batch]`: a row ends there. None: all are whole.

    Returns:
        `[batch]` in dB; NaN for a row without a whole frame.

    Raises:
        ConfigError: The signals do not agree, or are shorter than a frame.
    """
    a, b = checked_pair(a, b)
    if a.shape[1] < hop:
        raise ConfigError(f"Signals of {a.shape[1]} samples are shorter than one frame of {hop}.")

    def measure(x: Tensor, y: Tensor) -> Tensor:
        levels = [loudness_db(signal, sample_rate=sample_rate, hop=hop, center=True) for signal in (x, y)]
        return (levels[0] - levels[1]).abs().mean(dim=1)

    return over_rows(measure, a, b, valid_samples)


def level_error_db(
    a: Tensor, b: Tensor, *, sample_rate: int, hop: int = 64, valid_samples: Tensor | None = None
) -> Tensor:
    """Measure the mean absolute difference of A-weighted level over the frames that are no pause in `b`.

    Args:
        a: Audio `[batch, samples]`.
        b: Audio `[batch, samples]`, which has the level that `a` should have: the frames within 30 dB of its loudest
            one are compared; where it is silent, those of `a`.
        sample_rate: In Hz.
        hop: Samples per frame.
        valid_samples: int64 `[batch]`: a row ends there. None: all are whole.

    Returns:
        `[batch]` in dB; 0 for two silent rows, NaN for a row without a whole frame.

    Raises:
        ConfigError: The signals do not agree, or are shorter than a frame.
    """
    a, b = checked_pair(a, b)
    if a.shape[1] < hop:
        raise ConfigError(f"Signals of {a.shape[1]} samples are shorter than one frame of {hop}.")

    def measure(x: Tensor, y: Tensor) -> Tensor:
        found, wanted = (a_weighted_level_db(signal, sample_rate=sample_rate, hop=hop) for signal in (x, y))
        heard = heard_frames(wanted)
        heard = torch.where(heard.any(dim=1, keepdim=True), heard, heard_frames(found))
        away = torch.where(heard, (found - wanted).abs(), 0.0)
        level_error = away.sum(dim=1) / heard.sum(dim=1).clamp(min=1)
        return level_error if wanted.shape[1] else level_error.fill_(float("nan"))

    return over_rows(measure, a, b, valid_samples)


@dataclass(frozen=True)
class PitchErrors:
    """How far a sound's pitch is from what it should be, one value per row; NaN for rows with too few voiced frames.

    Attributes:
        median_cents: `[batch]`: median of the absolute error in cents.
        fraction_over_50: `[batch]`: share of the voiced frames that are off by over 50 cents, octave errors included.
        voiced_frames: int64 `[batch]`: how many frames were compared.
    """

    median_cents: Tensor
    fraction_over_50: Tensor
    voiced_frames: Tensor


def f0_error_cents(
    audio: Tensor,
    f0_hz: Tensor,
    *,
    sample_rate: int,
    hop: int,
    tracker: str = "torchcrepe",
    every: int = 4,
    min_frames: int = 5,
    voicing_threshold: float = 0.0,
    valid_samples: Tensor | None = None,
    **options: object,
) -> PitchErrors:
    """Track a sound's pitch and compare it with the pitch that it was asked to have.

    Frames that are unvoiced in `f0_hz` are left out; elsewhere the tracked pitch counts whatever the tracker's
    confidence, so that an octave error or a missing tone is seen, unless `voicing_threshold` asks for some.

    Args:
        audio: `[batch, samples]`, samples = frames * hop.
        f0_hz: `[batch, frames]`, 0 where unvoiced, frame t centred on sample `t * hop`.
        sample_rate: In Hz.
        hop: Samples per frame of `f0_hz`.
        tracker: A name of the registry's kind `pitch`; its quick options are taken (torchcrepe's model
            "tiny" with YIN) unless another model is named.
        every: Pitch is tracked, and compared, at every so many frames: tracking is slow.
        min_frames: Rows with fewer voiced frames to compare are NaN.
        voicing_threshold: Also leave out frames where the tracker's confidence is under this.
        valid_samples: int64 `[batch]`: a row ends there. None: all are whole.
        **options: The tracker's, as `zoo.features.track_pitch` takes them.

    Returns:
        Median error and share of errors over 50 cents.

    Raises:
        ConfigError: Shapes do not agree, or there is no such tracker or option.
        PluginError: What the tracker needs is not installed.
    """
    audio = checked_audio("audio", audio)
    batch, samples = audio.shape
    if f0_hz.ndim != 2 or (batch, samples) != (f0_hz.shape[0], f0_hz.shape[1] * hop):
        raise ConfigError(
            f"audio {list(audio.shape)} and f0_hz {list(f0_hz.shape)} do not agree: with a hop of {hop} audio must be "
            "[batch, frames * hop]."
        )
    if every < 1:
        raise ConfigError(f"every must be at least 1, and is {every}.")
    options = with_quick_options(tracker, options)
    lengths = valid_lengths(valid_samples, batch, samples) or [samples] * batch
    target = f0_hz.detach().to(audio)[:, ::every]
    medians, shares, counts = [], [], []
    for i in range(batch):
        # Row by row: those of little voice or of other lengths need not be tracked to the end.
        wanted = target[i, : lengths[i] // (hop * every)]
        voiced = wanted > 0
        if voiced.sum() >= max(1, min_frames):
            found, confidence = track_pitch(
                audio[i : i + 1, : len(wanted) * hop * every],
                sample_rate=sample_rate,
                hop=hop * every,
                tracker=tracker,
                center=True,
                **options,  # type: ignore[arg-type] # a mapping of the tracker's own options
            )
            voiced &= confidence[0, : len(wanted)].to(wanted) >= voicing_threshold
        count = int(voiced.sum())
        counts.append(count)
        if count < max(1, min_frames):
            medians.append(float("nan"))
            shares.append(float("nan"))
            continue
        tracked = found[0, : len(wanted)].to(wanted).clamp(min=1e-3)
        cents = (1200 * torch.log2(tracked[voiced] / wanted[voiced])).abs()
        medians.append(float(cents.quantile(0.5)))
        shares.append(float((cents > 50).double().mean()))
    return PitchErrors(torch.tensor(medians), torch.tensor(shares), torch.tensor(counts))
