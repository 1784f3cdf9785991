"""A model as an instrument file, which the player library plays without torch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from zoo.errors import PluginError
from zoo.features.values import HALF

if TYPE_CHECKING:
    from zoo.models.model import Model


@torch.no_grad()
def instrument_file(model: Model, *, weights: str = "float32", about: Mapping[str, Any] | None = None) -> bytes:
    """Write a model as an instrument file.

    Decoder and synth describe themselves as operations of the player library; their weights as they are now.

    Example:
        >>> import zoo_player
        >>> from zoo.streaming import instrument_file
        >>> zoo_player.Instrument(instrument_file(zoo.create("gru-S"))).process([440.0], [-20.0]).shape
        (64,)

    Args:
        model: To be written.
        weights: What large matrices are stored as: "float32", "float16" or "int8" (with a scale per row).
        about: What the file says of itself beside the model's name, range and features, as JSON can hold it.

    Returns:
        The file's contents.

    Raises:
        NotImplementedError: The decoder or the synth has no C form.
        PluginError: The package ddsp-zoo-player is not installed.
    """
    try:
        from zoo_player import Program  # only who writes or plays instrument files needs it
    except ModuleNotFoundError as error:
        if error.name != "zoo_player":
            raise
        raise PluginError(
            "Instrument files need the player library, which is not installed: pip install ddsp-zoo-player"
        ) from None
    if next(model.parameters()).dtype in HALF:
        model = copy.deepcopy(model).float()
    inputs = ("f0_hz", "loudness_db", *model.decoder.further_inputs)
    program = Program(sample_rate=model.sample_rate, hop=model.hop, inputs=inputs, weights=weights)
    controls = {name: program.hold(control) for name, control in model.decoder.describe(program).items()}
    audio = model.synth.describe(program, controls)
    known = model.config.range
    spans = {} if known is None else {"f0_hz": known.f0_hz, "loudness_db": known.loudness_db}
    described = {
        "name": model.name,
        "range": {name: [values.lowest, values.highest] for name, values in spans.items()},
        "quantiles": {name: values.to_dict() for name, values in spans.items()},
        "features": dict(model.config.features),
        **(about or {}),
    }
    return bytes(program.to_bytes(audio, latency_frames=model.synth.latency, about=described))
