"""What spectral distances compare with: the spectra of a target, made once; and the checks of what is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from zoo_kernels import SpectralPlan, spectral_magnitudes

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
    b = checked_audio("b", b)
    plan = checked_plan(fft_sizes, overlap, b.shape[1])
    valid = checked_lengths(valid_samples, b)
    magnitudes = spectral_magnitudes(silenced(b.detach(), valid), plan)
    return SpectralTargets(tuple(magnitudes), plan.fft_sizes, overlap, (b.shape[0], b.shape[1]), valid)


def checked_audio(name: str, audio: Tensor) -> Tensor:
    """Audio `[batch, samples]` of floating-point numbers, half precision widened; ConfigError for anything else."""
    if audio.ndim != 2 or not audio.is_floating_point():
        raise ConfigError(
            f"{name} must be audio [batch, samples] of floating-point numbers, and is {list(audio.shape)} of "
            f"{audio.dtype}. One signal alone: {name}[None]."
        )
    if audio.numel() == 0:
        raise ConfigError(f"{name} is empty: {list(audio.shape)}.")
    return audio if audio.dtype in (torch.float32, torch.float64) else audio.float()


def checked_plan(
    fft_sizes: Sequence[int],
    overlap: float,
    samples: int,
    alpha: float = 1.0,
    beta: float = 1.0,
    floor: float = FLOOR,
) -> SpectralPlan:
    """Sizes, hops and weights that fit a signal of so many samples; ConfigError where they do not."""
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


def checked_lengths(valid_samples: Tensor | None, audio: Tensor) -> Tensor | None:
    """How much of each row is sound, on the audio's device; ConfigError where it is no integer for each row."""
    if valid_samples is None:
        return None
    if valid_samples.shape != audio.shape[:1] or valid_samples.is_floating_point():
        raise ConfigError(
            f"valid_samples must be integers [batch] = [{audio.shape[0]}], and is {list(valid_samples.shape)} of "
            f"{valid_samples.dtype}."
        )
    return valid_samples.to(audio.device).clamp(0, audio.shape[1])


def silenced(audio: Tensor, valid: Tensor | None) -> Tensor:
    """Audio with zeros where its sound has ended."""
    if valid is None:
        return audio
    return audio.masked_fill(torch.arange(audio.shape[1], device=audio.device) >= valid[:, None], 0.0)


def check_stored(
    target: SpectralTargets, signal: Tensor, plan: SpectralPlan, overlap: float, valid: Tensor | None
) -> None:
    """Make sure that stored spectra are comparable with a signal; ConfigError says how they are not."""
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
