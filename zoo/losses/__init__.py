"""Distances between sounds, and what a student is trained with.

`Loss` is what a loss of a pair is; such losses are components, found by name in the registry.
"""

from zoo.losses.base import Loss, valid_mean
from zoo.losses.spectral import (
    multi_scale_spectral,
    multi_scale_spectral_each_row,
    multi_scale_spectral_many,
    multi_scale_spectral_weighted,
)
from zoo.losses.spectral_targets import FFT_SIZES, SpectralTargets, target_spectra

__all__ = [
    "FFT_SIZES",
    "Loss",
    "SpectralTargets",
    "multi_scale_spectral",
    "multi_scale_spectral_each_row",
    "multi_scale_spectral_many",
    "multi_scale_spectral_weighted",
    "target_spectra",
    "valid_mean",
]
