"""The student's controls against the teacher's, as their synths' signal paths use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from zoo.errors import ConfigError, listing, near_matches
from zoo.losses.base import Loss, valid_mean
from zoo.losses.weights import Weight

if TYPE_CHECKING:
    from zoo.models.model import Model
    from zoo.models.rendering import Rendering

_SMALL = 1e-8


class Control(Loss):
    """Compare the scaled controls that both synths share: amplitude, harmonic distribution and noise bands, for one.

    The mean absolute difference of each control, summed over the controls. A control is shared where both synths give
    it the same name, the same size and the same scale (see `zoo.synths.Synth.control_scales`).

    Args:
        weight: See `Loss`.
        controls: Which to compare; all that are shared where None.
        relative: Divide each control's difference by the mean of the teacher's, so that all of them count alike,
            whatever their units.

    Raises:
        ConfigError: An option is out of its range.

    Source: Giudici et al., "Distilling DDSP", JAES 2025, where it is called control distillation.
    """

    name = "control"
    needs = frozenset({"scaled_controls"})

    def __init__(self, *, weight: Weight = 1.0, controls: Sequence[str] | None = None, relative: bool = False) -> None:
        super().__init__(weight=weight)
        if controls is not None and (isinstance(controls, str) or not controls):
            raise ConfigError(f"controls of control must be a list of names, found {controls!r}.")
        self.controls = tuple(controls) if controls is not None else None
        self.relative = relative
        self.shared: tuple[str, ...] = ()

    def options(self) -> dict[str, Any]:
        """See `Loss.options`."""
        return {"controls": self.controls or "all", "relative": self.relative}

    def bind(self, student: Model, teacher: Model | None) -> None:
        """Find out which controls can be compared.

        Raises:
            ConfigError: Those that were asked for cannot, or none can.
        """
        super().bind(student, teacher)
        if teacher is None:
            return
        mine, theirs = student.synth.control_scales(), teacher.synth.control_scales()
        sizes = student.synth.control_sizes, teacher.synth.control_sizes
        shared = [name for name in mine if mine[name] == theirs.get(name) and sizes[0][name] == sizes[1][name]]
        pair = f"{student.name} ({student.config.synth.name}) and {teacher.name} ({teacher.config.synth.name})"
        if not shared:
            raise ConfigError(f"The loss {self.label} cannot be used between {pair}: their synths share no control.")
        for name in self.controls or ():
            if name not in shared:
                raise ConfigError(
                    f"The loss {self.label} is to compare the control {name!r}, which {pair} do not share."
                    f"{near_matches(name, shared)} They share {listing(shared)}."
                )
        self.shared = self.controls or tuple(shared)

    def forward(self, student: Rendering, teacher: Rendering | None, batch: Mapping[str, Tensor]) -> Tensor:
        """See `Loss.forward`."""
        if teacher is None:
            raise ConfigError(f"The loss {self.label} needs a teacher's rendering.")
        if not self.shared:
            raise ConfigError(f"The loss {self.label} must be bound to its pair first: loss.bind(student, teacher).")
        valid = batch["valid_frames"]
        terms = []
        for name in self.shared:
            target = teacher.scaled_controls[name].float()
            term = valid_mean((student.scaled_controls[name] - target).abs().mean(-1), valid)
            if self.relative:
                term = term / valid_mean(target.abs().mean(-1), valid).clamp(min=_SMALL)
            terms.append(term)
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total
