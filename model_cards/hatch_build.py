"""Puts every model's folder into the wheel, so that a new one is a folder and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHIPPED_WITH_ZOO = "gru-M-tones"
"""It is in the wheel of ddsp-zoo, and must not come twice."""


class ModelFolders(BuildHookInterface):
    """Adds `<name>/` as `zoo_models/model_cards/<name>/`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the folders that hold a model."""
        for config in sorted(Path(self.root).glob("*/config.json")):
            name = config.parent.name
            if name != SHIPPED_WITH_ZOO and not name.startswith("."):  # a dot: just being written
                build_data["force_include"][str(config.parent)] = f"zoo_models/model_cards/{name}"
