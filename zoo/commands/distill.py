"""Train a small student from a large teacher."""

from __future__ import annotations

from zoo.commands import gin_program

_EXAMPLES = (
    "zoo distill --gin quickstart.gin",
    "zoo distill --gin distill/gru-L-to-gru-S.gin --set \"DATASET='data/violin'\" --out runs/violin",
    "zoo distill --gin distill/tcn-L-to-tcn-S.gin --set \"DATASET='tones'\" --set \"TEACHER='runs/big'\"",
    "zoo distill --resume --out runs/violin",
)


def main(argv: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = gin_program.parser(
        "zoo distill",
        "Train a small student to sound like a large, trained teacher, on recordings that zoo prepare made "
        "into a dataset.",
        _EXAMPLES,
    )
    return gin_program.run("distill", parser.parse_args(argv))
