"""What a logger is: it gets numbers, pictures and sounds of a training, with the step that they belong to.

A logger may raise whatever its client raises: the training warns once, goes on, and calls that logger no more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from zoo.errors import PluginError

PROJECT = "ddsp-zoo"
"""What runs are filed under where nothing else is set by the client's own environment variables."""


@dataclass(frozen=True)
class LoggedRun:
    """The run that a logger is told of.

    Attributes:
        name: Its folder's.
        folder: Where it is; a logger keeps its files in a folder of its own there, named after itself.
        settings: Of the run, as plain values.
        step: Steps done before, where it is resumed.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]
    step: int = 0


class Logger(ABC):
    """Shows a training somewhere.

    Args:
        run: Which.

    Attributes:
        module: Of its client, which is imported before anything is computed.
        package: What brings that.
    """

    module: ClassVar[str]
    package: ClassVar[str]

    def __init__(self, run: LoggedRun) -> None:
        self.run = run

    @abstractmethod
    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Show numbers by name, e.g. `loss/validation`."""

    @abstractmethod
    def sound(self, name: str, samples: np.ndarray, step: int, *, sample_rate: int) -> None:
        """Let a sound be heard: float32 `[samples]` within -1 and 1."""

    @abstractmethod
    def picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """Show a picture: uint8 `[height, width, 3]`."""

    def close(self) -> None:  # noqa: B027 - most send at once
        """Send what is left, at the end of training."""


def client(module: str, *, logger: str, package: str) -> Any:  # noqa: ANN401 - a module, whose names are its own
    """Import a logger's client.

    Args:
        module: What to import.
        logger: The logger's name.
        package: What brings it.

    Raises:
        PluginError: It is not installed, or broken.
    """
    try:
        return import_module(module)
    except Exception as error:
        raise PluginError(
            f"The logger {logger} needs the package {package} ({type(error).__name__}: {error}). Type: pip install "
            f"{package}"
        ) from error
