"""Copy what of a run is for others, with weights of half the size."""

from __future__ import annotations

import sys
from pathlib import Path

from zoo.commands import cli

_LIMIT_DB = -60.0  # a thousandth of the amplitude: far under the noise that any of our models makes


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo half",
        "Copy what of a run is for others (no checkpoints, no paths of this machine) with its weights stored as "
        "float16, at half the size, and make its card anew. Before, the run and the copy are both played with the same "
        "noise; where they differ by more than the limit, nothing is written.",
        [
            "zoo half runs/gru-L-flute model_cards/gru-L-flute --samples 2",
            "zoo half runs/my-flute shipped/gru-S-flute --data data/flute --limit-db -50 --plots",
        ],
    )
    parser.add_argument("run", help="a run's folder, or a name")
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument(
        "--data", metavar="DATASET", help="play its held-out segments (default: built-in phrases over five octaves)"
    )
    parser.add_argument(
        "--limit-db",
        type=float,
        default=_LIMIT_DB,
        metavar="DB",
        help="energy of the difference over that of the sound, at most (default %(default)g)",
    )
    parser.add_argument(
        "--samples", type=int, metavar="N", help="keep the sounds of the first N phrases (default: all)"
    )
    parser.add_argument("--plots", action="store_true", help="keep the pictures")
    parser.add_argument(
        "--recordings",
        action="store_true",
        help="keep the recordings beside the model's sounds; see that their licences allow it",
    )
    parser.add_argument("--force", action="store_true", help="replace a model that is in the folder already")
    options = parser.parse_args(arguments)
    from zoo.checks.options import number_fault, refuse, whole_fault, writable_fault
    from zoo.export.half import halve

    refuse(
        (
            number_fault("--limit-db", options.limit_db),
            None if options.samples is None else whole_fault("--samples", options.samples, least=0),
            writable_fault(options.out, "The folder"),
        )
    )
    made = halve(
        options.run,
        options.out,
        data=options.data,
        limit_db=options.limit_db,
        samples=options.samples,
        plots=options.plots,
        recordings=options.recordings,
        force=options.force,
    )
    sys.stdout.write(
        f"{made.folder}: {made.config.name}, weights of {made.bytes_after / 1e6:.2f} MB "
        f"({made.bytes_before / 1e6:.2f} MB before); the sound differs by {made.difference_db:.1f} dB, on "
        f"{made.measured_on}.\n"
    )
    return 0
