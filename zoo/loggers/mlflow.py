"""The logger `mlflow`. MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME are its client's own settings."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import numpy as np

from zoo.features.audio import write_wav
from zoo.loggers.base import PROJECT, LoggedRun, Logger
from zoo.storage.files import write_atomically

_ID = "mlflow/run_id"


class MLflow(Logger):
    """Sends to an MLflow server or folder by its client; sounds are artifacts. A resumed run goes on."""

    module = "mlflow"
    package = "mlflow"

    def __init__(self, run: LoggedRun) -> None:
        super().__init__(run)
        mlflow = import_module(self.module)
        self._client = mlflow.MlflowClient()
        kept = run.folder / _ID
        if run.step and kept.is_file():
            self._id = kept.read_text(encoding="utf-8")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found is not None else self._client.create_experiment(name)
        self._id = self._client.create_run(experiment, run_name=run.name).info.run_id
        write_atomically(kept, self._id)
        for setting, value in run.settings.items():
            self._client.log_param(self._id, setting, str(value)[:500])

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """See `Logger.numbers`."""
        for name, value in values.items():
            self._client.log_metric(self._id, name.replace("#", "-"), value, step=step)

    def sound(self, name: str, samples: np.ndarray, step: int, *, sample_rate: int) -> None:
        """See `Logger.sound`."""
        import torch

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"step{step:08}.wav"
            write_wav(path, torch.from_numpy(samples), sample_rate=sample_rate)
            self._client.log_artifact(self._id, str(path), artifact_path=name)

    def picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """See `Logger.picture`."""
        self._client.log_image(self._id, pixels, artifact_file=f"{name}/step{step:08}.png")

    def close(self) -> None:
        """See `Logger.close`."""
        self._client.set_terminated(self._id)
