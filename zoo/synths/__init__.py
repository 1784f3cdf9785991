"""Differentiable signal processors from controls to audio; the registry's kind `synths`.

`Synth` is what a synth is; `PitchedSynth` is one that is a tone with a pitch, with noise and a reverb where wanted; the
others are what such a synth is made of.
"""

from zoo.synths.base import Synth, Synthesis
from zoo.synths.filtered_noise import NoisePart
from zoo.synths.fourier import from_spectrum, product, to_spectrum
from zoo.synths.harmonic_noise import HarmonicNoise, scale_control
from zoo.synths.oscillators import forward_fill_f0, fundamental_phase, voicing_gate
from zoo.synths.pitched import PitchedSynth
from zoo.synths.reverb import Reverb

__all__ = [
    "HarmonicNoise",
    "NoisePart",
    "PitchedSynth",
    "Reverb",
    "Synth",
    "Synthesis",
    "forward_fill_f0",
    "from_spectrum",
    "fundamental_phase",
    "product",
    "scale_control",
    "to_spectrum",
    "voicing_gate",
]
