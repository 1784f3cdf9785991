"""The logger `trackio`: dashboards of its own, on this machine or in a Space. TRACKIO_PROJECT names the project."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module

import numpy as np

from zoo.loggers.base import PROJECT, LoggedRun, Logger


class Trackio(Logger):
    """Keeps what it is told in trackio's store; `trackio show` shows it."""

    module = "trackio"
    package = "trackio"

    def __init__(self, run: LoggedRun) -> None:
        super().__init__(run)
        self._client = import_module(self.module)
        self._run = self._client.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT), name=run.name, config=dict(run.settings), resume="allow"
        )

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """See `Logger.numbers`."""
        self._run.log(dict(values), step=step)

    def sound(self, name: str, samples: np.ndarray, step: int, *, sample_rate: int) -> None:
        """See `Logger.sound`."""
        pcm = (np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16)
        self._run.log({name: self._client.Audio(pcm, sample_rate=sample_rate)}, step=step)

    def picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """See `Logger.picture`."""
        self._run.log({name: self._client.Image(pixels)}, step=step)

    def close(self) -> None:
        """See `Logger.close`."""
        self._run.finish()
