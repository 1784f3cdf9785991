"""A grid: many pairs, on several instruments, with several settings; and what they reached, in a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from zoo.commands import gin_program
from zoo.errors import ConfigError, TrainingError
from zoo.executors import ExecutorConfig, Status
from zoo.gin_config import configure
from zoo.storage import check_instrument, hold, write_atomically
from zoo.training import is_done
from zoo_experiments.run_table import RunResult, markdown, result_of, write_csv
from zoo_experiments.runs import Run, Show, check_done, failures, run_all
from zoo_experiments.search import Search
from zoo_experiments.sweep import combinations, read_axis, suffix


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Attributes:
        name: E.g. "gru-L-to-gru-S-flute": also its folder's.
        recipe: The gin file.
        bindings: What is set beyond it, as `--set` takes it.
        values: Of the settings that are swept over, by setting; they are among the bindings.
    """

    name: str
    recipe: str
    bindings: tuple[str, ...]
    values: Mapping[str, str] = field(default_factory=dict)


def cells_of(
    recipes: Sequence[str],
    *,
    instruments: Sequence[str] | None = None,
    data: str = "data/{instrument}",
    only: Mapping[str, Sequence[str]] | None = None,
    bindings: Sequence[str] = (),
    sweep: Sequence[str] = (),
) -> list[Cell]:
    """The runs of a grid: each recipe on each instrument with each combination of values.

    Example:
        >>> [cell.name for cell in cells_of(["distill/gru-L-to-gru-S.gin"], instruments=["flute", "violin"])]
        ['gru-L-to-gru-S-flute', 'gru-L-to-gru-S-violin']

    Args:
        recipes: gin files, as `--gin` takes them.
        instruments: What to run each on; once as it is where None.
        data: The dataset's folder; `{instrument}` in it is filled in.
        only: Recipes that are for some instruments alone.
        bindings: What is set for all of them.
        sweep: Settings with their values; see `zoo_experiments.sweep.read_axis`.

    Raises:
        ConfigError: A recipe is there twice, or `only` names one that is not; a sweep cannot be read.
    """
    return _cells(recipes, instruments, data, only, bindings, combinations([read_axis(text) for text in sweep]))


def _cells(
    recipes: Sequence[str],
    instruments: Sequence[str] | None,
    data: str,
    only: Mapping[str, Sequence[str]] | None,
    bindings: Sequence[str],
    combined: Sequence[Mapping[str, str]],
) -> list[Cell]:
    names = [Path(recipe).stem for recipe in recipes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"The grid has {', '.join(twice)} more than once, and a run's folder is named after it.")
    only = dict(only or {})
    if unknown := [recipe for recipe in only if recipe not in recipes]:
        raise ConfigError(f"grid.only names {', '.join(unknown)}, which is not among the recipes.")
    cells = []
    for recipe, name in zip(recipes, names, strict=True):
        for instrument in [None] if instruments is None else only.get(recipe, instruments):
            own: tuple[str, ...] = ()
            if instrument is not None:
                check_instrument(instrument, "--instruments:")
                own = (f"INSTRUMENT={instrument!r}", f"DATASET={data.replace('{instrument}', instrument)!r}")
            for values in combined:
                whole = (f"{name}-{instrument}" if instrument else name) + suffix(values)
                swept = [f"{setting}={value}" for setting, value in values.items()]
                cells.append(Cell(whole, recipe, (*own, *bindings, *swept), values))
    if not cells:
        raise ConfigError("The grid is empty: give gin files, e.g. distill/gru-L-to-gru-S.gin")
    if len({cell.name for cell in cells}) < len(cells):
        raise ConfigError("Two values of --sweep give the same name: make them differ in letters or digits.")
    return cells


def grid(
    *,
    recipes: Sequence[str],
    out: str | Path,
    instruments: Sequence[str] | None = None,
    data: str = "data/{instrument}",
    only: Mapping[str, Sequence[str]] | None = None,
    bindings: Sequence[str] = (),
    sweep: Sequence[str] = (),
    search: int | None = None,
    objective: str = "validation_loss",
    execution: ExecutorConfig | None = None,
    retries: int = 2,
    show: Show = lambda _: None,
) -> list[RunResult]:
    """Run a grid, and collect what its runs reached in `results.csv` and `results.md`.

    The same call goes on where an earlier one was stopped.

    Args:
        recipes: See `cells_of`.
        out: Folder for the runs, their logs and the results.
        instruments: See `cells_of`.
        data: See `cells_of`.
        only: See `cells_of`.
        bindings: See `cells_of`.
        sweep: See `cells_of`; for a search also ranges.
        search: Try so many combinations of `sweep`, chosen by what those before reached, in place of all.
        objective: What is to be small then: a column of results.csv.
        execution: What makes the runs, how many at a time.
        retries: How often a run that failed is started again.
        show: Called now and then with where all runs are.

    Returns:
        What the finished runs reached.

    Raises:
        ConfigError: The grid makes no sense, or a recipe; nothing has run then.
        InUseError: Another grid or comparison runs in the same folder.
        TrainingError: Some runs failed; the others are finished, and in the results.
        KeyboardInterrupt: Ctrl-C (or SIGTERM); the same call goes on.
    """
    out, execution = Path(out), execution or ExecutorConfig()
    axes = [read_axis(text) for text in sweep]
    with hold(out, doing="a grid", advice="take another --out"):
        if search is None:
            cells = _cells(recipes, instruments, data, only, bindings, combinations(axes))
            return _run(cells, out, execution, retries, show)
        base = _cells(recipes, instruments, data, only, bindings, [{}])
        journal = Search(out / "search.log", axes, trials=search, objective=objective)
        return _search(base, journal, out, execution, retries, show)


def _run(cells: Sequence[Cell], out: Path, execution: ExecutorConfig, retries: int, show: Show) -> list[RunResult]:
    with _results_when_stopped(cells, out):
        statuses = run_all(_runs(cells, out), execution, retries=retries, show=show)
    rows = _collect(cells, out)
    _refuse_failed(statuses, out, "The same command tries the failed ones again.")
    return rows


@contextmanager
def _results_when_stopped(cells: Sequence[Cell], out: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if any(is_done(out / cell.name) for cell in cells):
            _collect(cells, out)
        raise


def _search(
    base: Sequence[Cell],
    search: Search,
    out: Path,
    execution: ExecutorConfig,
    retries: int,
    show: Show,
) -> list[RunResult]:
    if len(base) != 1:
        raise ConfigError(f"A search is for one pair on one instrument, found {len(base)}.")

    def cell(number: int, values: Mapping[str, str]) -> Cell:
        settings = (f"{name}={value}" for name, value in values.items())
        return Cell(f"{base[0].name}-trial-{number:03}", base[0].recipe, (*base[0].bindings, *settings), values)

    made = [cell(number, values) for number, values in search.ended().items()]
    check_done(_runs(made, out))
    statuses: list[Status] = []
    while chosen := search.next(execution.jobs or 1):
        cells = [cell(number, values) for number, values in chosen.items()]
        made += cells
        with _results_when_stopped(made, out):
            ended = run_all(_runs(cells, out), execution, retries=retries, show=show)
        statuses += ended
        reached = {row.name: row.columns() for row in _collect(made, out)}
        for number, one in zip(chosen, cells, strict=True):
            search.tell(number, reached.get(one.name, {}))
    rows = _collect(made, out)
    _refuse_failed(statuses, out, "The same command with a larger --search tries other values.")
    return rows


def _runs(cells: Sequence[Cell], out: Path) -> list[Run]:
    """The runs; a mistake in any recipe is told before the first one starts."""
    planned = []
    for cell in cells:
        configuration = configure([cell.recipe], cell.bindings, functions=gin_program.main_functions())
        config = configuration.make("distill")
        config.check()
        planned.append((cell, configuration.config, config))
    runs = []
    for cell, text, config in planned:
        # the whole of it in one file, which another machine can be given
        recipe, folder = out / "recipes" / f"{cell.name}.gin", out / cell.name
        write_atomically(recipe, text)
        arguments = ("-m", "zoo", "distill", "--gin", recipe, "--out", folder)
        runs.append(Run(cell.name, folder, arguments, out / "logs" / f"{cell.name}.log", config.steps, config, config))
    return runs


def _collect(cells: Sequence[Cell], out: Path) -> list[RunResult]:
    # one that failed has a history too, and a best loss from before: that is no result of its settings
    done = [cell for cell in cells if is_done(out / cell.name)]
    found = [result_of(out / cell.name, name=cell.name, values=cell.values) for cell in done]
    rows = [row for row in found if row is not None]
    write_csv([row.columns() for row in rows], out / "results.csv")
    write_atomically(out / "results.md", markdown(rows))
    return rows


def _refuse_failed(statuses: Sequence[Status], out: Path, fix: str) -> None:
    if failed := failures(statuses):
        raise TrainingError(
            f"{len(failed.splitlines())} of {len(statuses)} runs failed:\n{failed}\nThe others are in "
            f"{out / 'results.md'}. {fix}"
        )
