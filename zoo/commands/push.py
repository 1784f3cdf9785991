"""Send a run to the Hugging Face Hub."""

from __future__ import annotations

import sys
from tempfile import TemporaryDirectory

from zoo import registry
from zoo.commands import cli
from zoo.commands.web import push_page


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo push",
        "Send a run, or a model of your store, to the Hugging Face Hub, in one commit: weights, config, card, "
        "measures, gin files, plots, and samples, excerpts of recordings among them. Checkpoints and this machine's "
        "paths stay here.",
        [
            "zoo push runs/my-flute org/gru-S-flute",
            "zoo push gru-S-violin gru-S-flute --space org/my-instruments   # the page of zoo web, as a Space",
            "zoo push gru-S-flute org/gru-S-flute --private --message 'Train twice as long'",
            "zoo push runs/my-flute other/gru-S-flute --pull-request",
            "zoo push runs/my-flute org/gru-S-flute --with onnx,player",
        ],
    )
    parser.add_argument("run", help="a run's folder, or a name in your store; with --space a model or a page, too")
    parser.add_argument(
        "repo",
        nargs="*",
        help="org/name on the Hub, or org/name@branch; made if it is not there (with --space: models)",
    )
    parser.add_argument("--space", metavar="ORG/NAME", help="send a page that plays these models to this static Space")
    visibility = parser.add_mutually_exclusive_group()
    visibility.add_argument("--private", action="store_true", default=None, help="a repo that is made is yours alone")
    visibility.add_argument("--public", dest="private", action="store_false", help="a repo that is made is public")
    parser.add_argument("--revision", metavar="BRANCH", help="commit to this branch; made if it is not there")
    parser.add_argument("--pull-request", action="store_true", help="open a pull request instead of committing")
    parser.add_argument(
        "--with",
        metavar="EXPORTERS",
        dest="exporters",
        help="export the model, and send the files too, with their SHA-256 in export.json: "
        f"of {', '.join(registry.exporters)} those that write one file, with commas between them",
    )
    parser.add_argument(
        "--no-recordings",
        dest="recordings",
        action="store_false",
        help="keep the excerpts of held-out recordings here, samples/*_recording.wav; send the model's sounds alone",
    )
    parser.add_argument("--message", help="the commit's title")
    cli.add_hub_options(parser)
    options = parser.parse_args(arguments)
    if options.space is not None:
        return push_page(options)
    if len(options.repo) != 1:
        parser.error("give a run and then where it goes: org/name on the Hub")
    (options.repo,) = options.repo
    from zoo.resolve import push

    with TemporaryDirectory(prefix="zoo-push-") as place:
        exports = None
        if options.exporters is not None:
            from zoo.export.run_exports import export_run, names_of

            exports = export_run(options.run, names_of(options.exporters), place)
        pushed = push(
            options.run,
            options.repo,
            private=options.private,
            revision=options.revision,
            create_pr=options.pull_request,
            commit_message=options.message,
            token=options.token,
            endpoint=options.endpoint,
            exports=exports,
            recordings=options.recordings,
        )
    sys.stdout.write(f"{pushed.url}\nAnyone can load exactly this by: zoo.load({pushed.reference!r})\n")
    return 0
