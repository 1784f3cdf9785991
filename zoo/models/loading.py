"""A folder -> the trained model that it holds, and whether that plays here as where it was saved."""

from __future__ import annotations

from pathlib import Path

import torch

from zoo.checks.options import device_fault, refuse
from zoo.errors import CheckpointError, ZooError
from zoo.models.model import Model
from zoo.storage.checkpoint import read_model
from zoo.storage.golden import golden_difference, read_golden


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


def check_golden(folder: str | Path) -> str | None:
    """Load the model that a folder holds, and compare what it makes with the golden audio beside it.

    Args:
        folder: With model.safetensors, config.json and golden.safetensors.

    Returns:
        None where there is no golden audio; else by how much both differ, e.g. "1e-07 of the peak".

    Raises:
        CheckpointError: They differ by more than the file allows; or a file is damaged or of another model.
        ConfigError: As `load_folder`.
        PluginError: As `load_folder`.
    """
    golden = read_golden(Path(folder))
    if golden is None:
        return None
    try:
        difference = golden_difference(load_folder(folder), golden)
    except ValueError as error:
        if isinstance(error, ZooError):
            raise
        raise CheckpointError(f"The golden input in {folder} does not fit the model: {error}") from None
    if not difference <= golden.tolerance:
        raise CheckpointError(
            f"The model in {folder} does not make the audio here that it made where it was saved: they differ by "
            f"{difference:.2g} of the peak, and {golden.tolerance:g} is allowed. Find out which library computes "
            "otherwise: zoo doctor"
        )
    return f"{difference:.1g} of the peak"
