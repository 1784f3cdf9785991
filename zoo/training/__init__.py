"""Training, distilling and evaluating: what a run does, and the folder it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.training.config import DistillConfig as DistillConfig
    from zoo.training.config import OptimizerConfig as OptimizerConfig
    from zoo.training.config import TeacherConfig as TeacherConfig
    from zoo.training.config import TrainConfig as TrainConfig
    from zoo.training.config import TrainerConfig as TrainerConfig
    from zoo.training.evaluation import evaluate as evaluate
    from zoo.training.loop import distill as distill
    from zoo.training.loop import train as train

_MODULES = {
    "DistillConfig": "config",
    "OptimizerConfig": "config",
    "TeacherConfig": "config",
    "TrainConfig": "config",
    "TrainerConfig": "config",
    "distill": "loop",
    "evaluate": "evaluation",
    "train": "loop",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is exported
    # imported when it is asked for: lightning takes seconds, and reading a run's history needs none of it
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
