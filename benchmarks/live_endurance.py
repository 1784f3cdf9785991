"""Half an hour of input through `Live`: memory, drift, samples that are none; and whether a paced loop is ever late.

    python benchmarks/live_endurance.py FOLDER                    # as fast as it goes
    python benchmarks/live_endurance.py FOLDER --paced            # a block when it is due, as a sound card asks

FOLDER has recordings, as for `live.py`. They are played in turn, with silence, noise and what is far too loud between
them, at 48 kHz in blocks. Every five minutes the same ten seconds come again: then drift is by how many samples the
output of the last time lies away from that of the first, by its envelope. A paced block is late where it is not done
when the next one is due. The longest block is given by the clock and by the processor's time that it took: where only
the clock's is long, the machine did something else meanwhile. Prints a line a minute.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zoo_player
from live import FMIN, recordings
from numpy.typing import NDArray

import zoo
from zoo.features import read_audio
from zoo.streaming import instrument_file

RATE = 48000
AGAIN_SECONDS = 300


def blocks(folder: Path, size: int) -> Iterator[NDArray[np.float32]]:
    """Ten minutes of recordings and of what is none, again and again, in blocks; read before the first is given."""
    pool, samples = [], 0
    for sound in _sounds(folder):
        pool.append(sound)
        samples += len(sound)
        if samples > 600 * RATE:
            break
    for sound in itertools.cycle(pool):
        for at in range(0, len(sound) - size + 1, size):
            yield sound[at : at + size]


def _sounds(folder: Path) -> Iterator[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    files = [list(recordings(folder / name)) for name in FMIN if (folder / name).is_dir()]
    for turn in range(1 << 30):
        for number, some in enumerate(files):
            yield read_audio(some[turn % len(some)], sample_rate=RATE).numpy()
            if number % 4 == 0:
                yield np.zeros(RATE * 2, np.float32)
                yield (rng.normal(size=RATE) * 0.1).astype(np.float32)
                yield (rng.normal(size=RATE) * 1e3).astype(np.float32)
                yield np.full(RATE // 10, np.nan, np.float32)


def resident_mb() -> float:
    """Memory that the process has in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def envelope(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """The magnitude, smoothed over a millisecond."""
    return np.convolve(np.abs(audio.astype(np.float64)), np.full(48, 1 / 48), "same")


def apart(first: NDArray[np.float32], last: NDArray[np.float32]) -> int:
    """Samples by which one lies behind the other."""
    a, b = envelope(first), envelope(last)
    a, b = a - a.mean(), b - b.mean()
    size = 1 << (2 * len(a)).bit_length()
    both = np.fft.irfft(np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size)), size)
    best = int(both.argmax())
    return best if best < size // 2 else best - size


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="gru-S-violin")
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--block", type=int, default=128)
    parser.add_argument("--paced", action="store_true")
    chosen = parser.parse_args()
    live = zoo_player.Live(instrument_file(zoo.load(chosen.model)), sample_rate=RATE, fit="off")
    same = read_audio(recordings(chosen.folder / "violin")[0], sample_rate=RATE)[: RATE * 10].numpy()
    source = blocks(chosen.folder, chosen.block)
    next(source)
    total, heard, again = chosen.minutes * 60 * RATE, [], list[NDArray[np.float32]]()
    done, late, busy, longest, hardest, first_mb = 0, 0, 0.0, 0.0, 0.0, 0.0
    begin = time.perf_counter()
    while done < total:
        due = begin + done / RATE
        within = done % (AGAIN_SECONDS * RATE)
        block = same[within : within + chosen.block] if within + chosen.block <= len(same) else next(source)
        if chosen.paced and (wait := due - time.perf_counter()) > 0:
            time.sleep(wait)
        started, worked = time.perf_counter(), time.thread_time()
        made = live.process(block)
        spent, work = time.perf_counter() - started, time.thread_time() - worked
        busy, longest, hardest = busy + spent, max(longest, spent), max(hardest, work)
        late += chosen.paced and time.perf_counter() > due + 2 * chosen.block / RATE
        if not np.isfinite(made).all() or len(made) != len(block):
            raise SystemExit(f"after {done / RATE:.1f} s the output is not finite")
        done += len(block)
        if within < len(same):
            heard.append(made)
        elif heard:
            again.append(np.concatenate(heard))
            heard = []
        if done // (60 * RATE) > (done - len(block)) // (60 * RATE):
            first_mb = first_mb or resident_mb()
            minutes = done // (60 * RATE)
            frames = live.state.frames - done * live.description.sample_rate // RATE // live.description.hop
            print(
                f"{minutes} min: {resident_mb():.0f} MB ({resident_mb() - first_mb:+.1f}), {late} of "
                f"{done // chosen.block} blocks late, load {100 * busy * RATE / done:.2f} %, "
                f"longest {1000 * longest:.1f} ms (of the processor {1000 * hardest:.1f} ms), frames off by {frames}",
                flush=True,
            )
    offsets = [apart(again[0], each) for each in again[1:]]
    print(f"the same ten seconds, after five minutes each: {offsets} samples away from the first time")


if __name__ == "__main__":
    main()
