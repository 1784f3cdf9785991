"""Measures between sounds: plain functions, 0 between equal sounds.

All take `valid_samples` (int64 `[batch]`): what lies after it in a row is padding, and is left out. Most give one value
per row; `frechet_log_mel` and `frechet_audio_distance` compare two sets of sounds, and give one value for all rows.
`tracking_error` takes one sound, and says how far it is from the pitch and loudness that it should have.
"""

from zoo.metrics.features import PitchErrors, f0_error_cents, level_error_db, loudness_error_db
from zoo.metrics.frechet import frechet_audio_distance, frechet_log_mel
from zoo.metrics.mel import log_mel_distance, mfcc_distance
from zoo.metrics.sets import Gaussian, SetMetric, frechet_distance, set_metric
from zoo.metrics.spectral import (
    clip_log_spectral_distance,
    log_spectral_distance,
    multi_scale_spectral_distance,
    multi_scale_spectral_held_out,
    onset_flux_distance,
)
from zoo.metrics.transfer import TrackingError, tracking_error

__all__ = [
    "Gaussian",
    "PitchErrors",
    "SetMetric",
    "TrackingError",
    "clip_log_spectral_distance",
    "f0_error_cents",
    "frechet_audio_distance",
    "frechet_distance",
    "frechet_log_mel",
    "level_error_db",
    "log_mel_distance",
    "log_spectral_distance",
    "loudness_error_db",
    "mfcc_distance",
    "multi_scale_spectral_distance",
    "multi_scale_spectral_held_out",
    "onset_flux_distance",
    "set_metric",
    "tracking_error",
]
