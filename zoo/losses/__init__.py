"""Distances between sounds, and what a student is trained with.

`zoo.losses.distillation` holds the losses of a pair; they are components, found by name in the registry.
"""

from zoo.losses.spectral import (
    FFT_SIZES,
    SpectralTargets,
    multi_scale_spectral,
    multi_scale_spectral_each_row,
    multi_scale_spectral_many,
    multi_scale_spectral_weighted,
    target_spectra,
)

__all__ = [
    "FFT_SIZES",
    "SpectralTargets",
    "multi_scale_spectral",
    "multi_scale_spectral_each_row",
    "multi_scale_spectral_many",
    "multi_scale_spectral_weighted",
    "target_spectra",
]
