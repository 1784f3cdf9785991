"""What a student is trained with: losses on its rendering, the teacher's, and the recording.

A loss is a registered component (group `zoo_losses`). `bind_losses` makes sure that a pair can use its losses, and
`compute` evaluates them together, so that those that compare the same signal of the student in the same way share its
transform.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo import registry
from zoo.errors import ConfigError, listing
from zoo.losses.audio import OutputAudio, Reconstruction, SpectralLoss, spectral_arguments
from zoo.losses.base import NEEDS, Loss, SpectralComparison
from zoo.losses.control import Control
from zoo.losses.feature import Feature
from zoo.losses.function_matching import FunctionMatching
from zoo.losses.loudness_matching import LoudnessMatching
from zoo.losses.spectra_cache import SpectraCache
from zoo.losses.spectral import multi_scale_spectral_weighted
from zoo.losses.spectral_targets import SpectralTargets

if TYPE_CHECKING:
    from zoo.models.model import Model
    from zoo.models.rendering import Rendering

__all__ = [
    "NEEDS",
    "Control",
    "Feature",
    "FunctionMatching",
    "Loss",
    "LossValues",
    "LoudnessMatching",
    "OutputAudio",
    "Reconstruction",
    "SpectralLoss",
    "bind_losses",
    "compute",
]


def bind_losses(losses: Sequence[Loss], student: Model, teacher: Model | None) -> None:
    """Let each loss look at the pair.

    Args:
        losses: At least one.
        student: The model in training.
        teacher: Whom it learns from, if anybody.

    Raises:
        ConfigError: There is none, one is no loss or needs what is not to be had, the pair cannot use one, or none
            counts at the end of the run.
    """
    if not losses:
        raise ConfigError("There must be at least one loss, e.g. [@reconstruction()].")
    for loss in losses:
        if not isinstance(loss, Loss):
            raise ConfigError(f"{loss!r} is no loss. Name registered ones: [@reconstruction(), @output_audio()].")
        try:
            loss.bind(student, teacher)
        except ConfigError as error:
            if teacher is None:
                raise
            fitting = listing(fitting_losses(student, teacher))
            raise ConfigError(f"{error} Losses that this pair can use: {fitting}.") from None
        if not isinstance(loss.needs, set | frozenset) or not loss.needs <= NEEDS:
            raise ConfigError(
                f"The loss {loss.label} needs {loss.needs!r} of the teacher's rendering. `needs` is a set of some of "
                f"{listing(NEEDS)}."
            )
    learned = [loss.uncertainty for loss in losses if loss.uncertainty is not None]
    if len({id(uncertainty) for uncertainty in learned}) < len(learned):
        raise ConfigError("Two losses share one Uncertainty(); each needs its own.")
    if all(loss.final_factor == 0 for loss in losses):
        raise ConfigError(
            "At the end of the run no loss has a weight over 0, so there is nothing to tell the best weights by. "
            "Let one of them keep a weight, e.g. reconstruction.weight = 0.5"
        )


def fitting_losses(student: Model, teacher: Model | None) -> list[str]:
    """Names of the losses that a pair can use: of zoo's own, and of those that have been imported for other reasons."""
    found = []
    for name, offers in sorted(registry.losses.entries().items()):
        # this is help for an error: no stranger's module is imported for it
        if offers[0].distribution not in ("", registry.OWN_DISTRIBUTION) and offers[0].module not in sys.modules:
            continue
        try:
            registry.losses.get(name)().bind(student, teacher)
        except Exception:  # noqa: BLE001 - it does not fit, its plugin is broken, or it has options that must be given
            continue
        found.append(name)
    return found


@dataclass(frozen=True)
class LossValues:
    """A pair's losses on a batch.

    Attributes:
        total: The weighted sum, a scalar with the gradient.
        values: One scalar per loss, before the weights, without gradient.
    """

    total: Tensor
    values: list[Tensor]


def compute(
    losses: Sequence[Loss],
    student: Rendering,
    teacher: Rendering | None,
    batch: Mapping[str, Tensor],
    *,
    skip_weightless: bool = False,
    spectra: SpectraCache | None = None,
) -> LossValues:
    """Evaluate a pair's losses together.

    Spectral losses that look at the same signal of the student with the same settings share its transform, forth and
    back.

    Args:
        losses: In any order.
        student: What the student made of the batch.
        teacher: What the teacher made of it.
        batch: A batch of a prepared dataset.
        skip_weightless: Do not evaluate a loss whose weight is 0 now; its value is given as 0.
        spectra: Where targets' spectra are kept from batch to batch.

    Returns:
        The weighted sum and each value, in the order of the losses.

    Raises:
        ConfigError: A loss gives something else than a scalar.
    """
    zero = student.audio.new_zeros(())
    values: dict[int, Tensor] = {}
    totals: list[Tensor] = []
    groups: list[list[tuple[int, SpectralComparison]]] = []
    for i, loss in enumerate(losses):
        if skip_weightless and loss.factor == 0:
            values[i] = zero
        elif (found := loss.comparison(student, teacher, batch)) is not None:
            _group_of(found, groups).append((i, found))
        else:
            value = loss(student, teacher, batch)
            if not isinstance(value, Tensor) or value.ndim:
                what = f"a tensor of {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
                raise ConfigError(
                    f"The loss {loss.label} gave {what}. Its `forward` must give a scalar tensor, e.g. value.mean()."
                )
            totals.append(loss.factor * value)
            values[i] = value.detach()
    for wanted in groups:
        signal = wanted[0][1].signal
        arguments = spectral_arguments(wanted[0][1].settings, signal, batch)
        targets: list[Tensor | SpectralTargets] = [each.target for _, each in wanted]
        if spectra is not None and signal.dtype == torch.float32:
            shape = {name: arguments[name] for name in ("fft_sizes", "overlap", "valid_samples")}
            targets = [spectra.of(each.target.to(signal.dtype), **shape) for _, each in wanted]
        weights = [losses[i].factor for i, _ in wanted]
        total, distances = multi_scale_spectral_weighted(signal, targets, weights, **arguments)
        totals.append(total)
        values.update({i: distance for (i, _), distance in zip(wanted, distances, strict=True)})
    for i, loss in enumerate(losses):
        if loss.uncertainty is not None:
            totals.append(loss.uncertainty.term(values[i]))
    # where no loss counts for a while, a step goes on with a gradient of 0
    total = torch.stack(totals).sum() if totals else 0.0 * student.audio.sum()
    return LossValues(total, [values[i] for i in range(len(losses))])


def _group_of(
    wanted: SpectralComparison, groups: list[list[tuple[int, SpectralComparison]]]
) -> list[tuple[int, SpectralComparison]]:
    """The comparisons of the same signal in the same way, which share its transform."""
    for group in groups:
        if group[0][1].signal is wanted.signal and group[0][1].settings == wanted.settings:
            return group
    groups.append([])
    return groups[-1]
