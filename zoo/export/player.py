"""Instrument files for the player library."""

from __future__ import annotations

import math
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import zoo_player

from zoo.errors import ConfigError, ExportError, listing, near_matches
from zoo.export.base import Exporter, Runtime
from zoo.models.model import Model
from zoo.streaming.instrument import instrument_file

# of the weights' type: energy of the model's audio over that of the difference, at least
_LEAST_DB = {"float32": -math.inf, "float16": 40.0, "int8": 20.0}

_NOT_FINITE = 7  # ZOO_ERROR_NOT_FINITE


class PlayerExporter(Exporter):
    """Instrument files, which the C library of `ddsp-zoo-player` plays.

    Example:
        >>> zoo.export("gru-S-violin", "player", "gru-S-violin.zoo", weights="float16")  # doctest: +SKIP

    Args:
        weights: What matrices are stored as: "float32", "float16" or "int8" (with a scale per row).

    Raises:
        ConfigError: There is no such type.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".zoo",)

    def __init__(self, *, weights: str = "float32") -> None:
        if weights not in _LEAST_DB:
            raise ConfigError(
                f"There is no weights={weights!r}.{near_matches(str(weights), _LEAST_DB)} "
                f"It knows {listing(_LEAST_DB)}."
            )
        self.weights = weights

    @property
    def largest_difference(self) -> float:
        """See `Exporter.largest_difference`: rounded weights play something else by definition."""
        return 1e-5 if self.weights == "float32" else math.inf

    @property
    def least_signal_db(self) -> float:
        """See `Exporter.least_signal_db`."""
        return _LEAST_DB[self.weights]

    def write(self, model: Model, path: Path) -> None:
        """See `Exporter.write`."""
        path.write_bytes(self.contents(model))

    def contents(self, model: Model) -> bytes:
        """The model as an instrument file that the player library takes.

        Raises:
            ExportError: The model has weights that are no numbers, or is beyond what the library is made for.
        """
        data = instrument_file(model, weights=self.weights, about=self.about)
        try:
            zoo_player.Instrument(data)
        except zoo_player.PlayerError as error:  # it tells of files; who exports wants to know of the model
            if not error.code:  # it is the library itself that is missing
                raise
            raise ExportError(f"{model.name} cannot be an instrument file: {self._reason(error.code)}") from error
        return data

    def _reason(self, code: int) -> str:
        if code == _NOT_FINITE and self.weights != "float32":
            return f"as {self.weights}, some of its weights are no numbers. Try weights=float32."
        if code == _NOT_FINITE:
            return "some of its weights are no numbers. Export another checkpoint."
        return (
            f"the player library refuses it (error {code} of zoo_player.h). Its hop, its reverb or a layer may be "
            "larger than the library is made for. The exporters onnx and nn know no such limit."
        )

    def load(self, path: Path) -> Runtime:
        """See `Exporter.load`."""
        return zoo_player.Instrument(path)

    def versions(self) -> dict[str, str]:
        """See `Exporter.versions`."""
        return {"ddsp-zoo-player": version("ddsp-zoo-player")}
