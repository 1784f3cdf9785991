"""The master's thesis that zoo reimagines: reading its checkpoints, and playing what was trained with its quirks."""

from zoo_thesis.checkpoints import import_thesis as import_thesis
from zoo_thesis.synth import ThesisHarmonicNoise as ThesisHarmonicNoise
