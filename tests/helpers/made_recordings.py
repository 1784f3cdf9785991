"""Recordings that tests make; in a module that other processes can import."""

from dataclasses import dataclass

import torch

from zoo.datasets import Recording


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
