"""A page on which instruments are played live."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import webbrowser
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from zoo.commands import cli
from zoo.errors import ConfigError

_ADDRESS = "127.0.0.1"


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo web",
        "Play instruments in the browser, live: by voice, keys, MIDI, or a recording that is dropped there. "
        "Without --out the page is served on this machine until Ctrl-C; with it, it is a folder for any web host.",
        [
            "zoo web gru-S-violin --open",
            "zoo web 'gru-S-*' --open                      # every such model, switched while playing",
            "zoo web runs/my-flute gru-S-violin --out site   # a folder for any static host",
            "zoo push site --space org/my-instruments        # a page on the Hugging Face Hub",
        ],
    )
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="a name, a pattern of names, a run's folder, a Hub id"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write the page here, for a host of your own")
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    parser.add_argument("--port", type=int, metavar="N", help="serve it at this port (default: a free one)")
    parser.add_argument(
        "--weights",
        choices=("float32", "float16", "int8"),
        default="float16",
        help="what the networks' numbers are stored as: fewer bits, quicker download (default: float16)",
    )
    options = parser.parse_args(arguments)
    if options.port is not None and not 0 <= options.port <= 65535:
        raise ConfigError(f"--port {options.port}: a port is 0 to 65535.")
    models = named(options.models)
    from zoo.export.web import write_site

    with ExitStack() as stack:
        folder = options.out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zoo-web-"))) / "site"
        sys.stderr.write(f"Writing {', '.join(models)}; each is played against its model first ...\n")
        write_site(models, folder, weights=options.weights)
        if options.out is not None:
            sys.stdout.write(
                f"{folder}: {size_of(folder)}. Any static web host serves it; browsers want https there.\n"
            )
            if not options.open and options.port is None:
                return 0
        _serve(folder, options.port or 0, open_it=options.open)
    return 0


def named(models: list[str]) -> list[str]:
    """Models, with patterns put out.

    Raises:
        ConfigError: A pattern fits no trained model.
    """
    from zoo.listing import list_models

    found: list[str] = []
    for model in models:
        fitting = list_models(model, pretrained=True) if "*" in model else [model]
        if not fitting:
            raise ConfigError(f"No trained model is called like {model!r}. All of them: zoo list --pretrained")
        found += [name for name in fitting if name not in found]
    return found


def push_page(options: argparse.Namespace) -> int:
    """What `zoo push --space` does: send a page that `zoo web` wrote, or one made now of models."""
    from zoo.export.web import INDEX, write_site
    from zoo.hub.client import HubClient
    from zoo.hub.spaces import push_space

    if options.revision or options.pull_request:
        raise ConfigError("--space goes with neither --revision nor --pull-request: a Space shows its main branch.")
    with tempfile.TemporaryDirectory(prefix="zoo-space-") as place:
        folder, models = Path(place) / "site", named([options.run, *options.repo])
        if len(models) == 1 and (Path(models[0]) / INDEX).is_file():
            shutil.copytree(models[0], folder)
        else:
            write_site(models, folder)
        client = HubClient(token=options.token, endpoint=options.endpoint)
        address = push_space(
            folder, options.space, private=options.private, commit_message=options.message, client=client
        )
    sys.stdout.write(f"{address}\n")
    return 0


def size_of(folder: Path) -> str:
    """How large a page is, in words."""
    instruments = sorted((folder / "instruments").glob("*.zoo"))
    page = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return (
        f"{len(instruments)} {'instrument' if len(instruments) == 1 else 'instruments'} of "
        f"{sum(file.stat().st_size for file in instruments) / 1e3:,.0f} kB and a page of {page / 1e3:.0f} kB"
    )


class _Handler(SimpleHTTPRequestHandler):
    """Serves the page, with the types that browsers ask for whatever this machine thinks they are."""

    extensions_map: ClassVar[dict[str, str]] = {  # type: ignore[misc]
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".wasm": "application/wasm",
        ".svg": "image/svg+xml",
        ".css": "text/css",
        ".json": "application/json",
    }

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # the next page at this port is another one
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base class's
        """Nothing: who plays needs no list of files."""


def _serve(folder: Path, port: int, *, open_it: bool) -> None:
    try:
        server = ThreadingHTTPServer((_ADDRESS, port), partial(_Handler, directory=str(folder)))
    except OSError as error:
        raise ConfigError(
            f"--port {port} cannot be used ({error.strerror}). Leave it out: a free one is found."
        ) from None
    with server:
        address = f"http://{_ADDRESS}:{server.server_address[1]}/"
        sys.stdout.write(f"{address}  (Ctrl-C ends it)\n")
        sys.stdout.flush()
        if open_it:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.stdout.write("\n")
