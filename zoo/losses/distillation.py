"""What a student is trained with: losses on its rendering, the teacher's, and the recording.

A loss is a registered component (group `zoo_losses`). `compute` evaluates a pair's losses together, so that those that
compare the same signal of the student in the same way share its transform.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.losses.spectral import FFT_SIZES, multi_scale_spectral, multi_scale_spectral_weighted

if TYPE_CHECKING:
    from zoo.model import Model, Rendering  # only for types: losses stand beside the model, not above it

NEEDS = frozenset({"audio", "controls", "hidden"})
"""What a loss can ask of a teacher."""


class Loss(nn.Module, ABC):
    """One term of what a student is trained with.

    A child sets `name` (the column in `history.csv`) and `needs`, and implements `forward`.

    Args:
        weight: Factor of this term in the sum that is minimised. A buffer, so that a resumed run goes on with it.

    Raises:
        ConfigError: The weight is negative or not finite.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, *, weight: float = 1.0) -> None:
        super().__init__()
        if not isinstance(weight, (int, float)) or not math.isfinite(weight) or weight < 0:
            raise ConfigError(f"The weight of {self.label} must be a number of at least 0, found {weight!r}.")
        self.register_buffer("weight", torch.tensor(float(weight)))
        self.weight: Tensor

    @property
    def label(self) -> str:
        """What messages and columns call it."""
        return self.name or type(self).__name__.lower()

    def bind(self, student: Model, teacher: Model | None) -> None:
        """Look at the pair before training starts; a child may build what depends on both.

        Raises:
            ConfigError: The pair cannot use this loss.
        """
        if self.needs and teacher is None:
            raise ConfigError(f"The loss {self.label} compares with a teacher, and there is none. Use it in distill.")

    @abstractmethod
    def forward(self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]) -> Tensor:
        """The term's value, a scalar, before its weight.

        Args:
            student: What the student made of the batch.
            teacher: What the teacher made of it.
            batch: A batch of a prepared dataset: audio, f0_hz, loudness_db, valid_frames, index.
        """


@dataclass(frozen=True)
class Spectral:
    """How two signals are compared; see `zoo.losses.multi_scale_spectral`."""

    fft_sizes: tuple[int, ...]
    overlap: float
    alpha: float
    beta: float


class SpectralLoss(Loss):
    """A loss that is the multi-scale spectral distance of the student's audio to a target.

    A child implements `signals`; `compute` evaluates all those with equal settings in one go.

    Args:
        weight: Factor of this term.
        fft_sizes: Window sizes in samples.
        overlap: Of neighbouring windows, in [0, 1).
        alpha: Weight where the student is louder than the target.
        beta: Weight where it is softer.

    Raises:
        ConfigError: An option is out of its range.
    """

    def __init__(
        self,
        *,
        weight: float = 1.0,
        fft_sizes: Sequence[int] = FFT_SIZES,
        overlap: float = 0.75,
        alpha: float = 1.0,
        beta: float = 1.0,
    ) -> None:
        super().__init__(weight=weight)
        if not fft_sizes or any(not isinstance(size, int) or size < 2 for size in fft_sizes):
            raise ConfigError(f"fft_sizes of {self.label} must be whole numbers of samples, found {fft_sizes!r}.")
        if not 0 <= overlap < 1:
            raise ConfigError(f"overlap of {self.label} must be at least 0 and under 1, found {overlap!r}.")
        if alpha < 0 or beta < 0:
            raise ConfigError(f"alpha and beta of {self.label} must not be negative, found {alpha!r} and {beta!r}.")
        self.spectral = Spectral(tuple(fft_sizes), overlap, alpha, beta)

    @abstractmethod
    def signals(
        self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The student's signal and its target, each `[batch, samples]`."""

    def forward(self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]) -> Tensor:
        """See `Loss`."""
        signal, target = self.signals(student, teacher, batch)
        return multi_scale_spectral(signal, target, **_spectral_arguments(self.spectral, signal, batch))


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
        self.dry = teacher is not None and _reverb_length(student) != _reverb_length(teacher)

    def signals(
        self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Both models' audio, or both models' dry audio."""
        if teacher is None:
            raise ConfigError(f"The loss {self.label} needs a teacher's rendering.")
        dry = getattr(self, "dry", False)
        return (student.dry, teacher.dry) if dry else (student.audio, teacher.audio)


@dataclass(frozen=True)
class Computed:
    """A pair's losses on a batch.

    Attributes:
        total: The weighted sum, a scalar with the gradient.
        values: One scalar a loss, before the weights, without gradient.
    """

    total: Tensor
    values: list[Tensor]


def compute(
    losses: Sequence[Loss], student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]
) -> Computed:
    """Evaluate a pair's losses together.

    Spectral losses that look at the same signal of the student with the same settings share its transform, forth and
    back.

    Args:
        losses: In any order.
        student: What the student made of the batch.
        teacher: What the teacher made of it.
        batch: A batch of a prepared dataset.

    Returns:
        The weighted sum and each value, in the order of the losses.
    """
    values: dict[int, Tensor] = {}
    totals: list[Tensor] = []
    shared: dict[tuple[Spectral, int], tuple[Tensor, list[tuple[int, Tensor]]]] = {}
    for i, loss in enumerate(losses):
        if isinstance(loss, SpectralLoss) and type(loss).forward is SpectralLoss.forward:
            signal, target = loss.signals(student, teacher, batch)
            shared.setdefault((loss.spectral, id(signal)), (signal, []))[1].append((i, target))
        else:
            value = loss(student, teacher, batch)
            totals.append(loss.weight * value)
            values[i] = value.detach()
    for (spectral, _), (signal, wanted) in shared.items():
        total, distances = multi_scale_spectral_weighted(
            signal,
            [target for _, target in wanted],
            [float(losses[i].weight) for i, _ in wanted],
            **_spectral_arguments(spectral, signal, batch),
        )
        totals.append(total)
        values.update({i: distance for (i, _), distance in zip(wanted, distances, strict=True)})
    return Computed(torch.stack(totals).sum(), [values[i] for i in range(len(losses))])


def _spectral_arguments(spectral: Spectral, signal: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Any]:
    hop = signal.shape[-1] // batch["f0_hz"].shape[-1]
    return {**asdict(spectral), "valid_samples": batch["valid_frames"] * hop}


def _reverb_length(model: Model) -> int:
    reverb = getattr(model.synth, "reverb", None)
    return 0 if reverb is None else sum(p.numel() for p in reverb.parameters())
