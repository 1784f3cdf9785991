"""Fitting a student: a plain loop over steps, on Lightning Fabric.

Requirements it meets:

- a run that stops anywhere (its last step, early stopping, Ctrl-C, NaN, a full disk, power) leaves the best weights so
  far in `model.safetensors`, and what is needed to go on in `checkpoints/last.ckpt`;
- a resumed run goes on bit for bit (on the CPU): order of segments, noise, dropout, optimizer, schedule, history;
- of several processes the first one alone writes, and they stop together.
"""

from __future__ import annotations

import ctypes
import logging
import math
import os
import platform
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from zoo.errors import ConfigError
from zoo.executors.stopping import StopRequest
from zoo.models.model import Model
from zoo.storage import checkpoint
from zoo.training.batches import Stream, any_of_all, count, in_order, is_main, rank, training_loader, validations
from zoo.training.checkpoints import History, Row, RunState, restore_rng, rng_states, save_state
from zoo.training.config import TrainerConfig
from zoo.training.progress import Progress, duration
from zoo.training.run_folder import clear_results
from zoo.training.task import Task
from zoo.training.watching import Watchers

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from zoo.training.setup import Setup

_log = logging.getLogger(__name__)

SAVE_EVERY = 60.0
"""Seconds between savings of last.ckpt, beside those at each validation."""

PATIENT_VALIDATIONS = 10
"""Early stopping also waits for so many validations without gain: with few segments epochs pass quickly."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's numbers for mallopt, from malloc.h
_LARGEST = 2**31 - 1  # mallopt takes an int


@dataclass
class Counts:
    """Where a run is, in numbers: those of `RunState`."""

    step: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    stale: int = 0


class Fit:
    """A student in training.

    Args:
        setup: What it works with.
        stop: Set by Ctrl-C.
        progress: None for a bar on a terminal and lines elsewhere, False for neither.

    Attributes:
        counts: Where it is.
        stopped_early: Whether it ended since nothing was gained any more.
    """

    def __init__(self, setup: Setup, *, stop: StopRequest, progress: bool | None) -> None:
        config, resumed = setup.config, setup.resumed
        self.setup = setup
        self.stop = stop
        self.counts = Counts()
        if resumed is not None:
            self.counts = Counts(**{one.name: getattr(resumed, one.name) for one in fields(Counts)})
        self.began_at = self.counts.step
        self.stream = Stream(
            len(setup.splits["train"]),
            batch_size=config.batch_size,
            seed=config.seed,
            start=self.began_at,
            stop=max(self.began_at, config.steps),
            shard=lambda: (rank(), count()),
        )
        self._is_validated = validations(self.stream, every=config.trainer.validate_every, steps=config.steps)
        self.validation = in_order(setup.splits["validation"], batch_size=self.stream.size)  # read anew each time
        self.task = Task(
            setup.student, setup.losses, setup.teacher, seed=config.seed, epoch_of=self.stream.epoch
        ).train()
        self.history = History([*self.task.labels, *self.task.weights()], resumed.history if resumed else [])
        shown = progress if is_main() else False
        self._progress = Progress(config.steps, start=self.began_at, shown=shown)
        self.stopped_early = False
        self._saved = self._clock = time.monotonic()

    def run(self) -> None:
        """Train until the last step, early stopping, or a wish to stop.

        Raises:
            TrainingError: A loss became NaN or infinite.
            KeyboardInterrupt: Ctrl-C was pressed twice.
        """
        config = self.setup.config
        with ExitStack() as stack:
            stack.enter_context(_quiet())
            stack.callback(self._progress.close)
            fabric = self.fabric = _fabric(config.trainer, self.setup.precision)
            fabric.launch()
            if fabric.device.type == "cpu":
                keep_freed_memory()
            self.task.to(fabric.device)
            if self.task.teacher is not None:
                self.task.teacher.to(fabric.device)
            self._optimizer = self.task.optimizer(config.optimizer)
            self._scheduler = torch.optim.lr_scheduler.StepLR(
                self._optimizer, config.optimizer.lr_decay_steps, gamma=config.optimizer.lr_decay
            )
            self._average = average_of(self.task.model, config.optimizer.averaging)
            module, optimizer = fabric.setup(self.task, self._optimizer)
            self._watchers = None if rank() else Watchers(self.setup, self.task, step=self.began_at)
            if self._watchers is not None:
                stack.callback(self._watchers.close)
            self._begin()
            for batch in training_loader(
                self.setup.splits["train"], self.stream, num_workers=config.trainer.num_workers
            ):
                total, value = module(fabric.to_device(batch))
                optimizer.zero_grad()
                fabric.backward(total)
                if (clip := config.optimizer.gradient_clip) is not None:
                    fabric.clip_gradients(module, optimizer, max_norm=clip, error_if_nonfinite=False)
                optimizer.step()
                self._scheduler.step()
                if self._average is not None:
                    self._average.update_parameters(self.task.model)
                if self._after_step(value):
                    return

    def summary(self) -> str:
        """What was done, for a person."""
        counts, resumed = self.counts, self.setup.resumed
        each = (counts.seconds - (resumed.seconds if resumed else 0.0)) / max(1, counts.step - self.began_at)
        early = ", stopped early" if self.stopped_early else ""
        first = self.history.rows[0]["val_loss"] or 0.0
        return (
            f"Trained {counts.step} steps in {duration(counts.seconds)} ({each:.2f} s per step){early}. "
            f"Validation loss {counts.best_loss:.4g} at step {counts.best_step}, from {first:.4g} at step 0."
        )

    def _begin(self) -> None:
        """Put a resumed run where it was, or validate before the first step."""
        if self.setup.resumed is not None:
            self._restore(self.setup.resumed)
        else:
            self._validate()
        if self.setup.config.trainer.cuda_graphs:
            frames = self.setup.splits["validation"][0]["f0_hz"].shape[-1]
            graph_decoder(self.task.model, batch_size=self.stream.size, frames=frames)
        if own := rank():  # dropout is to differ from process to process
            torch.manual_seed(self.task.seed * 1_000_003 + self.task.step * count() + own)
        self._saved = self._clock = time.monotonic()
        self._progress.begin()

    def _after_step(self, loss: float) -> bool:
        """Count the step; validate and save when it is time; give whether the run is over."""
        counts = self.counts
        counts.step = self.task.step = counts.step + 1
        counts.loss_sum += loss
        counts.loss_count += 1
        self._progress.step(counts.step, loss)
        asked = any_of_all(self.stop.asked, self.fabric.device)
        if self._is_validated(counts.step) or counts.step >= self.stream.stop:
            self._pause()
            self._validate()
            self.stopped_early = self._is_stale()
            self._clock = time.monotonic()
        elif asked or time.monotonic() - self._saved > SAVE_EVERY:
            self._pause()
            self._save()
        if asked:
            self.stop.asked = True  # in each process
        return asked or self.stopped_early

    def _pause(self) -> None:
        now = time.monotonic()
        self.counts.seconds += now - self._clock
        self._clock = now

    def _validate(self) -> None:
        task, counts = self.task, self.counts
        total, values = 0.0, [0.0]
        if not rank():
            with torch.random.fork_rng(), self.fabric.autocast(), self._averaged():
                total, values = task.evaluate_losses(self.validation)
        total, values = self.fabric.broadcast((total, values))
        row: Row = {
            "step": counts.step,
            "epoch": self.stream.epoch(counts.step),
            "train_loss": counts.loss_sum / counts.loss_count if counts.loss_count else None,
            "val_loss": total,
            # the trainer's own: a group of parameters may have a lower one
            "lr": max(group["lr"] for group in self._optimizer.param_groups),
            "seconds": round(counts.seconds, 2),
            **dict(zip(task.labels, values, strict=True)),
            **task.weights(),
        }
        self.history.rows.append(row)
        counts.loss_sum, counts.loss_count = 0.0, 0
        best = total < counts.best_loss
        if best:
            counts.best_loss, counts.best_step, counts.stale = total, counts.step, 0
        else:
            counts.stale += 1
        if not rank():
            if best:
                with self._averaged():
                    self._save_best()
            self.history.write(self.setup.folder / "history.csv")
        self._save()
        if self._watchers is not None:
            with self._averaged():
                self._watchers.validated(row, [group["lr"] for group in self._optimizer.param_groups])
        self._progress.validated(counts.step, total, best=best)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """While this lasts, the student has the average of its weights, where one is asked for."""
        if self._average is None:
            yield
            return
        own = list(self.task.model.parameters())
        last = [parameter.detach().clone() for parameter in own]
        with torch.no_grad():
            for parameter, average in zip(own, self._average.parameters(), strict=True):
                parameter.copy_(average)
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(own, last, strict=True):
                    parameter.copy_(value)

    def _save_best(self) -> None:
        model, counts = self.task.model, self.counts
        training = {
            "best_step": counts.best_step,
            "validation_loss": counts.best_loss,
            "seed": self.task.seed,
            "batch_size": self.stream.size,
            "minutes": round(self.setup.dataset.minutes(self.setup.splits["train"]), 2),
        }
        if (drawn_by := self.setup.config.minutes_seed) is not None:
            training["minutes_seed"] = drawn_by
        model.config = model.config.with_changes(lineage={**model.config.lineage, "training": training})
        clear_results(self.setup.folder)
        checkpoint.save(model, self.setup.folder, golden=False)

    def _is_stale(self) -> bool:
        patience = self.setup.config.trainer.early_stopping
        if patience is None or self.counts.stale < PATIENT_VALIDATIONS:
            return False
        return self.stream.epoch(self.counts.step) - self.stream.epoch(self.counts.best_step) >= patience

    def _save(self) -> None:
        if not all(torch.isfinite(p).all() for p in self.task.parameters()):
            return  # the next step's loss will be NaN and say so; the last good state stays
        self._saved = time.monotonic()
        if rank():
            return
        save_state(
            RunState(
                **asdict(self.counts),
                history=self.history.rows,
                identity=self.setup.identity,
                model=self.task.model.state_dict(),
                losses=self.task.losses.state_dict(),
                optimizer=self._optimizer.state_dict(),
                average={} if self._average is None else self._average.state_dict(),
                scheduler=self._scheduler.state_dict(),
                precision=self.fabric.strategy.precision.state_dict(),
                rng=rng_states(),
            ),
            self.setup.folder,
        )

    def _restore(self, state: RunState) -> None:
        self.task.model.load_state_dict(state.model)
        self.task.losses.load_state_dict(state.losses)
        self._optimizer.load_state_dict(state.optimizer)
        if self._average is not None:
            self._average.load_state_dict(state.average)
        self._scheduler.load_state_dict(state.scheduler)
        self.fabric.strategy.precision.load_state_dict(state.precision)
        self.task.step = state.step
        restore_rng(state.rng)  # last: what comes before may draw


def average_of(model: Model, averaging: float | None) -> AveragedModel | None:
    """The average of a model's weights over steps, from the next one on; None where none is asked for."""
    if averaging is None:
        return None
    most = averaging

    def move(average: Tensor, last: Tensor, steps: Tensor | int) -> Tensor:
        # over the first steps, all of them count: an average that began with random weights would keep them for long
        return average.lerp(last, 1 - min(most, (1 + int(steps)) / (10 + int(steps))))

    return AveragedModel(model, avg_fn=move)


def _fabric(trainer: TrainerConfig, precision: str) -> Fabric:
    from lightning_fabric import Fabric  # takes seconds to import: a mistake in the arguments is told before
    from lightning_fabric.strategies.ddp import DDPStrategy

    # a loss that does not count for a while leaves parameters without a gradient
    together = DDPStrategy(find_unused_parameters=True)
    return Fabric(
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        num_nodes=trainer.num_nodes,
        strategy="auto" if trainer.processes() == 1 else together,
        precision=precision,  # type: ignore[arg-type]  # it was checked to be one of Lightning's
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's tips, device lines and warnings about its own habits out of a person's way."""
    import lightning_fabric  # noqa: F401 - it sets the level of its logger

    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning_fabric\..*")
            yield
    finally:
        logger.setLevel(level)


def graph_decoder(model: Model, *, batch_size: int, frames: int) -> None:
    """Record the decoder's forward and backward work as CUDA graphs, and replay these from now on in training.

    On a large GPU a small network's step is mostly waiting for launches; a graph is one. Shapes are fixed from then on:
    `batch_size` segments of `frames` frames. In eval mode the decoder works as before.

    Args:
        model: On a CUDA device, in training mode.
        batch_size: Segments per step.
        frames: Of a segment.

    Raises:
        ConfigError: The model is not on a CUDA device.
    """
    device = next(model.parameters()).device
    if device.type != "cuda":
        raise ConfigError("cuda_graphs = True needs a CUDA device; this run is on the CPU. Leave it out.")
    samples = tuple(torch.rand(batch_size, frames, device=device) for _ in range(2))
    model.decoder(*samples)  # kernels try their backends at their first call, which cannot be recorded
    # It takes the place of the module's forward; parameters and state stay as they are.
    torch.cuda.make_graphed_callables(model.decoder, samples, allow_unused_input=True)


def keep_freed_memory() -> bool:
    """Tell glibc not to hand large blocks back to the system each time that they are freed.

    A step of a large model asks for dozens of tensors over 32 MB and frees them again. By default each is new memory
    from the system, which clears it page by page: a quarter of the step of s4-L goes into that. The process keeps its
    largest use of memory until it ends. Whoever has set one of glibc's own variables (`MALLOC_MMAP_THRESHOLD_`,
    `MALLOC_TRIM_THRESHOLD_`) has decided already, and is left alone.

    Returns:
        Whether anything was changed; elsewhere than on glibc nothing is.
    """
    if platform.libc_ver()[0] != "glibc" or any(
        name in os.environ for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
    ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST)) and bool(mallopt(_TRIM_THRESHOLD, _LARGEST))
