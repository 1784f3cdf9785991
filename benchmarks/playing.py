"""How long models take for a block when `zoo.Player` plays them in real time, and that they then play the same.

    python benchmarks/playing.py
    python benchmarks/playing.py gru-S tcn-S --voices 1 4 16

Blocks are of one frame, the smallest there are, and of eight, 512 samples. Models take turns, a stretch of frames each,
so that a busy machine disturbs all of them. The 99th percentile is what a deadline asks for. The error is the largest
difference from the model's rendering of the whole, latency taken off.
"""

from __future__ import annotations

import argparse
import shlex
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from zoo_kernels.bench.tables import machine

import zoo
from zoo import registry
from zoo.storage import markdown_table
from zoo.storage.files import write_atomically

STRETCH = 48
"""Frames that are played before it is the next model's turn."""

BLOCKS = (1, 8)
"""Frames in a block."""


@dataclass
class Performance:
    """A model in play.

    Attributes:
        player: Of so many voices.
        block: Frames it plays at once.
        f0_hz: `[voices, frames]`, what it plays.
        loudness_db: The same shape.
        noise: `[voices, frames * hop]`.
        setup: Seconds that making the player took.
        seconds: Of each block.
        blocks: What came out.
    """

    player: zoo.Player
    block: int
    f0_hz: torch.Tensor
    loudness_db: torch.Tensor
    noise: torch.Tensor
    setup: float
    seconds: list[float] = field(default_factory=list)
    blocks: list[torch.Tensor] = field(default_factory=list)

    def go_on(self) -> None:
        """Play a stretch, clock each block."""
        hop, begin = self.player.model.hop, len(self.seconds) * self.block
        for frame in range(begin, min(begin + STRETCH, self.f0_hz.shape[1]), self.block):
            now = slice(frame, frame + self.block)
            noise = self.noise[:, now.start * hop : now.stop * hop]
            began = time.perf_counter()
            made = self.player.process(self.f0_hz[:, now], self.loudness_db[:, now], noise)
            self.seconds.append(time.perf_counter() - began)
            self.blocks.append(made)

    def timing(self) -> tuple[str, str, str]:
        """Median and 99th percentile in ms, and the median as a share of the block's duration."""
        times = 1e3 * torch.tensor(self.seconds, dtype=torch.float64)
        median, late = times.median().item(), times.quantile(0.99).item()
        model = self.player.model
        return f"{median:.2f}", f"{late:.2f}", f"{median * model.sample_rate / (10 * self.block * model.hop):.0f} %"

    def error(self) -> float:
        """The largest difference from the whole."""
        rest = self.player.finish()
        played = torch.cat([*self.blocks, rest.view(self.player.voices, -1)], 1)[:, self.player.latency :]
        with torch.no_grad():
            whole = self.player.model(self.f0_hz, self.loudness_db, self.noise).audio
        return float((played - whole).abs().max())


def ready(name: str, voices: int, block: int, frames: int) -> Performance:
    """A model before its first block; a glide, with pauses."""
    model = zoo.create(name).eval()
    began = time.perf_counter()
    player = zoo.Player(model, voices=voices)
    setup = time.perf_counter() - began
    f0_hz = 220 * 2 ** torch.linspace(0, 2, frames).repeat(voices, 1)
    f0_hz[:, torch.arange(frames) % 250 > 230] = 0  # pauses
    loudness_db = -40 + 30 * torch.rand(voices, frames)
    return Performance(player, block, f0_hz, loudness_db, torch.rand(voices, frames * model.hop) * 2 - 1, setup)


def _paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table and write the page."""
    parser = argparse.ArgumentParser(description="Time models in real time, block by block.")
    parser.add_argument("models", nargs="*", default=registry.models.names(), help="architectures (default: all)")
    parser.add_argument("--voices", type=int, nargs="+", default=[1, 8], help="at the same time (default 1 8)")
    parser.add_argument("--frames", type=int, default=960, help="to play, a multiple of 8 (default 960)")
    parser.add_argument("--out", type=Path, default=Path("docs/results/playing.md"), help="the page to write")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)

    head = ["model", "voices", "set-up, ms"]
    for block in BLOCKS:
        head += [f"block of {block}, ms", "99 % under", "of its time"]
    pairs = [(name, voices) for name in options.models for voices in options.voices]
    found = {(name, voices): [ready(name, voices, block, options.frames) for block in BLOCKS] for name, voices in pairs}
    for _ in range(-(-options.frames // STRETCH)):
        for performances in found.values():
            for performance in performances:
                performance.go_on()
    lines: list[Sequence[str]] = [(*head, "error")]
    for (name, voices), performances in found.items():
        timings = [cell for performance in performances for cell in performance.timing()]
        error = max(performance.error() for performance in performances)
        lines.append((name, f"{voices}", f"{1e3 * performances[0].setup:.1f}", *timings, f"{error:.0e}"))
    text = markdown_table(lines)
    chosen = [] if options.models == registry.models.names() else options.models
    command = shlex.join(["python", "benchmarks/playing.py", *chosen])
    lead = "This page has the time that `zoo.Player` needs for a block, and what part of the block's duration that is."
    about = f"""
        `{command}` played {options.frames:,} frames with `zoo.Player` on one thread, in blocks of 1 frame (64
        samples, 4 ms) and of 8. Models took turns. Times are medians and 99th percentiles; the latter matter for a
        deadline. Set-up is the time to make the player, once per model. The error is the largest difference from the
        rendering of the whole clip (untrained models).
    """
    parts = ["# Real time", lead, _paragraph(about), _paragraph(f"Machine: {machine()}."), text]
    write_atomically(options.out, "\n\n".join(parts) + "\n")
    print(f"{text}\n{options.out} is written.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
