"""Names of before 2026-12 in gin files: those of older runs, and of people's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from zoo.errors import ConfigError
from zoo.gin_config.files import Binding, Macro, Statement

_RUNS = ("train", "distill")
_SETTINGS = {
    **{(run, "start_from"): "init_from" for run in _RUNS},
    ("distill", "teacher_draws"): "teacher_noise_seeds",
    ("distill", "via"): "assistants",
    ("step", "at_shares"): "boundaries",
}
_MACROS = {"START": "INIT_FROM"}
_OPTIONS = {"out": "--out", "name": "--name", "resume": "--resume", "force": "--force", "progress": "--no-progress"}


def with_new_names(statements: Iterable[Statement], *, outside: bool) -> Iterator[Statement]:
    """Read statements with the names of today.

    Args:
        statements: As they stand in files, or were typed.
        outside: They come from elsewhere: where their runs were to go is left out.

    Raises:
        ConfigError: A file says where a run is to go, or whether it shows its progress.
    """
    for statement in statements:
        if not isinstance(statement, Binding):
            yield statement
            continue
        if statement.name in _RUNS and statement.parameter == "records":  # always None: programs set it themselves
            continue
        if statement.name in _RUNS and (option := _OPTIONS.get(statement.parameter)):
            if statement.value in (None, False) or outside:
                continue
            raise ConfigError(f"{statement.where}: {statement.key} is an option of the command line now: {option}")
        name, parameter, value = statement.name, statement.parameter, statement.value
        if not parameter:
            name = _MACROS.get(name, name)
        if (name, parameter) == ("distill", "teacher_reverb"):
            parameter, value = "reverb_from", Macro("TEACHER") if value else None
        yield replace(
            statement,
            name=name,
            parameter=_SETTINGS.get((name, parameter), parameter),
            value=_with_new_macros(value),
        )


def _with_new_macros(value: Any) -> Any:  # noqa: ANN401 - a gin value is any plain data
    if isinstance(value, Macro):
        return Macro(_MACROS.get(value.name, value.name))
    if isinstance(value, dict):
        return {key: _with_new_macros(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_with_new_macros, value))
    return value
