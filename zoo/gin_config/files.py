"""Finding gin files and reading them into statements, each of which knows where it was written.

gin reads files itself, but it finds them by string prefixes, resolves includes by the working folder, and reports most
mistakes without a file or a line. So files are found and read here, with gin's own parser; `zoo.gin_config.configure`
then checks the statements and hands them to gin.
"""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.checks.text_files import read_bounded
from zoo.errors import ConfigError, near_matches
from zoo.gin_config import bounds as gin_bounds
from zoo.registry import paths

REQUIRED = "gin.REQUIRED"
_MOST_QUOTED = 200  # letters of a line in a message

_CURLY = "\u2018\u2019\u201c\u201d"  # what word processors make of quotes


@dataclass(frozen=True)
class GinReference:
    """`@name()` in a value: the component `name`, built when the value is used."""

    name: str
    evaluate: bool


@dataclass(frozen=True)
class Macro:
    """`%NAME` in a value."""

    name: str


@dataclass(frozen=True)
class Binding:
    """One `name.parameter = value`, or `NAME = value` for a macro (then `parameter` is empty).

    Attributes:
        scope: What stands before a slash in the name; usually empty.
        name: The function or component, or the macro.
        parameter: Its parameter; empty for a macro.
        value: Plain Python data with `GinReference` and `Macro` inside.
        where: Where it was written, for messages.
        typed: Whether it was typed as `--set`.
    """

    scope: str
    name: str
    parameter: str
    value: Any
    where: str
    typed: bool = False

    @property
    def key(self) -> str:
        """The left side, as it is written."""
        scope = f"{self.scope}/" if self.scope else ""
        return f"{scope}{self.name}.{self.parameter}" if self.parameter else f"{scope}{self.name}"


@dataclass(frozen=True)
class Import:
    """`import module`: a module of the user's that registers components."""

    module: str
    where: str


Statement = Binding | Import


class _Placeholders:
    # What gin's parser asks for references and macros: here they stay what was written, whether or not it exists.
    def configurable_reference(self, name: str, evaluate: bool) -> GinReference:
        return GinReference(name, evaluate)

    def macro(self, name: str) -> Macro:
        return Macro(name)


def shipped_gin_files() -> list[str]:
    """Names of the gin files that ship with zoo and its plugins, as `--gin` takes them."""
    return sorted({f.relative_to(folder).as_posix() for folder in paths.gin_folders() for f in folder.rglob("*.gin")})


def find_gin_file(name: str, *, beside: Path | None = None) -> Path:
    """Find a gin file by a path, or by the name of a shipped one, with or without `.gin`.

    Args:
        name: For instance "distill/gru-L-to-gru-S.gin", "train/gru-S" or "my/pair.gin".
        beside: The folder of the file that includes it, which is looked in first.

    Returns:
        The file's absolute path.

    Raises:
        ConfigError: No such file; the message lists where it was looked for.
        PluginError: Several distributions ship one of that name.
    """
    folders = [*([beside] if beside else []), Path.cwd(), *paths.gin_folders()]
    path = Path(name).expanduser()
    wanted = [path] if path.suffix == ".gin" else [path, path.with_name(path.name + ".gin")] if path.name else []
    shipping = set(paths.gin_folders())
    for folder in folders:
        for candidate in wanted:
            if (folder / candidate).is_file():
                if folder in shipping and not candidate.is_absolute():
                    offers = [other / candidate for other in paths.gin_folders() if (other / candidate).is_file()]
                    return paths.only_one(f"The gin file {candidate.as_posix()!r}", offers).resolve()
                return (folder / candidate).resolve()
    looked = ", ".join(str(folder) for folder in dict.fromkeys(folders))
    shipped = shipped_gin_files()
    near = near_matches(name, [*shipped, *(s.removesuffix(".gin") for s in shipped)])
    raise ConfigError(
        f"There is no gin file {name!r}.{near} It was looked for in {looked}. Shipped files: {', '.join(shipped)}."
    )


def read_files(names: Sequence[str], *, outside: bool = False) -> Iterator[Statement]:
    """Read gin files and what they include, in the order in which their statements take effect.

    Args:
        names: Paths, or names of shipped files.
        outside: They are recipes from elsewhere: they may include shipped files only.

    Raises:
        ConfigError: A file is missing, is not gin, is too large, or includes itself.
    """
    reading = _Reading(outside)
    for name in names:
        yield from _read_file(find_gin_file(name), (), reading)


@dataclass
class _Reading:
    outside: bool
    files: int = 0


def _read_file(path: Path, within: tuple[Path, ...], reading: _Reading) -> Iterator[Statement]:
    reading.files += 1
    if reading.files > gin_bounds.MOST_FILES:
        raise ConfigError(f"{path} is one of over {gin_bounds.MOST_FILES} files that include each other: too many.")
    if path in within:
        chain = " includes ".join(str(p) for p in (*within, path))
        raise ConfigError(f"A gin file includes itself: {chain}. Take one of these includes out.")
    fix = "A gin file is plain UTF-8 text."
    text = read_bounded(path, most_bytes=gin_bounds.MOST_BYTES, error=ConfigError, fix=fix)
    gin_bounds.check_text(text, str(path))
    yield from _parse(text, str(path), path, within, reading)


def read_set(text: str) -> list[Statement]:
    """Read what was typed as `--set`: `NAME = value` or `name.parameter = value`.

    A value that is no gin value but plainly one bare word or path is taken as text, since shells eat quotes:
    `DATASET=data/violin` means `DATASET='data/violin'`.

    Raises:
        ConfigError: It has no `=`, or its value can be read neither way.
    """
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not key or not value:
        raise ConfigError(f"--set {text!r} is not NAME=value. Type for instance: --set \"INSTRUMENT='violin'\"")
    if _is_bare_text(value):
        value = repr(value)
    try:
        return list(_parse(f"{key} = {value}", f'--set "{text}"', None, (), _Reading(False)))
    except ConfigError as error:
        # within brackets, or as a call, it is no text that lacks its quotes
        advice = "" if set(value) & set("()[]{}") else f" Text stands in quotes: --set \"{key}='...'\""
        raise ConfigError(f"{error}{advice}") from None


def _is_bare_text(value: str) -> bool:
    if value in ("True", "False", "None") or re.fullmatch(r"\.\d+(e[-+]?\d+)?", value, re.IGNORECASE):
        return False
    if value.casefold() in ("true", "false", "none"):
        raise ConfigError(
            f"{value!r}: type {value.capitalize()}, as Python writes it (or '{value}' in quotes for text)."
        )
    return re.fullmatch(r"""[A-Za-z_~./\\][^\s'"()\[\],]*""", value) is not None


def _parse(
    text: str, source: str, path: Path | None, within: tuple[Path, ...], reading: _Reading
) -> Iterator[Statement]:
    from gin import config_parser

    def where(line: int | None) -> str:
        return source if path is None or line is None else f"{source}, line {line}"

    try:
        statements = list(config_parser.ConfigParser(text, _Placeholders()))
    except SyntaxError as error:
        raise ConfigError(
            f"{where(error.lineno)}: {_unquoted(error.text, path) or _reason(error)}.{_quoted(error.text)}"
        ) from None
    except tokenize.TokenError as error:
        raise ConfigError(f"{where(error.args[1][0])}: a bracket or a quote is not closed.") from None
    except (RecursionError, MemoryError):
        raise ConfigError(f"{source}: a value in it is nested too deeply.") from None
    except (ValueError, TypeError) as error:  # e.g. a list as a dictionary's key
        raise ConfigError(f"{source}: {error}.") from None
    for statement in statements:
        place = where(statement.location.line_num)
        if isinstance(statement, config_parser.IncludeStatement):
            try:
                if reading.outside:
                    included = gin_bounds.find_shipped(statement.filename)
                else:
                    included = find_gin_file(statement.filename, beside=path.parent if path else None)
            except ConfigError as error:
                raise ConfigError(f"{place}: {error}") from None
            yield from _read_file(included, (*within, *([path] if path else [])), reading)
        elif isinstance(statement, config_parser.BindingStatement):
            yield Binding(
                statement.scope or "",
                statement.selector,
                statement.arg_name or "",
                statement.value,
                place,
                path is None,
            )
        elif isinstance(statement, config_parser.ImportStatement):
            if statement.module.startswith("__gin__"):
                raise ConfigError(f"{place}: gin's dynamic registration is not used here; take the line out.")
            yield Import(statement.module, place)


def _unquoted(line: str | None, path: Path | None) -> str | None:
    """What is wrong with a line of a file whose value is text without quotes, or in quotes that are none."""
    if path is None or not line:  # what was typed as --set is told by read_set
        return None
    key, equals, value = (part.strip() for part in line.partition("#")[0].partition("="))
    if not equals or not key or not value:
        return None
    if value[0] in _CURLY and value[-1] in _CURLY:
        return f"quotes are straight ones: {key} = {value.strip(_CURLY)!r}"
    try:
        text = _is_bare_text(value) or re.fullmatch(r"""[^\W\d][^'"()\[\]{},=%@]*""", value) is not None
    except ConfigError as error:
        return str(error).rstrip(".")
    return f"text stands in quotes: {key} = {value!r}" if text else None


def _reason(error: SyntaxError) -> str:
    # a word that is no value: Python's message shows its own parser's object
    if found := re.search(r"<ast\..*Failed to parse token '(.*)'", error.msg or "", re.DOTALL):
        return f"{found[1]} is neither a number nor text in quotes"
    return (error.msg or "this is not gin").strip().rstrip(".").split("\n")[0]


def _quoted(line: str | None) -> str:
    return f"\n    {line.strip()[:_MOST_QUOTED]}\n" if line and line.strip() else ""


def inner_values(value: Any) -> Iterator[Any]:  # noqa: ANN401 - a gin value is any plain data
    """All values within a gin value, itself included."""
    yield value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from inner_values(key)
            yield from inner_values(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from inner_values(item)
