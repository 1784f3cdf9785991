"""What is measured of the sums of state space models: an S4 layer's, their textbook versions and references."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from zoo_kernels import reference
from zoo_kernels.bench.problem import Problem, Truth, Work, make_cotangent, with_autograd
from zoo_kernels.cauchy import cauchy
from zoo_kernels.vandermonde import vandermonde


class _StateSpace(Problem):
    """The sizes of an S4-L layer: 512 channels, 32 pairs of poles, 1,000 nodes or steps, four numerators."""

    def __init__(self, device: torch.device, *, quick: bool) -> None:
        super().__init__(device, quick=quick)
        numerators, channels, pairs, self.length = self.sizes(quick)
        shape = (numerators, channels, pairs)
        self.shape = (numerators, channels, self.length)  # of the value
        self.v = torch.complex(self.random(*shape) - 0.5, self.random(*shape) - 0.5)
        # HiPPO-LegS's eigenvalues, with time steps from 0.001 to 0.1.
        step = 0.001 * 100 ** self.random(channels, 1)
        number = torch.arange(pairs, device=device)
        self.w = torch.complex(-0.5 * step.expand(-1, pairs), math.pi * step * number).contiguous()
        self.chunk = 32  # channels of the reference at a time

    @staticmethod
    def sizes(quick: bool) -> tuple[int, int, int, int]:
        """Numerators, channels, pairs, nodes or steps."""
        return (2, 8, 4, 50) if quick else (4, 512, 32, 1000)

    @classmethod
    def cases(cls, *, quick: bool) -> tuple[str, ...]:
        """One, named by its sizes."""
        numerators, channels, pairs, length = cls.sizes(quick)
        return (f"{numerators} x {channels} x {pairs}, {length}",)

    @abstractmethod
    def exact(self, v: Tensor, w: Tensor) -> Tensor:
        """The reference."""

    def truth(self, case: str) -> Truth:
        """A few channels at a time: the reference keeps every term."""
        found = []
        for first in range(0, self.w.shape[0], self.chunk):
            part = slice(first, first + self.chunk)
            v, w = self.v[:, part].to(torch.complex128), self.w[part].to(torch.complex128)
            v, w = v.cpu().requires_grad_(), w.cpu().requires_grad_()
            value = self.exact(v, w)
            found.append(
                (value.detach(), *torch.autograd.grad(value, (v, w), make_cotangent(*value.shape, like=value)))
            )
        values, grad_v, grad_w = zip(*found, strict=True)
        return Truth(torch.cat(values, dim=1), (torch.cat(grad_v, dim=1), torch.cat(grad_w, dim=0)))


class Cauchy(_StateSpace):
    """S4's kernel at nodes 2 (1 - omega) / (1 + omega), omega on the unit circle: they are imaginary."""

    kernel = "cauchy"

    def __init__(self, device: torch.device, *, quick: bool) -> None:
        super().__init__(device, quick=quick)
        angle = math.pi * torch.arange(self.length, dtype=torch.float64) / self.length
        self.z = torch.complex(torch.zeros(self.length), (2 * torch.tan(angle / 2)).float()).to(device)

    def textbook(self) -> Work:
        """The direct sum over all poles, those of the conjugate half too."""

        def direct(v: Tensor, w: Tensor) -> Tensor:
            numerators, poles = torch.cat([v, v.conj()], dim=-1), torch.cat([w, w.conj()], dim=-1)
            return (numerators[..., None] / (self.z - poles[..., None])).sum(dim=-2)

        return with_autograd(direct, make_cotangent(*self.shape, like=self.v), self.v, self.w)

    def work(self, backend: str, case: str) -> Work:
        """`cauchy`; the nodes are constants, as in S4."""
        cotangent = make_cotangent(*self.shape, like=self.v)
        return with_autograd(lambda v, w: cauchy(v, self.z, w, backend=backend), cotangent, self.v, self.w)

    def exact(self, v: Tensor, w: Tensor) -> Tensor:
        """The reference."""
        return reference.cauchy(v, self.z.cpu(), w)


class Vandermonde(_StateSpace):
    """S4D's kernel."""

    kernel = "vandermonde"

    def textbook(self) -> Work:
        """The direct exponential."""

        def direct(v: Tensor, w: Tensor) -> Tensor:
            steps = torch.arange(self.length, dtype=torch.float32, device=v.device)
            return 2 * (v[..., None] * torch.exp(w[..., None] * steps)).sum(dim=-2).real

        return with_autograd(direct, make_cotangent(*self.shape, like=self.v.real), self.v, self.w)

    def work(self, backend: str, case: str) -> Work:
        """`vandermonde`."""
        cotangent = make_cotangent(*self.shape, like=self.v.real)
        return with_autograd(lambda v, w: vandermonde(v, w, self.length, backend=backend), cotangent, self.v, self.w)

    def exact(self, v: Tensor, w: Tensor) -> Tensor:
        """The reference."""
        return reference.vandermonde(v, w, self.length)
