"""`python -m zoo list`: what models there are."""

from __future__ import annotations

from zoo import cli
from zoo.commands.tables import write_table
from zoo.errors import ModelNotFoundError, near_matches


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "python -m zoo list",
        "List models: architectures that can be built, and trained models on this machine.",
        ["python -m zoo list", "python -m zoo list 'gru-*'", "python -m zoo list --pretrained"],
    )
    parser.add_argument("pattern", nargs="?", default="*", help="a name with the wildcards * and ? (quote it)")
    parser.add_argument("--pretrained", action="store_true", help="only models with weights on this machine")
    options = parser.parse_args(arguments)
    from zoo.listing import list_models, status_of

    names = list_models(options.pattern, pretrained=options.pretrained)
    if not names:
        raise ModelNotFoundError(
            f"No {'trained ' if options.pretrained else ''}model is named like {options.pattern!r}."
            f"{near_matches(options.pattern, list_models())} All of them: python -m zoo list"
        )
    write_table([("name", "status")] + [(name, status_of(name)) for name in names])
    return 0
