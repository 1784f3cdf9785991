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

FFT_SIZES = (2048, 1024, 512, 256, 128, 64)
FLOOR = 1e-7


@dataclass(frozen=True)
class SpectralTargets:
    """Spectra of a signal that others are compared with, made by `target_spectra`; they carry no gradient.

    Attributes:
        magnitudes: For each FFT size `[batch, frames, bins]`.
        fft_sizes: FFT sizes in samples.
        overlap: Share of a window that the next one covers.
        shape: `(batch, samples)` of the signal.
        valid_samples: int64 `[batch]`, or None.
    """

    magnitudes: tuple[Tensor, ...]
    fft_sizes: tuple[int, ...]
    overlap: float
    shape: tuple[int, int]
    valid_samples: Tensor | None = None

    def to(self, device: torch.device | str) -> SpectralTargets:
        """The same spectra on another device."""
        valid = None if self.valid_samples is None else self.valid_samples.to(device)
        magnitudes = tuple(magnitude.to(device) for magnitude in self.magnitudes)
        return SpectralTargets(magnitudes, self.fft_sizes, self.overlap, self.shape, valid)


def target_spectra(
    b: Tensor,
    *,
    fft_sizes: Sequence[int] = FFT_SIZES,
    overlap: float = 0.75,
    valid_samples: Tensor | None = None,
) -> SpectralTargets:
    """Transform a target once, to compare many signals with it.

    Args:
        b: Audio `[batch, samples]`.
        fft_sizes: FFT sizes in samples, even.
        overlap: Share of a window that the next one covers.
        valid_samples: int64 `[batch]`, as in `multi_scale_spectral`.

    Returns:
        What `multi_scale_spectral` and its siblings take in place of `b`.

    Raises:
        ConfigError: As `multi_scale_spectral`.
    """
    b = _audio("b", b)
    plan = _plan(fft_sizes, overlap, b.shape[1])
    valid = _valid(valid_samples, b)
    magnitudes = spectral_magnitudes(_silenced(b.detach(), valid), plan)
    return SpectralTargets(tuple(magnitudes), plan.fft_sizes, overlap, (b.shape[0], b.shape[1]), valid)


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
    signal = _audio("a", a)
    plan = _plan(fft_sizes, overlap, signal.shape[1], alpha, beta, floor)
    stored = [target for target in targets if isinstance(target, SpectralTargets)]
    if valid_samples is None and stored:
        valid_samples = stored[0].valid_samples
    valid = _valid(valid_samples, signal)
    magnitudes = []
    for target in targets:
        if isinstance(target, SpectralTargets):
            _check_stored(target, signal, plan, overlap, valid)
            magnitudes.append(target.magnitudes)
            continue
        b = _audio("b", target).detach()
        if b.shape != signal.shape:
            raise ConfigError(
                f"Both signals must have the same shape; a is {list(signal.shape)} and b {list(b.shape)}."
            )
        if b.device != signal.device:
            raise ConfigError(f"a is on {signal.device} and b on {b.device}: move one of them (.to(device)).")
        magnitudes.append(tuple(spectral_magnitudes(_silenced(b.to(signal.dtype), valid), plan)))
    hops, bins = _columns(plan.fft_sizes, plan.hops, signal.device)
    ends = signal.shape[1] if valid is None else valid.to(torch.int64)
    counts = (1 + ends // hops).expand(len(plan.hops), signal.shape[0]).contiguous()
    return _SpectralTask(_silenced(signal, valid), magnitudes, plan, counts, bins)


@functools.lru_cache(maxsize=16)
def _columns(fft_sizes: tuple[int, ...], hops: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Hops and numbers of bins as columns, made once: copying them to a GPU each step would make it wait."""
    bins = [size // 2 + 1 for size in fft_sizes]
    return torch.tensor(hops, device=device)[:, None], torch.tensor(bins, device=device)[:, None]


def _audio(name: str, audio: Tensor) -> Tensor:
    if audio.ndim != 2 or not audio.is_floating_point():
        raise ConfigError(
            f"{name} must be audio [batch, samples] of floating-point numbers, and is {list(audio.shape)} of "
            f"{audio.dtype}. One signal alone: {name}[None]."
        )
    if audio.numel() == 0:
        raise ConfigError(f"{name} is empty: {list(audio.shape)}.")
    return audio if audio.dtype in (torch.float32, torch.float64) else audio.float()


def _plan(
    fft_sizes: Sequence[int],
    overlap: float,
    samples: int,
    alpha: float = 1.0,
    beta: float = 1.0,
    floor: float = FLOOR,
) -> SpectralPlan:
    sizes = tuple(int(size) for size in fft_sizes)
    if not sizes or any(size < 4 or size % 2 for size in sizes):
        raise ConfigError(f"fft_sizes must be even numbers from 4 up, at least one, and are {list(fft_sizes)}.")
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap must be at least 0 and less than 1, and is {overlap}.")
    if alpha < 0 or beta < 0:
        raise ConfigError(f"alpha and beta must not be negative, and are {alpha} and {beta}.")
    if not floor > 0:
        raise ConfigError(f"floor must be over 0, and is {floor}.")
    long = [size for size in sizes if samples <= size // 2]
    if long:
        fitting = [size for size in sizes if size not in long]
        raise ConfigError(
            f"A signal of {samples} samples is too short for FFT sizes {long}: a size needs more than half of its "
            f"length. Pass fft_sizes={fitting or '(a smaller one,)'}, or a longer signal."
        )
    hops = tuple(max(1, round(size * (1 - overlap))) for size in sizes)
    return SpectralPlan(sizes, hops, float(alpha), float(beta), float(floor))


def _valid(valid_samples: Tensor | None, audio: Tensor) -> Tensor | None:
    if valid_samples is None:
        return None
    if valid_samples.shape != audio.shape[:1] or valid_samples.is_floating_point():
        raise ConfigError(
            f"valid_samples must be integers [batch] = [{audio.shape[0]}], and is {list(valid_samples.shape)} of "
            f"{valid_samples.dtype}."
        )
    return valid_samples.to(audio.device).clamp(0, audio.shape[1])


def _silenced(audio: Tensor, valid: Tensor | None) -> Tensor:
    if valid is None:
        return audio
    return audio.masked_fill(torch.arange(audio.shape[1], device=audio.device) >= valid[:, None], 0.0)


def _check_stored(
    target: SpectralTargets, signal: Tensor, plan: SpectralPlan, overlap: float, valid: Tensor | None
) -> None:
    if target.shape != tuple(signal.shape):
        raise ConfigError(f"The stored spectra are of {list(target.shape)} audio, and a is {list(signal.shape)}.")
    if (target.fft_sizes, target.overlap) != (plan.fft_sizes, overlap):
        raise ConfigError(
            f"The stored spectra have fft_sizes {target.fft_sizes} and overlap {target.overlap}; asked for are "
            f"{plan.fft_sizes} and {overlap}. Make them anew with target_spectra."
        )
    if target.magnitudes[0].device != signal.device or target.magnitudes[0].dtype != signal.dtype:
        raise ConfigError(
            f"The stored spectra are {target.magnitudes[0].dtype} on {target.magnitudes[0].device}, and a is "
            f"{signal.dtype} on {signal.device}. Move them: targets.to(device)."
        )
    same = (target.valid_samples is None) == (valid is None)
    if same and valid is not None and target.valid_samples is not None and not valid.is_cuda:
        same = bool(torch.equal(target.valid_samples, valid))
    if not same:
        raise ConfigError("The stored spectra were made with other valid_samples. Make them anew with target_spectra.")
