"""A training, told to loggers: losses and learning rates at each validation, and how the student sounds then.

Requirements: nothing of a run changes by being watched, not a bit of its weights; a logger that fails warns once, and
the others and the training go on; one whose client is not installed is told before anything is computed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from zoo import registry
from zoo.loggers import LoggedRun, Logger, client
from zoo.training import report
from zoo.training.checkpoints import Row

if TYPE_CHECKING:
    from zoo.training.setup import Setup
    from zoo.training.task import Task

_log = logging.getLogger(__name__)

_NAMES = {"train_loss": "loss/training", "val_loss": "loss/validation", "epoch": "epoch", "seconds": "seconds"}


class Watchers:
    """The loggers of a run.

    Args:
        setup: The run.
        task: Its training.
        step: Steps done before.

    Raises:
        PluginError: A logger's client is not installed.
    """

    def __init__(self, setup: Setup, task: Task, *, step: int) -> None:
        self._setup = setup
        self._task = task
        self._step = step
        self._heard = False
        self._loggers: dict[str, Logger] = {}
        self._classes: dict[str, type[Logger]] = {}
        for name in setup.config.trainer.loggers:
            self._classes[name] = registry.loggers.get(name)
            client(self._classes[name].module, logger=name, package=self._classes[name].package)

    def validated(self, row: Row, rates: Sequence[float]) -> None:
        """Tell them of a validation.

        Args:
            row: Of history.csv.
            rates: The learning rate of each group of parameters.
        """
        self._begin()
        if not self._loggers:
            return
        step = int(row["step"] or 0)
        numbers = {_NAMES.get(name, f"loss/{name}"): v for name, v in row.items() if v is not None}
        for other in ("loss/step", "loss/lr"):
            numbers.pop(other, None)
        numbers |= {f"learning_rate/{number}": rate for number, rate in enumerate(rates)}
        self._tell("numbers", numbers, step)
        with torch.random.fork_rng():
            self._play(step)

    def _begin(self) -> None:
        # now, when the run has something to keep: one that fails before leaves no files
        settings = {name: _plain(value) for name, value in self._setup.config.to_flat().items()}
        run = LoggedRun(self._setup.folder.name, self._setup.folder, settings, self._step)
        while self._classes:
            name, made = self._classes.popitem()
            try:
                self._loggers[name] = made(run)
            except Exception as error:  # noqa: BLE001 - whatever a client raises
                self._lose(name, error)

    def _play(self, step: int) -> None:
        task, model = self._task, self._task.model
        systems: dict[str, Any] = {"student": model}
        if task.teacher is not None and not self._heard:
            systems["teacher"] = task.teacher
        training = task.training
        task.eval()
        try:
            with torch.no_grad():
                played = report.play_segments(
                    systems, self._setup.splits["validation"], hop=model.hop, device=task.device
                )
            pictures = [report.spectrogram_pixels(audio, sample_rate=model.sample_rate) for audio in played]
        except Exception as error:  # noqa: BLE001 - sounds to listen to must not end a training
            for name in list(self._loggers):
                self._lose(name, error)
            return
        finally:
            task.train(training)
        for number, (audio, picture) in enumerate(zip(played, pictures, strict=True), 1):
            for name, samples in audio.items():
                if name == "student" or not self._heard:
                    label = f"phrase{number}/{name}"
                    self._tell("sound", label, samples.numpy(), step, sample_rate=model.sample_rate)
            self._tell("picture", f"phrase{number}/spectrograms", picture, step)
        self._heard = True

    def close(self) -> None:
        """Nothing more comes."""
        self._tell("close")

    def _tell(self, what: str, *values: Any, **options: Any) -> None:  # noqa: ANN401 - those of Logger's methods
        for name, logger in list(self._loggers.items()):
            try:
                getattr(logger, what)(*values, **options)
            except Exception as error:  # noqa: BLE001 - whatever a client raises
                self._lose(name, error)

    def _lose(self, name: str, error: Exception) -> None:
        self._loggers.pop(name, None)
        reason = (str(error).splitlines() or [""])[0][:300]
        _log.warning(
            "The logger %s failed (%s: %s) and is left out from here on; training goes on, and history.csv has its "
            "losses.",
            name,
            type(error).__name__,
            reason,
        )


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, int | float | bool | str | type(None)) else str(value)
