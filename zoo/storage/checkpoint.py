"""A run's files <-> a Model: model.safetensors and config.json.

Requirements it meets:

- the weights carry one metadata key with sorted JSON, so that the same weights give the same bytes;
- config.json holds the hash of the weights that were saved with it: two runs' files are never taken for one model, and
  weights that arrived or were kept wrongly are never played;
- parameters may be stored as float16, at half the size; what is loaded is float32, and is the same model each time;
  small ones stay as they are, since they cost nothing, and what stands before a normalisation is heard most;
- reading never runs code and never unpickles; what the header announces is compared with the config before any tensor
  is read;
- two processes that save into one folder leave one of the two models, whole, and so does who loads meanwhile get one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import torch as safetensors_torch
from torch import Tensor

from zoo import registry
from zoo.checks import limits
from zoo.checks.build_guard import BuildGuard, OversizedError
from zoo.errors import CheckpointError, ConfigError, ZooError, listing
from zoo.storage.config import WEIGHTS_DTYPES, ModelConfig
from zoo.storage.config import read_config as read_config  # it is looked for here too
from zoo.storage.files import write_together
from zoo.storage.golden import golden_bytes
from zoo.storage.header import Header, check_digest
from zoo.storage.initialisation import OwnNumbers, SkipInit
from zoo.storage.locks import refuse_if_held
from zoo.storage.reading import ModelFiles, read_whole
from zoo.storage.run_files import CONFIG, GOLDEN, WEIGHTS

if TYPE_CHECKING:
    from zoo.models.model import Model

_METADATA_KEY = "zoo"
_FLOATS = {"F64", "F32", "F16", "BF16"}
_EXACT = {torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8"}
_EXACT |= {torch.bool: "BOOL"}
_STORED = {"float16": torch.float16}
_SMALL = 1024
_MOST_NAMES = 1000  # letters of a list in a message

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_DTYPES |= {name: dtype for dtype, name in _EXACT.items()}


def save(model: Model, folder: str | Path, *, weights_dtype: str | None = None, golden: bool = True) -> Path:
    """Save a model's weights, config and golden audio into a folder; what else is there stays.

    The same model gives the same bytes. Each file is written whole or not at all, and all by one process at a time.

    Args:
        model: The model.
        folder: Made when missing.
        weights_dtype: "float16" rounds the parameters in the file, but for those of under 1024 values, and no buffers:
            half the size, and a sound that differs a little (`zoo half` measures by how much). All stay as
            they are by default, whatever the model was loaded from.
        golden: Whether to write golden.safetensors, for which a second of audio is rendered. Without it, one that lies
            there is taken away: it is of other weights.

    Returns:
        The folder.

    Raises:
        ConfigError: There is no such dtype, or a parameter is beyond its range.
        InUseError: Another process trains in that folder.
        OSError: The disk is full, or the folder cannot be written to.
    """
    folder = Path(folder)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if weights_dtype is not None:
        state |= _rounded({name: state[name] for name, _ in model.named_parameters()}, weights_dtype)
    metadata = {_METADATA_KEY: json.dumps(model.config.build_arguments(), sort_keys=True)}
    weights = safetensors_torch.save(state, metadata=metadata)
    digest = hashlib.sha256(weights).hexdigest()
    config = model.config.with_changes(
        requires=requirements(model.config),
        weights_sha256=digest,
        weights_dtype=weights_dtype,
    )
    text = config.to_json()
    refuse_if_held(folder, advice="save into another folder")
    audio = golden_bytes(model, state, weights_sha256=digest) if golden else None
    contents = {WEIGHTS: weights, CONFIG: text.encode()}
    # The config goes after the weights: a folder with a config.json has them. The golden audio goes first and comes
    # last: whoever reads meanwhile finds none, and never that of other weights.
    write_together(folder, contents if audio is None else {**contents, GOLDEN: audio}, remove=[GOLDEN])
    return folder


def _rounded(parameters: dict[str, Tensor], weights_dtype: str) -> dict[str, Tensor]:
    if weights_dtype not in WEIGHTS_DTYPES:
        raise ConfigError(f"Weights cannot be stored as {weights_dtype!r}; they can be as {listing(WEIGHTS_DTYPES)}.")
    dtype = _STORED[weights_dtype]
    rounded = {
        name: tensor.to(dtype)
        for name, tensor in parameters.items()
        if tensor.is_floating_point() and tensor.numel() >= _SMALL
    }
    if beyond := [name for name, tensor in rounded.items() if not torch.isfinite(tensor).all()]:
        raise ConfigError(
            f"{listing(beyond)} cannot be stored as {weights_dtype}, which ends at {torch.finfo(dtype).max:g}. "
            "Save the model without weights_dtype."
        )
    return rounded


def read_model(folder: Path, build: Callable[[ModelConfig], Model]) -> Model:
    """Build the model that a folder's config asks for, and give it the folder's weights.

    Args:
        folder: With model.safetensors and config.json.
        build: Makes an untrained model of a config.

    Raises:
        CheckpointError: A file is missing or damaged, or the weights do not fit the config.
        ConfigError: The config is damaged, or from a newer zoo.
        PluginError: A component that the config names is not installed.
    """
    return read_whole(folder, lambda files: _load(files, build))


def _load(files: ModelFiles, build: Callable[[ModelConfig], Model]) -> Model:
    with ThreadPoolExecutor(1) as pool:
        # Hashing takes as long as all the rest, and leaves Python alone meanwhile.
        hashing = pool.submit(files.digest)
        model = _build_within(files.config, files.header, build)
        expected = model.state_dict()
        _check_header(files.header, files.path, expected, files.config)
        model.load_state_dict(_read_tensors(files, expected))
        check_digest(hashing.result(), files.config, files.path)
    return model


def _build_within(config: ModelConfig, header: Header, build: Callable[[ModelConfig], Model]) -> Model:
    """Build the model that a config asks for, but nothing that is larger than weights with this header could be."""
    holds = f"{WEIGHTS} beside that config holds {header.values:,} numbers in all"
    for part, chosen in (("decoder", config.decoder), ("synth", config.synth)):
        limits.check_arguments(chosen.args, part=f"{part} {chosen.name}", values=header.values, holds=holds)
    with BuildGuard(values=header.values, tensors=len(header.tensors)):
        return _build(config, build)


def _build(config: ModelConfig, build: Callable[[ModelConfig], Model]) -> Model:
    with OwnNumbers():  # what a constructor may still draw is not the user's
        try:
            with SkipInit():
                return build(config)
        except OversizedError:
            raise
        except ZooError:
            # A constructor that computes with its initial weights needs real ones.
            return build(config)


def _some(names: set[str]) -> str:
    text = listing(names)
    return text if len(text) <= _MOST_NAMES else f"{text[:_MOST_NAMES]}..."


def _check_header(header: Header, path: Path, expected: dict[str, Tensor], config: ModelConfig) -> None:
    names = set(header.tensors)
    missing, unknown = set(expected) - names, names - set(expected)
    if missing or unknown:
        raise CheckpointError(
            f"{path} does not fit its config: it lacks {_some(missing)}, and has besides: {_some(unknown)}."
        )
    for name, tensor in expected.items():
        entry = header.tensors[name]
        if entry.shape != tuple(tensor.shape):
            raise CheckpointError(
                f"{path} does not fit its config: {name} is {list(entry.shape)}, and should be {list(tensor.shape)}."
            )
        if tensor.is_floating_point():
            if entry.dtype not in _FLOATS:
                raise CheckpointError(f"{path}: {name} is stored as {entry.dtype}, and should be a float.")
        elif entry.dtype != _EXACT.get(tensor.dtype):
            raise CheckpointError(f"{path}: {name} is stored as {entry.dtype}, and should be {tensor.dtype}.")
    stored = header.metadata.get(_METADATA_KEY)
    if stored is not None and stored != json.dumps(config.build_arguments(), sort_keys=True):
        raise CheckpointError(
            f"{path} was saved for another config than the {CONFIG} beside it: {stored[:300]}. Do not mix runs' files."
        )


def _read_tensors(files: ModelFiles, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    state, path = {}, files.path
    for name in expected:
        entry = files.header.tensors[name]
        flat = torch.frombuffer(files.read(name), dtype=_DTYPES[entry.dtype]) if entry.values else torch.empty(0)
        state[name] = flat.reshape(entry.shape)
    # a sum is finite only if all that it sums is, and is found in a tenth of the time; it may overflow, then all look
    bad = [
        name
        for name, tensor in state.items()
        if tensor.is_floating_point()
        and not torch.isfinite(tensor.sum(dtype=torch.float32))
        and not torch.isfinite(tensor).all()
    ]
    if bad:
        raise CheckpointError(f"{path} holds NaN or infinite weights in {listing(bad)}; use another checkpoint.")
    return {name: tensor.to(expected[name].dtype) for name, tensor in state.items()}


MEASURED_BY = {"tracker": registry.pitch, "loudness": registry.loudness}
"""What a config's features name, and where it is registered."""


def requirements(config: ModelConfig) -> dict[str, str]:
    """The distributions, with versions, that bring a config's components, those that measure its features among them.

    A model can be made where its features cannot be measured: of data that were prepared elsewhere.
    """
    entries = [registry.decoders.entry(config.decoder.name), registry.synths.entry(config.synth.name)]
    for key, of in MEASURED_BY.items():
        entries += of.entries().get(config.features.get(key, ""), [])
    return {entry.distribution: entry.version for entry in entries if entry.distribution}


def weights_hash(model: Model) -> str:
    """A SHA-256 of the weights alone (names, dtypes, shapes, bytes): the identity of a teacher in lineage.

    It is that of the model in memory: weights that were rounded for their file have one of their own, which is the same
    whatever they are stored as afterwards.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
