"""What a run was asked for, and what it reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.training.settings import Settings

if TYPE_CHECKING:
    from zoo.losses.distillation import Loss
    from zoo.training.evaluation import Summary


@dataclass(frozen=True)
class Plan:
    """What `train` or `distill` was asked for; see there.

    A link of a chain has the chain's folder as `command_out`: that is what a message says to resume.
    """

    student: str
    student_options: dict[str, Any]
    teacher: str | None
    dataset: str | Path
    instrument: str | None
    losses: Sequence[Loss] | None
    settings: Settings
    out: str | Path | None
    evaluate: bool
    resume: bool
    name: str | None
    force: bool
    progress: bool | None
    records: dict[str, str]
    allow_other_instrument: bool = False
    teacher_cache: bool = True
    teacher_draws: int = 4
    via: tuple[str, ...] = ()
    command_out: Path | None = None
    start_from: str | None = None
    teacher_reverb: bool = False


@dataclass(frozen=True)
class Finished:
    """What a run reached.

    Attributes:
        folder: With all its files.
        steps: Done in all.
        best_step: Where the validation loss was lowest; the weights are those.
        best_loss: The validation loss there.
        metrics: As in metrics.json; empty when it was not measured.
    """

    folder: Path
    steps: int
    best_step: int
    best_loss: float
    metrics: Summary = field(default_factory=dict)
