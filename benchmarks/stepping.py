"""How long a decoder takes for a frame, played frame by frame.

    python benchmarks/stepping.py
    python benchmarks/stepping.py gru-S tcn-S --batch 8 --csv > stepping.csv

Decoders are played in turns, a stretch of frames each, so that a busy machine disturbs all of them. Times are of
`stream` with one frame, one call after the other, in microseconds: the median, and the 99th percentile, which is what a
deadline asks for. The real-time factor is the length of a frame over the median: how many such voices one thread would
carry. Set-up is what `stream_state` and `stream_constants` take, once. The last column is the largest difference from
`forward` over all controls.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from zoo import registry
from zoo.decoders import Decoder
from zoo.models.creating import create
from zoo.models.model import Model

STRETCH = 50
"""Frames that are played before it is the next decoder's turn."""


@dataclass
class Player:
    """A decoder and where it is.

    Attributes:
        model: It belongs to.
        features: `[frames, 2, batch]`, what it plays.
        setup: Seconds that its first state and its constants took.
        state: After the frames played so far.
        constants: Worked out once.
        seconds: Of each frame.
        played: What it made of each frame, all controls side by side.
    """

    model: Model
    features: torch.Tensor
    setup: float
    state: dict[str, torch.Tensor]
    constants: dict[str, torch.Tensor]
    seconds: list[float] = field(default_factory=list)
    played: list[torch.Tensor] = field(default_factory=list)

    @property
    def decoder(self) -> Decoder:
        """The model's."""
        return self.model.decoder

    def play(self, frames: int) -> None:
        """Play the next frames, clock each."""
        start = len(self.seconds)
        for f0_scaled, loudness_scaled in self.features[start : start + frames]:
            began = time.perf_counter()
            inputs = {"f0": f0_scaled[:, None], "loudness": loudness_scaled[:, None]}
            decoded, self.state = self.decoder.stream(inputs, self.state, self.constants)
            self.seconds.append(time.perf_counter() - began)
            self.played.append(torch.cat(list(decoded.controls.values()), dim=-1)[:, 0])

    def error(self) -> float:
        """The largest difference from `forward`."""
        f0_scaled, loudness_scaled = self.features.permute(1, 2, 0)
        controls = self.decoder(f0_scaled, loudness_scaled).controls
        expected = torch.cat(list(controls.values()), dim=-1)
        return float((torch.stack(self.played, dim=1) - expected).abs().max())


def ready(name: str, batch: int, frames: int) -> Player:
    """A decoder before its first frame."""
    model = create(name).eval()
    began = time.perf_counter()
    state, constants = model.decoder.stream_state(batch), model.decoder.stream_constants()
    return Player(model, torch.rand(frames, 2, batch), time.perf_counter() - began, state, constants)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table, or CSV."""
    parser = argparse.ArgumentParser(description="Time the decoders' streaming interface.")
    parser.add_argument("models", nargs="*", default=registry.models.names(), help="architectures (default: all)")
    parser.add_argument("--batch", type=int, default=1, help="voices played at the same time (default 1)")
    parser.add_argument("--frames", type=int, default=1000, help="to play (default 1000)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1)")
    parser.add_argument("--csv", action="store_true", help="comma-separated values instead of a table")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    torch.set_grad_enabled(False)
    players = {name: ready(name, options.batch, options.frames) for name in options.models}
    for _ in range(-(-options.frames // STRETCH)):
        for player in players.values():
            player.play(STRETCH)

    header = ("model", "parameters", "setup_ms", "median_us", "p99_us", "real_time_factor", "largest_error")
    print(",".join(header) if options.csv else f"{header[0]:16}" + "".join(f"{name:>17}" for name in header[1:]))
    for name, player in players.items():
        times = 1e6 * torch.tensor(player.seconds, dtype=torch.float64)
        median, late = times.median().item(), times.quantile(0.99).item()
        frame = 1e6 * player.model.hop / player.model.sample_rate
        parameters = sum(p.numel() for p in player.decoder.parameters())
        row = (f"{parameters}", f"{1e3 * player.setup:.1f}", f"{median:.0f}", f"{late:.0f}", f"{frame / median:.1f}",
               f"{player.error():.1e}")  # fmt: skip
        print(",".join((name, *row)) if options.csv else f"{name:16}" + "".join(f"{value:>17}" for value in row))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
