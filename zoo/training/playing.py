"""What playing a model block by block costs: by the player library, and by torch beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import zoo_player
from numpy.typing import NDArray

from zoo.models.model import Model
from zoo.streaming.instrument import instrument_file
from zoo.streaming.player import Player

ENGINES = ("player", "torch")
"""`zoo_player.Instrument`, and `zoo.Player(model, backend="torch")`."""

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
    process: Callable[[Curve, Curve], object]
    memory_bytes: int = 0
    seconds: list[float] = field(default_factory=list)


def measure_playing(
    model: Model,
    *,
    name: str | None = None,
    engines: Sequence[str] = ENGINES,
    weights: Sequence[str] = ("float32",),
    voices: int = 1,
    frames: int = 1,
    paced: bool = False,
    blocks: int = 200,
) -> list[Timing]:
    """Time blocks, the engines taking turns.

    Args:
        model: In eval mode, on the CPU.
        name: What to call it; its own name by default.
        engines: Of `ENGINES`.
        weights: What the player library's files hold; one performance each.
        voices: At once.
        frames: In a block.
        paced: Begin each block when it is due: what it needs has left the caches by then.
        blocks: To take the median of.

    Raises:
        NotImplementedError: A component of the model has no such form.
    """
    performances = []
    for engine in engines:
        if engine == "torch":
            player = Player(model, voices=voices, backend="torch")
            performances.append(_Performance(engine, _through_torch(player)))
            continue
        for kind in weights:
            instrument = zoo_player.Instrument(instrument_file(model, weights=kind), voices=voices)
            title = engine if kind == "float32" else f"{engine}, {kind}"
            performances.append(_Performance(title, instrument.process, instrument.memory_bytes))
    duration = frames * model.hop / model.sample_rate
    shape = (voices, frames) if voices > 1 else (frames,)
    f0_hz, loudness_db = np.full(shape, 330, np.float32), np.full(shape, -20, np.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for begin in range(-_WARM_UP, blocks, _STRETCH):
            for performance in performances:
                count = min(_STRETCH, blocks - begin)
                performance.seconds += _clocked(performance, f0_hz, loudness_db, count, duration if paced else 0.0)
    finally:
        torch.set_num_threads(threads)
    return [
        Timing(
            name or model.name,
            performance.engine,
            voices,
            frames,
            paced,
            *np.quantile(performance.seconds[_WARM_UP:], (0.5, 0.99)).tolist(),
            duration,
            performance.memory_bytes,
        )
        for performance in performances
    ]


def _through_torch(player: Player) -> Callable[[Curve, Curve], object]:
    return lambda f0_hz, loudness_db: player.process(torch.from_numpy(f0_hz), torch.from_numpy(loudness_db))


def _clocked(
    performance: _Performance, f0_hz: Curve, loudness_db: Curve, count: int, interval: float
) -> Iterable[float]:
    due = time.perf_counter()
    for _ in range(count):
        if interval:
            due = max(due + interval, time.perf_counter())
            time.sleep(max(0.0, due - time.perf_counter()))
        began = time.perf_counter()
        performance.process(f0_hz, loudness_db)
        yield time.perf_counter() - began
