"""Train a model on a dataset (a teacher, for one)."""

from __future__ import annotations

from zoo.commands import gin_program

_EXAMPLES = (
    "zoo train --gin train/gru-L.gin --set \"DATASET='data/violin'\" --name gru-L-violin",
    "zoo train --gin train/tcn-S.gin --set \"DATASET='tones'\" --set STEPS=300",
    "zoo train --resume --out runs/gru-L-violin",
)


def main(argv: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = gin_program.parser(
        "zoo train",
        "Train a model without a teacher, on recordings that zoo prepare made into a dataset. The result may be a "
        "teacher itself.",
        _EXAMPLES,
    )
    return gin_program.run("train", parser.parse_args(argv))
