"""How long models take for a block when `zoo.Player` plays them in real time, and that they then play the same.

    python benchmarks/playing.py
    python benchmarks/playing.py gru-S tcn-S --voices 1 4 16

Blocks are of one frame, the smallest there are. Models take turns, a stretch of blocks each, so that a busy machine
disturbs all of them. The 99th percentile is what a deadline asks for. The error is the largest difference from the
model's rendering of the whole, latency taken off.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from zoo_kernels.bench.tables import machine

import zoo
from zoo import registry
from zoo.files import write_atomically
from zoo.training.results import table

STRETCH = 50
"""Blocks that are played before it is the next model's turn."""


@dataclass
class Performance:
    """A model in play.

    Attributes:
        player: Of so many voices.
        f0_hz: `[voices, frames]`, what it plays.
        loudness_db: The same shape.
        noise: `[voices, frames * hop]`.
        setup: Seconds that making the player took.
        seconds: Of each block.
        blocks: What came out.
    """

    player: zoo.Player
    f0_hz: torch.Tensor
    loudness_db: torch.Tensor
    noise: torch.Tensor
    setup: float
    seconds: list[float] = field(default_factory=list)
    blocks: list[torch.Tensor] = field(default_factory=list)

    def go_on(self, blocks: int) -> None:
        """Play the next blocks, clock each."""
        hop = self.player.model.hop
        for frame in range(len(self.seconds), min(len(self.seconds) + blocks, self.f0_hz.shape[1])):
            noise = self.noise[:, frame * hop : (frame + 1) * hop]
            began = time.perf_counter()
            made = self.player.play(self.f0_hz[:, frame : frame + 1], self.loudness_db[:, frame : frame + 1], noise)
            self.seconds.append(time.perf_counter() - began)
            self.blocks.append(made)

    def error(self) -> float:
        """The largest difference from the whole."""
        rest = self.player.finish()
        played = torch.cat([*self.blocks, rest.view(self.player.voices, -1)], 1)[:, self.player.latency :]
        with torch.no_grad():
            whole = self.player.model(self.f0_hz, self.loudness_db, self.noise).audio
        return float((played - whole).abs().max())


def ready(name: str, voices: int, frames: int) -> Performance:
    """A model before its first block; a glide, with pauses."""
    model = zoo.create(name).eval()
    began = time.perf_counter()
    player = zoo.Player(model, voices=voices)
    setup = time.perf_counter() - began
    f0_hz = 220 * 2 ** torch.linspace(0, 2, frames).repeat(voices, 1)
    f0_hz[:, torch.arange(frames) % 250 > 230] = 0
    loudness_db = -40 + 30 * torch.rand(voices, frames)
    return Performance(player, f0_hz, loudness_db, torch.rand(voices, frames * model.hop) * 2 - 1, setup)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table and write the page."""
    parser = argparse.ArgumentParser(description="Time models in real time, block by block.")
    parser.add_argument("models", nargs="*", default=registry.models.names(), help="architectures (default: all)")
    parser.add_argument("--voices", type=int, nargs="+", default=[1, 8], help="at the same time (default 1 8)")
    parser.add_argument("--frames", type=int, default=1000, help="to play (default 1000)")
    parser.add_argument("--out", type=Path, default=Path("docs/results/playing.md"), help="the page to write")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)

    lines: list[Sequence[str]] = [
        ("model", "voices", "set-up, ms", "a block, ms", "99th percentile, ms", "times real time", "error")
    ]
    performances = [ready(name, voices, options.frames) for name in options.models for voices in options.voices]
    for _ in range(-(-options.frames // STRETCH)):
        for performance in performances:
            performance.go_on(STRETCH)
    for each in performances:
        times = 1e3 * torch.tensor(each.seconds, dtype=torch.float64)
        median, late = times.median().item(), times.quantile(0.99).item()
        model, voices = each.player.model, each.player.voices
        frame = 1e3 * model.hop / model.sample_rate
        lines.append(
            (model.name, f"{voices}", f"{1e3 * each.setup:.1f}", f"{median:.2f}", f"{late:.2f}",
             f"{frame / median:.1f}", f"{each.error():.1e}")
        )  # fmt: skip
    text = table(lines)
    write_atomically(
        options.out,
        "# In real time\n\n`python benchmarks/playing.py` wrote this page: "
        f"{options.frames:,} blocks of one frame (4 ms), played by `zoo.Player` on one thread.\nModels take turns of "
        f"{STRETCH} blocks. Times real time is a frame over the median; set-up is making the player, once for a model; "
        "the error\nis the largest difference from the rendering of the whole (untrained models).\n\n"
        f"Machine: {machine()}.\n\n{text}\n",
    )
    print(f"{text}\n{options.out} is written.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
