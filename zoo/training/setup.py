"""All that a run needs, found, built and checked before anything is computed or written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.datasets import open_dataset
from zoo.errors import ConfigError, listing
from zoo.losses.distillation import Loss, OutputAudio, Reconstruction, bind_losses
from zoo.models import architectures
from zoo.models import model as models
from zoo.models.model import Model
from zoo.training import evaluation, processes
from zoo.training.checkpoints import LAST, State, check_identity, load_state
from zoo.training.data_range import range_of
from zoo.training.devices import resolve_precision
from zoo.training.plan import Plan
from zoo.training.run_folder import claimed_folder
from zoo.training.settings import Settings
from zoo.training.starting import Start, begin_with, begin_with_reverb, find_reverbs, find_start
from zoo.training.teacher import Teacher, find_teacher

if TYPE_CHECKING:
    from zoo.datasets import Dataset

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setup:
    """What a run works with.

    Attributes:
        settings: How it trains, all of it resolved.
        folder: Where it writes.
        dataset: The data,
        splits: its training and validation segments.
        student: The model in training.
        teacher: Whom it learns from, if anybody.
        losses: What it is trained with, bound to both.
        resumed: Where it was, if it goes on.
        identity: What must be the same when it is resumed.
    """

    settings: Settings
    folder: Path
    dataset: Dataset
    splits: dict[str, Any]
    student: Model
    teacher: Teacher | None
    losses: list[Loss]
    resumed: State | None
    identity: dict[str, Any]


def set_up(plan: Plan, stack: ExitStack) -> Setup:
    """Find, build and check all that a run needs, and keep others out of where it writes.

    Args:
        plan: What was asked for.
        stack: When it closes, others may have the folder.

    Raises:
        InUseError: Another process has the folder, or trains a model of that name.
        ZooError: Something does not fit; nothing is written then.
    """
    dataset = open_dataset(plan.dataset)
    instrument = the_instrument(plan.instrument, dataset)
    student = make_student(plan, dataset, instrument)
    asked = plan.settings
    precision = resolve_precision(asked.precision, asked.accelerator, student.num_parameters)
    settings = replace(asked, precision=precision)
    doing = f"{'training' if plan.teacher is None else 'distilling'} {student.name}"
    main = processes.is_main()
    # the last link of a chain writes where the chain does
    held = not main or (plan.command_out is not None and Path(plan.out or "") == plan.command_out)
    folder = stack.enter_context(
        claimed_folder(plan.out, name=student.name, resume=plan.resume, doing=doing, held=held)
    )
    if plan.name is not None and main and plan.command_out is None:
        stack.enter_context(architectures.reserved(plan.name, config=student.config, force=plan.force, doing=doing))
    teacher = None
    if plan.teacher is not None:
        teacher = find_plans_teacher(plan, dataset, instrument)
    losses = _bound_losses(plan, student, teacher)
    resumed = load_state(folder) if plan.resume else None
    start = find_start(plan.start_from, student) if plan.start_from is not None else None
    reverbs = find_reverbs(student, teacher.model) if teacher is not None and plan.teacher_reverb else None
    identity = _identity(settings, student, teacher, dataset, losses, start)
    if plan.teacher_reverb:
        identity["teacher_reverb"] = True
    if resumed is not None:
        check_identity(resumed, identity, folder)
    student.config = student.config.with_changes(lineage=_lineage(dataset, teacher, start))
    splits = _splits(dataset)
    student.set_range(range_of(splits["train"]))
    _announce(student, teacher, dataset, splits, resumed)
    if start is not None and resumed is None:
        begin_with(student, start)
    if reverbs is not None and resumed is None:
        begin_with_reverb(*reverbs)
    return Setup(settings, folder, dataset, splits, student, teacher, losses, resumed, identity)


def the_instrument(asked: str | None, dataset: Dataset) -> str:
    """What is to be played: what was asked for, or what the dataset says.

    Raises:
        ConfigError: Neither is known, or they differ.
    """
    if asked is None and dataset.instrument is None:
        raise ConfigError(f"{dataset.path} does not say its instrument. Type: --set \"INSTRUMENT='flute'\"")
    if asked is not None and dataset.instrument is not None and asked != dataset.instrument:
        raise ConfigError(
            f"INSTRUMENT is {asked!r}, and the dataset {dataset.path} holds {dataset.instrument!r}. Take the "
            f"dataset of {asked}, or: --set \"INSTRUMENT='{dataset.instrument}'\""
        )
    return asked or dataset.instrument or ""


def make_student(plan: Plan, dataset: Dataset, instrument: str) -> Model:
    """The untrained model of a plan, for a dataset's features and rates."""
    options = {"features": dataset.features.to_dict(), **plan.student_options}
    student = models.create(plan.student.replace("{instrument}", instrument), instrument=instrument, **options)
    evaluation.check_rates(student, dataset)
    return student


def find_plans_teacher(plan: Plan, dataset: Dataset, instrument: str) -> Teacher:
    """The teacher that a plan names."""
    return find_teacher(
        str(plan.teacher),
        dataset=dataset,
        instrument=instrument,
        allow_other_instrument=plan.allow_other_instrument,
        draws=plan.teacher_draws,
    )


def chosen_losses(plan: Plan, *, taught: bool) -> list[Loss]:
    """A plan's losses, or those that are taken where it names none."""
    if plan.losses is not None:
        return list(plan.losses)
    return [Reconstruction(weight=0.5), OutputAudio(weight=0.5)] if taught else [Reconstruction()]


def _bound_losses(plan: Plan, student: Model, teacher: Teacher | None) -> list[Loss]:
    losses = chosen_losses(plan, taught=teacher is not None)
    if plan.settings.cuda_graphs and (playing := [loss.label for loss in losses if loss.runs_student]):
        raise ConfigError(
            f"cuda_graphs = True does not go with {listing(playing)}: a recorded decoder plays one batch a step."
        )
    bind_losses(losses, student, teacher.model if teacher is not None else None)
    for loss in losses:
        loss.begin(plan.settings.steps)
    return losses


def _splits(dataset: Dataset) -> dict[str, Any]:
    training = dataset.split("train")
    if dataset.info["splits"].get("validation"):
        return {"train": training, "validation": dataset.split("validation")}
    _log.warning("%s has no validation segments: validated on the training segments.", dataset.path)
    return {"train": training, "validation": training}


def _identity(
    settings: Settings,
    student: Model,
    teacher: Teacher | None,
    dataset: Dataset,
    losses: Sequence[Loss],
    start: Start | None,
) -> dict[str, Any]:
    return {
        **settings.identity(),
        "student": student.name,
        "student_build": repr(student.config.build_arguments()),
        "teacher": teacher.hash if teacher is not None else None,
        "dataset": dataset.hash,
        "losses": [loss.describe() for loss in losses],
        **({"teacher_draws": teacher.draws} if teacher is not None else {}),
        **({"start": start.hash} if start is not None else {}),
    }


def _lineage(dataset: Dataset, teacher: Teacher | None, start: Start | None = None) -> dict[str, Any]:
    data: dict[str, Any] = {"name": dataset.name, "hash": dataset.hash}
    if attribution := _attribution(dataset):
        data["attribution"] = attribution
    if made := sorted({source["made"] for source in dataset.info.get("sources", []) if source.get("made")}):
        data["made"] = "; ".join(made)
    known = {"teacher": teacher, "start": start}
    return {"dataset": data, **{role: origin.lineage() for role, origin in known.items() if origin is not None}}


def _attribution(dataset: Dataset) -> list[str]:
    # Licences that ask for the author's name ask for it beside what was made of the recordings too.
    sources = dataset.info.get("sources", [])
    made_from = [origin for source in sources for origin in source.get("made_from", [])]
    known = [source.get("attribution") or {} for source in [*sources, *made_from]]
    parts = ("text", "author", "licence", "license", "source")
    lines = {", ".join(str(k[part]) for part in parts if k.get(part)) for k in known}
    return sorted(lines - {""})


def _announce(
    student: Model, teacher: Teacher | None, dataset: Dataset, splits: dict[str, Any], resumed: State | None
) -> None:
    frames = sum(segment["valid_frames"] for segment in dataset.info["splits"]["train"])
    minutes = frames * dataset.hop / dataset.sample_rate / 60
    _log.info("%s %s: %d parameters", "Distilling" if teacher else "Training", student.name, student.num_parameters)
    if teacher is not None:
        _log.info("teacher %s: %d parameters (%s)", teacher.model.name, teacher.model.num_parameters, teacher.found)
    _log.info(
        "data %s: %d segments (%.1f min) to train on, %d to validate on",
        dataset.path,
        len(splits["train"]),
        minutes,
        len(splits["validation"]),
    )
    if resumed is not None:
        _log.info("resumed at step %d (from %s)", resumed.step, LAST)
