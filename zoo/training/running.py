"""A run from its checks to its card: what `train` and `distill` have in common."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from zoo import model as models
from zoo import naming, store
from zoo.card import write_card
from zoo.checkpoint import load_folder
from zoo.datasets import open_dataset
from zoo.errors import ConfigError, TrainingError
from zoo.files import write_atomically
from zoo.losses.distillation import Loss, OutputAudio, Reconstruction, bind_losses
from zoo.model import Model
from zoo.run_files import published_files
from zoo.training import evaluation, report
from zoo.training.batches import Batch, Stream, in_order, training_loader
from zoo.training.checkpoints import LAST, State, check_identity, load_state
from zoo.training.history import read_history
from zoo.training.interrupts import StopRequest
from zoo.training.progress import Progress, duration
from zoo.training.run_folder import choose_folder
from zoo.training.settings import Settings
from zoo.training.teacher import Teacher, find_teacher

if TYPE_CHECKING:
    from zoo.datasets import Dataset
    from zoo.training.fitting import Keeper

_log = logging.getLogger(__name__)

MOST_MEASURED = 50
"""Held-out segments that are measured at the end of a run, at most; `zoo.evaluate` measures all."""


@dataclass(frozen=True)
class Plan:
    """What `train` or `distill` was asked for; see there."""

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
    metrics: evaluation.Summary = field(default_factory=dict)


def run(plan: Plan) -> Finished:
    """Check everything, train, and write the run's folder."""
    settings = plan.settings
    dataset = open_dataset(plan.dataset)
    instrument = _instrument(plan.instrument, dataset)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        student = _student(plan, dataset, instrument)
        folder = choose_folder(plan.out, name=student.name, resume=plan.resume)
        if plan.name is not None:
            store.check_name(plan.name, architecture=student.config.architecture, force=plan.force)
        teacher = None
        if plan.teacher is not None:
            teacher = find_teacher(
                plan.teacher,
                dataset=dataset,
                instrument=instrument,
                allow_other_instrument=plan.allow_other_instrument,
            )
        losses = _bound_losses(plan, student, teacher)
        resumed = load_state(folder) if plan.resume else None
        identity = _identity(settings, student, teacher, dataset, losses)
        if resumed is not None:
            check_identity(resumed, identity, folder)
        student.config = student.config.with_changes(lineage=_lineage(dataset, teacher, settings))
        splits = _splits(dataset)
        _announce(student, teacher, dataset, splits, resumed)
        return _train(plan, folder, dataset, splits, student, teacher, losses, resumed, identity)


def _train(
    plan: Plan,
    folder: Path,
    dataset: Dataset,
    splits: dict[str, Any],
    student: Model,
    teacher: Teacher | None,
    losses: Sequence[Loss],
    resumed: State | None,
    identity: dict[str, Any],
) -> Finished:
    # lightning takes seconds to import; a mistake in the arguments is told before.
    from zoo.training.fitting import Keeper, fit
    from zoo.training.task import Task

    settings = plan.settings
    start = resumed.step if resumed else 0
    stream = Stream(
        len(splits["train"]),
        batch_size=settings.batch_size,
        seed=settings.seed,
        start=start,
        stop=max(start, settings.steps),
    )
    validation: list[Batch] = list(in_order(splits["validation"], batch_size=stream.size))
    if teacher is not None:
        _store_teacher(teacher, splits, losses, stream)
    task = Task(student, losses, settings, teacher)

    def on_best(step: int, loss: float) -> None:
        training = {"best_step": step, "validation_loss": loss, "seed": settings.seed, "batch_size": stream.size}
        student.config = student.config.with_changes(lineage={**student.config.lineage, "training": training})

    folder.mkdir(parents=True, exist_ok=True)
    for name, text in plan.records.items():
        write_atomically(folder / name, text)
    with StopRequest() as stop:
        keeper = Keeper(
            run=folder,
            stream=stream,
            validation=validation,
            validate_every=settings.validate_every or default_interval(stream.segments, stream.size, settings.steps),
            identity=identity,
            stop=stop,
            progress=Progress(settings.steps, start=start, shown=plan.progress),
            resumed=resumed,
            on_best=on_best,
        )
        if len(stream):
            try:
                fit(task, keeper, training_loader(splits["train"], stream, num_workers=settings.num_workers))
            except TrainingError:
                _finish_quickly(folder, task.labels)
                raise
        elif resumed is not None:
            keeper.best_loss, keeper.best_step, keeper.seconds = resumed.best_loss, resumed.best_step, resumed.seconds
            _log.info("All %d steps are done already.", settings.steps)
    steps = max(task.step, start)
    if stop.asked:
        _finish_quickly(folder, task.labels)
        _log.info(
            "Stopped at step %d. The best weights (step %d) are in %s.\nGo on: python -m zoo.%s --resume --out %s",
            steps,
            keeper.best_step,
            folder,
            "train" if teacher is None else "distill",
            folder,
        )
        raise KeyboardInterrupt
    return _finish(plan, folder, dataset, teacher, task.labels, keeper, steps)


def default_interval(segments: int, batch_size: int, steps: int) -> int:
    """Steps between validations: an epoch, but at most 50 validations a run, and ten steps at least."""
    return max(-(-segments // batch_size), steps // 50, 10)


def _finish(
    plan: Plan,
    folder: Path,
    dataset: Dataset,
    teacher: Teacher | None,
    labels: Sequence[str],
    keeper: Keeper,
    steps: int,
) -> Finished:
    """Measure the best weights, let them be heard and seen, and write the card."""
    rows = read_history(folder / "history.csv")
    done = max(1, steps - keeper.stream.start)
    _log.info(
        "Trained %d steps in %s (%.2f s a step)%s. Validation loss %.4g at step %d, from %.4g at step 0.",
        steps,
        duration(keeper.seconds),
        (keeper.seconds - (keeper.resumed.seconds if keeper.resumed else 0.0)) / done,
        ", stopped early" if keeper.stopped_early else "",
        keeper.best_loss,
        keeper.best_step,
        rows[0]["val_loss"] or 0.0,
    )
    best = load_folder(folder)
    arms = {"teacher": teacher.model.cpu(), "student": best} if teacher is not None else {"student": best}
    chosen = _held_out(dataset)
    played = report.play_segments(arms, chosen.segments, seed=plan.settings.seed)
    report.write_samples(played, folder / "samples", sample_rate=best.sample_rate)
    report.plot_losses(rows, labels, folder / "plots" / "loss.png")
    report.plot_spectrograms(played[0], folder / "plots" / "spectrograms.png", sample_rate=best.sample_rate)
    summary: evaluation.Summary = {}
    if plan.evaluate:
        _log.info("Measuring on %d %s segments ...", len(chosen.segments), chosen.split)  # type: ignore[arg-type]  # ours has a length
        summary = evaluation.measure(arms, chosen.segments, seed=plan.settings.seed)
        evaluation.write_metrics(summary, folder / "metrics.json")
        _log.info("%s", evaluation.table(summary))
    write_card(folder)
    if plan.name is not None:
        _log.info("Stored as %s (%s).", plan.name, store.enter(plan.name, published_files(folder)))
    handle = plan.name or folder
    _log.info(
        "The run is in %s. Next:\n  listen to %s\n  python -m zoo.evaluate %s --data %s\n"
        "  python -m zoo synth %s voice.wav out.wav",
        folder,
        folder / "samples",
        folder,
        plan.dataset,
        handle,
    )
    return Finished(folder, steps, keeper.best_step, keeper.best_loss, summary)


def _held_out(dataset: Dataset) -> evaluation.HeldOut:
    held_out = any(dataset.info["splits"].get(name) for name in ("test", "validation"))
    return evaluation.held_out(dataset, "test" if held_out else "train", max_segments=MOST_MEASURED)


def _finish_quickly(folder: Path, labels: Sequence[str]) -> None:
    report.plot_losses(read_history(folder / "history.csv"), labels, folder / "plots" / "loss.png")
    write_card(folder)


def _instrument(asked: str | None, dataset: Dataset) -> str:
    if asked is None and dataset.instrument is None:
        raise ConfigError(f"{dataset.path} does not say its instrument. Type: --set \"INSTRUMENT='flute'\"")
    if asked is not None and dataset.instrument is not None and asked != dataset.instrument:
        raise ConfigError(
            f"INSTRUMENT is {asked!r}, and the dataset {dataset.path} holds {dataset.instrument!r}. Take the "
            f"dataset of {asked}, or: --set \"INSTRUMENT='{dataset.instrument}'\""
        )
    return asked or dataset.instrument or ""


def _student(plan: Plan, dataset: Dataset, instrument: str) -> Model:
    naming.parse_name(plan.student)  # a name that is none is told with near matches
    options = {"features": dataset.features.to_dict(), **plan.student_options}
    student = models.create(plan.student, instrument=instrument, **options)
    evaluation.check_rates(student, dataset)
    return student


def _bound_losses(plan: Plan, student: Model, teacher: Teacher | None) -> list[Loss]:
    if plan.losses is None:
        losses: list[Loss] = (
            [Reconstruction()] if teacher is None else [Reconstruction(weight=0.5), OutputAudio(weight=0.5)]
        )
    else:
        losses = list(plan.losses)
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
    settings: Settings, student: Model, teacher: Teacher | None, dataset: Dataset, losses: Sequence[Loss]
) -> dict[str, Any]:
    return {
        **settings.identity(),
        "student": student.name,
        "student_build": repr(student.config.build_arguments()),
        "teacher": teacher.hash if teacher is not None else None,
        "dataset": dataset.hash,
        "losses": [loss.describe() for loss in losses],
    }


def _lineage(dataset: Dataset, teacher: Teacher | None, settings: Settings) -> dict[str, Any]:
    data: dict[str, Any] = {"name": dataset.name, "hash": dataset.hash}
    if attribution := _attribution(dataset):
        data["attribution"] = attribution
    return {"dataset": data, **({"teacher": teacher.lineage()} if teacher is not None else {})}


def _attribution(dataset: Dataset) -> list[str]:
    # Licences that ask for the author's name ask for it beside what was made of the recordings too.
    known = [source.get("attribution") or {} for source in dataset.info.get("sources", [])]
    lines = {
        ", ".join(str(k[part]) for part in ("author", "licence", "license", "source") if k.get(part)) for k in known
    }
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


def _store_teacher(teacher: Teacher, splits: dict[str, Any], losses: Sequence[Loss], stream: Stream) -> None:
    if len(stream) * stream.size < stream.segments:
        return  # a run too short to see every segment once: the teacher is cheaper step by step
    hidden = any("hidden" in loss.needs for loss in losses)
    teacher.store([splits["train"], splits["validation"]], batch_size=stream.size, hidden=hidden)
