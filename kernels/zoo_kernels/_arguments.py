"""What the complex kernels ask of their arguments, and how they hand them to a backend."""

from __future__ import annotations

import torch
from torch import Tensor


def plain(tensor: Tensor) -> Tensor:
    """A tensor as backends take it: without its graph, in memory as it is indexed, no conjugation left to do."""
    return tensor.detach().resolve_conj().resolve_neg().contiguous()


def check_complex(tensors: dict[str, Tensor]) -> None:
    """Make sure that all tensors are complex, of one dtype and on one device.

    Args:
        tensors: The arguments by their names.

    Raises:
        ValueError: They are not; it names who differs.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.complex64, torch.complex128):
            raise ValueError(f"{name} must be complex64 or complex128, and is {tensor.dtype}.")
    (first, known), *others = tensors.items()
    for name, tensor in others:
        if tensor.dtype != known.dtype:
            raise ValueError(f"{first} is {known.dtype} and {name} {tensor.dtype}: convert one of them.")
        if tensor.device != known.device:
            raise ValueError(f"{first} is on {known.device} and {name} on {tensor.device}: move one of them.")
