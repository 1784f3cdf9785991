"""Show runs side by side on a page: sounds, spectrograms, losses, a blind test."""

from __future__ import annotations

import argparse
import sys

from zoo.commands import cli


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo report",
        "Write one page (index.html) that shows runs side by side: what they are, what they reached, their losses, and "
        "for some held-out phrases players and spectrograms of recording, teacher and every student, with a blind "
        "comparison. It holds everything, asks no network for anything, and computes nothing anew.",
        [
            "zoo report runs/violin-gru runs/violin-tcn --out report",
            "zoo report runs/comparison --out report    # all runs of a comparison (zoo compare)",
            "zoo report gru-M-tones org/gru-S-flute@v1 --phrases 1 --out report",
        ],
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="a run's folder, a name, a Hub id, or a folder of runs (zoo compare's)"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder for index.html")
    parser.add_argument("--phrases", type=int, default=3, metavar="N", help="held-out phrases, at most (default 3)")
    parser.add_argument("--max-mb", type=float, default=50.0, metavar="MB", help="of the page, at most (default 50)")
    parser.add_argument("--force", action="store_true", help="write into a folder that is not empty")
    options = parser.parse_args(arguments)
    _write(options)
    return 0


def _write(options: argparse.Namespace) -> None:
    from zoo_report import make_report

    made = make_report(
        options.runs, out=options.out, phrases=options.phrases, force=options.force, max_megabytes=options.max_mb
    )
    for note in made.notes:
        sys.stdout.write(f"missing: {note}\n")
    sys.stdout.write(
        f"{made.path}: {made.megabytes:.1f} MB, {_count(made.runs, 'run')}, {_count(made.phrases, 'phrase')}, "
        f"{_count(made.sounds, 'sound')}. Open it in a browser.\n"
    )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
