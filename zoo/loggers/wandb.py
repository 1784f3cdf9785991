"""The logger `wandb`: Weights & Biases. WANDB_PROJECT, WANDB_ENTITY and WANDB_MODE are its client's own settings."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from importlib import import_module

import numpy as np

from zoo.loggers.base import PROJECT, LoggedRun, Logger


class WandB(Logger):
    """Sends to Weights & Biases by its client; a resumed run goes on under the same id."""

    module = "wandb"
    package = "wandb"

    def __init__(self, run: LoggedRun) -> None:
        super().__init__(run)
        self._client = import_module(self.module)
        self._run = self._client.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.name,
            id=hashlib.sha256(str(run.folder.resolve()).encode()).hexdigest()[:16],
            resume="allow",
            config=dict(run.settings),
            dir=str(run.folder),
        )

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """See `Logger.numbers`."""
        self._run.log(dict(values), step=step)

    def sound(self, name: str, samples: np.ndarray, step: int, *, sample_rate: int) -> None:
        """See `Logger.sound`."""
        self._run.log({name: self._client.Audio(samples, sample_rate=sample_rate)}, step=step)

    def picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """See `Logger.picture`."""
        self._run.log({name: self._client.Image(pixels)}, step=step)

    def close(self) -> None:
        """See `Logger.close`."""
        self._run.finish()
