"""Wavetables: one period of a wave each, how they begin, and the harmonics that they hold."""

from __future__ import annotations

import math

import torch
from torch import Tensor

PURE = 4
"""So many of the first tables begin as one sine each."""


def harmonics_in(table_size: int) -> int:
    """How many harmonics a table can hold: those under half its size, at which only one phase could be held."""
    return (table_size - 1) // 2


def initial_tables(tables: int, table_size: int) -> Tensor:
    """Draw tables to begin with, by torch's global generator.

    The first `PURE` are the sines of the first harmonics. The others hold all harmonics, band-
    limited by construction: the k-th falls as `1 / k`, times a number drawn from [0, 1). All harmonics begin as
    sines: with their phases aligned, none of two tables cancel in a mixture before anything is learned.

    Args:
        tables: How many.
        table_size: Samples in each.

    Returns:
        `[tables, table_size]` float32 without DC; in each the harmonics' amplitudes sum to 1.
    """
    number = torch.arange(1, harmonics_in(table_size) + 1, dtype=torch.float64)
    amplitudes = torch.rand(tables, len(number), dtype=torch.float64) / number
    pure = min(PURE, tables, len(number))
    amplitudes[:pure] = torch.eye(pure, len(number), dtype=torch.float64)
    amplitudes /= amplitudes.sum(-1, keepdim=True)
    position = torch.arange(table_size, dtype=torch.float64) / table_size
    return (amplitudes @ torch.sin(2 * math.pi * number[:, None] * position)).float()


def table_harmonics(tables: Tensor) -> Tensor:
    """The harmonics of tables, without DC: a table is the sum of `sine[k] * sin(k phase) + cosine[k] * cos(k phase)`.

    Args:
        tables: `[tables, table_size]`; sample n stands at phase `2 pi n / table_size`.

    Returns:
        `[2, tables, harmonics]` of the tables' dtype: sines, then cosines.
    """
    size = tables.shape[-1]
    number = torch.arange(1, harmonics_in(size) + 1, device=tables.device)
    # whole numbers are wrapped, so that large multiples lose no digits
    angle = (torch.arange(size, device=tables.device)[:, None] * number % size).double() * (2 * math.pi / size)
    # in float64: a mixture with nothing else to hear would be lifted to its rounding errors
    return (tables.double() @ (torch.stack([torch.sin(angle), torch.cos(angle)]) * (2 / size))).to(tables.dtype)
