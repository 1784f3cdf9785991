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
        ["zoo card runs/my-flute", "zoo card runs/my-flute --licence cc-by-4.0"],
    )
    parser.add_argument("run", help="a run's folder, or a name in your store")
    parser.add_argument("--licence", "--license", metavar="ID", help="state a licence: its identifier on the Hub")
    options = parser.parse_args(arguments)
    from zoo.cards import write_card
    from zoo.resolve import find

    found = find(options.run)
    if found.source == "hub":
        raise ConfigError(f"{options.run} is on the Hub. Give the run's folder here, then push it again.")
    with hold(found.folder, doing="writing the card", advice="copy the run"):
        sys.stdout.write(f"{write_card(found.folder, licence=options.licence)}\n")
    return 0
