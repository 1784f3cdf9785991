"""Lists of independent tasks, and what runs them: here (`local`), or elsewhere (components of the kind `executors`)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.executors.base import Ended as Ended
    from zoo.executors.base import Executor as Executor
    from zoo.executors.base import ExecutorConfig as ExecutorConfig
    from zoo.executors.base import Running as Running
    from zoo.executors.local import ended_with as ended_with
    from zoo.executors.local import start_program as start_program
    from zoo.executors.parent_watch import PATIENCE as PATIENCE
    from zoo.executors.parent_watch import ends_with_parent as ends_with_parent
    from zoo.executors.stopping import StopRequest as StopRequest
    from zoo.executors.tasks import Call as Call
    from zoo.executors.tasks import Program as Program
    from zoo.executors.tasks import State as State
    from zoo.executors.tasks import Status as Status
    from zoo.executors.tasks import Task as Task
    from zoo.executors.tasks import run_tasks as run_tasks

_MODULES = {
    "PATIENCE": "parent_watch",
    "Call": "tasks",
    "Ended": "base",
    "Executor": "base",
    "ExecutorConfig": "base",
    "Program": "tasks",
    "Running": "base",
    "State": "tasks",
    "Status": "tasks",
    "StopRequest": "stopping",
    "Task": "tasks",
    "ended_with": "local",
    "ends_with_parent": "parent_watch",
    "run_tasks": "tasks",
    "start_program": "local",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is exported
    # imported when it is asked for: a worker comes here first, and is to watch its parent at once
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
