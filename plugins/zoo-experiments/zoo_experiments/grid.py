"""A grid: many pairs, on several instruments, each a run in a process of its own; and what they reached, in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import ConfigError, TrainingError
from zoo.storage import check_instrument, hold, write_atomically
from zoo_experiments.jobs import Job, JobState, Status, run_jobs
from zoo_experiments.run_table import RunResult, markdown, result_of, write_csv


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Attributes:
        name: E.g. "gru-L-to-gru-S-flute": also its folder's.
        recipe: The gin file.
        bindings: What is set beyond it, as `--set` takes it.
    """

    name: str
    recipe: str
    bindings: tuple[str, ...]


def cells_of(
    recipes: Sequence[str],
    *,
    instruments: Sequence[str] | None = None,
    data: str = "data/{instrument}",
    only: Mapping[str, Sequence[str]] | None = None,
    bindings: Sequence[str] = (),
) -> list[Cell]:
    """The runs of a grid: each recipe on each instrument.

    Example:
        >>> [cell.name for cell in cells_of(["distill/gru-L-to-gru-S.gin"], instruments=["flute", "violin"])]
        ['gru-L-to-gru-S-flute', 'gru-L-to-gru-S-violin']

    Args:
        recipes: gin files, as `--gin` takes them.
        instruments: What to run each on; once as it is where None.
        data: The dataset's folder; `{instrument}` in it is filled in.
        only: Recipes that are for some instruments alone.
        bindings: What is set for all of them.

    Raises:
        ConfigError: A recipe is there twice, or `only` names one that is not.
    """
    names = [Path(recipe).stem for recipe in recipes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"The grid has {', '.join(twice)} more than once, and a run's folder is named after it.")
    only = dict(only or {})
    if unknown := [recipe for recipe in only if recipe not in recipes]:
        raise ConfigError(f"grid.only names {', '.join(unknown)}, which is not among the recipes.")
    cells = []
    for recipe, name in zip(recipes, names, strict=True):
        if instruments is None:
            cells.append(Cell(name, recipe, tuple(bindings)))
            continue
        for instrument in only.get(recipe, instruments):
            check_instrument(instrument, "--instruments:")
            own = (f"INSTRUMENT={instrument!r}", f"DATASET={data.replace('{instrument}', instrument)!r}")
            cells.append(Cell(f"{name}-{instrument}", recipe, (*own, *bindings)))
    if not cells:
        raise ConfigError("The grid is empty: give gin files, e.g. distill/gru-L-to-gru-S.gin")
    return cells


def grid(
    *,
    recipes: Sequence[str],
    out: str | Path,
    instruments: Sequence[str] | None = None,
    data: str = "data/{instrument}",
    only: Mapping[str, Sequence[str]] | None = None,
    bindings: Sequence[str] = (),
    jobs: int = 1,
    retries: int = 2,
    steps_of: Callable[[Cell], int] = lambda _: 0,
    show: Callable[[Sequence[Status]], None] = lambda _: None,
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
        jobs: How many runs at a time.
        retries: How often a run that failed is started again.
        steps_of: How many steps a run is to take.
        show: Called now and then with where all runs are.

    Returns:
        What the finished runs reached.

    Raises:
        ConfigError: The grid makes no sense.
        InUseError: Another grid or comparison runs in the same folder.
        TrainingError: Some runs failed; the others are finished, and in the results.
        KeyboardInterrupt: Ctrl-C (or SIGTERM); the same call goes on.
    """
    out = Path(out)
    cells = cells_of(recipes, instruments=instruments, data=data, only=only, bindings=bindings)
    with hold(out, doing="a grid", advice="take another --out"):
        return _run(cells, out, jobs, retries, steps_of, show)


def _run(
    cells: Sequence[Cell],
    out: Path,
    jobs: int,
    retries: int,
    steps_of: Callable[[Cell], int],
    show: Callable[[Sequence[Status]], None],
) -> list[RunResult]:
    statuses = run_jobs(
        [_job(cell, out, steps_of(cell)) for cell in cells], logs=out / "logs", at_once=jobs, retries=retries, show=show
    )
    rows = [row for cell in cells if (row := result_of(out / cell.name, name=cell.name)) is not None]
    write_csv([row.columns() for row in rows], out / "results.csv")
    write_atomically(out / "results.md", markdown(rows))
    if failed := [status for status in statuses if status.state is JobState.FAILED]:
        reasons = "\n".join(f"  {status.job.name}: {status.reason} (log: {status.log})" for status in failed)
        raise TrainingError(
            f"{len(failed)} of {len(statuses)} runs failed:\n{reasons}\nThe others are in {out / 'results.md'}. "
            "The same command tries the failed ones again."
        )
    return rows


def _job(cell: Cell, out: Path, steps: int) -> Job:
    settings = [word for binding in cell.bindings for word in ("--set", binding)]
    folder = out / cell.name
    arguments = ("-m", "zoo", "distill", "--gin", cell.recipe, *settings, "--out", str(folder))
    return Job(cell.name, arguments, folder, steps)
