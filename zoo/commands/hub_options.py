"""Options of the commands that speak with the Hub."""

from __future__ import annotations

import argparse


def add_hub_options(parser: argparse.ArgumentParser) -> None:
    """Add `--token` and `--endpoint`."""
    parser.add_argument("--token", help="of your Hub account (default: the saved login, see: hf auth login)")
    parser.add_argument("--endpoint", metavar="URL", help="another Hub than huggingface.co (default: $HF_ENDPOINT)")
