"""The S4D decoder: S4 with a diagonal state matrix, whose kernel is a plain sum of damped oscillations."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from zoo_kernels import vandermonde

from zoo.decoders.state_space import StateSpaceDecoder, StateSpaceKernel, decayed, decays, log_uniform_steps


class S4DKernel(StateSpaceKernel):
    """A convolution kernel for each channel: the impulse response of `x' = diag(w) x + u`, `y = C x`.

    It begins as S4D-Lin: poles `-1/2 + i pi n`. The input is held over a frame. Whatever B would scale, C scales as
    well, so there is no B.

    C is stored as pairs of real numbers, under a name that checkpoints know: `read`.

    Args:
        channels: Kernels.
        order: Size of the state; half as many modes are stored, their conjugates being implied.

    Source: Gu et al., "On the Parameterization and Initialization of Diagonal State Space Models" (2022), sections 3
    and 4, equation 9.
    """

    def __init__(self, channels: int, *, order: int = 64) -> None:
        super().__init__()
        modes = order // 2
        self.log_decay = nn.Parameter(torch.full((channels, modes), math.log(0.5)))
        self.frequency = nn.Parameter((math.pi * torch.arange(modes)).repeat(channels, 1))
        self.log_dt = nn.Parameter(log_uniform_steps(channels))
        self.read = nn.Parameter(torch.view_as_real(torch.randn(channels, modes, dtype=torch.complex64)).clone())

    @property
    def C(self) -> Tensor:
        """Of the output, complex `[channels, modes]`."""
        return torch.view_as_complex(self.read)

    def dynamics(self) -> list[nn.Parameter]:
        """A and the step."""
        return [self.log_decay, self.frequency, self.log_dt]

    def _discrete(self) -> tuple[Tensor, Tensor]:
        """Poles times the step, and what an input held over a frame adds to each mode; complex128 `[channels, modes]`.

        float32 would lose three digits of exp(w dt) - 1.
        """
        poles = torch.complex(-torch.exp(self.log_decay.double()), self.frequency.double())
        exponents = poles * torch.exp(self.log_dt.double())[:, None]
        return exponents, (torch.exp(exponents) - 1) / poles

    def forward(self, frames: int) -> Tensor:
        """The first frames of the kernel, `[channels, frames]`."""
        exponents, held = self._discrete()
        C = self.C
        return vandermonde(C * held.to(C.dtype), exponents.to(C.dtype), frames)

    @torch.no_grad()
    def recurrence(self) -> Tensor:
        """A, B and C of `x[t] = A x[t-1] + B u[t]`, `y[t] = Re sum of C x[t]`; see `StateSpaceKernel.recurrence`."""
        exponents, held = self._discrete()
        return torch.stack([torch.exp(exponents), held, 2 * self.C.to(torch.complex128)]).cpu()

    @torch.no_grad()
    def constants(self) -> Tensor:
        """See `StateSpaceKernel.constants`."""
        A, B, C = self.recurrence()
        return self.real([*decays(A), B, C.conj()])

    @staticmethod
    def stream(u: Tensor, state: Tensor, constants: Tensor) -> tuple[Tensor, Tensor]:
        """Every mode by itself; see `StateSpaceKernel.stream`."""
        straight, turned, B, C = constants.unbind(0)
        outputs = []
        for now in u[..., None, None].unbind(1):
            state = torch.addcmul(decayed(state, straight, turned), B, now)
            outputs.append((C * state).sum((-2, -1)))
        return torch.stack(outputs, 1), state


class S4DDecoder(StateSpaceDecoder):
    """Blocks of S4D convolutions between two MLPs.

    Example:
        >>> decoder = S4DDecoder(control_sizes={"amplitude": 1}, model_size=16, blocks=3)
        >>> decoder(torch.zeros(2, 250), torch.zeros(2, 250)).controls["amplitude"].shape
        torch.Size([2, 250, 1])

    Args:
        control_sizes: The synth's controls, name to size.
        model_size: Channels of each feature's input MLP; the blocks have twice as many, as has the output MLP.
        blocks: Residual blocks.
        dropout: In each block, after the convolution and after the mixing of channels.
        state_size: Of each channel's state space.

    Source: Gu et al., "On the Parameterization and Initialization of Diagonal State Space Models" (2022).
    """

    def __init__(
        self,
        *,
        control_sizes: Mapping[str, int],
        model_size: int = 256,
        blocks: int = 5,
        dropout: float = 0.2,
        state_size: int = 64,
    ) -> None:
        if state_size < 2 or state_size % 2:
            raise ValueError(f"state_size must be even (conjugate pairs), and is {state_size}.")
        kernels = [S4DKernel(2 * model_size, order=state_size) for _ in range(blocks)]
        super().__init__(control_sizes=control_sizes, model_size=model_size, kernels=kernels, dropout=dropout)
