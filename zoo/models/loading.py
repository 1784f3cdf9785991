"""A folder -> the trained model that it holds."""

from __future__ import annotations

from pathlib import Path

import torch

from zoo.checks.options import refuse
from zoo.features.devices import device_fault
from zoo.models.model import Model
from zoo.storage.checkpoint import read_model


def load_folder(folder: str | Path, *, device: str | torch.device | None = None) -> Model:
    """Load the model that a folder holds, in eval mode.

    Args:
        folder: With model.safetensors and config.json.
        device: Where to put it; the CPU by default.

    Raises:
        CheckpointError: A file is missing or damaged, or the weights do not fit the config.
        ConfigError: The config is damaged, or from a newer zoo; or there is no such device here.
        PluginError: A component that the config names is not installed.
    """
    if device is not None:
        refuse([device_fault(device)])
    model = read_model(Path(folder), Model)
    if device is not None:
        model.to(device)
    return model.eval()
