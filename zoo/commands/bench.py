"""Measure what models cost: to keep, to play, to train."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.checks.options import number_fault, output_file_fault, refuse, whole_fault
from zoo.commands import cli
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.bench.cost import Cost
    from zoo.models.model import Model

TITLES = (
    "model",
    "parameters",
    "weights, MB",
    "network, Mop/s",
    "real-time factor",
    "block of 1, ms",
    "of its time",
    "block of 8, ms",
    "of its time",
    "training step, s",
)
_COLUMNS = (
    "model",
    "parameters",
    "file_bytes",
    "operations_per_second",
    "real_time_factor",
    "block_1_seconds",
    "block_8_seconds",
    "training_step_seconds",
)


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo bench",
        "Measure what models cost: parameters, size of the weights, operations of the network for a second of audio, "
        "the time to render whole clips over their duration and the time for blocks of 1 and 8 frames (both on one "
        "thread, as in a plugin's host), and the time of a training step.",
        [
            "zoo bench gru-S tcn-S s4-S",
            "zoo bench runs/violin --no-training",
            "zoo bench gru-S gru-L --csv models.csv --markdown models.md",
            "zoo bench gru-S-violin --playing --voices 1 8 64",
        ],
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a name, a run's folder, a Hub id, an architecture")
    parser.add_argument("--no-training", action="store_true", help="leave the training step out")
    parser.add_argument("--batch-size", type=int, default=16, help="segments of a training step (default 16)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a segment (default 4)")
    parser.add_argument("--steps", type=int, default=3, help="training steps to take the median of (default 3)")
    parser.add_argument("--threads", type=int, help="of a training step (default: torch's choice)")
    parser.add_argument(
        "--playing",
        action="store_true",
        help="measure nothing but playing block by block: by the player library, and by ONNX Runtime (where it is "
        "installed) and torch beside it; medians and 99th percentiles for blocks of 1 and 8 frames, one after another "
        "and when they are due",
    )
    parser.add_argument(
        "--voices", type=int, nargs="+", default=[1], metavar="N", help="with --playing: at once (default 1)"
    )
    parser.add_argument("--csv", metavar="FILE", help="also write all figures to FILE")
    parser.add_argument("--markdown", metavar="FILE", help="also write the table to FILE")
    options = parser.parse_args(arguments)
    refuse(
        (
            whole_fault("--batch-size", options.batch_size, least=1, most=2**20),
            number_fault("--seconds", options.seconds, over=0, most=3600),
            whole_fault("--steps", options.steps, least=1),
            *(whole_fault("--voices", voices, least=1, most=65536) for voices in options.voices),
            None if options.threads is None else whole_fault("--threads", options.threads, least=1, most=4096),
            None if options.csv is None else output_file_fault(options.csv, "--csv"),
            None if options.markdown is None else output_file_fault(options.markdown, "--markdown"),
        )
    )
    import torch

    from zoo.bench.cost import measure_cost

    if options.playing:
        rows = _playing(options)
        cli.write_table(rows)
        _write_markdown(rows, options.markdown)
        return 0
    if options.threads:
        torch.set_num_threads(options.threads)
    found = []
    for reference in options.models:
        model, file_bytes = _find(reference)
        if sys.stderr.isatty():
            sys.stderr.write(f"{reference} ...\n")
        found.append(
            measure_cost(
                model,
                name=reference,
                file_bytes=file_bytes,
                training=not options.no_training,
                batch_size=options.batch_size,
                seconds=options.seconds,
                steps=options.steps,
            )
        )
    rows = [TITLES, *(cells(cost) for cost in found)]
    cli.write_table(rows)
    if options.csv:
        _write_csv(found, Path(options.csv))
    _write_markdown(rows, options.markdown)
    return 0


def _playing(options: argparse.Namespace) -> Sequence[Sequence[str]]:
    from zoo.bench.cost import BLOCKS
    from zoo.bench.playing import measure_playing, playing_table

    if options.csv:
        raise ConfigError("--csv has the figures of the whole measurement: with --playing, take --markdown.")
    timings = []
    for reference in options.models:
        model, _ = _find(reference)
        for voices in options.voices:
            for frames in BLOCKS:
                timings += measure_playing(model, name=reference, voices=voices, frames=frames, paced=(False, True))
    return playing_table(timings)


def _write_markdown(rows: Sequence[Sequence[str]], path: str | None) -> None:
    if path:
        from zoo.storage import markdown_table
        from zoo.storage.files import write_atomically

        write_atomically(path, f"{_where()}\n\n{markdown_table(rows)}\n")


def _find(reference: str) -> tuple[Model, int | None]:
    from zoo import registry, resolve
    from zoo.models import naming
    from zoo.models.creating import create
    from zoo.models.loading import load_folder
    from zoo.storage.run_files import WEIGHTS

    if not Path(reference).exists() and "/" not in reference:
        architecture, instrument = naming.parse_name(reference)
        if instrument is None and architecture in registry.models:
            return create(reference).eval(), None
    folder = resolve.find(reference).folder
    return load_folder(folder), (folder / WEIGHTS).stat().st_size


def cells(cost: Cost) -> Sequence[str]:
    """What a model costs, as the cells of a row under `TITLES`."""
    blocks = []
    for frames in (1, 8):
        if frames in cost.block_seconds:
            blocks += [f"{1000 * cost.block_seconds[frames]:.3g}", f"{100 * cost.block_share[frames]:.0f} %"]
        else:
            blocks += ["", ""]
    return (
        cost.name,
        f"{cost.parameters:,}",
        f"{cost.file_bytes / 1e6:.3g}",
        f"{cost.operations / 1e6:.3g}",
        f"{cost.real_time_factor:.3g}",
        *blocks,
        "" if cost.training_step is None else f"{cost.training_step:.3g}",
    )


def _write_csv(found: Sequence[Cost], path: Path) -> None:
    from zoo.storage.files import write_atomically

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for cost in found:
        blocks = [cost.block_seconds.get(frames, "") for frames in (1, 8)]
        step = "" if cost.training_step is None else cost.training_step
        writer.writerow(
            [cost.name, cost.parameters, cost.file_bytes, cost.operations, cost.real_time_factor, *blocks, step]
        )
    write_atomically(path, text.getvalue())


def _where() -> str:
    """The machine, for a table that will be read elsewhere."""
    import platform

    import torch

    return (
        f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads for training steps, one for all else."
    )
