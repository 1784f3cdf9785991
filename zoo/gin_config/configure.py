"""Gin for the programs: files and `--set` in, checked arguments for one main function out.

Requirements it meets, most of which plain gin leaves open:

- library code never sees gin: components and main functions are registered here, under their registry names, and only
  those that a file names, so that a broken plugin does no harm to a run that does not use it;
- every mistake names the file and line (or the `--set`) and what to type instead;
- nothing is skipped silently: an unknown name, parameter or macro is an error;
- `config` (as parsed) is whole: it can be run again by itself; `operative` says what was used, defaults included;
- nothing of an earlier configuration is left over in the same process.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ConfigError, ZooError, listing, near_matches
from zoo.gin_config.bounds import check_expansion, check_numbers
from zoo.gin_config.files import REQUIRED, Binding, GinReference, Import, Macro, inner_values, read_files, read_set
from zoo.gin_config.names import Names, parameters_of, shared_by
from zoo.gin_config.older import with_new_names

if TYPE_CHECKING:
    from zoo.losses.base import Loss

_log = logging.getLogger(__name__)

_FREE_MACROS = ("INSTRUMENT", "DATASET", "STEPS", "BATCH_SIZE", "SEED", "TEACHER")
"""Macros that every shipped file knows; a user's own file may leave one of them unused."""

_SET_BY = {
    "datasets": "prepare.dataset_options",
    "pitch": "prepare.pitch_options",
    "loudness": "prepare.loudness_options",
}
"""What sets the options of components that no value builds, but a command, by kind."""


@dataclass
class _Call:
    # What a registered component becomes inside gin: it is built after gin has let go, so that its errors stay its own.
    component: Callable[..., Any]
    arguments: dict[str, Any]

    def __deepcopy__(self, memo: dict[int, Any]) -> _Call:
        return self


class Configuration:
    """A parsed and locked configuration.

    Attributes:
        config: All bindings as parsed, includes resolved: the text of a run's `config.gin`.
    """

    def __init__(
        self,
        config: str,
        functions: Mapping[str, Callable[..., Any]],
        again: Callable[[Sequence[str]], Configuration],
    ) -> None:
        self.config = config
        self._functions = functions
        self._again = again

    def arguments(self, function: str, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - the function's own arguments
        """The arguments that `function` is to be called with, its components built.

        Args:
            function: One of the main functions' names.
            **given: Arguments that the command line decides; they win over the files.

        Raises:
            ConfigError: An argument without a default is set nowhere, or a component refuses its options.
        """
        collected = {**self._collected(function), **given}
        missing = [
            name
            for name, parameter in parameters_of(self._functions[function]).items()
            if parameter.default is parameter.empty
            and parameter.kind is parameter.KEYWORD_ONLY
            and name not in collected
        ]
        if missing:
            typed = " ".join(f'--set "{function}.{name}=..."' for name in missing)
            raise ConfigError(f"{function} needs {listing(missing)}, which no gin file sets. Type: {typed}")
        return {name: _build(value) for name, value in collected.items()}

    def make(self, function: str) -> Any:  # noqa: ANN401 - the configuration's own class
        """The configuration that `function`'s name stands for.

        Raises:
            ConfigError: See `arguments`.
        """
        return self._functions[function].from_flat(**self.arguments(function))  # type: ignore[attr-defined]

    def _collected(self, function: str) -> dict[str, Any]:
        import gin

        found: dict[str, Any] = {}
        for name in (*shared_by(function, self._functions), function):
            found |= gin.get_configurable(f"zoo.{name}")()
        return found

    def with_settings(self, function: str, settings: Mapping[str, Any]) -> Configuration:
        """The same files and bindings, and after them settings of `function`, as plain values or lists of losses."""
        losses = [loss for value in settings.values() for loss in _losses_in(value)]
        typed = [f"{function}.{name} = {_as_gin(value)}" for name, value in settings.items()]
        return self._again([*typed, *(f"{loss.label}.weight = {loss.final_factor!r}" for loss in losses)])

    @property
    def operative(self) -> str:
        """What was used so far, defaults included: the text of a run's `operative.gin`."""
        import gin

        return str(gin.operative_config_str(max_line_length=110))


def configure(
    gin_files: Sequence[str],
    bindings: Sequence[str] = (),
    *,
    functions: Mapping[str, Callable[..., Any]],
    outside: bool = False,
) -> Configuration:
    """Parse gin files and bindings, check every name in them, and lock the result.

    Example:
        >>> def mix(*, steps=10, losses=()): ...
        >>> made = configure([], ["STEPS=3", "mix.steps=%STEPS"], functions={"mix": mix})
        >>> made.arguments("mix")
        {'steps': 3}

    Args:
        gin_files: Paths, or names of shipped files (see `zoo.gin_config.files.find_gin_file`); later ones win.
        bindings: What was typed as `--set`; wins over all files.
        functions: What files may set arguments of, by the name that files use: main functions, and configurations
            (`zoo.checks.settings.Config`), whose groups' settings count among their own. Where a configuration's base
            or group has a name here too, what is set of that counts for all configurations that share it, unless one
            sets its own.
        outside: The files are recipes from elsewhere: they may import nothing, include shipped files only, and hold no
            absurd numbers.

    Raises:
        ConfigError: Anything in the files or bindings that does not exist, does not fit, or is missing.
        PluginError: A component that is named there cannot be imported.
    """
    from_files = list(read_files(gin_files, outside=outside))
    if outside:
        check_numbers([s for s in from_files if isinstance(s, Binding)], functions)
    typed = [statement for text in bindings for statement in read_set(text)]
    statements = list(with_new_names([*from_files, *typed], outside=outside))
    imports = [s for s in statements if isinstance(s, Import)]
    for statement in imports:
        _import(statement, outside=outside)
    bound = [s for s in statements if isinstance(s, Binding)]
    names = Names(functions)
    selectors = {name: names.register_as(name, where) for name, where in _used_names(bound).items()}
    _check(bound, selectors, names)
    _check_macros(bound)
    check_expansion(bound, selectors)
    config = "".join(f"import {module}\n" for module in dict.fromkeys(s.module for s in imports))
    config += _bind(bound, selectors, names)
    _log.debug("gin configuration:\n%s", config)

    def again(further: Sequence[str]) -> Configuration:
        return configure(gin_files, [*bindings, *further], functions=functions, outside=outside)

    return Configuration(config, functions, again)


def _import(statement: Import, *, outside: bool) -> None:
    if outside:
        raise ConfigError(
            f"{statement.where}: it imports {statement.module}, which runs that module's code. Look at the file; "
            "if you trust it, copy it and run it yourself: zoo distill --gin COPY"
        )
    try:
        importlib.import_module(statement.module)
    except ImportError as error:
        raise ConfigError(f"{statement.where}: {error}. Install that package, or take the import out.") from error


def _used_names(bound: Sequence[Binding]) -> dict[str, str]:
    used: dict[str, str] = {}
    for binding in bound:
        if binding.parameter:
            used.setdefault(binding.name, binding.where)
        for value in inner_values(binding.value):
            if isinstance(value, GinReference):
                used.setdefault(value.name.rsplit("/", 1)[-1], binding.where)
    return used


def _check(bound: Sequence[Binding], selectors: Mapping[str, str], names: Names) -> None:
    referenced, scoped = set(), set()
    for binding in bound:
        for value in inner_values(binding.value):
            if isinstance(value, GinReference):
                if not value.evaluate:
                    raise ConfigError(f"{binding.where}: write @{value.name}(), with brackets: it is to be built.")
                if value.name in names.functions:
                    raise ConfigError(f"{binding.where}: @{value.name}() is a command, not a component.")
                scope, _, name = value.name.rpartition("/")
                referenced.add(selectors[name])
                scoped.add((scope, selectors[name]))
        if binding.parameter:
            _check_parameter(binding, names.found[selectors[binding.name]])
    for binding in bound:
        if not binding.parameter or binding.name in names.functions:
            continue
        selector, scope = selectors[binding.name], binding.scope
        in_scope = not scope or any(_within(scope, s) for s, known in scoped if known == selector)
        if selector not in referenced or not in_scope:
            name = f"{scope}/{binding.name}" if scope else binding.name
            why = f"since nothing uses @{name}()."
            if setting := _SET_BY.get(selector.split(".")[1]):
                why = f"since only {setting} sets it. Write: {setting} = {{{binding.parameter!r}: ...}}"
            _log.warning("%s: %s has no effect, %s", binding.where, binding.key, why)


def _within(scope: str, used: str) -> bool:
    # gin: what is bound in the scope "a" also holds in "a/b" and "b/a"
    return set(scope.split("/")) <= set(used.split("/"))


def _check_parameter(binding: Binding, component: Callable[..., Any]) -> None:
    parameters = parameters_of(component)
    named = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if binding.parameter not in named and not open_ended:
        raise ConfigError(
            f"{binding.where}: {binding.name} has no parameter {binding.parameter!r}."
            f"{near_matches(binding.parameter, named)} It has: {listing(named)}."
        )


def _check_macros(bound: Sequence[Binding]) -> None:
    macros = {b.key: b for b in bound if not b.parameter}
    used: dict[str, Binding] = {}
    for binding in bound:
        for value in inner_values(binding.value):
            if isinstance(value, Macro) and value.name != REQUIRED:
                used.setdefault(value.name, binding)
    for name, binding in used.items():
        if name not in macros:
            raise ConfigError(
                f"{binding.where}: {binding.key} uses the macro %{name}, which nothing sets."
                f"{near_matches(name, macros)} Type: --set \"{name}='...'\""
            )
    in_files = {b.key for b in bound if not b.typed}
    for name, binding in macros.items():
        if binding.typed and name not in in_files and name not in used and name not in _FREE_MACROS:
            raise ConfigError(
                f"{binding.where}: no gin file has a macro {name}.{near_matches(name, [*in_files, *used])} "
                f"Macros: {listing(n for n in macros if n in in_files)}."
            )
        if name not in used and name not in _FREE_MACROS:
            near = near_matches(name, [*used, *_FREE_MACROS])
            _log.warning("%s: %s has no effect, since nothing uses %%%s.%s", binding.where, name, name, near)
    final = {b.key: b for b in bound}  # the last one wins
    missing = [b for b in final.values() if any(v == Macro(REQUIRED) for v in inner_values(b.value))]
    if missing:
        typed = " ".join(f"--set \"{b.key}='...'\"" for b in missing)
        asked = "; ".join(f"{b.key} ({b.where})" for b in missing)
        raise ConfigError(f"These must be set: {asked}. Type: {typed}")


def _bind(bound: Sequence[Binding], selectors: Mapping[str, str], names: Names) -> str:
    """Hand the checked bindings to gin, lock it, and give its text of them."""
    import gin

    def to_gin(value: Any) -> Any:  # noqa: ANN401 - a gin value is any plain data
        if isinstance(value, GinReference):
            return gin.config.ConfigurableReference(value.name, True)
        if isinstance(value, Macro):
            return gin.config.ConfigurableReference(f"{value.name}/gin.macro", True)
        if isinstance(value, dict):
            return {to_gin(k): to_gin(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(to_gin(v) for v in value)
        return value

    gin.clear_config()
    with gin.config.interactive_mode():  # a component may have been registered anew under the same name
        for name, function in names.functions.items():
            elsewhere = {
                setting
                for other in shared_by(name, names.functions)
                for setting in parameters_of(names.functions[other])
            }
            _register(f"zoo.{name}", function, lambda _, arguments: arguments, without_default=elsewhere)
        for selector, component in names.found.items():
            if selector.removeprefix("zoo.") not in names.functions:
                _register(selector, component, _Call)
    for binding in bound:
        if binding.parameter:
            gin.bind_parameter((binding.scope, selectors[binding.name], binding.parameter), to_gin(binding.value))
        else:
            gin.bind_parameter((binding.key, "gin.macro", "value"), to_gin(binding.value))
    gin.finalize()
    return str(gin.config_str(max_line_length=110))


def _register(
    selector: str,
    component: Callable[..., Any],
    result: Callable[..., Any],
    *,
    without_default: Collection[str] = (),
) -> None:
    # gin gets a stand-in with the component's signature, which only collects arguments: then no error of ours passes
    # through gin, which would rewrite it, and a long training does not run inside gin's wrapper.
    import gin

    def collect(**arguments: Any) -> Any:  # noqa: ANN401 - see above
        return result(component, arguments)

    parameters = [
        one.replace(default=inspect.Parameter.empty) if one.name in without_default else one
        for one in parameters_of(component).values()
    ]
    collect.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions take attributes; mypy knows only declared ones
    module, _, name = selector.rpartition(".")
    gin.register(name, module=module)(collect)


def _losses_in(value: object) -> list[Loss]:
    from zoo.losses.base import Loss

    return [one for one in value if isinstance(one, Loss)] if isinstance(value, list | tuple) else []


def _as_gin(value: object) -> str:
    if losses := _losses_in(value):
        return f"[{', '.join(f'@{loss.label}()' for loss in losses)}]"
    return repr(str(value) if isinstance(value, Path) else value)


def _build(value: Any) -> Any:  # noqa: ANN401 - a gin value is any plain data
    if isinstance(value, _Call):
        arguments = {name: _build(inner) for name, inner in value.arguments.items()}
        try:
            return value.component(**arguments)
        except ZooError:
            raise
        except (TypeError, ValueError, ArithmeticError, RuntimeError, MemoryError) as error:
            reason = (str(error) or type(error).__name__)[:300].rstrip(".")
            raise ConfigError(f"{getattr(value.component, '__name__', value.component)}: {reason}.") from error
    if isinstance(value, dict):
        return {key: _build(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_build(item) for item in value)
    return value
