"""Losses that compare sounds, all by one multi-scale spectral distance."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch import Tensor

from zoo.checks.options import number_fault, refuse, whole_fault
from zoo.errors import ConfigError
from zoo.losses.base import Loss, SpectralComparison, SpectralSettings
from zoo.losses.spectral import multi_scale_spectral
from zoo.losses.spectral_targets import FFT_SIZES, FLOOR
from zoo.losses.weights import Weight

_MOST_SAMPLES = 2**20  # of a window: a minute at 16 kHz

if TYPE_CHECKING:
    from zoo.models.model import Model
    from zoo.models.rendering import Rendering


class SpectralLoss(Loss):
    """A loss that is the multi-scale spectral distance of the student's audio to a target.

    A child implements `signals`; `zoo.losses.distillation.compute` evaluates all those with equal settings in one go.

    Args:
        weight: See `Loss`.
        fft_sizes: Window sizes in samples.
        overlap: Of neighbouring windows, in [0, 1).
        alpha: Weight where the student is louder than the target.
        beta: Weight where it is softer.
        floor: Added to magnitudes before their logarithm; see `zoo.losses.multi_scale_spectral`.

    Raises:
        ConfigError: An option is out of its range.
    """

    def __init__(
        self,
        *,
        weight: Weight = 1.0,
        fft_sizes: Sequence[int] = FFT_SIZES,
        overlap: float = 0.75,
        alpha: float = 1.0,
        beta: float = 1.0,
        floor: float = FLOOR,
    ) -> None:
        super().__init__(weight=weight)
        several = isinstance(fft_sizes, list | tuple) and len(fft_sizes) > 0
        if not several or any(whole_fault("", size, least=2, most=_MOST_SAMPLES) for size in fft_sizes):
            raise ConfigError(f"fft_sizes of {self.label} must be whole numbers of samples, found {fft_sizes!r}.")
        refuse(
            (
                number_fault(f"overlap of {self.label}", overlap),
                number_fault(f"alpha of {self.label}", alpha),
                number_fault(f"beta of {self.label}", beta),
                number_fault(f"floor of {self.label}", floor),
            )
        )
        if not 0 <= overlap < 1:
            raise ConfigError(f"overlap of {self.label} must be at least 0 and under 1, found {overlap!r}.")
        if alpha < 0 or beta < 0:
            raise ConfigError(f"alpha and beta of {self.label} must not be negative, found {alpha!r} and {beta!r}.")
        if not floor > 0:
            raise ConfigError(f"floor of {self.label} must be over 0, found {floor!r}.")
        self.settings = SpectralSettings(tuple(fft_sizes), overlap, alpha, beta, floor)

    def options(self) -> dict[str, Any]:
        """See `Loss.options`; runs made before there was a floor have none."""
        options = asdict(self.settings)
        if self.settings.floor == FLOOR:
            del options["floor"]
        return options

    @abstractmethod
    def signals(
        self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The student's signal and its target, each `[batch, samples]`."""

    def comparison(
        self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]
    ) -> SpectralComparison | None:
        """See `Loss.comparison`; a child that has a `forward` of its own is asked for that instead."""
        if type(self).forward is not SpectralLoss.forward:
            return None
        return SpectralComparison(*self.signals(student, teacher, batch), self.settings)

    def forward(self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]) -> Tensor:
        """See `Loss.forward`."""
        signal, target = self.signals(student, teacher, batch)
        return multi_scale_spectral(signal, target, **spectral_arguments(self.settings, signal, batch))


class Reconstruction(SpectralLoss):
    """The student's audio against the recording."""

    name = "reconstruction"

    def signals(
        self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The audio after the reverb, and the recording."""
        return student.audio, batch["audio"]


class OutputAudio(SpectralLoss):
    """The student's audio against the teacher's.

    After the reverb where both reverbs are alike, before it where they are not: a tenth of a second of reverb cannot
    sound like a whole one.
    """

    name = "output_audio"
    needs = frozenset({"audio"})

    def bind(self, student: Model, teacher: Model | None) -> None:
        """Choose what to compare: audio, or dry audio where the reverbs differ in length."""
        super().bind(student, teacher)
        if teacher is not None and _reverb_length(student) != _reverb_length(teacher):
            self.needs = frozenset({"dry"})

    def signals(
        self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Both models' audio, or both models' dry audio."""
        if teacher is None:
            raise ConfigError(f"The loss {self.label} needs a teacher's rendering.")
        return (student.dry, teacher.dry) if "dry" in self.needs else (student.audio, teacher.audio)


def spectral_arguments(settings: SpectralSettings, signal: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of `zoo.losses.multi_scale_spectral` for a batch."""
    hop = signal.shape[-1] // batch["f0_hz"].shape[-1]
    return {**asdict(settings), "valid_samples": batch["valid_frames"] * hop}


def _reverb_length(model: Model) -> int:
    return 0 if model.synth.reverb is None else model.synth.reverb.length
