"""The hot loops of small neural audio synthesizers, each with a float64 reference and several backends."""

from zoo_kernels._backends import backends
from zoo_kernels.oscillators import harmonic_oscillators

__all__ = ["backends", "harmonic_oscillators"]
