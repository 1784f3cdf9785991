"""Training, distilling and evaluating: what a run does, and the folder it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.training.checkpoints import Row as Row
    from zoo.training.checkpoints import read_history as read_history
    from zoo.training.config import DistillConfig as DistillConfig
    from zoo.training.config import OptimizerConfig as OptimizerConfig
    from zoo.training.config import RunConfig as RunConfig
    from zoo.training.config import TeacherConfig as TeacherConfig
    from zoo.training.config import TrainConfig as TrainConfig
    from zoo.training.config import TrainerConfig as TrainerConfig
    from zoo.training.evaluation import evaluate as evaluate
    from zoo.training.loop import Finished as Finished
    from zoo.training.loop import distill as distill
    from zoo.training.loop import train as train
    from zoo.training.progress import duration as duration
    from zoo.training.run_folder import can_resume as can_resume
    from zoo.training.run_folder import has_begun as has_begun
    from zoo.training.run_folder import is_done as is_done
    from zoo.training.setup import Records as Records
    from zoo.training.setup import check_made_with as check_made_with

_MODULES = {
    "DistillConfig": "config",
    "Finished": "loop",
    "OptimizerConfig": "config",
    "Records": "setup",
    "Row": "checkpoints",
    "RunConfig": "config",
    "TeacherConfig": "config",
    "TrainConfig": "config",
    "TrainerConfig": "config",
    "can_resume": "run_folder",
    "check_made_with": "setup",
    "distill": "loop",
    "duration": "progress",
    "evaluate": "evaluation",
    "has_begun": "run_folder",
    "is_done": "run_folder",
    "read_history": "checkpoints",
    "train": "loop",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is exported
    # imported when it is asked for: lightning takes seconds, and reading a run's history needs none of it
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
