"""Differentiable signal processors from controls to audio; the registry's kind `synths`."""

from zoo.synths.base import Synth, Synthesis, SynthState

__all__ = ["Synth", "SynthState", "Synthesis"]
