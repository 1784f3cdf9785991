"""golden.safetensors: a second of input, and the audio that a model made of it where it was saved.

By it others can tell that the model makes the same audio where they are.

The file is bound to the weights that it was made with by their hash. Whoever writes other weights into a folder writes
it anew or takes it away, so that none ever lies beside weights that are not its own. A run without one is a run too.
"""

from __future__ import annotations

import copy
import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors_torch
from torch import Tensor

from zoo.errors import CheckpointError
from zoo.storage.config import ModelConfig, read_config
from zoo.storage.files import file_hash, write_atomically
from zoo.storage.run_files import GOLDEN, WEIGHTS

if TYPE_CHECKING:
    from zoo.models.model import Model

TOLERANCE = 1e-3
"""The largest difference, as a fraction of the audio's peak: machines differ in a number's last bits, no more."""

MAX_GOLDEN_BYTES = 300_000
_MOST_SAMPLES = 48_000  # float16 noise and float32 audio of so many stay under that
_KEY = "zoo"
_TENSORS = ("f0_hz", "loudness_db", "noise", "audio")


@dataclass(frozen=True)
class Golden:
    """What a model was given, and what it made of it, float32.

    Attributes:
        f0_hz: `[1, frames]` in Hz, 0 where unvoiced.
        loudness_db: `[1, frames]`.
        noise: `[1, frames * hop]` in [-1, 1).
        audio: `[1, frames * hop]`.
        inputs: What else drives the decoder, each `[1, frames]`.
        weights_sha256: Of the file of the weights that made it.
        tolerance: The largest difference that is none, as a fraction of the audio's peak.
    """

    f0_hz: Tensor
    loudness_db: Tensor
    noise: Tensor
    audio: Tensor
    inputs: dict[str, Tensor]
    weights_sha256: str
    tolerance: float


def golden_input(config: ModelConfig) -> dict[str, Tensor]:
    """A second of input for a model: a glide, a rest, and a higher note that swells, in its range where that is known.

    Args:
        config: The model's.

    Returns:
        `f0_hz`, `loudness_db` and `noise`; float32 numbers that float16 can hold where they are many.
    """
    frames = max(8, min(config.sample_rate, _MOST_SAMPLES) // config.hop)
    low_hz, high_hz, soft_db, loud_db = 220.0, 440.0, -50.0, -20.0
    if config.range is not None:
        low_hz, high_hz = config.range.f0_hz.at(0.25), config.range.f0_hz.at(0.75)
        soft_db, loud_db = config.range.loudness_db.at(0.25), config.range.loudness_db.at(0.95)
    time = torch.arange(frames, dtype=torch.float64) / frames
    pitch = torch.where(time < 0.6, low_hz * (high_hz / low_hz) ** (time / 1.2), torch.full_like(time, high_hz))
    pitch[(time >= 0.4) & (time < 0.6)] = 0.0
    loudness = soft_db + (loud_db - soft_db) * torch.sin(math.pi * (time * 2 % 1.0))
    noise = torch.rand(1, frames * config.hop, generator=torch.Generator().manual_seed(0)) * 2 - 1
    noise = noise.half().float().clamp(-1.0, 1 - 2**-11)  # what float16 holds, and under 1
    return {"f0_hz": pitch[None].float(), "loudness_db": loudness[None].float(), "noise": noise}


@torch.no_grad()
def golden_bytes(model: Model, state: Mapping[str, Tensor], *, weights_sha256: str) -> bytes | None:
    """The file for a model with certain weights.

    Args:
        model: How it is built; it stays as it is.
        state: The weights, as they are stored.
        weights_sha256: Of their file.

    Returns:
        Its content; None where the weights, or what they make, are no numbers, or it would be too large.
    """
    if not all(torch.isfinite(tensor).all() for tensor in state.values() if tensor.is_floating_point()):
        return None
    stored = copy.deepcopy(model).cpu().float().eval()
    stored.load_state_dict(state)
    given = golden_input(model.config)
    rising = torch.linspace(0, 1, given["f0_hz"].shape[1])[None]
    given |= stored.further(defaultdict(rising.clone))
    audio = stored(**given).audio
    if not torch.isfinite(audio).all():
        return None
    tensors = {**given, "noise": given["noise"].half(), "audio": audio.contiguous()}
    metadata = json.dumps({"tolerance": TOLERANCE, "weights_sha256": weights_sha256}, sort_keys=True)
    content = safetensors_torch.save(tensors, metadata={_KEY: metadata})
    return content if len(content) <= MAX_GOLDEN_BYTES else None


def write_golden(model: Model, folder: Path) -> Path | None:
    """Write the file for a model that a folder holds already; its weights and all else stay as they are.

    Args:
        model: As it was loaded from there.
        folder: With its weights.

    Returns:
        The file; None where there can be none, see `golden_bytes`.
    """
    content = golden_bytes(model, model.state_dict(), weights_sha256=_hash_of(folder))
    if content is None:
        (folder / GOLDEN).unlink(missing_ok=True)
        return None
    write_atomically(folder / GOLDEN, content)
    return folder / GOLDEN


def read_golden(folder: Path) -> Golden | None:
    """The golden input and audio in a model's folder; None where there are none, as in runs of earlier versions.

    Raises:
        CheckpointError: The file is damaged, or belongs to other weights than those beside it.
    """
    path = folder / GOLDEN
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_GOLDEN_BYTES:
            raise ValueError(f"it has more than {MAX_GOLDEN_BYTES:,} bytes")
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name).float() for name in _TENSORS}
            inputs = {name: file.get_tensor(name).float() for name in file.keys() if name not in _TENSORS}  # noqa: SIM118
        golden = Golden(
            **tensors, inputs=inputs, weights_sha256=str(about["weights_sha256"]), tolerance=float(about["tolerance"])
        )
        if not (golden.f0_hz.shape == golden.loudness_db.shape and golden.audio.shape == golden.noise.shape):
            raise ValueError("its shapes disagree")
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({str(error)[:200]}). Copy or download it again.") from None
    if golden.weights_sha256 != _hash_of(folder):
        raise CheckpointError(f"{path} was made with other weights than {WEIGHTS} beside it. Do not mix runs' files.")
    return golden


@torch.no_grad()
def golden_difference(model: Model, golden: Golden) -> float:
    """How far a model's audio is from the golden one: the largest difference, as a fraction of the golden one's peak.

    Args:
        model: In eval mode.
        golden: Of the same model.

    Raises:
        ValueError: The input does not fit the model.
    """
    audio = model(golden.f0_hz, golden.loudness_db, golden.noise, **golden.inputs).audio.cpu()
    peak = max(float(golden.audio.abs().max()), 1e-6)
    return float((audio - golden.audio).abs().max()) / peak


def _hash_of(folder: Path) -> str:
    return read_config(folder).weights_sha256 or file_hash(folder / WEIGHTS)
