"""Get a model from the Hugging Face Hub."""

from __future__ import annotations

import sys

from zoo.commands import cli


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo fetch",
        "Get all files of a model on the Hub, and say where they are. What was fetched once loads without a network.",
        [
            "zoo fetch org/gru-L-flute",
            "zoo fetch org/gru-L-flute@v1 --name gru-L-flute   # from then on: zoo.load('gru-L-flute')",
        ],
    )
    parser.add_argument("model", help="org/name, or org/name@revision: a branch, tag or commit")
    parser.add_argument("--revision", help="a branch, tag or commit")
    parser.add_argument(
        "--name", help="enter it into your store under this name: ARCHITECTURE-INSTRUMENT, for example gru-L-flute"
    )
    parser.add_argument("--force", action="store_true", help="replace the model of that --name in your store")
    parser.add_argument(
        "--cache-dir", metavar="FOLDER", help="where fetched files are kept (default: the Hub's own cache)"
    )
    parser.add_argument("--offline", action="store_true", help="ask nobody, take what was fetched before")
    cli.add_hub_options(parser)
    options = parser.parse_args(arguments)
    from zoo.resolve import fetch

    folder = fetch(
        options.model,
        revision=options.revision,
        cache_dir=options.cache_dir,
        local_files_only=options.offline,
        token=options.token,
        endpoint=options.endpoint,
        name=options.name,
        force=options.force,
    )
    sys.stdout.write(f"{folder}\n")
    return 0
