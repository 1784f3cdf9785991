"""`python -m zoo.distill`: train a small student to sound like a large teacher."""

from __future__ import annotations

from zoo.commands import cli, gin_program

_EXAMPLES = (
    "python -m zoo.distill --gin quickstart.gin",
    "python -m zoo.distill --gin distill/gru-L-to-gru-S.gin --set \"DATASET='data/violin'\" --out runs/violin",
    "python -m zoo.distill --gin distill/tcn-L-to-tcn-S.gin --set \"DATASET='tones'\" --set \"TEACHER='runs/big'\"",
    "python -m zoo.distill --resume --out runs/violin",
)


def _main(argv: list[str]) -> int:
    parser = gin_program.parser(
        "python -m zoo.distill",
        "Train a small student to sound like a large, trained teacher, on recordings that python -m zoo.prepare made "
        "into a dataset.",
        _EXAMPLES,
    )
    return gin_program.run("distill", parser.parse_args(argv))


def main(argv: list[str] | None = None) -> int:
    """Run the command and give its exit code."""
    return cli.run(_main, argv)


if __name__ == "__main__":
    raise SystemExit(main())
