"""The S4 decoder: convolutions as long as the clip, from a state space that remembers its past.

The kernel's matrix is diagonal plus rank 1. At the roots of unity its generating function is a few Cauchy sums and
Woodbury's identity; an inverse FFT turns that into the kernel.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from zoo_kernels import cauchy

from zoo.decoders.state_space import StateSpaceDecoder, StateSpaceKernel, decayed, decays, log_uniform_steps
from zoo.storage.initialisation import skipping


class S4Kernel(StateSpaceKernel):
    """A convolution kernel for each channel: the impulse response of `x' = (diag(w) - P P*) x + B u`, `y = C x`.

    `C` is stored as training sees it: times `I - A^L`, with A the matrix of one step and L = `frames`, so that the
    kernel of L frames is a finite sum. What the recurrence and longer kernels need is worked out from it, and nothing
    is written back.

    B, C and P are stored as pairs of real numbers, under names that checkpoints know: `drive`, `read` and `low_rank`.

    Args:
        channels: Kernels.
        frames: L, the length that the parameters are made for.
        order: Size of the state; half as many modes are stored, their conjugates being implied.
    """

    def __init__(self, channels: int, *, frames: int, order: int = 64) -> None:
        super().__init__()
        self.frames = frames
        modes = order // 2
        self.log_decay = nn.Parameter(torch.empty(channels, modes))
        self.frequency = nn.Parameter(torch.empty(channels, modes))
        self.low_rank = nn.Parameter(torch.empty(channels, modes, 2))
        self.drive = nn.Parameter(torch.empty(channels, modes, 2))
        self.log_dt = nn.Parameter(torch.empty(channels))
        self.read = nn.Parameter(torch.empty(channels, modes, 2))
        if not skipping():  # it takes two decompositions
            self._initialise(order)

    @torch.no_grad()
    def _initialise(self, order: int) -> None:
        start = legs(order)
        self.log_decay.copy_(torch.log(-start.w.real).float())
        self.frequency.copy_(start.w.imag.float())
        self.low_rank.copy_(_pairs(start.P))
        self.drive.copy_(_pairs(start.B))
        self.log_dt.copy_(log_uniform_steps(len(self.log_dt)))
        C = torch.randn(len(self.log_dt), order // 2, dtype=torch.complex64)
        self.read.copy_(_pairs(_truncated(C, start, torch.exp(self.log_dt), self.frames)))

    @property
    def B(self) -> Tensor:
        """Of the input, complex `[channels, modes]`."""
        return torch.view_as_complex(self.drive)

    @property
    def C(self) -> Tensor:
        """Of the output, times `I - A^L`; complex `[channels, modes]`."""
        return torch.view_as_complex(self.read)

    @property
    def P(self) -> Tensor:
        """Of the part of rank 1, complex `[channels, modes]`."""
        return torch.view_as_complex(self.low_rank)

    def dynamics(self) -> list[nn.Parameter]:
        """A (diagonal and rank 1), B and the step."""
        return [self.log_decay, self.frequency, self.low_rank, self.drive, self.log_dt]

    def forward(self, frames: int) -> Tensor:
        """The first frames of the kernel, `[channels, frames]`.

        Beyond the length that the parameters are made for, C is worked out for the next doubled length that suffices.
        """
        length, C = self.frames, self.C
        if frames > length:
            length, C = self._for_longer(frames)
        dt = torch.exp(self.log_dt)[:, None]
        B, P = self.B, self.P
        left, right = torch.stack([C, P.conj()]), torch.stack([B, P])
        nodes = _nodes(length, dt.device, P.dtype)
        # Row: which of C and P*; column: which of B and P.
        sums = dt * cauchy(left[:, None] * right, nodes, self._poles(dt))
        generating = sums[0, 0] - sums[0, 1] * sums[1, 0] / (1 + sums[1, 1])
        generating = generating * (1 + nodes / 2)  # 2 / (1 + omega), the bilinear transform's factor
        if length % 2 == 0:
            # At omega = -1 the node is infinite: what is left there is dt Re(C B), summed over both of each pair.
            last = dt * (C * B).real.sum(dim=-1, keepdim=True)
            generating = torch.cat([generating, last.to(generating.dtype)], dim=-1)
        return torch.fft.irfft(generating, n=length)[:, :frames]

    def _poles(self, dt: Tensor) -> Tensor:
        return torch.complex(-torch.exp(self.log_decay.to(dt.dtype)), self.frequency.to(dt.dtype)) * dt

    def _scaled(self) -> tuple[Tensor, Tensor, Tensor]:
        """The system with a step of 1: w dt, P sqrt(dt) and B dt; complex128 `[channels, modes]`."""
        dt = torch.exp(self.log_dt.double())[:, None]
        P, B = self.P.to(torch.complex128), self.B.to(torch.complex128)
        return self._poles(dt), P * torch.sqrt(dt), B * dt

    def _for_longer(self, frames: int) -> tuple[int, Tensor]:
        """C times `I - A^L` for a longer L: `(I - A^2L) = (I - A^L)(I + A^L)`, as often as is needed."""
        poles, P, _ = self._scaled()
        C = _real_row(self.C.to(torch.complex128))
        length, power = self.frames, torch.linalg.matrix_power(_one_step(_real_matrix(poles, P)), self.frames)
        while True:
            C = C + (C[:, None] @ power)[:, 0]
            length *= 2
            if length >= frames:
                return length, _complex_row(C).to(self.C.dtype)
            power = power @ power

    @torch.no_grad()
    def recurrence(self) -> Tensor:
        """The bilinear recurrence, at no more than a few vectors per frame; see `StateSpaceKernel.recurrence`.

        Every mode stands for itself and its conjugate. With `A = diag(w) - P P*` and a step of 1,
        `(I - A/2) x[t] = (I + A/2) x[t-1] + B u[t]`; the left side is inverted by Woodbury's identity. It needs no
        eigenvectors: HiPPO's matrix is close to one that has no basis of them, and what a diagonal form then multiplies
        with reaches 1e8.

        Returns:
            Tables `ahead = 1 + w/2`, `inverse = 1 / (1 - w/2)`, P, B, `correction` (Woodbury's) and C. Of a frame:
            `y = inverse (ahead x[t-1] - P Re(P* x[t-1]) + B u[t])`, where `P*` stands for one half of the pairs;
            `x[t] = y - 2 correction Re(P* y)`; the output is `2 Re(C x[t])`.
        """
        poles, P, B = (part.cpu() for part in self._scaled())
        step = _one_step(_real_matrix(poles, P))
        identity = torch.eye(step.shape[-1], dtype=step.dtype)
        truncation = identity - torch.linalg.matrix_power(step, self.frames)
        row = _real_row(self.C.cpu().to(torch.complex128))
        C = _complex_row(torch.linalg.solve(truncation, row[:, None], left=False)[:, 0])
        inverse = 1 / (1 - poles / 2)
        along = inverse * P / 2
        correction = along / (1 + 2 * torch.linalg.vecdot(P, along).real)[:, None]
        return torch.stack([1 + poles / 2, inverse, P, B, correction, C])

    @torch.no_grad()
    def constants(self) -> Tensor:
        """Of `recurrence`, with `inverse` multiplied out; see `StateSpaceKernel.constants`."""
        ahead, inverse, P, B, correction, C = self.recurrence()
        return self.real([*decays(inverse * ahead), inverse * P, inverse * B, P, 2 * correction, 2 * C.conj()])

    @staticmethod
    def stream(u: Tensor, state: Tensor, constants: Tensor) -> tuple[Tensor, Tensor]:
        """See `recurrence` and `StateSpaceKernel.stream`."""
        straight, turned, back, drive, P, correction, C = constants.unbind(0)
        outputs = []
        for now in u[..., None, None].unbind(1):
            onto_P = (P * state).sum((-2, -1), keepdim=True)
            state = torch.addcmul(decayed(state, straight, turned), drive, now)
            state = torch.addcmul(state, back, onto_P, value=-1)
            onto_P = (P * state).sum((-2, -1), keepdim=True)
            state = torch.addcmul(state, correction, onto_P, value=-1)
            outputs.append((C * state).sum((-2, -1)))
        return torch.stack(outputs, 1), state


def _pairs(x: Tensor) -> Tensor:
    """Complex numbers as float32 pairs, which every optimizer and file format takes."""
    return torch.view_as_real(x.to(torch.complex64)).clone()


def _one_step(matrix: Tensor) -> Tensor:
    """The bilinear transform of `A dt`: the matrix from one frame to the next."""
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return torch.linalg.solve(identity - matrix / 2, identity + matrix / 2)


def _real_matrix(w: Tensor, P: Tensor) -> Tensor:
    """`diag(w) - P P*` over all pairs, acting on the real and imaginary parts of one of each: `[..., 2 N, 2 N]`.

    Real numbers cost a quarter in products and a third in finding eigenvectors.
    """
    own = torch.diag_embed(w) - P[..., :, None] * P.conj()[..., None, :]
    others = -P[..., :, None] * P[..., None, :]  # from the conjugates
    plus, minus = own + others, own - others
    upper, lower = torch.cat([plus.real, -minus.imag], dim=-1), torch.cat([plus.imag, minus.real], dim=-1)
    return torch.cat([upper, lower], dim=-2)


def _real_row(C: Tensor) -> Tensor:
    """`2 Re(C x)` as a real row that acts on the real and imaginary parts of x."""
    return torch.cat([2 * C.real, -2 * C.imag], dim=-1)


def _complex_row(row: Tensor) -> Tensor:
    """The inverse of `_real_row`."""
    half = row.shape[-1] // 2
    return torch.complex(row[..., :half], -row[..., half:]) / 2


def _truncated(C: Tensor, start: NormalPlusLowRank, dt: Tensor, frames: int) -> Tensor:
    """`C (I - A^L)` for matrices that differ in their step only, by the eigenvectors of one.

    Those of the matrix as float32 stores it: rounding parts eigenvalues that are all but equal, and so makes the
    eigenvectors good to 1e-8.
    """
    w, P = (x.to(torch.complex64).to(torch.complex128) for x in (start.w, start.P))
    poles, vectors = torch.linalg.eig(_real_matrix(w, P))
    poles = poles * dt.double()[:, None]
    row = _real_row(C.to(torch.complex128))
    powers = ((1 + poles / 2) / (1 - poles / 2)) ** frames
    rest = torch.linalg.solve(vectors, row.to(vectors.dtype) @ vectors * powers, left=False).real
    return _complex_row(row - rest)


@functools.lru_cache(maxsize=16)
def _nodes(length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Where the Cauchy sums are taken: `2 (1 - omega) / (1 + omega)` at the roots of unity but -1, all imaginary."""
    with torch.inference_mode(False), torch.no_grad():  # kept for later calls, which may need gradients
        angle = torch.arange((length + 1) // 2, dtype=torch.float64) * (2 * math.pi / length)
        return torch.complex(torch.zeros_like(angle), 2 * torch.tan(angle / 2)).to(device, dtype)


class S4Decoder(StateSpaceDecoder):
    """Blocks of S4 convolutions between two MLPs.

    Example:
        >>> decoder = S4Decoder(control_sizes={"amplitude": 1}, model_size=16, blocks=3)
        >>> decoder(torch.zeros(2, 250), torch.zeros(2, 250)).controls["amplitude"].shape
        torch.Size([2, 250, 1])

    Its kernels are made for clips of `kernel_frames`: shorter ones use their beginning, longer ones cost a little more
    to work out. Streaming gives the same as `forward` over any length, to rounding.

    Args:
        control_sizes: The synth's controls, name to size.
        model_size: Channels of each feature's input MLP; the blocks have twice as many, as has the output MLP.
        blocks: Residual blocks.
        dropout: In each block, after the convolution and after the mixing of channels.
        kernel_frames: The length that the kernels are made for: best that of the training segments.
        state_size: Of each channel's state space.

    Source: Gu, Goel, Ré, "Efficiently Modeling Long Sequences with Structured State Spaces" (2022).
    """

    def __init__(
        self,
        *,
        control_sizes: Mapping[str, int],
        model_size: int = 256,
        blocks: int = 5,
        dropout: float = 0.2,
        kernel_frames: int = 1000,
        state_size: int = 64,
    ) -> None:
        if kernel_frames < 1:
            raise ValueError(f"kernel_frames must be at least 1, and is {kernel_frames}.")
        if state_size < 2 or state_size % 2:
            raise ValueError(f"state_size must be even (conjugate pairs), and is {state_size}.")
        kernels = [S4Kernel(2 * model_size, frames=kernel_frames, order=state_size) for _ in range(blocks)]
        super().__init__(control_sizes=control_sizes, model_size=model_size, kernels=kernels, dropout=dropout)


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
