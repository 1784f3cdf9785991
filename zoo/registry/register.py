"""Register components in this process, for notebooks, scripts and tests.

>>> import zoo
>>> @zoo.register.metric("peak_difference")
... def peak_difference(a, b):
...     return (a.abs().amax(-1) - b.abs().amax(-1)).abs()

A package registers through entry points instead: then its names are there without importing it.
"""

from zoo import registry

decoder = registry.decoders.register
synth = registry.synths.register
loss = registry.losses.register
loss_weight = registry.loss_weights.register
dataset = registry.datasets.register
pitch = registry.pitch.register
loudness = registry.loudness.register
metric = registry.metrics.register
model = registry.models.register
command = registry.commands.register
executor = registry.executors.register
exporter = registry.exporters.register
logger = registry.loggers.register

__all__ = [
    "command",
    "dataset",
    "decoder",
    "executor",
    "exporter",
    "logger",
    "loss",
    "loss_weight",
    "loudness",
    "metric",
    "model",
    "pitch",
    "synth",
]
