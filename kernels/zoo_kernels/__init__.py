"""The hot loops of small neural audio synthesizers, each with a float64 reference and several backends."""

from zoo_kernels._backends import automatic_backend, backends
from zoo_kernels._exporting import exporting
from zoo_kernels.cauchy import cauchy
from zoo_kernels.convolution import causal_convolution
from zoo_kernels.fft import fast_fft_size
from zoo_kernels.modulation import OperatorGraph, frequency_modulation
from zoo_kernels.oscillators import harmonic_oscillators
from zoo_kernels.recurrence import gated_recurrence
from zoo_kernels.spectral import SpectralPlan, spectral_distances, spectral_magnitudes
from zoo_kernels.vandermonde import vandermonde

__all__ = [
    "OperatorGraph",
    "SpectralPlan",
    "automatic_backend",
    "backends",
    "cauchy",
    "causal_convolution",
    "exporting",
    "fast_fft_size",
    "frequency_modulation",
    "gated_recurrence",
    "harmonic_oscillators",
    "spectral_distances",
    "spectral_magnitudes",
    "vandermonde",
]
