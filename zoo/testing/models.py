"""The check of a model preset."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from zoo import registry
from zoo.errors import ZooError
from zoo.models.creating import create
from zoo.models.loading import load_folder
from zoo.models.model import Model
from zoo.models.rendering import Rendering
from zoo.storage import checkpoint
from zoo.storage.config import ModelConfig
from zoo.testing.contract import Subject, check_gradients, trial
from zoo.testing.synths import require_synthesis

_BATCH, _FRAMES = 2, 40


def check_model(model: str | Callable[[], ModelConfig], *, options: Mapping[str, Any] | None = None) -> None:
    """Make sure that a model preset does what `zoo.create`, `zoo.save` and `zoo.load` rely on.

    Checked: that it gives a config of its own name that JSON can hold; the handshake of its decoder and synth; shapes
    and finite audio; that with noise given the rendering is deterministic; that a finite gradient reaches every
    parameter from the audio; that a saved model is the same when it is loaded.

    Example:
        >>> check_model("gru-S", options={"hidden_size": 8})

    Args:
        model: A registered name, or the function that gives its config.
        options: Options of its decoder and synth, as `zoo.create` takes them; for a registered name only.

    Raises:
        AssertionError: It breaks a promise, which the message tells beside what was found.
        ConfigError: There is no model of that name.
    """
    subject = Subject(registry.models, model)
    with subject.promises("It is a function without arguments that gives a ModelConfig."):
        config = subject.component()
    subject.require(isinstance(config, ModelConfig), "It gives a zoo.models.ModelConfig.", type(config).__name__)
    if isinstance(model, str):
        subject.require(
            config.architecture == model or (config.instrument is not None and config.architecture in registry.models),
            "The config's architecture is its registered name; or another one's, with an instrument, where the name is "
            "short for that.",
            config.name,
        )
    with subject.promises("Its config is one that config.json can hold, and gives back as it was."):
        again = ModelConfig.from_json(config.to_json())
    subject.require(again == config, "Its config is the same when it is read from config.json.", again)
    with trial():
        with subject.promises("It can be built: its decoder and its synth are there, and fit each other."):
            built = create(model, **(options or {})) if isinstance(model, str) else Model(config)
        inputs = _inputs(built)
        expected = _check_rendering(subject, built.eval(), inputs)
        _check_gradients(subject, built, inputs)
        _check_reload(subject, built.eval(), inputs, expected)


def _inputs(model: Model) -> tuple[Tensor, Tensor, Tensor]:
    f0_hz = 200 + 300 * torch.rand(_BATCH, _FRAMES)
    f0_hz[0, :5] = 0
    return f0_hz, -60 * torch.rand(_BATCH, _FRAMES), torch.rand(_BATCH, _FRAMES * model.hop) * 2 - 1


@torch.no_grad()
def _check_rendering(subject: Subject, model: Model, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    # a synth that returns something else fails further on, as if it had been asked wrongly
    hook = model.synth.register_forward_hook(lambda _synth, _inputs, made: require_synthesis(subject, made))
    with subject.promises("It renders f0_hz and loudness_db, [batch, frames], with noise [batch, frames * hop]."):
        made: Rendering = model(*inputs)
        again: Rendering = model(*inputs)
    hook.remove()
    shape = (_BATCH, _FRAMES * model.hop)
    for part in ("audio", "dry"):
        what = f"Rendering.{part} ([batch, frames * hop])"
        subject.require_tensor(getattr(made, part), shape, what, torch.float32)
    promise = "With noise given, in eval mode, its audio is the same twice."
    subject.require_close(again.audio, made.audio, promise, atol=0)
    return made.audio


def _check_gradients(subject: Subject, model: Model, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    with subject.promises("Its audio can be differentiated in training mode."):
        model.train()(*inputs).audio.square().sum().backward()
    check_gradients(subject, model, of="Its audio")
    model.zero_grad()


@torch.no_grad()
def _check_reload(subject: Subject, model: Model, inputs: tuple[Tensor, Tensor, Tensor], expected: Tensor) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            other = load_folder(checkpoint.save(model, folder))
        except ZooError as error:
            raise AssertionError(f"{subject.label} cannot be saved and loaded: {error}") from error
    promise = "Saved and loaded, it gives the same audio."
    subject.require_close(other(*inputs).audio, expected, promise, atol=1e-6)
