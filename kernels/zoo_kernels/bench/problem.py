"""What a measurement consists of: inputs, a textbook version, the kernel by each backend, and what is right."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Work:
    """A call to measure.

    Attributes:
        forward: Computes the value.
        backward: Takes what `forward` gave, and computes the gradients.
        at_once: `backward` computes the value as well: the kernel gives both in one pass.
    """

    forward: Callable[[], Any]
    backward: Callable[[Any], tuple[Tensor, ...]]
    at_once: bool = False


@dataclass(frozen=True)
class Truth:
    """Value and gradients in float64.

    Attributes:
        value: The leading part of the value that is compared.
        gradients: The leading parts of the gradients.
    """

    value: Tensor
    gradients: tuple[Tensor, ...]


def with_autograd(call: Callable[..., Tensor], cotangent: Tensor, *inputs: Tensor) -> Work:
    """A call to measure whose gradients come by autograd."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    return Work(lambda: call(*leaves), lambda value: torch.autograd.grad(value, leaves, cotangent))


def make_cotangent(*shape: int, like: Tensor) -> Tensor:
    """The gradient that comes in, the same for all versions: of both signs over a signal, one for a loss."""
    wave = torch.linspace(-1.0, 1.0, shape[-1], device=like.device) + 0.5 if len(shape) > 1 else torch.ones(shape)
    return wave.to(like).expand(shape).contiguous()


class Problem(ABC):
    """One kernel at one size on one device.

    Args:
        device: Where the inputs are.
        quick: Small sizes.
    """

    kernel: str

    def __init__(self, device: torch.device, *, quick: bool) -> None:
        self.device = device
        self.quick = quick
        self.generator = torch.Generator().manual_seed(0)

    def random(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), float32, the same on every device."""
        return torch.rand(*shape, generator=self.generator).to(self.device)

    @classmethod
    @abstractmethod
    def cases(cls, *, quick: bool) -> tuple[str, ...]:
        """What the kernel is called with: sizes, or what distinguishes one call from another."""

    @abstractmethod
    def textbook(self) -> Work:
        """The textbook version, of the first case."""

    @abstractmethod
    def work(self, backend: str, case: str) -> Work:
        """The kernel by one backend."""

    @abstractmethod
    def truth(self, case: str) -> Truth:
        """What is right."""

    def signal_to_error_db(self, backend: str, case: str) -> tuple[float | None, float | None]:
        """Signal-to-error ratios of 4 s and of 10 min of audio, where the kernel makes audio."""
        return None, None
