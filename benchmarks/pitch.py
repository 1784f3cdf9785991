"""How long pitch takes, beside `torchcrepe.predict`, and how far the two are from each other.

    python benchmarks/pitch.py
    python benchmarks/pitch.py recordings/*.flac --models full --seconds 2 --threads 1

Both get the same audio, hop, range of pitch and network, and search the whole clip by Viterbi; they take turns in one
process. Times are medians, of processor time unless `--wall` is given: on one thread of a free machine it is what the
clock shows, and other programs disturb it less. `predict` has all frames in one batch, as it does unless told
otherwise. Then what they found is compared, frame by frame. A pitch's difference is the median over the frames that
both call voiced, in cents, from `track_pitch` to:

predict     what `torchcrepe.predict` gives: the centre of a 20-cent bin, moved by up to 20 cents at random
itself      how far two calls of `predict` are from each other: the random part alone
centres     torchcrepe's network and its Viterbi search, the centre of the bin, not moved
argmax      torchcrepe's network and its decoder `weighted_argmax`, which searches no path and moves nothing
between     torchcrepe's network and its Viterbi search, read between the bins by CREPE's weighted mean, as zoo reads it

"Voiced" is zoo's threshold for torchcrepe, on either's confidence.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torchcrepe
from torch import Tensor

from zoo.datasets.tones import tones
from zoo.features import read_audio, track_pitch
from zoo.features.crepe import MODELS
from zoo.features.pitch import default_thresholds

Clock = Callable[[], float]

SAMPLE_RATE, FMIN, FMAX = 16000, 50.0, 2000.0
REFERENCES = ("predict", "itself", "centres", "argmax", "between")


@dataclass
class Compared:
    """One recording, by both.

    Attributes:
        name: Its name.
        seconds: Its length.
        theirs: Seconds that each turn of `torchcrepe.predict` took.
        ours: Seconds that each turn of `track_pitch` took.
        cents: Absolute differences over the frames that both call voiced, by what they are to.
        same: For each frame whether both call it voiced, or both do not.
    """

    name: str
    seconds: float
    theirs: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    cents: dict[str, Tensor] = field(default_factory=dict)
    same: Tensor = field(default_factory=lambda: torch.zeros(0))


def clips(paths: Sequence[Path], seconds: float) -> dict[str, Tensor]:
    """The beginning of each recording, or three of zoo's synthetic phrases."""
    if not paths:
        found = {recording.id: recording.load(SAMPLE_RATE) for recording in tones(phrases=3, seconds=seconds)}
        return {f"tones {name}": audio[None] for name, audio in found.items()}
    return {path.stem: _beginning(read_audio(path, sample_rate=SAMPLE_RATE), seconds)[None] for path in paths}


def _beginning(audio: Tensor, seconds: float) -> Tensor:
    """From a quarter of a second before it first comes within 40 dB of its peak: silence and an attack are in it."""
    first = int((audio.abs() > 0.01 * audio.abs().max()).to(torch.uint8).argmax())
    start = max(0, first - SAMPLE_RATE // 4)
    return audio[start : start + round(seconds * SAMPLE_RATE)]


def compare(name: str, audio: Tensor, *, model: str, hop: int, repeats: int, clock: Clock) -> Compared:
    """Track one clip `[1, samples]` by both, in turns."""
    result = Compared(name, audio.shape[1] / SAMPLE_RATE)
    frames = audio.shape[1] // hop
    theirs: list[tuple[Tensor, Tensor]] = []
    ours: list[tuple[Tensor, Tensor]] = []

    def predict() -> tuple[Tensor, Tensor]:
        options: dict[str, Any] = {"model": model, "return_periodicity": True}
        found: tuple[Tensor, Tensor] = torchcrepe.predict(audio, SAMPLE_RATE, hop, FMIN, FMAX, **options)
        return found

    def track() -> tuple[Tensor, Tensor]:
        return track_pitch(audio, sample_rate=SAMPLE_RATE, hop=hop, fmin=FMIN, fmax=FMAX, center=True, model=model)

    for _ in range(repeats):
        theirs.append(_timed(predict, clock, result.theirs))
        ours.append(_timed(track, clock, result.ours))
    threshold, _ = default_thresholds("torchcrepe", {"model": model})
    f0_hz, periodicity = (value[0] for value in ours[0])
    voiced = periodicity >= threshold
    theirs_voiced = theirs[0][1][0, :frames] >= threshold
    result.same = voiced == theirs_voiced
    both = voiced & theirs_voiced
    found = _undithered(audio, model=model, hop=hop)
    found |= {"predict": theirs[0][0][0], "itself": theirs[-1][0][0]}
    for reference in REFERENCES:
        start = found["predict"] if reference == "itself" else f0_hz
        away = 1200.0 * torch.log2(start[:frames] / found[reference][:frames])
        result.cents[reference] = away.abs()[both]
    return result


def _timed(call: Callable[[], tuple[Tensor, Tensor]], clock: Clock, into: list[float]) -> tuple[Tensor, Tensor]:
    start = clock()
    found = call()
    into.append(clock() - start)
    return found


@torch.no_grad()
def _undithered(audio: Tensor, *, model: str, hop: int) -> dict[str, Tensor]:
    """Pitch `[frames]` out of torchcrepe's network, read in three ways, none of them at random."""
    batches = list(torchcrepe.preprocess(audio.clone(), SAMPLE_RATE, hop))
    probabilities = torch.cat([torchcrepe.infer(batch, model) for batch in batches]).t()[None]  # [1, bins, frames]
    lowest = int(torchcrepe.convert.frequency_to_bins(torch.tensor(FMIN)))
    beyond = int(torchcrepe.convert.frequency_to_bins(torch.tensor(FMAX), torch.ceil))
    probabilities[:, :lowest] = probabilities[:, beyond:] = -torch.inf
    bins, _ = torchcrepe.decode.viterbi(probabilities)
    centres = 20.0 * torch.arange(360, dtype=torch.float64) + 1997.3794084376191
    weights = probabilities[0].double().clamp(min=0.0)
    away = torch.arange(360)[:, None] - bins
    weights = torch.where(away.abs() <= 4, weights, 0.0)
    between = (weights * centres[:, None]).sum(dim=0) / weights.sum(dim=0)
    _, argmax = torchcrepe.decode.weighted_argmax(probabilities.clone())
    return {
        "centres": 10.0 * 2.0 ** (centres[bins[0]] / 1200.0),
        "between": 10.0 * 2.0 ** (between / 1200.0),
        "argmax": argmax[0],
    }


def report(chosen: dict[str, Tensor], *, model: str, hop: int, repeats: int, clock: Clock) -> None:
    """Print a table as Markdown, a recording a line as it comes, and all of them together."""
    warm = next(iter(chosen.values()))[:, : SAMPLE_RATE // 4]
    compare(
        "", warm, model=model, hop=hop, repeats=1, clock=clock
    )  # so that weights are loaded, and what is compiled is
    head = ["", "seconds", "predict, s", "track_pitch, s", "times faster", *REFERENCES, "same voicing"]
    print(f"\n### {model}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    results = []
    for name, audio in chosen.items():
        result = compare(name, audio, model=model, hop=hop, repeats=repeats, clock=clock)
        ours, theirs = statistics.median(result.ours), statistics.median(result.theirs)
        times = [f"{result.seconds:.2f}", f"{theirs:.2f}", f"{ours:.2f}", f"{theirs / ours:.1f}"]
        _line(name, times, result.cents, result.same)
        results.append(result)
    ratios = [statistics.median(r.theirs) / statistics.median(r.ours) for r in results]
    total = [f"{sum(r.seconds for r in results):.2f}", "", "", f"{statistics.median(ratios):.1f} (median)"]
    together = {name: torch.cat([r.cents[name] for r in results]) for name in REFERENCES}
    _line("all", total, together, torch.cat([r.same for r in results]))


def _line(name: str, times: list[str], cents: dict[str, Tensor], same: Tensor) -> None:
    medians = [f"{float(cents[key].median()):.2f}" if len(cents[key]) else "none voiced" for key in REFERENCES]
    print(f"| {name} | {' | '.join([*times, *medians])} | {100.0 * float(same.double().mean()):.2f} % |", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(description="Time and compare pitch with torchcrepe.predict.")
    parser.add_argument("recordings", nargs="*", type=Path, help="audio files (default: synthetic phrases)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["tiny", "full"], help="default: both")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="of each recording, from where it begins to sound (default 2)"
    )
    parser.add_argument("--hop", type=int, default=64, help="samples per frame at 16 kHz (default 64)")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1)")
    parser.add_argument("--wall", action="store_true", help="times by the clock, not by the processor")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    chosen = clips(options.recordings, options.seconds)
    clock = time.perf_counter if options.wall else time.process_time
    for model in options.models:
        report(chosen, model=model, hop=options.hop, repeats=options.repeats, clock=clock)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
