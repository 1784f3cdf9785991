"""Make a run's card anew."""

from __future__ import annotations

import sys

from zoo.commands import cli
from zoo.errors import ConfigError
from zoo.storage.locks import hold


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo card",
        "Make the card of a run anew (its README.md) from what is in its folder. What you wrote between the card's two "
        "comment lines stays, and so does its licence.",
        [
            "zoo card runs/my-flute",
            "zoo card runs/my-flute --licence cc-by-4.0",
            "zoo card runs/my-flute --exports all",
        ],
    )
    parser.add_argument("run", help="a run's folder, or a name in your store")
    parser.add_argument("--licence", "--license", metavar="ID", help="state a licence: its identifier on the Hub")
    parser.add_argument(
        "--exports",
        metavar="EXPORTERS",
        help="try the model in each of these runtimes, with commas between them, or all, and put into the card how far "
        "it is from the model there and how long a block takes (in export.json; takes a minute)",
    )
    options = parser.parse_args(arguments)
    from zoo.cards import write_card
    from zoo.resolve import find

    found = find(options.run)
    if found.source == "hub":
        raise ConfigError(f"{options.run} is on the Hub. Give the run's folder here, then push it again.")
    with hold(found.folder, doing="writing the card", advice="copy the run"):
        if options.exports is not None:
            from zoo.export.run_exports import export_run, names_of

            export_run(
                found.folder,
                names_of(options.exports),
                found.folder,
                files=False,
                leave_out=lambda name, reason: sys.stderr.write(f"{name} is left out: {reason}\n"),
            )
        sys.stdout.write(f"{write_card(found.folder, licence=options.licence)}\n")
    return 0
