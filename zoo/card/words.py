"""What cards call arms and metrics."""

from __future__ import annotations

ARMS = {
    "teacher": "teacher",
    "student": "this model",
    "alone": "the same, trained without a teacher",
    "noise_floor": "noise floor",
}

SPEED = "real_time_factor"
"""The one measure of metrics.json that is no distance: it stands beside the size."""

METRICS = {
    "multi_scale_spectral": "multi-scale spectral distance",
    "log_spectral_distance": "log-spectral distance (dB)",
    "onset_flux_distance": "onset flux distance",
    "loudness_error_db": "loudness error (dB)",
    "f0_error_cents": "f0 error (cents, median)",
    "f0_over_50_cents": "share of frames over 50 cents off",
}
