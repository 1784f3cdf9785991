"""checkpoints/last.ckpt: all that a run needs to go on exactly where it was, as plain types and tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from zoo.errors import CheckpointError, ConfigError
from zoo.storage.files import beside
from zoo.training.history import Row

LAST = "checkpoints/last.ckpt"

_FORMAT = "ddsp-zoo-training-1"
_TYPES: dict[str, Any] = {"int": int, "float": (int, float), "list": list, "dict": dict}


@dataclass
class State:
    """Where a run is.

    Attributes:
        step: Steps done.
        seconds: Time spent training.
        loss_sum: Of the training losses since the last validation.
        loss_count: How many they are.
        best_loss: Lowest validation loss so far.
        best_step: Where that was.
        stale: Validations since then.
        history: Rows so far.
        identity: What must be the same for the run to go on.
        model: Weights of the student.
        losses: Weights and parameters of the losses.
        optimizer: Its state.
        scheduler: Its state.
        precision: The gradient scaler's state, where there is one.
        rng: States of torch's generators by device.
    """

    step: int
    seconds: float
    loss_sum: float
    loss_count: int
    best_loss: float
    best_step: int
    stale: int
    history: list[Row]
    identity: dict[str, Any]
    model: dict[str, Any]
    losses: dict[str, Any]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    precision: dict[str, Any]
    rng: dict[str, Any]


def save_state(state: State, run: Path) -> None:
    """Write a run's last.ckpt, whole or not at all."""
    content = {"format": _FORMAT, **{f.name: getattr(state, f.name) for f in fields(state)}}
    with beside(run / LAST) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # torch's zip writer reports a full disk so
            raise OSError(f"{run / LAST} could not be written (is the disk full?): {error}") from error


def load_state(run: Path) -> State:
    """Read a run's last.ckpt; plain types and tensors only, never code.

    Raises:
        CheckpointError: It is missing, damaged, or not ours.
    """
    path = run / LAST
    if not path.is_file():
        raise CheckpointError(f"{run} has no {LAST}, so it cannot be resumed. Start it anew.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader raises whatever the bytes lead it to
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise CheckpointError(
            f"{path} is damaged or no checkpoint ({reason}). Start anew, with another --out; "
            "the best weights so far are in model.safetensors."
        ) from error
    names = {f.name for f in fields(State)}
    if not isinstance(content, dict) or content.get("format") != _FORMAT or set(content) != {*names, "format"}:
        raise CheckpointError(f"{path} is not of this version of zoo, or of another program. Start anew.")
    for f in fields(State):
        expected = _TYPES[str(f.type).partition("[")[0]]
        if not isinstance(content[f.name], expected) or isinstance(content[f.name], bool):
            raise CheckpointError(
                f"{path} is damaged: {f.name} is {type(content[f.name]).__name__}. Start anew, with another --out."
            )
    return State(**{name: content[name] for name in names})


def check_identity(state: State, identity: dict[str, Any], run: Path) -> None:
    """Make sure that a run goes on with what it began with.

    Raises:
        ConfigError: Something differs; it says what.
    """
    differing = [
        f"{name} was {state.identity.get(name)!r} and is now {identity.get(name)!r}"
        for name in sorted({*state.identity, *identity})
        if state.identity.get(name) != identity.get(name)
    ]
    if differing:
        raise ConfigError(
            f"{run} cannot be resumed with other settings: {'; '.join(differing)}. "
            "Resume it with what it began with (only STEPS may grow), or start a new run with another --out."
        )


def rng_states() -> dict[str, Any]:
    """The states of torch's generators."""
    states: dict[str, Any] = {"cpu": torch.random.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore_rng(states: dict[str, Any]) -> None:
    """Put torch's generators back; a GPU's state is left out where there is none now."""
    torch.random.set_rng_state(states["cpu"])
    if torch.cuda.is_available() and len(states.get("cuda", [])) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
