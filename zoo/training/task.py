"""A student, its losses and its teacher: what a step computes, and what it changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import TrainingError
from zoo.losses.distillation import Loss, compute
from zoo.losses.spectra_cache import SpectraCache
from zoo.models.model import Model
from zoo.models.rendering import Rendering
from zoo.training.batches import Batch, count, fixed_noise, step_noise, sum_over_all
from zoo.training.config import OptimizerConfig
from zoo.training.teacher import Teacher


class Task(nn.Module):
    """What is trained: the student's parameters, and those of the losses where they have any.

    Args:
        model: The student.
        losses: What it is trained with, bound to the pair.
        teacher: Whom it learns from. Not a module, so it is in neither `parameters()` nor `state_dict()`.
        seed: Of the noise.
        epoch_of: Epochs done after so many steps.

    Attributes:
        step: Steps done.
        labels: Of the losses.
    """

    def __init__(
        self,
        model: Model,
        losses: Sequence[Loss],
        teacher: Teacher | None = None,
        *,
        seed: int = 0,
        epoch_of: Callable[[int], int] = lambda step: 0,
    ) -> None:
        super().__init__()
        self.model = model
        self.losses = nn.ModuleList(losses)
        self.teacher = teacher
        self.seed = seed
        self.epoch_of = epoch_of
        self.labels = unique_labels(losses)
        self.step = 0
        self.spectra = SpectraCache()
        self._targets: dict[int, Rendering] = {}

    @property
    def device(self) -> torch.device:
        """Where the student is."""
        return next(self.model.parameters()).device

    @property
    def _terms(self) -> list[Loss]:
        return [loss for loss in self.losses if isinstance(loss, Loss)]

    def forward(self, batch: Batch) -> tuple[Tensor, float]:
        """The weighted sum of the losses on a batch.

        Args:
            batch: Of training segments.

        Returns:
            The sum with its gradient, and its value. Where several processes share a batch, the first counts by this
            one's part of the frames, since their gradients are averaged, and the second is that of the whole batch.

        Raises:
            TrainingError: The sum is not finite.
        """
        for loss in self._terms:
            loss.advance(self.step)
        noise = step_noise(batch, hop=self.model.hop, seed=self.seed, step=self.step)
        rendering = self._render(batch, noise)
        needs = {need for loss in self._terms if loss.factor for need in loss.needs}
        target = None
        if self.teacher is not None and needs:
            target = self.teacher.give(batch, needs, epoch=self.epoch_of(self.step))
        computed = compute(self._terms, rendering, target, batch, skip_weightless=True, spectra=self.spectra)
        total = computed.total
        value = total.item()
        if count() > 1:
            frames = float(batch["valid_frames"].sum())
            all_frames = max(1.0, sum_over_all(frames, self.device))
            total = total * (frames * count() / all_frames)
            value = sum_over_all(total.item(), self.device) / count()
        if not math.isfinite(value):  # all processes stop, also those whose own part is well
            raise self._not_finite(computed.values)
        return total, value

    def _render(self, batch: Batch, noise: Tensor) -> Rendering:
        try:
            rendering: Rendering = self.model(batch["f0_hz"], batch["loudness_db"], noise, **self.model.further(batch))
        except ValueError:  # a synth's kernels refuse NaN; here it is the training that made it
            with torch.no_grad():
                controls = self.model.decode(batch["f0_hz"], batch["loudness_db"], **self.model.further(batch)).controls
            bad = [name for name, value in controls.items() if not torch.isfinite(value).all()]
            if not bad:
                raise
            raise self._diverged(f"the control {', '.join(bad)} became NaN or infinite") from None
        return rendering

    def _not_finite(self, values: Sequence[Tensor]) -> TrainingError:
        bad = [
            f"{label} is {value.item():g}"
            for label, value in zip(self.labels, values, strict=True)
            if not math.isfinite(value.item())
        ]
        return self._diverged(f"the loss {', '.join(bad) or 'sum is not finite'}")

    def _diverged(self, what: str) -> TrainingError:
        if not self.training and not self.step:
            return TrainingError(
                f"Before the first step {what}, on the validation segments; nothing was trained. Look at the losses, "
                "their options and the data."
            )
        when = f"At step {self.step + 1}" if self.training else f"At the validation after step {self.step}"
        return TrainingError(
            f"{when} {what}; training stopped. "
            "The best weights until then are kept in the run's folder. "
            'Try a lower learning rate: --set "LEARNING_RATE=3e-4"'
        )

    def weights(self) -> dict[str, float]:
        """The weights that change over the run, as they are now, by their column in history.csv."""
        for loss in self._terms:
            loss.advance(self.step)
        pairs = zip(self.labels, self._terms, strict=True)
        return {f"weight_{label}": loss.factor for label, loss in pairs if loss.changes}

    @torch.no_grad()
    def evaluate_losses(self, batches: Iterable[Batch]) -> tuple[float, list[float]]:
        """The weighted sum and each loss on held-out batches: in eval mode, with noise that is always the same.

        The weights are those of the run's end (`Loss.final_factor`), so that sums at any step can be compared.

        Raises:
            TrainingError: A loss is not finite.
        """
        sums = torch.zeros(len(self.labels), dtype=torch.float64)
        segments = 0
        training = self.training
        self.eval()
        try:
            for number, batch in enumerate(batches):
                batch = {name: value.to(self.device) for name, value in batch.items()}
                # the noise of the teacher's first draw: what differs is then no matter of chance
                noise = fixed_noise(batch, hop=self.model.hop, seed=0)
                rendering = self._render(batch, noise)
                computed = compute(self._terms, rendering, self._target(number, batch), batch, spectra=self.spectra)
                sums += torch.stack(computed.values).double().cpu() * len(noise)
                segments += len(noise)
            means = [value / segments for value in sums.tolist()]
            if not all(math.isfinite(mean) for mean in means):
                raise self._not_finite([torch.tensor(mean) for mean in means])
        finally:
            self.train(training)
        weights = [loss.final_factor for loss in self._terms]
        return sum(w * mean for w, mean in zip(weights, means, strict=True)), means

    def _target(self, number: int, batch: Batch) -> Rendering | None:
        # Without a cache, targets are kept in memory: a hundred segments of 4 s take 50 MB.
        if self.teacher is None:
            return None
        if number in self._targets:
            return self._targets[number]
        needs = {need for loss in self._terms for need in loss.needs}
        made = self.teacher.give(batch, needs)
        if self.teacher.cache is None and number < 32:
            self._targets[number] = made
        return made

    def optimizer(self, config: OptimizerConfig) -> torch.optim.Optimizer:
        """AdamW over all parameters; a group's own `lr` is a ceiling (see `zoo.decoders.Decoder.param_groups`)."""
        rate = config.learning_rate

        def under_ceiling(group: dict[str, Any]) -> dict[str, Any]:
            return {**group, "lr": min(group.get("lr", rate), rate)}

        of_synth = rate if config.synth_learning_rate is None else config.synth_learning_rate
        synth = {"params": list(self.model.synth.parameters()), "lr": of_synth}
        groups = [
            *map(under_ceiling, self.model.decoder.param_groups()),
            synth,
            *(under_ceiling(group) for loss in self._terms for group in loss.param_groups()),
        ]
        return torch.optim.AdamW([group for group in groups if group["params"]], lr=rate)


def unique_labels(losses: Sequence[Loss]) -> list[str]:
    """The losses' labels; a second one of the same kind gets a number."""
    labels: list[str] = []
    for loss in losses:
        same = sum(label.partition("#")[0] == loss.label for label in labels)
        labels.append(f"{loss.label}#{same + 1}" if same else loss.label)
    return labels
