"""What is measured: each kernel's inputs, its textbook version, and its float64 reference.

A textbook version is what one writes first: torch operations over the whole sum at once, with autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from zoo_kernels import harmonic_oscillators, reference
from zoo_kernels.bench.problem import Problem, Truth, Work, make_cotangent, with_autograd
from zoo_kernels.bench.state_space import Cauchy, Vandermonde
from zoo_kernels.modulation import OperatorGraph, frequency_modulation
from zoo_kernels.recurrence import gated_recurrence
from zoo_kernels.spectral import SpectralPlan, spectral_distances, spectral_magnitudes

RATE = 16000
TEXTBOOK = "textbook"

Version = tuple[str, str, str]  # kernel, backend or "textbook", case


class Oscillators(Problem):
    """100 harmonics of fundamentals from 200 to 500 Hz: 16 to 39 of them lie below Nyquist."""

    kernel = "harmonic_oscillators"
    hop = 64

    def __init__(self, device: torch.device, *, quick: bool) -> None:
        super().__init__(device, quick=quick)
        self.batch, self.frames, self.harmonics = (2, 40, 10) if quick else (16, 1000, 100)
        self.f0_hz = 200 + 300 * self.random(self.batch, 1).double()
        self.amplitudes = self.random(self.batch, self.frames, self.harmonics)
        count = ((RATE / 2 / self.f0_hz).ceil().long() - 1).clamp(max=self.harmonics)
        self.active = count.expand(-1, self.frames).contiguous()

    @classmethod
    def cases(cls, *, quick: bool) -> tuple[str, ...]:
        """All harmonics sound; or only those below Nyquist, and the kernel is told how many."""
        return f"all {10 if quick else 100}", "active"

    @staticmethod
    def phase(f0_hz: Tensor, samples: int) -> Tensor:
        """Wrapped, in float64."""
        cycles = f0_hz / RATE * torch.arange(1, samples + 1, dtype=torch.float64, device=f0_hz.device)
        return (cycles - torch.floor(cycles + 0.5)) * (2 * math.pi)

    @staticmethod
    def running_phase(f0_hz: Tensor, samples: int) -> Tensor:
        """As the textbook has it: summed up in float32, never wrapped."""
        return torch.cumsum((2 * math.pi / RATE * f0_hz).float().expand(-1, samples), dim=1)

    def sine_bank(self, phase: Tensor, amplitudes: Tensor) -> Tensor:
        """Every harmonic of every sample at once."""
        numbers = torch.arange(1, amplitudes.shape[-1] + 1, dtype=phase.dtype, device=phase.device)
        return (amplitudes.repeat_interleave(self.hop, dim=1) * torch.sin(phase[..., None] * numbers)).sum(dim=-1)

    def textbook(self) -> Work:
        """The sine bank."""
        return self._trained(self.sine_bank, self.running_phase(self.f0_hz, self.frames * self.hop))

    def _trained(self, call: Callable[[Tensor, Tensor], Tensor], phase: Tensor) -> Work:
        return with_autograd(call, make_cotangent(*phase.shape, like=self.amplitudes), phase, self.amplitudes)

    def _limit(self, case: str) -> Tensor | None:
        return self.active if case == "active" else None

    def work(self, backend: str, case: str) -> Work:
        """`harmonic_oscillators`."""

        def call(phase: Tensor, amplitudes: Tensor) -> Tensor:
            return harmonic_oscillators(phase, amplitudes, hop=self.hop, active=self._limit(case), backend=backend)

        return self._trained(call, self.phase(self.f0_hz, self.frames * self.hop))

    def truth(self, case: str) -> Truth:
        """Of the first two rows."""
        limit = self._limit(case)
        limit = None if limit is None else limit[:2].cpu()
        phase, amplitudes = (
            tensor[:2].cpu().double().requires_grad_()
            for tensor in (self.phase(self.f0_hz, self.frames * self.hop), self.amplitudes)
        )
        value = reference.harmonic_oscillators(phase, amplitudes, hop=self.hop, active=limit)
        gradients = torch.autograd.grad(value, (phase, amplitudes), make_cotangent(*value.shape, like=value))
        return Truth(value.detach(), gradients)

    def signal_to_error_db(self, backend: str, case: str) -> tuple[float | None, float | None]:
        """Of one row; of the ten minutes their last four seconds, where an error that grows would be largest."""
        found = []
        for frames in (1000, 150_000):
            kept, samples = min(frames, 1000), frames * self.hop
            f0_hz = self.f0_hz[:1]
            amplitudes = self.random(1, kept, self.harmonics)
            tail = slice(-kept * self.hop, None)
            limit = None if case != "active" else self.active[:1, :1].expand(-1, frames).contiguous()
            phase = self.phase(f0_hz, samples)
            if backend == TEXTBOOK:  # of ten minutes its tensor would take 4 GB: the last seconds of its phase will do
                audio = self.sine_bank(self.running_phase(f0_hz, samples)[:, tail], amplitudes)
            else:
                all_amplitudes = amplitudes.repeat(1, frames // kept, 1)
                audio = harmonic_oscillators(phase, all_amplitudes, hop=self.hop, active=limit, backend=backend)
            limit = None if limit is None else limit[:, :kept]
            expected = reference.harmonic_oscillators(phase[:, tail], amplitudes, hop=self.hop, active=limit)
            error = (expected - audio[:, tail].double()).square().sum()
            found.append(float(10 * torch.log10(expected.square().sum() / error)))
        return found[0], found[1]


class Recurrence(Problem):
    """A GRU of a small decoder."""

    kernel = "gated_recurrence"

    def __init__(self, device: torch.device, *, quick: bool) -> None:
        super().__init__(device, quick=quick)
        batch, steps, size = self.sizes(quick)
        self.shape = (batch, steps, size)
        self.inputs = 4 * self.random(batch, steps, 3 * size) - 2
        self.weight = (2 * self.random(3 * size, size) - 1) / size**0.5
        self.bias = (2 * self.random(3 * size) - 1) / size**0.5

    @staticmethod
    def sizes(quick: bool) -> tuple[int, int, int]:
        """Rows, steps, units."""
        return (2, 20, 8) if quick else (16, 1000, 44)

    @classmethod
    def cases(cls, *, quick: bool) -> tuple[str, ...]:
        """One, named by its sizes."""
        return (" x ".join(map(str, cls.sizes(quick))),)

    def textbook(self) -> Work:
        """The one of torch; its products of the inputs are left out by giving it a matrix of ones and zeros."""
        size = self.shape[2]
        identity, zeros = torch.eye(3 * size, device=self.device), torch.zeros(3 * size, device=self.device)

        def direct(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            start = inputs.new_zeros(1, self.shape[0], size)
            states: Tensor = torch.gru(inputs, start, (identity, weight, zeros, bias), True, 1, 0.0, True, False, True)[
                0
            ]
            return states

        return self._trained(direct)

    def _trained(self, call: Callable[..., Tensor]) -> Work:
        return with_autograd(call, make_cotangent(*self.shape, like=self.inputs), self.inputs, self.weight, self.bias)

    def work(self, backend: str, case: str) -> Work:
        """`gated_recurrence`."""
        return self._trained(lambda *arguments: gated_recurrence(*arguments, backend=backend))

    def truth(self, case: str) -> Truth:
        """Of all rows: the weight's gradient is a sum over them."""
        leaves = [t.cpu().double().requires_grad_() for t in (self.inputs, self.weight, self.bias)]
        value = reference.gated_recurrence(*leaves)
        return Truth(value.detach(), torch.autograd.grad(value, leaves, make_cotangent(*value.shape, like=value)))


class Modulation(Problem):
    """Six operators in three stacks, two of them at one and a half times and twice the fundamental: a DX7's flute."""

    kernel = "frequency_modulation"
    hop = 64
    graph = OperatorGraph(
        modulators=((1, 2, 4), (), (3,), (), (5,), ()),
        carriers=(0,),
        phases=(0, 0, 0, 0, 0, 1),
        multiples=(1, 1, 1, 2, 2, 1),
    )

    def __init__(self, device: torch.device, *, quick: bool) -> None:
        super().__init__(device, quick=quick)
        self.batch, self.frames = (2, 20) if quick else (16, 1000)
        f0_hz = (200 + 300 * self.random(self.batch, 1).double()) * torch.tensor([1.0, 1.5], device=device)
        self.phases = Oscillators.phase(f0_hz[..., None], self.frames * self.hop)
        self.levels = 0.32 * self.random(self.batch, self.frames, 6)

    @classmethod
    def cases(cls, *, quick: bool) -> tuple[str, ...]:
        """One, named by its sizes."""
        return ("2 x 20 frames" if quick else "16 x 1000 frames",)

    def textbook(self) -> Work:
        """Levels interpolated to samples, a sine for each operator."""
        phases = self.phases.float()

        def direct(levels: Tensor) -> Tensor:
            at_samples = torch.nn.functional.interpolate(levels.transpose(1, 2), scale_factor=self.hop, mode="linear")
            outputs: dict[int, Tensor] = {}
            for number in self.graph.order:
                phase = self.graph.multiples[number] * phases[:, self.graph.phases[number]]
                for modulator in self.graph.modulators[number]:
                    phase = phase + 2 * math.pi * outputs[modulator]
                outputs[number] = at_samples[:, number] * torch.sin(phase)
            return outputs[0]

        return self._trained(direct)

    def _trained(self, call: Callable[[Tensor], Tensor]) -> Work:
        return with_autograd(call, make_cotangent(self.batch, self.frames * self.hop, like=self.levels), self.levels)

    def work(self, backend: str, case: str) -> Work:
        """`frequency_modulation`; the phases are constants, as in training."""
        return self._trained(
            lambda levels: frequency_modulation(self.phases, levels, self.graph, hop=self.hop, backend=backend)
        )

    def truth(self, case: str) -> Truth:
        """Of the first two rows."""
        levels = self.levels[:2].cpu().double().requires_grad_()
        value = reference.frequency_modulation(self.phases[:2].cpu(), levels, self.graph, hop=self.hop)
        whole = make_cotangent(self.batch, self.frames * self.hop, like=value)[:2]
        return Truth(value.detach(), torch.autograd.grad(value, levels, whole))


class Spectral(Problem):
    """A signal and a target at the six usual FFT sizes."""

    kernel = "spectral_distances"

    def __init__(self, device: torch.device, *, quick: bool) -> None:
        super().__init__(device, quick=quick)
        batch, samples = self.sizes(quick)
        sizes = (512, 64) if quick else (2048, 1024, 512, 256, 128, 64)
        self.plan = SpectralPlan(sizes, tuple(size // 4 for size in sizes))
        self.signal, self.target = (self.random(batch, samples) - 0.5 for _ in range(2))
        frames = torch.tensor([[self.plan.frame_count(i, samples)] for i in range(len(sizes))])
        self.counts = frames.expand(-1, batch).contiguous().to(device)
        bins = torch.tensor([[size // 2 + 1] for size in sizes])
        self.scales = (1.0 / (frames * bins)).double().expand(-1, batch).contiguous().to(device)

    @staticmethod
    def sizes(quick: bool) -> tuple[int, int]:
        """Rows and samples."""
        return (2, 2048) if quick else (16, 64000)

    @classmethod
    def cases(cls, *, quick: bool) -> tuple[str, ...]:
        """One, named by its sizes."""
        return (" x ".join(map(str, cls.sizes(quick))),)

    def textbook(self) -> Work:
        """torch.stft of both."""

        def magnitude(signal: Tensor, size: int) -> Tensor:
            window = torch.hann_window(size, device=signal.device)
            return torch.stft(
                signal, size, size // 4, window=window, pad_mode="reflect", normalized=True, return_complex=True
            ).abs()

        def direct(signal: Tensor) -> Tensor:
            total = signal.new_zeros(signal.shape[0])
            for size in self.plan.fft_sizes:
                x, y = magnitude(signal, size), magnitude(self.target, size)
                total = total + (x - y).abs().mean(dim=(1, 2))
                total = total + (torch.log(x + 1e-7) - torch.log(y + 1e-7)).abs().mean(dim=(1, 2))
            return total

        return with_autograd(direct, make_cotangent(self.signal.shape[0], like=self.signal), self.signal)

    def work(self, backend: str, case: str) -> Work:
        """The target's magnitudes, and the distances, with the gradient in the same pass."""

        def call(mix: Tensor | None) -> tuple[Tensor, Tensor | None]:
            targets = [spectral_magnitudes(self.target, self.plan, backend=backend)]
            return spectral_distances(
                self.signal, targets, self.plan, counts=self.counts, scales=self.scales, mix=mix, backend=backend
            )

        mix = torch.ones(1, 1, dtype=torch.float64, device=self.device)

        def backward(_: Tensor) -> tuple[Tensor, ...]:
            gradient = call(mix)[1]
            return () if gradient is None else (gradient[0],)

        return Work(lambda: call(None)[0][0], backward, at_once=True)

    def truth(self, case: str) -> Truth:
        """Of the first two rows."""
        signal = self.signal[:2].cpu().double().requires_grad_()
        target = self.target[:2].cpu()
        value = torch.stack(
            [reference.spectral_distance(signal, target, fft_size=s, hop=s // 4) for s in self.plan.fft_sizes]
        ).sum(dim=0)
        return Truth(value.detach(), torch.autograd.grad(value, signal, make_cotangent(*value.shape, like=value)))


PROBLEMS: Sequence[type[Problem]] = (Oscillators, Cauchy, Vandermonde, Recurrence, Modulation, Spectral)


def problem_class(kernel: str) -> type[Problem]:
    """The problem of a kernel, not yet made."""
    return next(found for found in PROBLEMS if found.kernel == kernel)


def problem(kernel: str, device: torch.device, *, quick: bool) -> Problem:
    """The problem of a kernel, with its inputs."""
    return problem_class(kernel)(device, quick=quick)
