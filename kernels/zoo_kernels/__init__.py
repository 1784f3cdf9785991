"""The hot loops of small neural audio synthesizers, each with a float64 reference and several backends."""

from zoo_kernels._backends import backends
from zoo_kernels.cauchy import cauchy
from zoo_kernels.oscillators import harmonic_oscillators
from zoo_kernels.spectral import SpectralPlan, spectral_distances, spectral_magnitudes
from zoo_kernels.vandermonde import vandermonde

__all__ = [
    "SpectralPlan",
    "backends",
    "cauchy",
    "harmonic_oscillators",
    "spectral_distances",
    "spectral_magnitudes",
    "vandermonde",
]
