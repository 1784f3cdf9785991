"""Distil many pairs, and compare what they reach."""

from __future__ import annotations

import sys
from typing import Any

from zoo.checks import refuse, whole_fault, writable_fault
from zoo.commands import cli, gin_program
from zoo.gin_config import Binding, configure, read_files


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo grid",
        "Distil many pairs, each as a run of its own, here or on a cluster, and collect what they reached in one table "
        "(results.csv, results.md). The same command goes on where it was stopped: finished runs stay, begun ones are "
        "resumed, failed ones tried again.",
        [
            "zoo grid grid/thesis.gin --out runs/thesis --jobs 2",
            "zoo grid distill/gru-L-to-gru-S.gin distill/tcn-L-to-tcn-S.gin --instruments flute violin "
            "--out runs/small --set STEPS=20000",
            "zoo grid distill/gru-L-to-gru-S.gin --set DATASET=data/violin --sweep LEARNING_RATE=1e-3,5e-3 "
            "--sweep \"distill.student='gru-S','tcn-S'\" --out runs/rates --executor ray",
        ],
    )
    parser.add_argument("gin", nargs="+", metavar="GIN", help="recipes of pairs, or files that set grid.recipes")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="for the runs, their logs and the results")
    parser.add_argument("--instruments", nargs="+", metavar="NAME", help="run each recipe on each of these")
    parser.add_argument("--data", metavar="FOLDER", help="the datasets (default: data/{instrument})")
    cli.add_executor_options(parser, "runs")
    parser.add_argument("--retries", type=int, metavar="N", help="start a failed run again so often (default 2)")
    parser.add_argument(
        "--set", dest="bindings", action="append", default=[], metavar="NAME=VALUE", help="set this in every run"
    )
    parser.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="make a run for each of these values; may be repeated: every combination. For a search also a range: "
        "LOW..HIGH, or LOW..HIGH log",
    )
    parser.add_argument("--search", type=int, metavar="N", help="try N combinations, chosen by Optuna")
    parser.add_argument("--objective", metavar="COLUMN", help="of results.csv, to be small (default validation_loss)")
    options = parser.parse_args(arguments)
    from zoo_experiments.grid import grid
    from zoo_experiments.progress import RunTable

    gin_program.show_messages()
    wanted = _wanted(options.gin)
    given = {name: getattr(options, name) for name in ("instruments", "data", "retries", "search", "objective")}
    wanted |= {name: value for name, value in given.items() if value is not None}
    for name in ("bindings", "sweep"):
        wanted[name] = [*wanted.get(name, []), *getattr(options, name)]
    search = wanted.get("search")
    refuse(
        (
            None if search is None else whole_fault("--search", search, least=1, most=100_000),
            whole_fault("--retries", wanted.get("retries", 0), least=0, most=1000),
            writable_fault(options.out, "--out"),
        )
    )
    grid(**wanted, out=options.out, execution=cli.execution_of(options), show=RunTable())
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
