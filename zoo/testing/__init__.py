"""Checks that a plugin's own tests call: does a component keep what its kind promises?

>>> from zoo.testing import check_decoder
>>> check_decoder("gru", options={"hidden_size": 8})

Each takes a registered name or the class itself, and gives nothing when all is well. What is broken raises an
`AssertionError` that says what the kind promises and what was found. zoo's own components pass the same checks.
"""

from zoo.testing.datasets import check_dataset
from zoo.testing.decoders import check_decoder
from zoo.testing.losses import check_loss
from zoo.testing.measures import check_loudness, check_metric, check_pitch
from zoo.testing.models import check_model
from zoo.testing.synths import check_synth

__all__ = [
    "check_dataset",
    "check_decoder",
    "check_loss",
    "check_loudness",
    "check_metric",
    "check_model",
    "check_pitch",
    "check_synth",
]
