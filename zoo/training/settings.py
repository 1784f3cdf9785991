"""The numbers that decide how a run trains, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from zoo.checks.options import number_fault, refuse, seed_fault, shown, whole_fault
from zoo.errors import listing

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
        refuse(self.faults(asdict(self)))

    @staticmethod
    def faults(given: Mapping[str, Any]) -> Iterator[str | None]:
        """What is wrong with settings, by name; a name that is left out is not looked at."""
        for names, least in (
            (("steps", "batch_size", "lr_decay_steps", "devices", "num_nodes"), 1),
            (("early_stopping", "validate_every"), 1),
            (("num_workers",), 0),
        ):
            for name in names:
                value = given.get(name)
                if name in given and not (value is None and name in ("early_stopping", "validate_every")):
                    yield whole_fault(name, value, least=least)
        if "seed" in given:
            yield seed_fault("seed", given["seed"])
        for name in ("learning_rate", "synth_learning_rate", "lr_decay", "gradient_clip"):
            value = given.get(name)
            if name in given and not (value is None and name in ("synth_learning_rate", "gradient_clip")):
                yield number_fault(name, value, over=0)
        yield from _devices_faults(given)
        for name, known in (("accelerator", ACCELERATORS), ("precision", PRECISIONS)):
            if name in given and given[name] not in known:
                yield f"{name} must be one of {listing(known)}, found {shown(given[name])}."

    def identity(self) -> dict[str, Any]:
        """What must stay the same for a run to be resumed."""
        free = {"steps", "early_stopping", "validate_every", "accelerator", "num_workers"}
        free |= {"devices", "num_nodes", "cuda_graphs"}
        if self.synth_learning_rate is None:  # as in runs that began before it could be set
            free.add("synth_learning_rate")
        return {name: value for name, value in asdict(self).items() if name not in free}


def _devices_faults(given: Mapping[str, Any]) -> Iterator[str]:
    counts = [given.get(name, 1) for name in ("devices", "num_nodes", "batch_size")]
    if "batch_size" not in given or any(whole_fault("", count, least=1) for count in counts):
        return
    devices, num_nodes, batch_size = counts
    if devices * num_nodes > batch_size:
        yield (
            f"{devices * num_nodes} processes cannot share batches of {batch_size}: take a larger BATCH_SIZE, or fewer "
            "devices."
        )
    if given.get("cuda_graphs") and (given.get("precision") != "32-true" or devices * num_nodes > 1):
        yield "cuda_graphs goes with precision = '32-true' on one device."
