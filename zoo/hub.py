"""Finding the folder that a model reference names, and loading it.

In this order: a folder; the local store; the models that ship with zoo. None of these touches the network.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import naming, paths
from zoo.errors import HubError, ModelNotFoundError

if TYPE_CHECKING:
    import torch

    from zoo.model import Model

logger = logging.getLogger("zoo")


@dataclass(frozen=True)
class Found:
    """Where a reference led.

    Attributes:
        folder: With config.json and the weights.
        source: "folder", "store" or "shipped".
        reference: What was asked for.
    """

    folder: Path
    source: str
    reference: naming.Reference


def stored_models() -> dict[str, Path]:
    """The local store's models: name to folder."""
    return _models_in(paths.store_folder())


def shipped_models() -> dict[str, Path]:
    """The models whose weights ship with zoo: name to folder."""
    return {name: path for folder in paths.model_card_folders() for name, path in _models_in(folder).items()}


def _models_in(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    # a leading dot marks a folder that is just being written
    return {
        path.name: path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and (path / "config.json").is_file() and (path / "model.safetensors").is_file()
    }


def find(ref: str | Path) -> Found:
    """Find the folder that a model reference names.

    Args:
        ref: A folder, `local-dir:PATH`, or a name such as "gru-L-flute".

    Raises:
        ModelNotFoundError: There is none; it says what would make one.
        HubError: It is a Hub id.
    """
    reference = naming.parse(ref)
    if reference.folder is not None:
        found = Found(reference.folder, "folder", reference)
    elif reference.name is not None:
        found = _find_name(reference, reference.name)
    else:
        raise HubError(
            f"There is no folder {reference.text}, and fetching {reference.repo_id} from the Hugging Face Hub is not "
            f"part of this version. Download it (hf download {reference.repo_id} --local-dir FOLDER) and give FOLDER."
        )
    logger.info("%s: taken from %s (%s)", reference.text, found.source, found.folder)
    return found


def _find_name(reference: naming.Reference, name: str) -> Found:
    stored, shipped = stored_models(), shipped_models()
    if name in stored:
        if name in shipped:
            logger.warning("%s in the local store hides the shipped model of that name.", name)
        return Found(stored[name], "store", reference)
    if name in shipped:
        return Found(shipped[name], "shipped", reference)
    architecture, instrument = naming.parse_name(name, also=[*stored, *shipped])
    trained = sorted(known for known in {*stored, *shipped} if known.startswith(f"{architecture}-"))
    there = f" Trained ones here: {', '.join(trained)}." if trained else ""
    command = (
        f"python -m zoo.train --gin train/{architecture}.gin --set \"INSTRUMENT='{instrument or 'flute'}'\" "
        f"--set \"DATASET='FOLDER'\" --name {architecture}-{instrument or 'flute'}"
    )
    if instrument is None:
        raise ModelNotFoundError(
            f"{name} is an architecture, without trained weights.{there} Build it untrained with zoo.create({name!r}), "
            f"or train it: {command}"
        )
    raise ModelNotFoundError(f"There are no trained weights for {name} here.{there} Train it: {command}")


def load(ref: str | Path, *, device: str | torch.device | None = None) -> Model:
    """Load a trained model, in eval mode.

    Example:
        >>> model = zoo.load("runs/my-flute")  # doctest: +SKIP

    Args:
        ref: A folder, `local-dir:PATH`, or a name such as "gru-L-flute" (the local store, then what ships with zoo).
        device: Where to put it; the CPU by default.

    Raises:
        ModelNotFoundError: There is no such model; a name without weights never gives a random one.
        CheckpointError: Its files are damaged or do not fit each other.
        PluginError: It needs a component that is not installed.
    """
    from zoo.checkpoint import load_folder  # torch is only imported when a model is really loaded

    return load_folder(find(ref).folder, device=device)
