"""`python -m zoo.train`: train a model alone, on recordings."""

from __future__ import annotations

from zoo.commands import cli, gin_program

_EXAMPLES = (
    "python -m zoo.train --gin train/gru-L.gin --set \"DATASET='data/violin'\" --name gru-L-violin",
    "python -m zoo.train --gin train/tcn-S.gin --set \"DATASET='tones'\" --set STEPS=300",
    "python -m zoo.train --resume --out runs/gru-L-violin",
)


def _main(argv: list[str]) -> int:
    parser = gin_program.parser(
        "python -m zoo.train",
        "Train a model alone, on recordings that python -m zoo.prepare made into a dataset: a teacher, for one.",
        _EXAMPLES,
    )
    return gin_program.run("train", parser.parse_args(argv))


def main(argv: list[str] | None = None) -> int:
    """Run the command and give its exit code."""
    return cli.run(_main, argv)


if __name__ == "__main__":
    raise SystemExit(main())
