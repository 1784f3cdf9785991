"""What playing a model block by block costs: by the player library, and by ONNX Runtime and torch beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import zoo_player
from numpy.typing import NDArray

from zoo.errors import PluginError
from zoo.export.onnx import OnnxExporter
from zoo.models.model import Model
from zoo.streaming.instrument import instrument_file
from zoo.streaming.player import Player

ENGINES = ("player", "onnxruntime", "torch")
"""`zoo_player.Instrument`; what the exporter `onnx` writes; `zoo.Player(model, backend="torch")`."""

_STRETCH = 20  # blocks before the next engine's turn: what else the machine does falls on all of them alike
_WARM_UP = 10

Curve = NDArray[np.float32]


@dataclass(frozen=True)
class Timing:
    """How long a block took, on one thread.

    Attributes:
        name: The model's.
        engine: One of `ENGINES`; with other weights than float32 these stand behind it.
        voices: At once.
        frames: In a block.
        paced: Whether a block began when it would be due, with a pause before it; else one followed the other.
        median: In seconds.
        late: The 99th percentile, in seconds.
        duration: Of the block's audio, in seconds.
        memory_bytes: Of the player library's instrument, without its file; 0 for torch.
    """

    name: str
    engine: str
    voices: int
    frames: int
    paced: bool
    median: float
    late: float
    duration: float
    memory_bytes: int


@dataclass
class _Performance:
    engine: str
    process: Callable[..., object]
    memory_bytes: int = 0
    seconds: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})


def measure_playing(
    model: Model,
    *,
    name: str | None = None,
    engines: Sequence[str] | None = None,
    weights: Sequence[str] = ("float32",),
    voices: int = 1,
    frames: int = 1,
    paced: Sequence[bool] = (False,),
    blocks: int = 200,
) -> list[Timing]:
    """Time blocks, the engines taking turns.

    Args:
        model: In eval mode, on the CPU.
        name: What to call it; its own name by default.
        engines: Of `ENGINES`; all that can be used here by default.
        weights: What the player library's files hold; one performance each.
        voices: At once.
        frames: In a block.
        paced: Whether each block begins when it is due (what it needs has left the caches by then), or at once; both
            are measured where both are given.
        blocks: To take the median of.

    Raises:
        NotImplementedError: A component of the model has no such form.
    """
    performances = []
    for engine in usable_engines() if engines is None else engines:
        if engine == "torch":
            player = Player(model, voices=voices, backend="torch")
            performances.append(_Performance(engine, _through_torch(player)))
            continue
        if engine == "onnxruntime":
            performances.append(_Performance(engine, _through_onnx(model, voices, frames)))
            continue
        for kind in weights:
            instrument = zoo_player.Instrument(instrument_file(model, weights=kind), voices=voices)
            title = engine if kind == "float32" else f"{engine}, {kind}"
            performances.append(_Performance(title, instrument.process, instrument.memory_bytes))
    duration = frames * model.hop / model.sample_rate
    shape = (voices, frames) if voices > 1 else (frames,)
    curves = {"f0_hz": np.full(shape, 330, np.float32), "loudness_db": np.full(shape, -20, np.float32)}
    curves |= dict.fromkeys(model.decoder.further_inputs, np.zeros(shape, np.float32))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for waits in paced:
            for begin in range(-_WARM_UP, blocks, _STRETCH):
                for performance in performances:
                    count, interval = min(_STRETCH, blocks - begin), duration if waits else 0.0
                    performance.seconds[waits] += _clocked(performance, curves, count, interval)
    finally:
        torch.set_num_threads(threads)
    found = []
    for waits in paced:
        for performance in performances:
            median, late = np.quantile(performance.seconds[waits][_WARM_UP:], (0.5, 0.99)).tolist()
            about = name or model.name, performance.engine, voices, frames, waits
            found.append(Timing(*about, median, late, duration, performance.memory_bytes))
    return found


def _through_torch(player: Player) -> Callable[..., object]:
    return lambda **curves: player.process(**{name: torch.from_numpy(curve) for name, curve in curves.items()})


def _through_onnx(model: Model, voices: int, frames: int) -> Callable[..., object]:
    """Play the exporter's own file; it holds one voice, so several are played in turn."""
    exporter = OnnxExporter(frames=frames)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        exporter.write(model, path)
        played = [exporter.load(path) for _ in range(voices)]
    noise = np.random.default_rng(0).uniform(-1, 1, frames * model.hop).astype(np.float32)

    def process(**curves: Curve) -> object:
        rows = {name: curve.reshape(voices, frames) for name, curve in curves.items()}
        return [
            voice.process(noise=noise, **{name: row[number] for name, row in rows.items()})
            for number, voice in enumerate(played)
        ]

    return process


def usable_engines() -> tuple[str, ...]:
    """Of `ENGINES`, what can be used here: ONNX Runtime may not be installed."""
    try:
        OnnxExporter()
    except PluginError:
        return tuple(engine for engine in ENGINES if engine != "onnxruntime")
    return ENGINES


def playing_table(timings: Iterable[Timing]) -> list[tuple[str, ...]]:
    """Rows of text, the first one with titles."""
    rows: list[tuple[str, ...]] = [
        ("model", "engine", "voices", "block", "begins", "median, us", "99 % under, us", "of its time", "memory, kB")
    ]
    for timing in timings:
        rows.append(
            (
                timing.name,
                timing.engine,
                f"{timing.voices}",
                f"{timing.frames}",
                "when due" if timing.paced else "at once",
                f"{1e6 * timing.median:.1f}",
                f"{1e6 * timing.late:.1f}",
                f"{100 * timing.median / timing.duration:.3g} %",
                f"{timing.memory_bytes / 1e3:.0f}" if timing.memory_bytes else "",
            )
        )
    return rows


def _clocked(performance: _Performance, curves: Mapping[str, Curve], count: int, interval: float) -> Iterable[float]:
    due = time.perf_counter()
    for _ in range(count):
        if interval:
            due = max(due + interval, time.perf_counter())
            time.sleep(max(0.0, due - time.perf_counter()))
        began = time.perf_counter()
        performance.process(**curves)
        yield time.perf_counter() - began
