"""Training by several processes, each on its share of every batch: who is who, and what they must agree on.

Lightning starts the others (`devices=2`), by running the same command again, or a launcher such as torchrun does. The
first process alone writes files and messages.
"""

from __future__ import annotations

import os

import torch
from torch import distributed


def is_main() -> bool:
    """Whether this process is the first one, or the only one; known before the others are met."""
    if "RANK" in os.environ:
        return os.environ["RANK"] == "0"
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def count() -> int:
    """How many processes train together, once they have met."""
    return distributed.get_world_size() if _met() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if _met() else 0


def sum_over_all(value: float, device: torch.device) -> float:
    """The sum of a number over all processes; NaN where one has NaN. All must call it."""
    if count() == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64 if device.type != "mps" else torch.float32, device=device)
    distributed.all_reduce(total)
    return float(total)


def any_of_all(value: bool, device: torch.device) -> bool:
    """Whether it is true in any process. All must call it."""
    return sum_over_all(float(value), device) > 0


def _met() -> bool:
    return distributed.is_available() and distributed.is_initialized()
