"""The multi-scale spectral distance that all losses and metrics share.

Requirements it meets:

- one definition: symmetric or asymmetric, the whole batch or each row, with or without padding;
- value and gradient come from one pass over the signal (`zoo_kernels.spectral_distances`), so that no spectrogram
  waits in memory for the backward pass;
- a target's spectra can be stored, and several targets cost one transform of the signal;
- float32 inside, under autocast too: logarithms of small magnitudes need it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from zoo_kernels import SpectralPlan, spectral_distances, spectral_magnitudes

from zoo.errors import ConfigError
from zoo.losses.spectral_targets import (
    FFT_SIZES,
    FLOOR,
    SpectralTargets,
    check_stored,
    checked_audio,
    checked_lengths,
    checked_plan,
    silenced,
)


def multi_scale_spectral(
    a: Tensor,
    b: Tensor | SpectralTargets,
    *,
    fft_sizes: Sequence[int] = FFT_SIZES,
    overlap: float = 0.75,
    alpha: float = 1.0,
    beta: float = 1.0,
    floor: float = FLOOR,
    valid_samples: Tensor | None = None,
) -> Tensor:
    """Compare two sounds by the magnitudes of their spectra, linear and logarithmic, at several resolutions.

    For each FFT size: the mean over all bins of `|A - B|` plus the mean of `|log(A + floor) - log(B + floor)|`; their
    sum over the sizes. Windows are periodic Hann, frames are centred and reflected at the ends, spectra are divided
    by the root of the size.

    Example:
        >>> multi_scale_spectral(torch.zeros(2, 16000), torch.zeros(2, 16000))
        tensor(0.)

    Args:
        a: Audio `[batch, samples]`.
        b: Audio `[batch, samples]`, or its stored spectra (made with the same options). Both may have gradients;
            stored spectra have none.
        fft_sizes: FFT sizes in samples, even.
        overlap: Share of a window that the next one covers, 0 to less than 1.
        alpha: Weight of bins where `a` exceeds `b`.
        beta: Weight of the others.
        floor: Added to magnitudes before the logarithm; over 0. What lies under it counts little, be it in one signal
            or in both: white noise of an RMS of r has a mean magnitude of 0.54 r. Of recordings without their highest
            frequencies, the empty bins would otherwise count most.
        valid_samples: int64 `[batch]`: how much of each row is sound. Both signals are silenced from there on, and
            only frames whose centre lies at or before it count. None: everything counts.

    Returns:
        A scalar.

    Raises:
        ConfigError: Shapes that do not agree, options out of range, or a signal too short for the largest size.

    Source: Engel et al., "DDSP: Differentiable Digital Signal Processing", ICLR 2020, section 4.2.1.
    """
    options: dict[str, Any] = {
        "fft_sizes": fft_sizes,
        "overlap": overlap,
        "floor": floor,
        "valid_samples": valid_samples,
    }
    if isinstance(b, Tensor) and b.requires_grad and torch.is_grad_enabled():
        # The distance is the same with the arguments exchanged, weights included: the exchanged one has b's gradient.
        exchanged = multi_scale_spectral_many(b, [a.detach()], alpha=beta, beta=alpha, **options)[0]
        if not a.requires_grad:
            return exchanged
        value = multi_scale_spectral_many(a, [b.detach()], alpha=alpha, beta=beta, **options)[0]
        return value + (exchanged - exchanged.detach()).to(value.dtype)
    return multi_scale_spectral_many(a, [b], alpha=alpha, beta=beta, **options)[0]


def multi_scale_spectral_many(
    a: Tensor,
    targets: Sequence[Tensor | SpectralTargets],
    *,
    fft_sizes: Sequence[int] = FFT_SIZES,
    overlap: float = 0.75,
    alpha: float = 1.0,
    beta: float = 1.0,
    floor: float = FLOOR,
    valid_samples: Tensor | None = None,
) -> Tensor:
    """Compare one sound with several targets, for one transform of it; the gradient is `a`'s alone.

    Args:
        a: Audio `[batch, samples]`.
        targets: Audio or stored spectra, as `multi_scale_spectral`'s `b`.
        fft_sizes: As there.
        overlap: As there.
        alpha: As there.
        beta: As there.
        floor: As there.
        valid_samples: As there.

    Returns:
        Distances `[targets]`.

    Raises:
        ConfigError: As `multi_scale_spectral`.
    """
    task = _task(a, targets, fft_sizes, overlap, alpha, beta, floor, valid_samples)
    mix = torch.eye(len(targets), dtype=torch.float64, device=a.device)
    found: Tensor = _Distances.apply(task.signal, task, mix, torch.is_grad_enabled())
    return found.to(task.signal.dtype)


def multi_scale_spectral_weighted(
    a: Tensor,
    targets: Sequence[Tensor | SpectralTargets],
    weights: Sequence[float],
    *,
    fft_sizes: Sequence[int] = FFT_SIZES,
    overlap: float = 0.75,
    alpha: float = 1.0,
    beta: float = 1.0,
    floor: float = FLOOR,
    valid_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the distances to several targets: as cheap as one target but for the comparison.

    The weights being known, one transform forth and one back do for all targets.

    Args:
        a: Audio `[batch, samples]`.
        targets: Audio or stored spectra, as `multi_scale_spectral`'s `b`.
        weights: A weight for each target.
        fft_sizes: As in `multi_scale_spectral`.
        overlap: As there.
        alpha: As there.
        beta: As there.
        floor: As there.
        valid_samples: As there.

    Returns:
        The weighted sum, a scalar with `a`'s gradient; and the distances `[targets]` without gradient, for the record.

    Raises:
        ConfigError: As `multi_scale_spectral`; or another number of weights than of targets.
    """
    if len(weights) != len(targets):
        raise ConfigError(f"{len(targets)} targets need as many weights, and there are {len(weights)}.")
    task = _task(a, targets, fft_sizes, overlap, alpha, beta, floor, valid_samples)
    mix = torch.tensor([[float(weight) for weight in weights]], dtype=torch.float64)
    every = torch.cat([mix, torch.eye(len(targets), dtype=torch.float64)])
    found: Tensor = _Distances.apply(task.signal, task, every, torch.is_grad_enabled(), 1)
    found = found.to(task.signal.dtype)
    return found[0], found[1:].detach()


def multi_scale_spectral_each_row(
    a: Tensor,
    b: Tensor | SpectralTargets,
    *,
    fft_sizes: Sequence[int] = FFT_SIZES,
    overlap: float = 0.75,
    alpha: float = 1.0,
    beta: float = 1.0,
    floor: float = FLOOR,
    valid_samples: Tensor | None = None,
) -> Tensor:
    """`multi_scale_spectral` of each row alone, without gradient.

    Args:
        a: Audio `[batch, samples]`.
        b: Audio `[batch, samples]` or stored spectra.
        fft_sizes: As in `multi_scale_spectral`.
        overlap: As there.
        alpha: As there.
        beta: As there.
        floor: As there.
        valid_samples: As there.

    Returns:
        Distances `[batch]`.

    Raises:
        ConfigError: As `multi_scale_spectral`.
    """
    task = _task(a.detach(), [b], fft_sizes, overlap, alpha, beta, floor, valid_samples)
    scales = 1 / (task.counts.double() * task.bins)
    found, _ = spectral_distances(task.signal, task.magnitudes, task.plan, counts=task.counts, scales=scales)
    return found[0].to(task.signal.dtype)


@dataclass(frozen=True)
class _SpectralTask:
    signal: Tensor
    magnitudes: list[tuple[Tensor, ...]]
    plan: SpectralPlan
    counts: Tensor  # [sizes, batch]
    bins: Tensor  # [sizes, 1]


class _Distances(torch.autograd.Function):
    """Mixtures of distances, whose gradients are made together with their values."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context
        signal: Tensor,
        task: _SpectralTask,
        mix: Tensor,
        with_grad: bool,
        outputs: int | None = None,
    ) -> Tensor:
        scales = (1 / (task.counts.sum(dim=1, keepdim=True).double() * task.bins)).expand(task.counts.shape)
        mix = mix.to(signal.device)
        wanted = mix[:outputs] if with_grad and ctx.needs_input_grad[0] else None
        found, gradients = spectral_distances(
            signal, task.magnitudes, task.plan, counts=task.counts, scales=scales, mix=wanted
        )
        ctx.save_for_backward(gradients)
        return mix @ found.sum(dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, None, None]:  # noqa: ANN401 - torch's context
        (gradients,) = ctx.saved_tensors
        weights = grad[: gradients.shape[0]].to(gradients.dtype)
        if len(weights) == 1:
            return gradients[0] * weights, None, None, None, None
        return torch.tensordot(weights, gradients, dims=1), None, None, None, None


def _task(
    a: Tensor,
    targets: Sequence[Tensor | SpectralTargets],
    fft_sizes: Sequence[int],
    overlap: float,
    alpha: float,
    beta: float,
    floor: float,
    valid_samples: Tensor | None,
) -> _SpectralTask:
    if isinstance(targets, Tensor | SpectralTargets) or not len(targets):
        raise ConfigError("targets must be a list of at least one signal: multi_scale_spectral_many(a, [b]).")
    signal = checked_audio("a", a)
    plan = checked_plan(fft_sizes, overlap, signal.shape[1], alpha, beta, floor)
    stored = [target for target in targets if isinstance(target, SpectralTargets)]
    if valid_samples is None and stored:
        valid_samples = stored[0].valid_samples
    valid = checked_lengths(valid_samples, signal)
    magnitudes = []
    for target in targets:
        if isinstance(target, SpectralTargets):
            check_stored(target, signal, plan, overlap, valid)
            magnitudes.append(target.magnitudes)
            continue
        b = checked_audio("b", target).detach()
        if b.shape != signal.shape:
            raise ConfigError(
                f"Both signals must have the same shape; a is {list(signal.shape)} and b {list(b.shape)}."
            )
        if b.device != signal.device:
            raise ConfigError(f"a is on {signal.device} and b on {b.device}: move one of them (.to(device)).")
        magnitudes.append(tuple(spectral_magnitudes(silenced(b.to(signal.dtype), valid), plan)))
    hops, bins = _columns(plan.fft_sizes, plan.hops, signal.device)
    ends = signal.shape[1] if valid is None else valid.to(torch.int64)
    counts = (1 + ends // hops).expand(len(plan.hops), signal.shape[0]).contiguous()
    return _SpectralTask(silenced(signal, valid), magnitudes, plan, counts, bins)


@functools.lru_cache(maxsize=16)
def _columns(fft_sizes: tuple[int, ...], hops: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Hops and numbers of bins as columns, made once: copying them to a GPU each step would make it wait."""
    bins = [size // 2 + 1 for size in fft_sizes]
    return torch.tensor(hops, device=device)[:, None], torch.tensor(bins, device=device)[:, None]
