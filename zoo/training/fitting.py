"""Fitting a task, and keeping what is worth keeping while it goes on.

Requirements it meets:

- a run that stops anywhere (its last step, early stopping, Ctrl-C, NaN, a full disk, power) leaves the best weights so
  far in `model.safetensors`, and what is needed to go on in `checkpoints/last.ckpt`;
- a resumed run goes on bit for bit (on the CPU): order of segments, noise, dropout, optimizer, schedule, history;
- one place keeps the books: Lightning moves data, scales and clips gradients and steps; all bookkeeping is here;
- of several processes the first one alone writes, and they stop together.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from zoo.storage import checkpoint
from zoo.training import processes
from zoo.training.batches import Batch, Stream
from zoo.training.checkpoints import State, restore_rng, rng_states, save_state
from zoo.training.devices import graph_decoder
from zoo.training.history import History, Row
from zoo.training.interrupts import StopRequest
from zoo.training.memory import keep_freed_memory
from zoo.training.progress import Progress
from zoo.training.task import Task

SAVE_EVERY = 60.0
"""Seconds between savings of last.ckpt, beside those at each validation."""

PATIENT_VALIDATIONS = 10
"""Early stopping also waits for so many validations without gain: with few segments epochs pass quickly."""


class Keeper(L.Callback):
    """Counts steps, validates, and keeps the best and the last state of a run.

    Args:
        run: The run's folder.
        stream: The order of the training segments.
        validation: Held-out batches.
        validate_every: Steps.
        identity: What must be the same when the run is resumed.
        stop: Set by Ctrl-C.
        progress: Shows what happens.
        resumed: Where the run was, if it goes on.
        on_best: Called with the model when it is the best so far, before it is saved.
    """

    def __init__(
        self,
        *,
        run: Path,
        stream: Stream,
        validation: Sequence[Batch],
        validate_every: int,
        identity: dict[str, Any],
        stop: StopRequest,
        progress: Progress,
        resumed: State | None,
        on_best: Callable[[int, float], None],
    ) -> None:
        self.run = run
        self.stream = stream
        self.validation = validation
        self.validate_every = validate_every
        self.identity = identity
        self.stop = stop
        self.progress = progress
        self.resumed = resumed
        self.on_best = on_best
        self.best_loss, self.best_step, self.stale = math.inf, 0, 0
        self.loss_sum, self.loss_count = 0.0, 0
        self.seconds = 0.0
        self.stopped_early = False
        self._saved = self._resumed_at = time.monotonic()
        self.history = History([])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put a resumed run where it was, or validate before the first step."""
        task = _task(pl_module)
        if task.teacher is not None:
            task.teacher.to(task.device)
        self.history = History([*task.labels, *task.weights()], self.resumed.history if self.resumed else [])
        if self.resumed is not None:
            self._restore(self.resumed, trainer, task)
        else:
            self._validate(trainer, task)
        if task.settings.cuda_graphs:
            frames = self.validation[0]["f0_hz"].shape[-1]
            graph_decoder(task.model, batch_size=self.stream.size, frames=frames)
        if processes.rank():  # dropout is to differ from process to process
            torch.manual_seed(task.settings.seed * 1_000_003 + task.step * processes.count() + processes.rank())
        self._saved = self._resumed_at = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,  # noqa: ANN401 - Lightning's own signature
        batch: Any,  # noqa: ANN401 - as above
        batch_idx: int,
    ) -> None:
        """Count the step; validate and save when it is time; stop when that is asked for."""
        task = _task(pl_module)
        task.step += 1
        loss = _loss_of(outputs)
        self.loss_sum += loss
        self.loss_count += 1
        self.progress.step(task.step, loss)
        last = task.step >= self.stream.stop
        asked = processes.any_of_all(self.stop.asked, task.device)
        if task.step % self.validate_every == 0 or last:
            self._pause()
            self._validate(trainer, task)
            if self._is_stale(task):
                self.stopped_early = trainer.should_stop = True
            self._resumed_at = time.monotonic()
        elif asked or time.monotonic() - self._saved > SAVE_EVERY:
            self._pause()
            self._save(trainer, task)
        if asked:
            self.stop.asked = trainer.should_stop = True

    def _pause(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._resumed_at
        self._resumed_at = now

    def _validate(self, trainer: L.Trainer, task: Task) -> None:
        total, values = 0.0, [0.0]
        if not processes.rank():
            with torch.random.fork_rng(), trainer.precision_plugin.forward_context():
                total, values = task.evaluate_losses(self.validation)
        total, values = trainer.strategy.broadcast((total, values))
        row: Row = {
            "step": task.step,
            "epoch": self.stream.epoch(task.step),
            "train_loss": self.loss_sum / self.loss_count if self.loss_count else None,
            "val_loss": total,
            # the trainer's own: a group of parameters may have a lower one
            "lr": max(group["lr"] for group in trainer.optimizers[0].param_groups),
            "seconds": round(self.seconds, 2),
            **dict(zip(task.labels, values, strict=True)),
            **task.weights(),
        }
        self.history.rows.append(row)
        self.loss_sum, self.loss_count = 0.0, 0
        best = total < self.best_loss
        if best:
            self.best_loss, self.best_step, self.stale = total, task.step, 0
            self.on_best(task.step, total)
            if not processes.rank():
                checkpoint.save(task.model, self.run, golden=False)
        else:
            self.stale += 1
        if not processes.rank():
            self.history.write(self.run / "history.csv")
        self._save(trainer, task)
        self.progress.validated(task.step, total, best=best)

    def _is_stale(self, task: Task) -> bool:
        patience = task.settings.early_stopping
        if patience is None or self.stale < PATIENT_VALIDATIONS:
            return False
        return self.stream.epoch(task.step) - self.stream.epoch(self.best_step) >= patience

    def _save(self, trainer: L.Trainer, task: Task) -> None:
        if not all(torch.isfinite(p).all() for p in task.parameters()):
            return  # the next step's loss will be NaN and say so; the last good state stays
        self._saved = time.monotonic()
        if processes.rank():
            return
        scheduler = trainer.lr_scheduler_configs[0].scheduler
        save_state(
            State(
                step=task.step,
                seconds=self.seconds,
                loss_sum=self.loss_sum,
                loss_count=self.loss_count,
                best_loss=self.best_loss,
                best_step=self.best_step,
                stale=self.stale,
                history=self.history.rows,
                identity=self.identity,
                model=task.model.state_dict(),
                losses=task.losses.state_dict(),
                optimizer=trainer.optimizers[0].state_dict(),
                scheduler=scheduler.state_dict(),
                precision=trainer.precision_plugin.state_dict(),
                rng=rng_states(),
            ),
            self.run,
        )

    def _restore(self, state: State, trainer: L.Trainer, task: Task) -> None:
        task.model.load_state_dict(state.model)
        task.losses.load_state_dict(state.losses)
        trainer.optimizers[0].load_state_dict(state.optimizer)
        trainer.lr_scheduler_configs[0].scheduler.load_state_dict(state.scheduler)
        trainer.precision_plugin.load_state_dict(state.precision)
        task.step = state.step
        self.best_loss, self.best_step, self.stale = state.best_loss, state.best_step, state.stale
        self.loss_sum, self.loss_count, self.seconds = state.loss_sum, state.loss_count, state.seconds
        restore_rng(state.rng)  # last: what comes before may draw


def fit(task: Task, keeper: Keeper, loader: Any) -> None:  # noqa: ANN401 - any iterable of batches
    """Train until the last step, early stopping, or a wish to stop.

    Raises:
        TrainingError: A loss became NaN or infinite.
        KeyboardInterrupt: Ctrl-C was pressed twice.
    """
    settings = task.settings
    with _quiet():
        trainer = L.Trainer(
            max_steps=keeper.stream.stop - keeper.stream.start,
            max_epochs=-1,
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            # a loss that does not count for a while leaves parameters without a gradient
            strategy="auto" if settings.devices * settings.num_nodes == 1 else "ddp_find_unused_parameters_true",
            precision=settings.precision,  # type: ignore[arg-type]  # Settings has checked that it is one of Lightning's
            gradient_clip_val=settings.gradient_clip,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[keeper],
        )
        if trainer.strategy.root_device.type == "cpu":
            keep_freed_memory()
        try:
            trainer.fit(task, loader)
        except SystemExit as error:  # how Lightning ends on a KeyboardInterrupt and on SIGTERM
            if not keeper.stop.asked:
                raise
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
        finally:
            keeper.progress.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's tips, device lines and warnings about its own habits out of a person's way."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=r".*LeafSpec.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _task(module: L.LightningModule) -> Task:
    if not isinstance(module, Task):
        raise TypeError(f"expected a zoo training task, found {type(module).__name__}")
    return module


def _loss_of(outputs: Any) -> float:  # noqa: ANN401 - Lightning gives a tensor or a dictionary
    loss = outputs["whole" if "whole" in outputs else "loss"] if isinstance(outputs, dict) else outputs
    return float(loss.item()) if isinstance(loss, Tensor) else float(loss)
