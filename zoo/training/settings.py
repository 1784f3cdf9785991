"""The numbers that decide how a run trains, checked before anything is computed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from zoo.errors import ConfigError, listing

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed")


@dataclass(frozen=True)
class Settings:
    """How a run trains; see `zoo.training.loop.train` for what each means.

    Raises:
        ConfigError: A value is out of its range or of another type.
    """

    steps: int
    batch_size: int
    learning_rate: float
    lr_decay: float
    lr_decay_steps: int
    gradient_clip: float | None
    early_stopping: int | None
    validate_every: int | None
    seed: int
    accelerator: str
    precision: str
    num_workers: int
    devices: int = 1
    num_nodes: int = 1
    cuda_graphs: bool = False
    synth_learning_rate: float | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "lr_decay_steps", "devices", "num_nodes"):
            _whole(name, getattr(self, name), 1)
        for name in ("early_stopping", "validate_every"):
            if getattr(self, name) is not None:
                _whole(name, getattr(self, name), 1)
        _whole("seed", self.seed, 0)
        _whole("num_workers", self.num_workers, 0)
        _positive("learning_rate", self.learning_rate)
        if self.synth_learning_rate is not None:
            _positive("synth_learning_rate", self.synth_learning_rate)
        _positive("lr_decay", self.lr_decay)
        if self.gradient_clip is not None:
            _positive("gradient_clip", self.gradient_clip)
        if self.devices * self.num_nodes > self.batch_size:
            raise ConfigError(
                f"{self.devices * self.num_nodes} processes cannot share batches of {self.batch_size}: take a larger "
                "BATCH_SIZE, or fewer devices."
            )
        if self.cuda_graphs and (self.precision != "32-true" or self.devices * self.num_nodes > 1):
            raise ConfigError("cuda_graphs goes with precision = '32-true' on one device.")
        for name, known in (("accelerator", ACCELERATORS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} must be one of {listing(known)}, found {getattr(self, name)!r}.")

    def identity(self) -> dict[str, Any]:
        """What must stay the same for a run to be resumed."""
        free = {"steps", "early_stopping", "validate_every", "accelerator", "num_workers"}
        free |= {"devices", "num_nodes", "cuda_graphs"}
        if self.synth_learning_rate is None:  # as in runs that began before it could be set
            free.add("synth_learning_rate")
        return {name: value for name, value in asdict(self).items() if name not in free}


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, found {value!r}.")


def _positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise ConfigError(f"{name} must be a number over 0, found {value!r}.")
