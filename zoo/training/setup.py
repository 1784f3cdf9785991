"""All that a run needs, found, built and checked before anything is computed or written."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from zoo.checks.options import type_fault, writable_fault
from zoo.datasets import open_dataset
from zoo.datasets.data_range import range_of
from zoo.errors import CheckpointError, ConfigError, DatasetError, HubError, ModelNotFoundError, listing
from zoo.losses.distillation import Loss, bind_losses
from zoo.models import architectures
from zoo.models.creating import create
from zoo.models.model import Model
from zoo.registry import paths
from zoo.training import report
from zoo.training.batches import is_main
from zoo.training.checkpoints import LAST, RunState, check_identity, load_state
from zoo.training.config import DistillConfig, RunConfig, TrainConfig, resolve_precision
from zoo.training.run_folder import assistants_folder, claimed_folder
from zoo.training.teacher import Beginning, Teacher, check_fits_data, find_teacher
from zoo.training.teacher_cache import Part

if TYPE_CHECKING:
    from zoo.datasets import Dataset
    from zoo.datasets.segments import Segments

_log = logging.getLogger(__name__)

Records = Callable[[Any], Mapping[str, str]]
"""Gets a run's configuration, and gives texts to keep in its folder, by file name."""


@dataclass(frozen=True)
class Destination:
    """Where a run goes; see `zoo.training.loop.train`.

    An assistant, and the student after it, have the student's folder as `within`: that is what a message says to
    resume, and it is claimed already.
    """

    out: str | Path | None = None
    name: str | None = None
    resume: bool = False
    force: bool = False
    progress: bool | None = None
    records: Records | None = None
    within: Path | None = None

    def faults(self) -> list[str | None]:
        """All that is wrong with it."""
        found = [type_fault(name, getattr(self, name), bool, "True or False") for name in ("resume", "force")]
        found.append(type_fault("progress", self.progress, (bool, type(None)), "True, False or None"))
        found.append(type_fault("out", self.out, (str, Path, type(None)), "text, a path or None"))
        found.append(type_fault("name", self.name, (str, type(None)), "text or None"))
        if isinstance(self.out, str | Path):
            found.append(writable_fault(self.out, "--out"))
        if isinstance(self.name, str):
            fix = "Type: export ZOO_HOME=FOLDER, with a folder of yours, or leave --name out."
            found.append(writable_fault(paths.store_folder(), "The local store", fix=fix))
        return found


@dataclass(frozen=True)
class Setup:
    """What a run works with.

    Attributes:
        config: What was asked for.
        precision: In which number format it trains.
        folder: Where it writes.
        dataset: The data,
        splits: its training and validation segments.
        student: The model in training.
        teacher: Whom it learns from, if anybody.
        losses: What it is trained with, bound to both.
        resumed: Where it was, if it goes on.
        identity: What must be the same when it is resumed.
    """

    config: RunConfig
    precision: str
    folder: Path
    dataset: Dataset
    splits: dict[str, Segments]
    student: Model
    teacher: Teacher | None
    losses: list[Loss]
    resumed: RunState | None
    identity: dict[str, Any]


def set_up(config: TrainConfig | DistillConfig, to: Destination, stack: ExitStack) -> Setup:
    """Find, build and check all that a run needs, and keep others out of where it writes.

    Args:
        config: What was asked for.
        to: Where it goes.
        stack: When it closes, others may have the folder.

    Raises:
        InUseError: Another process has the folder, or trains a model of that name.
        ZooError: Something does not fit; nothing is written then.
    """
    dataset = open_dataset(config.dataset)
    instrument = instrument_of(config, dataset)
    student = make_student(config, dataset, instrument)
    trainer = config.trainer
    precision = resolve_precision(trainer.precision, trainer.accelerator, student.num_parameters)
    folder = stack.enter_context(claimed(config, to, student))
    teacher = teacher_of(config, dataset, instrument) if isinstance(config, DistillConfig) else None
    losses = losses_of(config)
    if trainer.cuda_graphs and (running := [loss.label for loss in losses if loss.runs_student]):
        raise ConfigError(
            f"cuda_graphs = True does not go with {listing(running)}: a recorded decoder plays one batch per step."
        )
    bind_losses(losses, student, teacher.model if teacher is not None else None)
    for loss in losses:
        loss.begin(config.steps)
    resumed = load_state(folder) if to.resume else None
    beginning = Beginning.find(config, student)
    identity = _identity(config, precision, dataset, student, teacher, losses, beginning)
    if resumed is not None:
        check_identity(resumed, identity, folder)
    lineage = {"dataset": lineage_of(dataset), **beginning.lineage(teacher)}
    if teacher is not None:
        lineage["teacher"] = teacher.lineage()
    student.config = student.config.with_changes(lineage=lineage)
    splits = _splits(dataset, config)
    student.set_range(range_of(splits["train"], frame_rate=dataset.sample_rate / dataset.hop))
    _announce(student, teacher, dataset, splits, resumed)
    if (span := student.config.range) is not None and span.struck and not any(loss.runs_student for loss in losses):
        _log.info("these notes fall as they sound: to play held ones as loud, add --gin losses/loudness-matching.gin")
    if resumed is None:
        beginning.give(student)
    return Setup(config, precision, folder, dataset, splits, student, teacher, losses, resumed, identity)


def check_made_with(config: TrainConfig | DistillConfig, folder: Path) -> None:
    """Make sure that a run that came to its end was made with these settings, this data and this teacher.

    What cannot be looked at any more (a teacher that is gone, data, a checkpoint) is not compared.

    Args:
        config: What is asked for now.
        folder: The run.

    Raises:
        ConfigError: Something differs; it says what.
    """
    if isinstance(config, DistillConfig) and config.teaching.assistants:
        for own, link in chain(config, folder):
            check_made_with(link, own)
        return
    try:
        made = load_state(folder)
        dataset = open_dataset(config.dataset, verify=False)
        instrument = instrument_of(config, dataset)
        with torch.random.fork_rng():
            student = make_student(config, dataset, instrument)
        teacher = teacher_of(config, dataset, instrument) if isinstance(config, DistillConfig) else None
        beginning = Beginning.find(config, student)
    except (CheckpointError, DatasetError, HubError, ModelNotFoundError) as error:
        _log.debug("%s is not compared with what is asked for: %s", folder, error)
        return
    # what "auto" meant where it was trained, this machine cannot know
    asked = config.trainer.precision
    precision = str(made.identity.get("precision")) if asked == "auto" else asked
    losses = losses_of(config)
    bind_losses(losses, student, teacher.model if teacher is not None else None)
    check_identity(made, _identity(config, precision, dataset, student, teacher, losses, beginning), folder)


def _identity(
    config: RunConfig,
    precision: str,
    dataset: Dataset,
    student: Model,
    teacher: Teacher | None,
    losses: Sequence[Loss],
    beginning: Beginning,
) -> dict[str, Any]:
    return {
        **config.identity(),
        "precision": precision,
        "student": student.name,
        "student_build": repr(student.config.build_arguments()),
        "teacher": teacher.hash if teacher is not None else None,
        "dataset": dataset.hash,
        "losses": [loss.describe() for loss in losses],
        **beginning.identity(),
    }


@contextmanager
def claimed(config: RunConfig, to: Destination, student: Model) -> Iterator[Path]:
    """Choose a run's folder, and keep others out of it and of the name that the model is to get.

    Raises:
        InUseError: Another process has the folder, or trains a model of that name.
        ConfigError: Something is there that would be overwritten.
    """
    doing = f"{'distilling' if isinstance(config, DistillConfig) else 'training'} {student.name}"
    main = is_main()
    held = not main or (to.within is not None and Path(to.out or "") == to.within)
    with ExitStack() as stack:
        folder = stack.enter_context(
            claimed_folder(to.out, name=student.name, resume=to.resume, doing=doing, held=held)
        )
        if to.name is not None and main and to.within is None:
            stack.enter_context(architectures.reserved(to.name, config=student.config, force=to.force, doing=doing))
        yield folder


def chain(config: DistillConfig, folder: Path) -> list[tuple[Path, DistillConfig]]:
    """The runs of a distillation by assistants, in their order: folder and configuration of each, the student's last.

    Args:
        config: Of the distillation.
        folder: The student's run.
    """
    runs, reference = [], str(config.teacher)
    for number, architecture in enumerate(config.teaching.assistants, start=1):
        own = assistants_folder(folder) / f"{number}-{architecture}"
        runs.append((own, config.for_assistant(architecture).without_assistants(reference)))
        reference = str(own.resolve())
    return [*runs, (folder, config.without_assistants(reference))]


def check_assistants(config: DistillConfig) -> Model:
    """Make sure that each assistant can learn from the one before it, and the student from the last.

    Returns:
        The student, untrained.

    Raises:
        ZooError: One of them does not fit.
    """
    dataset = open_dataset(config.dataset)
    instrument = instrument_of(config, dataset)
    with torch.random.fork_rng():
        student = teacher_of(config, dataset, instrument).model
        for link in (*map(config.for_assistant, config.teaching.assistants), config):
            teacher, student = student, make_student(link, dataset, instrument)
            bind_losses(losses_of(link), student, teacher)
    return student


def use_teacher_cache(setup: Setup, *, visits: int) -> None:
    """Have the teacher read what the run will ask it for: in training, in validations, and when it is measured.

    Args:
        setup: With a teacher.
        visits: How often training will ask for a segment in all.
    """
    teacher, config = setup.teacher, setup.config
    if teacher is None or not isinstance(config, DistillConfig) or not config.teaching.teacher_cache:
        return
    needs = frozenset(need for loss in setup.losses for need in loss.needs)
    training, validation = setup.splits["train"], setup.splits["validation"]
    # of the cache all runs read the same: segments that were drawn are a split of their own there
    name = "train" if config.minutes is None else f"train-{len(training)}-drawn-by-{config.draws_minutes}"
    parts = [Part(name, training, range(len(training)), needs, teacher.noise_seeds)]
    if validation is not training:
        parts.append(Part("validation", validation, range(len(validation)), needs, 1))
    heard = report.held_out(setup.dataset)
    positions = heard.positions
    if not config.evaluate:
        positions = [positions[i] for i in report.sample_positions(len(positions))]
    parts.append(Part(heard.split, heard.whole, positions, frozenset({"audio"}), 1))
    if config.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        teacher.to(torch.device("cuda"))
    teacher.use_cache(setup.dataset, parts, visits=visits)


def instrument_of(config: RunConfig, dataset: Dataset) -> str:
    """What is to be played: what was asked for, or what the dataset says.

    Raises:
        ConfigError: Neither is known, or they differ.
    """
    asked = config.instrument
    if asked is None and dataset.instrument is None:
        raise ConfigError(f"{dataset.path} does not say its instrument. Type: --set \"INSTRUMENT='flute'\"")
    if asked is not None and dataset.instrument is not None and asked != dataset.instrument:
        raise ConfigError(
            f"INSTRUMENT is {asked!r}, and the dataset {dataset.path} holds {dataset.instrument!r}. Take the "
            f"dataset of {asked}, or: --set \"INSTRUMENT='{dataset.instrument}'\""
        )
    return asked or dataset.instrument or ""


def make_student(config: RunConfig, dataset: Dataset, instrument: str) -> Model:
    """The untrained model of a run, for a dataset's features and rates."""
    options = {"features": dataset.features.to_dict(), **config.options}
    student = create(config.architecture.replace("{instrument}", instrument), instrument=instrument, **options)
    check_fits_data(student, dataset)
    return student


def teacher_of(config: DistillConfig, dataset: Dataset, instrument: str) -> Teacher:
    """The teacher that a distillation names."""
    return find_teacher(
        str(config.teacher),
        dataset=dataset,
        instrument=instrument,
        allow_other_instrument=config.teaching.allow_other_instrument,
        noise_seeds=config.teaching.teacher_noise_seeds,
    )


def losses_of(config: RunConfig) -> list[Loss]:
    """A run's own losses: binding changes them, and the configuration stays as it is."""
    return copy.deepcopy(list(config.losses)) if config.losses is not None else config.default_losses()


def _splits(dataset: Dataset, config: RunConfig) -> dict[str, Segments]:
    training = dataset.split("train")
    if config.minutes is not None:
        frames = round(config.minutes * 60 * dataset.sample_rate / dataset.hop)
        if frames > training.frames:
            raise ConfigError(
                f"minutes = {config.minutes:g}, but the training split of {dataset.path} has "
                f"{dataset.minutes(training):.2f}. Take fewer, or leave minutes out."
            )
        training = training.drawn(frames, seed=config.draws_minutes)
    if dataset.info["splits"].get("validation"):
        return {"train": training, "validation": dataset.split("validation")}
    _log.warning("%s has no validation segments: validated on the training segments.", dataset.path)
    return {"train": training, "validation": training}


def lineage_of(dataset: Dataset) -> dict[str, Any]:
    """What config.json says of the data that a model was made of."""
    data: dict[str, Any] = {"name": dataset.name, "hash": dataset.hash}
    if attribution := _attribution(dataset):
        data["attribution"] = attribution
    if made := sorted({source["made"] for source in dataset.info.get("sources", []) if source.get("made")}):
        data["made"] = "; ".join(made)
    return data


def _attribution(dataset: Dataset) -> list[str]:
    # Licences that ask for the author's name ask for it beside what was made of the recordings too.
    sources = dataset.info.get("sources", [])
    made_from = [origin for source in sources for origin in source.get("made_from", [])]
    known = [source.get("attribution") or {} for source in [*sources, *made_from]]
    parts = ("text", "author", "licence", "license", "source")
    lines = {", ".join(str(k[part]) for part in parts if k.get(part)) for k in known}
    return sorted(lines - {""})


def _announce(
    student: Model, teacher: Teacher | None, dataset: Dataset, splits: dict[str, Segments], resumed: RunState | None
) -> None:
    _log.info("%s %s: %d parameters", "Distilling" if teacher else "Training", student.name, student.num_parameters)
    if teacher is not None:
        _log.info("teacher %s: %d parameters (%s)", teacher.model.name, teacher.model.num_parameters, teacher.found)
    _log.info(
        "data %s: %d segments (%.1f min) to train on, %d to validate on",
        dataset.path,
        len(splits["train"]),
        dataset.minutes(splits["train"]),
        len(splits["validation"]),
    )
    if resumed is not None:
        _log.info("resumed at step %d (from %s)", resumed.step, LAST)
