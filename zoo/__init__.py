"""zoo: small neural audio synthesizers, and knowledge distillation between them.

>>> import zoo
>>> zoo.list_models("gru-?")
['gru-L', 'gru-M', 'gru-S']

The public names below are imported when they are first used (PEP 562), so that `import zoo` stays instant: torch is
loaded with the first model, not before.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo_thesis import import_thesis as import_thesis

    from zoo import datasets as datasets
    from zoo import decoders as decoders
    from zoo import errors as errors
    from zoo import executors as executors
    from zoo import features as features
    from zoo import gin_config as gin_config
    from zoo import live as live
    from zoo import loggers as loggers
    from zoo import losses as losses
    from zoo import metrics as metrics
    from zoo import models as models
    from zoo import registry as registry
    from zoo import storage as storage
    from zoo import streaming as streaming
    from zoo import synths as synths
    from zoo import testing as testing
    from zoo import training as training
    from zoo.export.base import export as export
    from zoo.listing import info as info
    from zoo.listing import list_models as list_models
    from zoo.live.notes import notes_to_features as notes_to_features
    from zoo.models.creating import create as create
    from zoo.models.model import Model as Model
    from zoo.models.rendering import Rendering as Rendering
    from zoo.registry import register as register
    from zoo.resolve import push as push
    from zoo.storage.checkpoint import save as save
    from zoo.streaming.player import Player as Player

if "ZOO_WORKER_OF" in os.environ:  # a worker of `prepare`, which is to end with it
    from zoo.executors.parent_watch import watch_from_the_beginning

    watch_from_the_beginning()

_HOME = {
    "Model": "zoo.models.model",
    "Player": "zoo.streaming.player",
    "Rendering": "zoo.models.rendering",
    "create": "zoo.models.creating",
    "fetch": "zoo.resolve",
    "info": "zoo.listing",
    "list_models": "zoo.listing",
    "load": "zoo.resolve",
    "notes_to_features": "zoo.live.notes",
    "push": "zoo.resolve",
    "save": "zoo.storage.checkpoint",
}
_SUBPACKAGES = (
    *("datasets", "decoders", "errors", "executors", "export", "features", "gin_config", "live", "loggers", "losses"),
    *("metrics", "models", "register", "registry", "resolve", "storage", "streaming", "synths", "testing", "training"),
)

__all__ = [
    "Model",
    "Player",
    "Rendering",
    "create",
    "errors",
    "export",
    "features",
    "fetch",
    "import_thesis",
    "info",
    "list_models",
    "live",
    "load",
    "losses",
    "metrics",
    "notes_to_features",
    "push",
    "register",
    "save",
    "testing",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name is
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _SUBPACKAGES:
        return importlib.import_module("zoo.registry.register" if name == "register" else f"zoo.{name}")
    if name == "import_thesis":
        return _plugin("zoo_thesis", "zoo.import_thesis", "ddsp-zoo-thesis").import_thesis
    if name == "__version__":
        from importlib.metadata import version

        return version("ddsp-zoo")
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def _plugin(module: str, what: str, distribution: str) -> Any:  # noqa: ANN401 - the module
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        from zoo.errors import PluginError
        from zoo.registry.requirements import how_to_install

        raise PluginError(
            f"{what} comes with {distribution}, which is not installed. Type: {how_to_install(distribution)}"
        ) from error


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
