"""Distil many pairs, and compare what they reach."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from zoo.checks import refuse, whole_fault, writable_fault
from zoo.commands import cli, gin_program
from zoo.gin_config import Binding, configure, read_files


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo grid",
        "Distil many pairs, each as a run in a process of its own, and collect what they reached in one table "
        "(results.csv, results.md). The same command goes on where it was stopped: finished runs stay, begun ones are "
        "resumed, failed ones tried again.",
        [
            "zoo grid grid/thesis.gin --out runs/thesis --jobs 2",
            "zoo grid distill/gru-L-to-gru-S.gin distill/tcn-L-to-tcn-S.gin --instruments flute violin "
            "--out runs/small --set STEPS=20000",
        ],
    )
    parser.add_argument("gin", nargs="+", metavar="GIN", help="recipes of pairs, or files that set grid.recipes")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="for the runs, their logs and the results")
    parser.add_argument("--instruments", nargs="+", metavar="NAME", help="run each recipe on each of these")
    parser.add_argument("--data", metavar="FOLDER", help="the datasets (default: data/{instrument})")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at a time (default 1)")
    parser.add_argument("--retries", type=int, metavar="N", help="start a failed run again so often (default 2)")
    parser.add_argument(
        "--set", dest="bindings", action="append", default=[], metavar="NAME=VALUE", help="set this in every run"
    )
    options = parser.parse_args(arguments)
    from zoo_experiments.grid import grid
    from zoo_experiments.job_table import JobTable

    gin_program.show_messages()
    wanted = _wanted(options.gin)
    given = {name: getattr(options, name) for name in ("instruments", "data", "jobs", "retries")}
    wanted |= {name: value for name, value in given.items() if value is not None}
    wanted["bindings"] = [*wanted.get("bindings", []), *options.bindings]
    refuse(
        (
            whole_fault("--jobs", wanted.get("jobs", 1), least=1, most=1024),
            whole_fault("--retries", wanted.get("retries", 0), least=0, most=1000),
            writable_fault(options.out, "--out"),
        )
    )
    steps = _check(wanted)
    grid(**wanted, out=options.out, steps_of=lambda cell: steps[cell.name], show=JobTable())
    with open(f"{options.out}/results.md", encoding="utf-8") as file:  # noqa: PTH123 - shown as it is
        sys.stdout.write(file.read())
    return 0


def _wanted(files: list[str]) -> dict[str, Any]:
    """The grid's arguments: from files that set any of them; the other files are recipes."""
    from zoo_experiments.grid import grid

    grids = [f for f in files if any(isinstance(s, Binding) and s.name == "grid" for s in read_files([f]))]
    found: dict[str, Any] = {"recipes": []}
    if grids:
        functions = {**gin_program.main_functions(), "grid": grid}
        arguments = configure(grids, functions=functions).arguments("grid", out="")
        found |= {name: value for name, value in arguments.items() if name != "out"}
    return {**found, "recipes": [*found["recipes"], *(f for f in files if f not in grids)]}


def _check(wanted: Mapping[str, Any]) -> dict[str, int]:
    """Steps of each run; a mistake in any recipe is told before the first one starts."""
    from zoo_experiments.grid import cells_of

    names = ("recipes", "instruments", "data", "only", "bindings")
    steps = {}
    for cell in cells_of(**{name: wanted[name] for name in names if name in wanted}):
        config = configure([cell.recipe], cell.bindings, functions=gin_program.main_functions()).make("distill")
        config.check()
        steps[cell.name] = config.steps
    return steps
