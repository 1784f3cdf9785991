"""List models: architectures, and trained ones here or on the Hub."""

from __future__ import annotations

import argparse

from zoo.commands import cli
from zoo.errors import ConfigError, ModelNotFoundError, near_matches


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo list",
        "List models: architectures that can be built, and trained models on this machine or on the Hub.",
        [
            "zoo list",
            "zoo list 'gru-*'",
            "zoo list --pretrained",
            "zoo list 'gru-*' --hub --org someone",
        ],
    )
    parser.add_argument("pattern", nargs="?", default="*", help="a name with the wildcards * and ? (quote it)")
    parser.add_argument("--pretrained", action="store_true", help="only models with weights on this machine")
    parser.add_argument("--hub", action="store_true", help="models on the Hugging Face Hub instead")
    parser.add_argument("--org", metavar="NAME", help="with --hub: only those of this account")
    cli.add_hub_options(parser)
    options = parser.parse_args(arguments)
    if options.hub:
        return _list_hub(options)
    if options.org is not None:
        raise ConfigError("--org is an account on the Hub: say --hub too.")
    from zoo.listing import list_models, statuses

    names = list_models(options.pattern, pretrained=options.pretrained)
    if not names:
        raise ModelNotFoundError(
            f"No {'trained ' if options.pretrained else ''}model is named like {options.pattern!r}."
            f"{near_matches(options.pattern, list_models())} All of them: zoo list"
        )
    cli.write_table([("name", "status"), *statuses(names).items()])
    return 0


def _list_hub(options: argparse.Namespace) -> int:
    from zoo.hub.client import HubClient
    from zoo.hub.searching import search

    found = search(options.pattern, org=options.org, client=HubClient(token=options.token, endpoint=options.endpoint))
    if not found:
        whose = f" of {options.org}" if options.org else ""
        raise ModelNotFoundError(
            f"The Hub has no model of zoo{whose} that is named like {options.pattern!r}. All of them: zoo list --hub"
        )
    rows = [("model", "downloads", "changed", "")]
    rows += [(m.repo_id, str(m.downloads), m.changed, "private" if m.private else "") for m in found]
    cli.write_table(rows)
    return 0
