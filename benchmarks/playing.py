"""What playing block by block costs, and how exact it is: the player library, with ONNX Runtime and torch beside it.

    python benchmarks/playing.py
    python benchmarks/playing.py gru-S-violin tcn-S-violin --no-differences --out /tmp/playing.md

Blocks are of one frame, the smallest there are, and of eight. Engines take turns, a stretch of blocks each, so that a
busy machine disturbs all of them. A block begins at once after the one before, or when it is due, as in an audio
callback: by then its weights may have left the caches. ONNX Runtime needs `pip install onnxruntime onnxscript`, and a
minute for each graph, so it plays the models of `--onnx` alone.
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

import torch
import zoo_player
from zoo_kernels.bench.tables import machine

import zoo
from zoo import registry
from zoo.bench.playing import Timing, measure_playing, playing_table, usable_engines
from zoo.export.base import difference
from zoo.models.model import Model
from zoo.storage import markdown_table
from zoo.storage.files import write_atomically
from zoo.streaming.instrument import instrument_file

MODELS = (
    *("gru-S-violin", "tcn-S-violin", "s4-S-violin", "gru-wavetable-S", "ddx7-flute"),
    *("gru-M", "tcn-M", "s4-M", "gru-L", "tcn-L", "s4-L"),
)
LONG = ("gru-S-violin", "s4-S-violin", "ddx7-flute", "s4d-S")
WEIGHTS = ("float32", "float16", "int8")


def found(name: str) -> Model:
    """A trained model of that name, or the architecture untrained."""
    torch.manual_seed(0)
    return zoo.load(name) if name in zoo.list_models(pretrained=True) else zoo.create(name).eval()


def speed(names: Sequence[str], onnx: Sequence[str]) -> list[Timing]:
    """One voice, blocks of 1 and of 8 frames."""
    made = []
    for name in names:
        engines = [engine for engine in usable_engines() if engine != "onnxruntime" or name in onnx]
        large = name.split("-")[1] == "L"
        for frames in (1, 8):
            weights = WEIGHTS if large else ("float32",)
            made += measure_playing(
                found(name), name=name, engines=engines, weights=weights, frames=frames, paced=(False, True)
            )
        print(name, flush=True)
    return made


def differences(names: Sequence[str], *, seconds: float, weights: Sequence[str] = WEIGHTS) -> list[tuple[str, ...]]:
    """How far the player library's audio is from the model's."""
    rows: list[tuple[str, ...]] = [
        ("model", "file, kB", "largest difference", "float16: kB", "dB", "int8: kB", "dB"),
    ]
    for name in names:
        model, cells = found(name), []
        for kind in weights:
            data = instrument_file(model, weights=kind)
            far = difference(model, zoo_player.Instrument(data), seconds=seconds)
            told = f"{far.largest:.1e}" if kind == "float32" else f"{far.signal_db:.0f}"
            cells += [f"{len(data) / 1e3:.0f}", told]
        rows.append((name, *cells))
        print(*rows[-1], flush=True)
    return rows


def _paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description="Time models in real time, and compare them with what they render.")
    parser.add_argument("models", nargs="*", default=MODELS, help="to be timed")
    parser.add_argument("--onnx", nargs="*", default=["gru-S-violin"], help="to be timed with ONNX Runtime, too")
    parser.add_argument("--voices", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32, 64], help="of the first model")
    parser.add_argument("--no-differences", action="store_true", help="leave the comparisons out")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the phrases that are compared (default 30)")
    parser.add_argument("--out", type=Path, default=Path("docs/results/playing.md"), help="the page to write")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    timings = speed(options.models, options.onnx)
    first = options.models[0]
    chorus: list[Timing] = []
    for voices in options.voices:
        chorus += measure_playing(found(first), name=first, engines=("player",), voices=voices, paced=(False, True))
    parts = [
        "# Real time",
        _paragraph(
            """This page has the time that models need for a block when they are played in real time, and how far what
            is played is from what the model renders as a whole. A block must be ready within its own duration: 4 ms for
            one frame, 32 ms for eight."""
        ),
        _paragraph(f"`{shlex.join(['python', 'benchmarks/playing.py', *(argv or [])])}` on {machine()}."),
        _paragraph(
            f"The load was {load:.1f} before the run: other programs took all cores, and the times are longer than on "
            "an idle machine. Compare engines with each other, which took turns."
            if load > 1
            else ""
        ),
        "## One voice",
        _paragraph(
            """`player` is `zoo_player.Instrument` through Python, `torch` is `zoo.Player(model, backend="torch")`, and
            `onnxruntime` plays the graph that torch exports of the streaming form, all on one thread. Blocks begin `at
            once` after the one before, or `when due`, as in an audio callback: weights of a large model have then left
            the caches. Memory is the player's own, beside its file."""
        ),
        markdown_table(playing_table(timings)),
        "## Many voices",
        markdown_table(playing_table(chorus)),
    ]
    if not options.no_differences:
        names = list(dict.fromkeys([*zoo.list_models(pretrained=True), *registry.models.names()]))
        parts += [
            "## Differences",
            _paragraph(
                f"""The largest difference from the model's audio, given the same noise, over {options.seconds:g} s of
                phrases with unvoiced, silent and extreme frames, in blocks of 1 to 63 frames; and with rounded weights
                the energy of the model's audio over that of the difference, of the phrase where it is smallest. Models
                without an instrument's name are untrained. Matrices of fewer than 4,096 numbers, and the constants of
                recurrences, stay float32: those of the smallest models all do. The trained models were stored as
                float16 already where both files play the same."""
            ),
            markdown_table(differences(names, seconds=options.seconds)),
            "After ten minutes:",
            markdown_table([row[:3] for row in differences(LONG, seconds=600, weights=("float32",))]),
        ]
    write_atomically(options.out, "\n\n".join(part for part in parts if part) + "\n")
    print(f"{options.out} is written.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
