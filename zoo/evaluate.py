"""`python -m zoo.evaluate`: measure a model on held-out recordings."""

from __future__ import annotations

from zoo import cli, gin_program
from zoo.errors import ConfigError

_EXAMPLES = (
    "python -m zoo.evaluate runs/gru-S-violin --data data/violin",
    "python -m zoo.evaluate gru-S-violin --data data/violin --split validation --max-segments 20 --out metrics.json",
)


def _main(argv: list[str]) -> int:
    parser = cli.parser(
        "python -m zoo.evaluate",
        "Measure a model, its teacher and its noise floor on held-out segments; lower is better in every line. The "
        "numbers of a run's folder go into its metrics.json and its card.",
        _EXAMPLES,
    )
    parser.add_argument("model", nargs="?", metavar="RUN_OR_NAME", help="a run's folder, or a model's name")
    parser.add_argument("--data", metavar="DATA", help="a prepared dataset's folder, or tones")
    parser.add_argument(
        "--split", default="test", help="train, validation or test (default: test; validation where it is empty)"
    )
    parser.add_argument("--max-segments", type=int, metavar="N", help="measure on at most N segments, evenly spread")
    parser.add_argument("--pitch", default="torchcrepe", metavar="TRACKER", help="of the f0 error (torchcrepe)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument("--out", metavar="FILE", help="where to write the numbers as JSON")
    gin_program.add_gin_options(parser)
    given = gin_program.typed_arguments("evaluate", parser, argv)
    for name, example in (("model", "python -m zoo.evaluate RUN_OR_NAME"), ("data", "--data data/violin")):
        if given.get(name) is None:
            raise ConfigError(f"Say which {name} to use: {example}")
    gin_program.show_messages()
    from zoo.training.evaluation import evaluate, table

    summary = evaluate(given.pop("model"), **given)
    print(table(summary))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command and give its exit code."""
    return cli.run(_main, argv)


if __name__ == "__main__":
    raise SystemExit(main())
