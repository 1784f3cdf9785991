"""Find out whether distillation helps: teacher, student and baseline, several seeds."""

from __future__ import annotations

import sys
from pathlib import Path

from zoo.checks import refuse, seed_fault, whole_fault, writable_fault
from zoo.commands import cli, gin_program
from zoo.errors import ConfigError
from zoo.gin_config import configure
from zoo.storage import write_atomically


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo compare",
        "Find out whether distillation helps: train the same student from a teacher and without one (the baseline), "
        "with several seeds, and show teacher, baseline, distilled student and noise floor with their spread, and the "
        "fraction of the gap that is closed (compare.md, compare.csv). The same command goes on where it was stopped.",
        [
            "zoo compare --gin distill/gru-L-to-gru-S.gin --set DATASET=data/violin --out runs/comparison",
            "zoo compare --gin distill/gru-L-to-gru-S.gin --gin losses/feature.gin --set DATASET=data/violin "
            "--seeds 5 --jobs 2 --out runs/comparison-feature",
        ],
    )
    gin_program.add_gin_options(parser)
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="how many (default 3)")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N", help="the first of them (default 0)")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="for the runs, their logs and the results")
    cli.add_executor_options(parser, "runs")
    parser.add_argument("--retries", type=int, default=2, metavar="N", help="start a failed run again so often")
    parser.add_argument("--part", choices=("distilled", "baseline"), help="train this alone, with the first seed")
    parser.add_argument("--resume", action="store_true", help="with --part: go on with its run")
    options = parser.parse_args(arguments)
    if not options.gin:
        raise ConfigError("Say what to compare: --gin distill/gru-L-to-gru-S.gin")
    refuse(
        (
            "--seeds must be 1 or more: there must be at least one seed." if options.seeds < 1 else None,
            whole_fault("--seeds", options.seeds, least=options.seeds, most=10_000),
            seed_fault("--first-seed", options.first_seed),
            seed_fault("The last seed", options.first_seed + options.seeds - 1) if options.seeds > 0 else None,
            whole_fault("--retries", options.retries, least=0, most=1000),
            writable_fault(options.out, "--out"),
        )
    )
    from zoo_experiments import comparison
    from zoo_experiments.progress import RunTable

    execution = cli.execution_of(options)
    gin_program.show_messages()
    configuration = configure(options.gin, options.bindings, functions=gin_program.main_functions())
    config = configuration.make("distill")
    config.check()
    out = Path(options.out)
    if options.part is not None:
        command, given = ("train", {}) if options.part == "baseline" else ("distill", config.to_flat())
        comparison.run_part(
            options.part,
            config,
            seed=options.first_seed,
            out=out,
            resume=options.resume,
            records=lambda own: gin_program.records_of(own, configuration, command, given=given),
        )
        return 0

    if config.seed not in (0, options.first_seed):  # 0 is what a recipe has by itself
        last = options.first_seed + options.seeds - 1
        sys.stderr.write(
            f"warning: SEED = {config.seed} is not used: the seeds are {options.first_seed} to {last}. For others give "
            "--first-seed.\n"
        )

    def part_of(part: str, seed: int) -> list[str | Path]:
        # the whole of it in one file, which another machine can be given
        write_atomically(recipe := out / "recipe.gin", configuration.config)
        command: list[str | Path] = ["-m", "zoo", "compare", "--gin", recipe, "--out", out]
        return [*command, "--part", part, "--first-seed", str(seed)]

    found = comparison.compare(
        out=out,
        seeds=range(options.first_seed, options.first_seed + options.seeds),
        config=config,
        arguments=part_of,
        execution=execution,
        retries=options.retries,
        show=RunTable(),
    )
    sys.stdout.write(found.markdown())
    return 0
