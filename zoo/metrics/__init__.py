"""Measures between sounds: plain functions, one value a row, 0 between equal sounds.

All take `valid_samples` (int64 `[batch]`): what lies after it in a row is padding, and is left out.
"""

from zoo.metrics.features import PitchErrors, f0_error_cents, loudness_error_db
from zoo.metrics.spectral import (
    clip_log_spectral_distance,
    log_spectral_distance,
    multi_scale_spectral_distance,
    onset_flux_distance,
)

__all__ = [
    "PitchErrors",
    "clip_log_spectral_distance",
    "f0_error_cents",
    "log_spectral_distance",
    "loudness_error_db",
    "multi_scale_spectral_distance",
    "onset_flux_distance",
]
