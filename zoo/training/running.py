"""A run from its checks to its card: what `train` and `distill` have in common."""

from __future__ import annotations

import logging
from contextlib import ExitStack

import torch

from zoo.errors import TrainingError
from zoo.storage.files import write_atomically
from zoo.training import processes
from zoo.training.batches import Batch, Stream, in_order, training_loader
from zoo.training.done import clear_done, mark_done
from zoo.training.finishing import finish, finish_quickly, held_out
from zoo.training.interrupts import StopRequest
from zoo.training.plan import Finished, Plan
from zoo.training.progress import Progress
from zoo.training.report import sample_positions
from zoo.training.setup import Setup, set_up
from zoo.training.teacher import Teacher
from zoo.training.teacher_cache import Part

_log = logging.getLogger(__name__)


def run(plan: Plan) -> Finished:
    """Check everything, train, and write the run's folder."""
    with torch.random.fork_rng(), ExitStack() as stack:
        torch.manual_seed(plan.settings.seed)
        setup = set_up(plan, stack)
        try:
            return _train(plan, setup)
        finally:
            if setup.teacher is not None:
                setup.teacher.close()


def _train(plan: Plan, setup: Setup) -> Finished:
    # lightning takes seconds to import; a mistake in the arguments is told before.
    from zoo.training.fitting import Keeper, fit
    from zoo.training.task import Task

    settings, splits, student, resumed = setup.settings, setup.splits, setup.student, setup.resumed
    start = resumed.step if resumed else 0
    stream = Stream(
        len(splits["train"]),
        batch_size=settings.batch_size,
        seed=settings.seed,
        start=start,
        stop=max(start, settings.steps),
        share=lambda: (processes.rank(), processes.count()),
    )
    validation: list[Batch] = list(in_order(splits["validation"], batch_size=stream.size))
    if setup.teacher is not None and plan.teacher_cache:
        _use_cache(setup.teacher, plan, setup, stream)
    task = Task(student, setup.losses, settings, setup.teacher, epoch_of=stream.epoch)

    def on_best(step: int, loss: float) -> None:
        training = {"best_step": step, "validation_loss": loss, "seed": settings.seed, "batch_size": stream.size}
        student.config = student.config.with_changes(lineage={**student.config.lineage, "training": training})

    if processes.is_main():
        setup.folder.mkdir(parents=True, exist_ok=True)
        if len(stream):
            clear_done(setup.folder)
        for name, text in plan.records.items():
            write_atomically(setup.folder / name, text)
    with StopRequest() as stop:
        keeper = Keeper(
            run=setup.folder,
            stream=stream,
            validation=validation,
            validate_every=settings.validate_every or default_interval(stream.segments, stream.size, settings.steps),
            identity=setup.identity,
            stop=stop,
            progress=Progress(settings.steps, start=start, shown=plan.progress if processes.is_main() else False),
            resumed=resumed,
            on_best=on_best,
        )
        if len(stream):
            try:
                fit(task, keeper, training_loader(splits["train"], stream, num_workers=settings.num_workers))
            except TrainingError:
                if processes.is_main():
                    finish_quickly(setup.folder, task.labels)
                raise
        elif resumed is not None:
            keeper.best_loss, keeper.best_step, keeper.seconds = resumed.best_loss, resumed.best_step, resumed.seconds
            _log.info("All %d steps are done already.", settings.steps)
    steps = max(task.step, start)
    if not processes.is_main():
        return Finished(setup.folder, steps, keeper.best_step, keeper.best_loss)
    if stop.asked:
        finish_quickly(setup.folder, task.labels)
        _log.info(
            "Stopped at step %d. The best weights (step %d) are in %s.\nGo on: python -m zoo.%s --resume --out %s",
            steps,
            keeper.best_step,
            setup.folder,
            "train" if setup.teacher is None else "distill",
            plan.command_out or setup.folder,
        )
        raise KeyboardInterrupt
    finished = finish(plan, setup, task.labels, keeper, steps)
    mark_done(setup.folder, asked=settings.steps, steps=steps)
    return finished


def default_interval(segments: int, batch_size: int, steps: int) -> int:
    """Steps between validations: an epoch, but at most 50 validations a run, and ten steps at least."""
    return max(-(-segments // batch_size), steps // 50, 10)


def _use_cache(teacher: Teacher, plan: Plan, setup: Setup, stream: Stream) -> None:
    """Have the teacher read what the run will ask it for: in training, in validations, and when it is measured."""
    needs = frozenset(need for loss in setup.losses for need in loss.needs)
    training, validation = setup.splits["train"], setup.splits["validation"]
    parts = [Part("train", training, range(len(training)), needs, teacher.draws)]
    if validation is not training:
        parts.append(Part("validation", validation, range(len(validation)), needs, 1))
    listened = held_out(setup.dataset)
    positions = listened.positions
    if not plan.evaluate:
        positions = [positions[i] for i in sample_positions(len(positions))]
    parts.append(Part(listened.split, listened.whole, positions, frozenset({"audio"}), 1))
    if (device := _device(plan.settings.accelerator)) is not None:
        teacher.to(device)
    teacher.use_cache(setup.dataset, parts, visits=len(stream) * stream.size)


def _device(accelerator: str) -> torch.device | None:
    wanted = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return torch.device("cuda") if wanted else None
