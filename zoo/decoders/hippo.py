"""The HiPPO-LegS matrix, with which S4's memory of the past begins, as a diagonal matrix and one of rank 1."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor


class NormalPlusLowRank(NamedTuple):
    """A state space `x' = A x + B u` with `A = diag(w) - P P*`; of each pair of conjugates one is kept, `[order / 2]`.

    Attributes:
        w: Poles of the diagonal part.
        P: The vector of the part of rank 1.
        B: The input's vector.
    """

    w: Tensor
    P: Tensor
    B: Tensor


@functools.cache
def legs(order: int) -> NormalPlusLowRank:
    """HiPPO-LegS in the basis where its normal part is diagonal.

    Args:
        order: Size of the state, even.

    Returns:
        Vectors of complex128.

    Source: Gu, Goel, Ré, "Efficiently Modeling Long Sequences with Structured State Spaces" (2022), equation 2 and
    appendix C.1.
    """
    with torch.inference_mode(False), torch.no_grad():  # kept for later calls, which may need gradients
        n = torch.arange(order, dtype=torch.float64)
        root = torch.sqrt(2 * n + 1)
        matrix = -torch.tril(root[:, None] * root, -1) - torch.diag(n + 1)
        low_rank = torch.sqrt(n + 0.5)
        normal = matrix + low_rank[:, None] * low_rank  # -1/2 and a skew-symmetric matrix
        imag, basis = torch.linalg.eigh(-1j * normal.to(torch.complex128))
        real = torch.diagonal(normal).mean()
        kept = basis[:, : order // 2]  # eigenvalues are sorted: those with a negative imaginary part
        w = torch.complex(real.expand(order // 2), imag[: order // 2])
        return NormalPlusLowRank(w, *(kept.mH @ vector.to(torch.complex128) for vector in (low_rank, root)))
