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
    "multi_scale_spectral_held_out": "the same, at windows not trained with",
    "log_spectral_distance": "log-spectral distance (dB)",
    "log_mel_distance": "log-mel distance (dB)",
    "mfcc_distance": "MFCC distance, without c0",
    "onset_flux_distance": "onset flux distance",
    "loudness_error_db": "loudness error (dB)",
    "level_error_db": "A-weighted level error (dB)",
    "frechet_log_mel": "Fréchet distance of log-mel frames (dB²)",
    "frechet_audio_distance": "Fréchet audio distance",
    "f0_error_cents": "f0 error (cents, median)",
    "f0_over_50_cents": "share of frames over 50 cents off",
}

OVER_THE_SET = ("frechet_log_mel", "frechet_audio_distance")
"""Measures that give one value for all segments, and its standard error beside it."""
