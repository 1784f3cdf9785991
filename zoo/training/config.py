"""What `train` and `distill` are asked for.

A setting is written down here, once, beside its use: its name, its default, what it may be, and whether a resumed run
may change it. The dataclasses are the functions' signature, what gin files bind, what is checked, and what a resumed
run is compared with.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.checks.options import MOST_SEED, shown, whole_fault
from zoo.checks.settings import (
    DICTIONARY,
    PLACE,
    REQUIRED,
    TEXT,
    YES_OR_NO,
    Config,
    group,
    number,
    one_of,
    or_none,
    setting,
    whole,
)
from zoo.errors import listing, near_matches

if TYPE_CHECKING:
    from zoo.losses.base import Loss

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed")

_LARGE = 200_000
"""Parameters from which on products of matrices are most of a step."""

_log = logging.getLogger(__name__)


def _losses_fault(name: str, losses: object) -> str | None:
    from zoo.losses.base import Loss

    if losses is None:
        return None
    if isinstance(losses, Loss):
        return f"{name} must be a list, and is one loss alone. Write it in brackets: [@{losses.label}()]"
    if not isinstance(losses, list | tuple):
        return f"{name} must be a list, e.g. [@reconstruction()], found {shown(losses)}."
    for loss in losses:
        if not isinstance(loss, Loss):
            return f"In {name} {shown(loss)} is no loss. Name registered ones: [@reconstruction(), @output_audio()]."
    return None if losses else f"{name} must hold at least one loss, e.g. [@reconstruction()]; found an empty list."


def _names_fault(name: str, value: object) -> str | None:
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return None
    return f"{name} must be a list of architectures, e.g. ['gru-M'], found {shown(value)}."


def _loggers_fault(name: str, value: object) -> str | None:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        return f"{name} must be a list of loggers, e.g. ['tensorboard'], found {shown(value)}."
    from zoo import registry

    for one in value:
        if one not in registry.loggers:
            known = listing(registry.loggers)
            return f"There is no logger named {one!r}.{near_matches(one, registry.loggers)} Installed loggers: {known}."
    return None if len(set(value)) == len(value) else f"{name} names a logger twice: {shown(value)}."


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Config):
    """How weights are changed: by AdamW, with a learning rate that falls by steps.

    Args:
        learning_rate: At the start.
        synth_learning_rate: The same, of the synth's own parameters: its reverb, for one. A wide network wants a small
            rate, at which two numbers that say how long and how loud the reverb is hardly move. `learning_rate` where
            None; 0 for a synth that stays as it begins.
        lr_decay: The learning rate is multiplied by this,
        lr_decay_steps: each time after so many steps.
        gradient_clip: Largest norm of the gradient; None for no clipping.
        averaging: How slowly the average over steps moves that is validated and kept in place of the last weights: 0.99
            is an average over about the last hundred steps; None for the last weights themselves. Training goes on from
            the last ones. Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992).
    """

    learning_rate: float = setting(1e-3, number(over=0), resumable=False)
    synth_learning_rate: float | None = setting(None, or_none(number(least=0)), resumable=False)
    lr_decay: float = setting(0.98, number(over=0), resumable=False)
    lr_decay_steps: int = setting(10_000, whole(least=1), resumable=False)
    gradient_clip: float | None = setting(3.0, or_none(number(over=0)), resumable=False)
    averaging: float | None = setting(None, or_none(number(over=0, under=1)), resumable=False)


@dataclass(frozen=True, kw_only=True)
class TrainerConfig(Config):
    """How the training loop runs, and on what.

    Args:
        validate_every: Steps; None for once an epoch, but at most 50 times a run and every ten steps.
        early_stopping: Epochs without a lower validation loss (and at least ten validations) after which training ends;
            None for never.
        accelerator: "auto", "cpu", "gpu", "cuda" or "mps".
        precision: "32-true", "16-mixed", "bf16-mixed", or "auto": bfloat16 for networks of over 200,000 parameters on
            GPUs that have it and on processors with AMX or AVX-512 BF16, else float32. Phases, reverbs, spectra and
            logarithms are float32 in any case.
        devices: Devices of this machine to train on, each by a process of its own with its part of every batch; on the
            CPU as many processes. The batch as a whole stays of `batch_size`.
        num_nodes: Machines that train together, started by a launcher such as torchrun.
        num_workers: Processes that load segments; 0 is fastest while the data is in memory.
        cuda_graphs: On a GPU, record the network's work once and replay it.
        loggers: Where losses and sounds are shown beside history.csv, e.g. ["tensorboard"]: components of the kind
            `loggers`.
    """

    validate_every: int | None = setting(None, or_none(whole(least=1)))
    early_stopping: int | None = setting(100, or_none(whole(least=1)))
    accelerator: str = setting("auto", one_of(ACCELERATORS))
    precision: str = setting("32-true", one_of(PRECISIONS), resumable=False)
    devices: int = setting(1, whole(least=1))
    num_nodes: int = setting(1, whole(least=1))
    num_workers: int = setting(0, whole(least=0))
    cuda_graphs: bool = setting(False, YES_OR_NO)
    loggers: Sequence[str] = setting((), _loggers_fault)

    def faults(self) -> list[str]:
        """See `Config.faults`."""
        found = super().faults()
        if not any(fault.startswith(("accelerator", "devices")) for fault in found):
            found += filter(None, [accelerator_fault(self.accelerator, self.devices)])
        if self.cuda_graphs and (self.precision != "32-true" or self.processes() > 1):
            found.append("cuda_graphs goes with precision = '32-true' on one device.")
        return found

    def processes(self) -> int:
        """How many train together; 1 where a count is no number."""
        counts = (self.devices, self.num_nodes)
        return 1 if any(whole_fault("", count, least=1) for count in counts) else self.devices * self.num_nodes


@dataclass(frozen=True, kw_only=True)
class TeacherConfig(Config):
    """How a student is taught.

    Args:
        assistants: Architectures between teacher and student, e.g. ["gru-M"]: the first learns from the teacher, the
            next from that one, and the student from the last. Each is a run of its own, in the folder `assistants` of
            the student's.
        teacher_noise_seeds: How many renderings of the teacher, each with other noise, are taken in turns.
        teacher_cache: Whether what the teacher makes of the data is kept on disk, for this run and for others. It
            changes nothing but time.
        allow_other_instrument: Whether the teacher may play another instrument than the data's.
    """

    assistants: Sequence[str] = setting((), _names_fault)
    teacher_noise_seeds: int = setting(4, whole(least=1, most=1000), resumable=False)
    teacher_cache: bool = setting(True, YES_OR_NO)
    allow_other_instrument: bool = setting(False, YES_OR_NO)


@dataclass(frozen=True, kw_only=True)
class RunConfig(Config):
    """What training alone and distillation have in common.

    Args:
        dataset: A folder made by `zoo prepare`, or "tones".
        instrument: What the model is named after; what the dataset says by default.
        losses: What is minimised. By default `Reconstruction()`, and in distillation `Reconstruction(weight=0.5)` and
            `OutputAudio(weight=0.5)`.
        init_from: A trained model whose network training begins with in place of a random one, of the same
            architecture: a name, a run's folder, or a Hub id. It may play another instrument. What a synth of the same
            kind learned, such as wavetables, goes on too; the reverb begins anew.
        reverb_from: A trained model whose reverb this one begins with, as far as its own reaches: the room of the
            recordings is the same for both, and need not be learned twice. In a distillation, usually the teacher. It
            is trained on from there, unless `synth_learning_rate` is 0.
        minutes: How much of the training split is used: whole segments, drawn by the seed, that come nearest to it; all
            of them where None. It shows what more recordings would be worth.
        minutes_seed: Draws them instead of the seed, so that runs with several seeds see the same recordings.
        steps: Of the optimizer, at most.
        batch_size: Segments per step; a smaller dataset is taken whole.
        seed: Of everything that is drawn: weights, order, noise, dropout.
        evaluate: Whether to measure on held-out segments at the end.
        optimizer: How weights are changed.
        trainer: How the loop runs, and on what.
    """

    dataset: str | Path = setting(REQUIRED, PLACE)
    instrument: str | None = setting(None, or_none(TEXT))
    losses: Sequence[Loss] | None = setting(None, _losses_fault)
    init_from: str | Path | None = setting(None, or_none(PLACE))
    reverb_from: str | Path | None = setting(None, or_none(PLACE))
    minutes: float | None = setting(None, or_none(number(over=0)), resumable=False)
    minutes_seed: int | None = setting(None, or_none(whole(least=0, most=MOST_SEED)), resumable=False)
    steps: int = setting(120_000, whole(least=1))
    batch_size: int = setting(16, whole(least=1), resumable=False)
    seed: int = setting(0, whole(least=0, most=MOST_SEED), resumable=False)
    evaluate: bool = setting(True, YES_OR_NO)
    optimizer: OptimizerConfig = group(OptimizerConfig)
    trainer: TrainerConfig = group(TrainerConfig)

    def faults(self) -> list[str]:
        """See `Config.faults`."""
        found = super().faults()
        processes = self.trainer.processes() if isinstance(self.trainer, TrainerConfig) else 1
        if not whole_fault("", self.batch_size, least=1) and processes > self.batch_size:
            found.append(
                f"{processes} processes cannot share batches of {self.batch_size}: take a larger BATCH_SIZE, or fewer "
                "devices."
            )
        return found

    @property
    def draws_minutes(self) -> int:
        """The seed that `minutes` of the recordings are drawn by."""
        return self.seed if self.minutes_seed is None else self.minutes_seed

    @property
    def architecture(self) -> str:
        """What is trained."""
        raise NotImplementedError

    @property
    def options(self) -> dict[str, Any]:
        """Options of the architecture in place of the preset's."""
        raise NotImplementedError

    def default_losses(self) -> list[Loss]:
        """What is minimised where `losses` is None."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class TrainConfig(RunConfig):
    """What `train` is asked for; see `RunConfig` too.

    Example:
        >>> TrainConfig(model="gru-S", dataset="data/flute", steps=1000).optimizer.learning_rate
        0.001

    Args:
        model: An architecture, e.g. "gru-S".
        model_options: Options of the model in place of the preset's.
    """

    model: str = setting(REQUIRED, TEXT)
    model_options: Mapping[str, Any] | None = setting(None, or_none(DICTIONARY))

    @property
    def architecture(self) -> str:
        """See `RunConfig.architecture`."""
        return self.model

    @property
    def options(self) -> dict[str, Any]:
        """See `RunConfig.options`."""
        return dict(self.model_options or {})

    def default_losses(self) -> list[Loss]:
        """The reconstruction alone."""
        from zoo.losses.distillation import Reconstruction

        return [Reconstruction()]


@dataclass(frozen=True, kw_only=True)
class DistillConfig(RunConfig):
    """What `distill` is asked for; see `RunConfig` too.

    Example:
        >>> DistillConfig(teacher="gru-L-{instrument}", student="gru-S", dataset="data/flute").batch_size
        16

    Args:
        teacher: A trained model: a name, a run's folder, or a Hub id; `{instrument}` in it is filled in.
        student: An architecture, e.g. "gru-S"; `{instrument}` in it is filled in.
        student_options: Options of the student in place of the preset's.
        teaching: How it is taught.
    """

    teacher: str | Path = setting(REQUIRED, PLACE)
    student: str = setting(REQUIRED, TEXT)
    student_options: Mapping[str, Any] | None = setting(None, or_none(DICTIONARY))
    teaching: TeacherConfig = group(TeacherConfig)

    def faults(self) -> list[str]:
        """See `Config.faults`."""
        found = super().faults()
        if isinstance(self.teaching, TeacherConfig) and self.teaching.assistants and self.trainer.processes() > 1:
            found.append("Assistants are trained in one process: take distill.assistants away, or set devices = 1.")
        return found

    @property
    def architecture(self) -> str:
        """See `RunConfig.architecture`."""
        return self.student

    @property
    def options(self) -> dict[str, Any]:
        """See `RunConfig.options`."""
        return dict(self.student_options or {})

    def default_losses(self) -> list[Loss]:
        """Half by the recordings, half by the teacher's audio."""
        from zoo.losses.distillation import OutputAudio, Reconstruction

        return [Reconstruction(weight=0.5), OutputAudio(weight=0.5)]

    def for_assistant(self, architecture: str) -> DistillConfig:
        """The same for an assistant: without what is the last student's own."""
        return replace(self, student=architecture, student_options=None, init_from=None)

    def without_assistants(self, teacher: str) -> DistillConfig:
        """The same from another teacher, at once."""
        return replace(self, teacher=teacher, teaching=replace(self.teaching, assistants=()))

    def baseline(self) -> TrainConfig:
        """The same student without its teacher.

        Its losses are those that need no teacher, or the reconstruction where there are none. The one that counts most
        counts fully, and the others as much less as they do in the distillation: a weight tells one loss from others,
        and schedules hand over to or from the teacher.
        """
        shared = {one.name: getattr(self, one.name) for one in fields(RunConfig)}
        kept = [copy.deepcopy(loss) for loss in self.losses or () if not loss.uses_teacher]
        weights = [loss.largest_factor for loss in kept]
        for loss, weight in zip(kept, weights, strict=True):
            loss.set_weight(weight / max(weights) if any(weights) else 1.0)
        return TrainConfig(**{**shared, "losses": kept or None}, model=self.student, model_options=self.student_options)


def accelerator_fault(accelerator: str, devices: int = 1) -> str | None:
    """Why a run cannot train on what was asked for, as a sentence; None where it can.

    Args:
        accelerator: "auto", "cpu", "gpu", "cuda" or "mps".
        devices: How many of them.
    """
    import torch  # takes seconds, and most settings are checked without it

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    there = {"cuda": cuda, "gpu": cuda or mps, "mps": mps}.get(accelerator, True)
    if not there:
        return (
            f"accelerator = {accelerator!r} cannot be used: this machine, or the torch installed here, has none. Take "
            "'auto' or 'cpu'; zoo doctor says what there is."
        )
    count = torch.cuda.device_count() if cuda else 1
    if accelerator in ("auto", "cuda", "gpu", "mps") and (cuda or accelerator == "mps") and devices > count:
        return f"devices = {devices} cannot be used: there are {count}. Take that many at most, or accelerator = 'cpu'."
    return None


def resolve_precision(precision: str, accelerator: str, parameters: int) -> str:
    """What "auto" means here; anything else stays as it is, with a warning where it will be slow.

    Args:
        precision: As asked for.
        accelerator: As asked for.
        parameters: Of the student.
    """
    import torch

    on_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    quick = torch.cuda.is_bf16_supported() if on_gpu else has_bfloat16()
    if precision == "auto":
        return "bf16-mixed" if quick and parameters >= _LARGE else "32-true"
    if precision == "bf16-mixed" and not quick and accelerator != "mps":
        _log.warning("This device computes bfloat16 by way of float32: %s would be faster.", "precision = '32-true'")
    return precision


def has_bfloat16() -> bool:
    """Whether the processor multiplies matrices of bfloat16 by itself: with AMX, or with AVX-512's own instructions."""
    import torch

    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
