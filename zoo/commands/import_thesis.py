"""Convert a checkpoint of the thesis."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zoo.commands import cli
from zoo.errors import ConfigError


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo import-thesis",
        "Convert a checkpoint of the thesis (Lightning .ckpt or safetensors) to a folder that zoo.load reads.",
        ["zoo import-thesis flute.ckpt --model gru-S-flute --out runs/thesis-flute"],
    )
    parser.add_argument("checkpoint", type=Path, help="the file; its code is never run")
    parser.add_argument("--model", required=True, help="what it is, e.g. gru-S or gru-S-flute")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    options = parser.parse_args(arguments)
    from zoo.storage.locks import hold

    with hold(options.out, doing="importing a model", advice="choose another folder"):
        return _import(options)


def _import(options: argparse.Namespace) -> int:
    if (options.out / "config.json").exists():
        raise ConfigError(f"{options.out} already holds a model; choose another folder.")
    from zoo.cards import write_card
    from zoo.storage.checkpoint import save
    from zoo.thesis.checkpoints import import_thesis

    model = import_thesis(options.checkpoint, model=options.model)
    save(model, options.out)
    write_card(options.out)
    sys.stdout.write(
        f"{options.out}: {model.name}, {model.num_parameters:,} parameters\n"
        f"Try it: zoo synth {options.out} RECORDING.wav OUT.wav\n"
    )
    return 0
