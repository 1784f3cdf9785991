"""What each kernel computes, in plain float64 torch: slow, and obviously right. The tests hold every backend to it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo_kernels.modulation import OperatorGraph


def harmonic_oscillators(phase: Tensor, amplitudes: Tensor, *, hop: int, active: Tensor | None = None) -> Tensor:
    """Sum the harmonics one by one, in float64, differentiable by autograd.

    Args:
        phase: `[batch, samples]`, radians of the fundamental.
        amplitudes: `[batch, frames, harmonics]`, held over each frame.
        hop: Samples in a frame.
        active: `[batch, frames]`, number of harmonics that count; None: all.

    Returns:
        float64 `[batch, samples]`.
    """
    phase, amplitudes = phase.double(), amplitudes.double()
    total = torch.zeros_like(phase)
    for k in range(1, amplitudes.shape[-1] + 1):
        amplitude = amplitudes[:, :, k - 1]
        if active is not None:
            amplitude = torch.where(active >= k, amplitude, torch.zeros_like(amplitude))
        total = total + amplitude.repeat_interleave(hop, dim=1) * torch.sin(k * phase)
    return total


def spectral_distance(
    a: Tensor, b: Tensor, *, fft_size: int, hop: int, alpha: float = 1.0, beta: float = 1.0, floor: float = 1e-7
) -> Tensor:
    """One scale of the spectral distance by torch.stft, in float64, differentiable by autograd.

    Args:
        a: `[batch, samples]`.
        b: `[batch, samples]`.
        fft_size: Samples in a window.
        hop: Samples from frame to frame.
        alpha: Weight of bins where `a` exceeds `b`.
        beta: Weight of the others.
        floor: Added to a magnitude before its logarithm.

    Returns:
        float64 `[batch]`: for each row the mean over its bins of the distance of magnitudes plus that of their
        logarithms.
    """
    window = torch.hann_window(fft_size, dtype=torch.float64, device=a.device)

    def magnitude(signal: Tensor) -> Tensor:
        spectrum = torch.stft(
            signal.double(), fft_size, hop, window=window, pad_mode="reflect", normalized=True, return_complex=True
        )
        return spectrum.abs()

    x, y = magnitude(a), magnitude(b)
    total = torch.zeros(a.shape[0], dtype=torch.float64, device=a.device)
    for difference in (x - y, torch.log(x + floor) - torch.log(y + floor)):
        weight = torch.where(difference > 0, alpha, beta)
        total = total + (weight * difference.abs()).mean(dim=(1, 2))
    return total


def cauchy(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """Add up the fractions over all poles and their conjugates, in complex128, differentiable by autograd.

    Args:
        v: `[..., H, N]`, complex numerators.
        z: `[F]`, complex nodes.
        w: `[H, N]`, complex poles.

    Returns:
        complex128 `[..., H, F]`: sum over n of `v / (z - w) + conj(v) / (z - conj(w))`.
    """
    v, z, w = v.to(torch.complex128), z.to(torch.complex128), w.to(torch.complex128)
    total = (v[..., :1] * 0) * z  # the result's shape, whatever N is
    for n in range(v.shape[-1]):
        numerator, pole = v[..., n, None], w[:, n, None]
        total = total + numerator / (z - pole) + numerator.conj() / (z - pole.conj())
    return total


def vandermonde(v: Tensor, w: Tensor, length: int) -> Tensor:
    """Add up the exponentials, in float64, differentiable by autograd.

    Args:
        v: `[..., H, N]`, complex factors.
        w: `[H, N]`, complex exponents a step.
        length: Number of steps, L.

    Returns:
        float64 `[..., H, L]`: `2 Re sum over n of v * exp(w * l)`, l = 0..L-1.
    """
    v, w = v.to(torch.complex128), w.to(torch.complex128)
    steps = torch.arange(length, dtype=torch.float64, device=v.device)
    return 2 * (v[..., None] * torch.exp(w[..., None] * steps)).sum(dim=-2).real


def gated_recurrence(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Step after step, in float64, differentiable by autograd.

    Args:
        inputs: `[batch, steps, 3 H]`.
        weight: `[3 H, H]`.
        bias: `[3 H]`.

    Returns:
        float64 `[batch, steps, H]`.
    """
    inputs, weight, bias = inputs.double(), weight.double(), bias.double()
    size = weight.shape[1]
    state = torch.zeros(inputs.shape[0], size, dtype=torch.float64, device=inputs.device)
    states = []
    for step in inputs.unbind(dim=1):
        products = state @ weight.t() + bias
        r, z = torch.sigmoid(step[:, : 2 * size] + products[:, : 2 * size]).chunk(2, dim=1)
        new = torch.tanh(step[:, 2 * size :] + r * products[:, 2 * size :])
        state = (1 - z) * new + z * state
        states.append(state)
    return torch.stack(states, dim=1)


def frequency_modulation(phases: Tensor, levels: Tensor, graph: OperatorGraph, *, hop: int) -> Tensor:
    """Operator after operator, in float64, differentiable by autograd.

    Args:
        phases: `[batch, tones, samples]`, radians.
        levels: `[batch, frames, operators]`.
        graph: The operators.
        hop: Samples in a frame.

    Returns:
        float64 `[batch, samples]`.
    """
    phases, levels = phases.double(), levels.double()
    at_samples = F.interpolate(levels.transpose(1, 2), scale_factor=hop, mode="linear")

    def output(number: int) -> Tensor:
        phase = graph.multiples[number] * phases[:, graph.phases[number]]
        for modulator in graph.modulators[number]:
            phase = phase + 2 * math.pi * output(modulator)
        return at_samples[:, number] * torch.sin(phase)

    return torch.stack([output(number) for number in graph.carriers]).sum(dim=0)
