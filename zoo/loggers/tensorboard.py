"""The logger `tensorboard`: event files in the run's folder. `tensorboard --logdir runs` shows all of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import numpy as np

from zoo.loggers.base import LoggedRun, Logger


class TensorBoard(Logger):
    """Writes event files, by torch's own writer."""

    module = "torch.utils.tensorboard"
    package = "tensorboard"

    def __init__(self, run: LoggedRun) -> None:
        super().__init__(run)
        writer = import_module(self.module).SummaryWriter
        # what an interrupted run wrote after its last checkpoint comes again
        self._writer = writer(str(run.folder / "tensorboard"), purge_step=run.step + 1 if run.step else None)
        if not run.step:
            table = "\n".join(f"| {name} | {value} |" for name, value in run.settings.items())
            self._writer.add_text("settings", f"| setting | value |\n| --- | --- |\n{table}", 0)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """See `Logger.numbers`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def sound(self, name: str, samples: np.ndarray, step: int, *, sample_rate: int) -> None:
        """See `Logger.sound`."""
        self._writer.add_audio(name, samples[None], step, sample_rate=sample_rate)

    def picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """See `Logger.picture`."""
        self._writer.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        """See `Logger.close`."""
        self._writer.close()
