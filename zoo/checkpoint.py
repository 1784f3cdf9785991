"""A run's files <-> a Model: model.safetensors and config.json.

The weights carry one metadata key with sorted JSON, so that the same weights give the same bytes. Reading never runs
code and never unpickles.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors_torch
from torch import Tensor

from zoo import registry
from zoo.config import ModelConfig
from zoo.errors import CheckpointError, listing
from zoo.files import write_atomically
from zoo.model import Model

WEIGHTS = "model.safetensors"
CONFIG = "config.json"

_METADATA_KEY = "zoo"
_MAX_CONFIG_BYTES = 1_000_000
_FLOATS = {"F64", "F32", "F16", "BF16"}


def save(model: Model, folder: str | Path) -> Path:
    """Save a model's weights and config into a folder; what else is there stays.

    The same model gives the same bytes. Each file is written whole or not at all.

    Args:
        model: The model.
        folder: Made when missing.

    Returns:
        The folder.

    Raises:
        OSError: The disk is full, or the folder cannot be written to.
    """
    folder = Path(folder)
    config = model.config.with_changes(requires=requirements(model.config))
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {_METADATA_KEY: json.dumps(config.build_arguments(), sort_keys=True)}
    weights = safetensors_torch.save(state, metadata=metadata)
    text = config.to_json()
    # The config goes last: a folder with a config.json has its weights.
    write_atomically(folder / WEIGHTS, weights)
    write_atomically(folder / CONFIG, text)
    return folder


def read_config(folder: str | Path) -> ModelConfig:
    """Read a run folder's config.json.

    Raises:
        CheckpointError: The folder has none.
        ConfigError: It is not one of ours, or damaged.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no {CONFIG}, so it is no model. A model is a folder that zoo.save, python -m zoo.train or "
            "python -m zoo.distill wrote."
        )
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise CheckpointError(f"{path} has {path.stat().st_size} bytes; a config is never over {_MAX_CONFIG_BYTES}.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not text: {error}.") from None
    return ModelConfig.from_json(text, where=str(path))


def load_folder(folder: str | Path, *, device: str | torch.device | None = None) -> Model:
    """Load the model that a folder holds, in eval mode.

    Args:
        folder: With model.safetensors and config.json.
        device: Where to put it; the CPU by default.

    Raises:
        CheckpointError: A file is missing or damaged, or the weights do not fit the config.
        ConfigError: The config is damaged, or from a newer zoo.
        PluginError: A component that the config names is not installed.
    """
    folder = Path(folder)
    config = read_config(folder)
    with torch.random.fork_rng(devices=[]):  # the initial weights are thrown away; loading draws nothing of the user's
        model = Model(config)
    path = folder / WEIGHTS
    state = read_weights(path, model.state_dict(), arguments=config.build_arguments())
    model.load_state_dict(state)
    if device is not None:
        model.to(device)
    return model.eval()


def read_weights(
    path: Path, expected: dict[str, Tensor], *, arguments: dict[str, object] | None = None
) -> dict[str, Tensor]:
    """Read weights whose names and shapes are known; the header is checked before any tensor is read.

    Args:
        path: A safetensors file.
        expected: Tensors of the names, shapes and dtypes that are wanted.
        arguments: What the model was built with, to be compared with what the file was saved for.

    Raises:
        CheckpointError: The file is missing, damaged, a pickle, does not fit, or holds NaN.
    """
    if not path.is_file():
        raise CheckpointError(f"{path.parent} has no {path.name}: the weights are missing.")
    try:
        with safe_open(str(path), framework="pt") as file:
            _check_header(file, path, expected, arguments)
            state = {name: file.get_tensor(name) for name in expected}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(describe_damage(path, error)) from None
    bad = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise CheckpointError(f"{path} holds NaN or infinite weights in {listing(bad)}; use another checkpoint.")
    return {name: tensor.to(expected[name].dtype) for name, tensor in state.items()}


def describe_damage(path: Path, error: Exception) -> str:
    """Say what a file is that is not the safetensors file it should be."""
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] == b"PK" or start[:1] == b"\x80":
        return (
            f"{path} is a pickle (a torch checkpoint), not safetensors; zoo never unpickles a model. A thesis "
            f"checkpoint is converted by: python -m zoo import-thesis {path} --model gru-S --out FOLDER"
        )
    return f"{path} is damaged or cut short ({error}). Copy or download it again."


def _check_header(
    file: safe_open, path: Path, expected: dict[str, Tensor], arguments: dict[str, object] | None
) -> None:
    names = set(file.keys())
    missing, unknown = set(expected) - names, names - set(expected)
    if missing or unknown:
        raise CheckpointError(
            f"{path} does not fit its config: it lacks {listing(missing)}, and has besides: {listing(unknown)}."
        )
    for name, tensor in expected.items():
        part = file.get_slice(name)
        if list(part.get_shape()) != list(tensor.shape):
            raise CheckpointError(
                f"{path} does not fit its config: {name} is {part.get_shape()}, and should be {list(tensor.shape)}."
            )
        if tensor.is_floating_point() and part.get_dtype() not in _FLOATS:
            raise CheckpointError(f"{path}: {name} is stored as {part.get_dtype()}, and should be a float.")
    stored = (file.metadata() or {}).get(_METADATA_KEY)
    if arguments is not None and stored is not None and stored != json.dumps(arguments, sort_keys=True):
        raise CheckpointError(
            f"{path} was saved for another config than the {CONFIG} beside it: {stored[:300]}. Do not mix runs' files."
        )


def requirements(config: ModelConfig) -> dict[str, str]:
    """The distributions, with versions, that bring a config's components."""
    entries = [registry.decoders.entry(config.decoder.name), registry.synths.entry(config.synth.name)]
    return {entry.distribution: entry.version for entry in entries if entry.distribution}


def weights_hash(model: Model) -> str:
    """A SHA-256 of the weights alone (names, dtypes, shapes, bytes): the identity of a teacher in lineage."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
