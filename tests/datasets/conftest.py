from dataclasses import dataclass

import pytest
import torch

from zoo.datasets import Preparation, Recording
from zoo.features import FeatureSettings


@dataclass(frozen=True)
class Notes(Recording):
    """Notes with rests: (seconds, pitch in Hz; 0 for a rest)."""

    notes: tuple[tuple[float, float], ...] = ((4.0, 220.0),)

    def load(self, sample_rate):
        pieces = []
        for seconds, hz in self.notes:
            t = torch.arange(round(seconds * sample_rate)) / sample_rate
            pieces.append(sum(torch.sin(2 * torch.pi * hz * k * t) / k for k in range(1, 5)) * 0.2)
        return torch.cat(pieces)


@pytest.fixture
def notes():
    return Notes


@pytest.fixture
def yin():
    return Preparation(features=FeatureSettings(tracker="yin"))
