"""Train a model on recordings, or distil it from a teacher: set up, fit, finish."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from zoo.errors import TrainingError
from zoo.executors.stopping import StopRequest
from zoo.storage.files import write_atomically
from zoo.storage.results import MeasuredResults
from zoo.training.checkpoints import LAST
from zoo.training.config import DistillConfig, RunConfig, TrainConfig
from zoo.training.run_folder import clear_done, is_done, mark_done

if TYPE_CHECKING:
    from zoo.training.setup import Destination, Records, Setup

_log = logging.getLogger(__name__)


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
    metrics: MeasuredResults = field(default_factory=MeasuredResults)

    def _repr_html_(self) -> str:
        """As notebooks show it: what it reached, its losses, and samples to listen to."""
        from zoo.training.report import run_html

        return run_html(self.folder, {"steps": self.steps, "best step": self.best_step, "best loss": self.best_loss})


def train(
    config: TrainConfig,
    *,
    out: str | Path | None = None,
    name: str | None = None,
    resume: bool = False,
    force: bool = False,
    progress: bool | None = None,
    records: Records | None = None,
) -> Finished:
    """Train a model alone, on recordings of one instrument, and write its run.

    Example:
        >>> train(TrainConfig(model="gru-S", dataset="data/flute", steps=1000))  # doctest: +SKIP

    Args:
        config: What to train, and how.
        out: The run's folder; `runs/<model>-<instrument>` by default, made unique.
        name: Enter the finished run into the local store under this name.
        resume: Go on with the run in `out`, exactly where it was.
        force: Replace a model of that name in the store.
        progress: None for a bar on a terminal and lines elsewhere, False for neither.
        records: Gets the run's own configuration and gives texts to keep in its folder, by file name.

    Returns:
        The run's folder and what it reached.

    Raises:
        ConfigError: Something in the configuration does not fit; all of it is told, and nothing is written then.
        DatasetError: The dataset cannot be used.
        TrainingError: A loss became NaN; the best weights until then are in the run's folder.
        KeyboardInterrupt: Ctrl-C (or SIGTERM); the run is whole, and can be resumed.
    """
    from zoo.training.setup import Destination

    to = Destination(out, name, resume, force, progress, records)
    config.check(*to.faults())
    return _run(config, to)


def distill(
    config: DistillConfig,
    *,
    out: str | Path | None = None,
    name: str | None = None,
    resume: bool = False,
    force: bool = False,
    progress: bool | None = None,
    records: Records | None = None,
) -> Finished:
    """Train a student to sound like a teacher, and write its run.

    Example:
        >>> distill(DistillConfig(teacher="gru-L-flute", student="gru-S", dataset="data/flute"))  # doctest: +SKIP

    Args:
        config: What to train, from what, and how.
        out: See `train`.
        name: See `train`.
        resume: See `train`.
        force: See `train`.
        progress: See `train`.
        records: See `train`.

    Returns:
        The run's folder and what it reached.

    Raises:
        ModelNotFoundError: There is no such teacher, or it has no trained weights.
        ConfigError: Something does not fit, or the teacher does not fit the data; nothing is written then.
        DatasetError: The dataset cannot be used.
        TrainingError: A loss became NaN; the best weights until then are in the run's folder.
        KeyboardInterrupt: Ctrl-C (or SIGTERM); the run is whole, and can be resumed.
    """
    from zoo.training.setup import Destination

    to = Destination(out, name, resume, force, progress, records)
    config.check(*to.faults())
    return _with_assistants(config, to) if config.teaching.assistants else _run(config, to)


def _with_assistants(config: DistillConfig, to: Destination) -> Finished:
    """Distil assistants one after the other, and then the student, each from the one before: each a run of its own.

    A student that is far smaller than its teacher learns less from it than from one that is nearer (Mirzadeh et al.,
    "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020). What is done already is left as it is, and what
    was begun goes on, where `to.resume` says so.
    """
    from zoo.training.setup import Destination, chain, check_assistants, check_made_with, claimed

    student = check_assistants(config)
    with ExitStack() as stack:
        folder = stack.enter_context(claimed(config, to, student))
        *assistants, (_, last) = chain(config, folder)
        for own, assistant in assistants:
            if is_done(own):
                check_made_with(assistant, own)
        _write_records(config, to, folder)
        for number, (own, assistant) in enumerate(assistants, start=1):
            if is_done(own):
                _log.info("%s is done already (%s).", assistant.student, own)
            else:
                _log.info("Assistant %d of %d: %s", number, len(assistants), own)
                _run(assistant, Destination(own, None, (own / LAST).is_file(), False, to.progress, to.records, folder))
        _log.info("The student, from its last assistant: %s", folder)
        return _run(last, replace(to, out=folder, resume=(folder / LAST).is_file(), records=None, within=folder))


def _run(config: TrainConfig | DistillConfig, to: Destination) -> Finished:
    import torch

    from zoo.training.setup import set_up

    with torch.random.fork_rng(), ExitStack() as stack:
        torch.manual_seed(config.seed)
        setup = set_up(config, to, stack)
        try:
            return _fit_and_finish(setup, to)
        finally:
            if setup.teacher is not None:
                setup.teacher.close()


def _fit_and_finish(setup: Setup, to: Destination) -> Finished:
    from zoo.training import report
    from zoo.training.batches import is_main
    from zoo.training.fit import Fit
    from zoo.training.setup import use_teacher_cache

    main, folder, steps = is_main(), setup.folder, setup.config.steps
    command = "train" if setup.teacher is None else "distill"
    go_on = f"zoo {command} --resume --out {quote(str(to.within or folder))}"
    with StopRequest() as stop:
        fit = Fit(setup, stop=stop, progress=to.progress)
        use_teacher_cache(setup, visits=len(fit.stream) * fit.stream.size)
        if main:
            folder.mkdir(parents=True, exist_ok=True)
            if len(fit.stream):
                clear_done(folder)
            _write_records(setup.config, to, folder)
        if len(fit.stream):
            try:
                fit.run()
            except TrainingError:
                if main and fit.history.rows:
                    report.finish_quickly(folder, fit.task.labels)
                raise
            except OSError:  # a full disk, for one
                if main and (folder / LAST).is_file():
                    _log.info("What was saved until then is kept. When the cause is gone, go on: %s", go_on)
                raise
        else:
            _log.info("All %d steps are done already.", steps)
    counts = fit.counts
    finished = Finished(folder, counts.step, counts.best_step, counts.best_loss)
    if not main:
        return finished
    if stop.asked:
        report.finish_quickly(folder, fit.task.labels)
        learned = f"The best weights (step {counts.best_step}) are in {folder}."
        if not counts.best_step:
            learned = (
                f"The weights in {folder} are those of step 0, untrained by this run: no validation has found better "
                "ones yet."
            )
        _log.info(
            "Stopped at step %d. %s\nGo on: %s",
            counts.step,
            learned,
            go_on,
        )
        raise KeyboardInterrupt
    _log.info("%s", fit.summary())
    finished = replace(finished, metrics=report.finish(setup, to, fit.task.labels))
    mark_done(folder, asked=steps, steps=counts.step)
    return finished


def _write_records(config: RunConfig, to: Destination, folder: Path) -> None:
    for name, text in (to.records(config) if to.records is not None else {}).items():
        write_atomically(folder / name, text)
