"""What exported files weigh, how exactly they play, and how long a block takes: all models that come with zoo.

    python benchmarks/exports.py
    python benchmarks/exports.py gru-S-violin --seconds 6 --out /tmp/exports.md

Each file is played in the runtime that it is made for, against the model, over glides, rests, silence and frames beyond
all bounds. An architecture's name means untrained weights. ONNX needs `pip install 'ddsp-zoo[onnx]'`.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from zoo_kernels.bench.tables import machine

import zoo
from zoo.errors import ExportError
from zoo.export.base import block_time, create, difference
from zoo.models.model import Model
from zoo.storage import markdown_table
from zoo.storage.files import write_atomically

OLD_TORCH = "## In torch 2.5.1"
"""Where the part of the page begins that `exports_old_torch.py` writes."""

EXPORTERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("player", {}),
    ("onnx", {"frames": 1}),
    ("onnx", {"frames": 8}),
    ("nn", {}),
)


def models() -> list[str]:
    """What is trained, and the S of each architecture."""
    trained = list(zoo.list_models(pretrained=True))
    return trained + [name for name in zoo.list_models() if name.endswith("-S") and name not in trained]


def found(name: str) -> Model:
    """A trained model of that name, or the architecture untrained."""
    torch.manual_seed(0)
    return zoo.load(name) if name in zoo.list_models(pretrained=True) else zoo.create(name).eval()


def row(model: Model, name: str, options: dict[str, Any], *, seconds: float) -> tuple[str, ...]:
    """One file: written, played and timed."""
    exporter = create(name, options)
    label = " ".join([name, *(f"{option}={value}" for option, value in options.items())])
    with tempfile.TemporaryDirectory(prefix="zoo-exports-") as folder:
        path = Path(folder) / f"model{exporter.suffixes[0]}"
        try:
            exporter.write(model, path)
        except NotImplementedError as error:
            raise ExportError(f"{model.name} by {name}: {error}") from error
        runtime = exporter.load(path)
        far = difference(model, runtime, seconds=seconds, frames=exporter.frames)
        if not far.largest <= exporter.largest_difference:
            raise ExportError(f"{model.name} by {label} differs by {far.largest:.2g}.")
        times = [f"{block_time(runtime, model, n):.0f}" if n % exporter.frames == 0 else "" for n in (1, 8)]
        size = f"{path.stat().st_size / 1e3:.0f}"
    return model.name, label, size, str(runtime.latency), f"{far.largest:.1e}", f"{far.signal_db:.0f}", *times


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("models", nargs="*", help="names; all that are trained, and each S, by default")
    parser.add_argument("--seconds", type=float, default=30.0, help="of what is played for the difference")
    parser.add_argument("--out", type=Path, default=Path("docs/results/exports.md"), help="the page to write")
    chosen = parser.parse_args(arguments)
    command = shlex.join(["python", "benchmarks/exports.py", *(sys.argv[1:] if arguments is None else arguments)])
    torch.set_num_threads(1)
    _, begin, rest = chosen.out.read_text().partition(OLD_TORCH) if chosen.out.exists() else ("", "", "")
    other = f"\n{begin}{rest}" if begin else ""  # which exports_old_torch.py writes
    rows: list[tuple[str, ...]] = [
        ("model", "exporter", "kB", "latency, samples", "largest difference", "dB", "block of 1, µs", "block of 8, µs")
    ]
    for name in chosen.models or models():
        model = found(name)
        for exporter, options in EXPORTERS:
            rows.append(row(model, exporter, options, seconds=chosen.seconds))
            print(*rows[-1], flush=True)
        write_atomically(chosen.out, page(rows, command) + other)  # a run takes long: what is there can be read


def page(rows: Sequence[tuple[str, ...]], command: str) -> str:
    """The page."""
    about = (
        f"Measured by `{command}`: glides with vibrato, rests, silence and frames beyond all bounds, to the last "
        "sample, with the same noise for model and file. "
        '"dB" is the energy of the model\'s audio over that of the difference, in the phrase where it is smallest. '
        "Times are medians of 200 blocks back to back, on one thread, in the real runtime: the player library, "
        "onnxruntime, and `torch.jit`. Names without an instrument are untrained. The exporter `c` is left out: it "
        "compiles the same library with the same file as `player`."
    )
    parts = [
        "# Exported files",
        "What each exporter's file weighs, how far its audio is from the model's, and how long a block takes.",
        textwrap.fill(about, 120, break_on_hyphens=False, break_long_words=False),
        textwrap.fill(f"Machine: {machine()}.", 120, break_on_hyphens=False),
        markdown_table(rows),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
