"""How often each pitch tracker is right: on single notes whose files say which note they are, and beside torchcrepe.

    python benchmarks/pitch_trackers.py notes recordings            # *-a4-*.flac is an A of 440 Hz
    python benchmarks/pitch_trackers.py phrases recordings --limit 4

`notes` looks at the frames within 25 dB of a note's loudest one. A tracker is right where it calls a frame voiced and
is within 110 cents of the note (players are not in tune, and vibrato is wide), wrong where it is further off, and hears
nothing where it calls the frame unvoiced. Notes that no tracker hears as they are named in at least half of their
voiced frames are named by another rule, and are left out, as are those over 1,900 Hz; the last line says how many.

`phrases` has no such truth. It compares with torchcrepe's `full` network where that is sure (0.5), the best there was;
`full` takes seconds for each second of sound, so only the first seconds of a few phrases of each instrument are used.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from zoo.features import read_audio, track_pitch
from zoo.features.frontend import normalize
from zoo.features.pitch import default_thresholds
from zoo.storage import markdown_table

SAMPLE_RATE, HOP = 16000, 64
TRACKERS: Mapping[str, Mapping[str, Any]] = {
    "torchcrepe tiny": {"model": "tiny"},
    "yin": {"tracker": "yin"},
    "live": {"tracker": "live"},
    "torchcrepe tiny, with_yin": {"model": "tiny", "with_yin": True},
}
REFERENCE = {"model": "full"}
RIGHT_CENTS, OFF_CENTS, SOUNDING_DB, HIGHEST_HZ = 110.0, 50.0, 25.0, 1900.0
_STEPS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_NAMED = re.compile(r"(?:^|-)([a-g])(s?)([0-8])-")


def named_hz(path: Path) -> float | None:
    """The pitch that a file's name says: `ph-gs4-...` is 415.3 Hz."""
    found = _NAMED.search(path.stem)
    if not found:
        return None
    midi = 12 * (int(found[3]) + 1) + _STEPS[found[1]] + bool(found[2])
    return float(440.0 * 2.0 ** ((midi - 69) / 12.0))


def beginning(path: Path, seconds: float) -> Tensor:
    """The first seconds of sound `[1, samples]`, at the level at which models are played."""
    audio = read_audio(path, sample_rate=SAMPLE_RATE)
    first = int((audio.abs() > 0.01 * audio.abs().max()).to(torch.uint8).argmax())
    start = max(0, first - SAMPLE_RATE // 8)
    audio, _ = normalize(audio[start : start + round(seconds * SAMPLE_RATE)], "loudness", sample_rate=SAMPLE_RATE)
    return audio[None, : len(audio) // HOP * HOP]


def heard(audio: Tensor, options: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Pitch in Hz, and whether a frame is voiced, `[frames]` each."""
    f0_hz, confidence = track_pitch(audio, sample_rate=SAMPLE_RATE, hop=HOP, center=True, **options)
    return f0_hz[0], confidence[0] >= default_thresholds(options.get("tracker", "torchcrepe"))[0]


def sounding(audio: Tensor) -> Tensor:
    """Which frames are within 25 dB of the loudest, `[frames]`."""
    power = (
        torch.nn.functional.pad(audio, (512, 512)).unfold(-1, 1024, HOP)[0].square().mean(-1)[: audio.shape[1] // HOP]
    )
    return power > power.max() * 10.0 ** (-SOUNDING_DB / 10.0)


def cents(f0_hz: Tensor, other: Tensor | float) -> Tensor:
    """How far apart, without a sign."""
    return (1200.0 * torch.log2(f0_hz.clamp(min=1.0) / other)).abs()


def notes(paths: Sequence[Path]) -> Iterator[str]:
    """The table of single notes, and what was left out."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    left = Counter[str]()
    for path in tqdm(paths, unit="note"):
        hz = named_hz(path)
        if hz is None or hz > HIGHEST_HZ or path.parent.parent.name.startswith(("piano", "guitar")):
            left["not named, too high, or plucked"] += 1
            continue
        audio = beginning(path, 2.0)
        loud = sounding(audio)
        found = {name: heard(audio, options) for name, options in TRACKERS.items()}
        if sum(_agrees(f0_hz[voiced & loud], hz) for f0_hz, voiced in found.values()) < 2:
            left["named by another rule"] += 1
            continue
        for name, (f0_hz, voiced) in found.items():
            near = cents(f0_hz, hz) < RIGHT_CENTS
            one = Counter(
                notes=1,
                frames=int(loud.sum()),
                right=int((loud & voiced & near).sum()),
                wrong=int((loud & voiced & ~near).sum()),
                silent=int((loud & ~voiced).sum()),
            )
            for group in (path.parent.parent.name, "all"):
                counts[group, name].update(one)
    head = ["notes of", "how many", "tracker", "right", "wrong", "hears nothing"]
    rows = [
        [
            group,
            f"{one['notes']}",
            name,
            *(f"{100 * one[part] / one['frames']:.1f} %" for part in ("right", "wrong", "silent")),
        ]
        for (group, name), one in sorted(counts.items(), key=lambda item: (item[0][0] != "all", item[0][0]))
    ]
    yield markdown_table([head, *rows])
    yield "Left out: " + "; ".join(f"{count} {why}" for why, count in left.items()) + "."


def _agrees(f0_hz: Tensor, hz: float) -> bool:
    return len(f0_hz) > 0 and bool((cents(f0_hz, hz) < RIGHT_CENTS).float().mean() > 0.5)


def phrases(paths: Sequence[Path], *, limit: int, seconds: float) -> Iterator[str]:
    """The table of phrases, beside `full`."""
    by_instrument: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        by_instrument[path.parent.parent.name].append(path)
    chosen = [path for some in by_instrument.values() for path in some[:limit]]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for path in tqdm(chosen, unit="phrase"):
        audio = beginning(path, seconds)
        reference, sure = heard(audio, REFERENCE)
        loud = sounding(audio)
        for name, options in {**TRACKERS, "torchcrepe full": REFERENCE}.items():
            f0_hz, voiced = (reference, sure) if options is REFERENCE else heard(audio, options)
            apart = cents(f0_hz, reference)[voiced & sure]
            counts[name].update(
                both=len(apart),
                off=int((apart > OFF_CENTS).sum()),
                octave=int((apart > 600.0).sum()),
                loud=int(loud.sum()),
                silent=int((loud & ~voiced).sum()),
            )
    head = ["tracker", "off by more than 50 cents", "by more than 600", "hears nothing in sounding frames"]
    yield markdown_table(
        [
            head,
            *(
                [
                    name,
                    *(
                        _share(one["off"], one["both"]),
                        _share(one["octave"], one["both"]),
                        _share(one["silent"], one["loud"]),
                    ),
                ]
                for name, one in counts.items()
            ),
        ]
    )
    yield f"{len(chosen)} phrases of {len(by_instrument)} instruments, the first {seconds:g} s of each."


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "-"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("notes", "phrases"), help="which table")
    parser.add_argument(
        "folder", type=Path, help="recordings, as instrument/notes/*.flac and instrument/phrases/*.flac"
    )
    parser.add_argument("--limit", type=int, default=4, help="phrases of each instrument (default 4)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each phrase (default 3)")
    options = parser.parse_args(argv)
    paths = sorted(options.folder.glob(f"*/{options.what}/*.*"))
    if not paths:
        parser.error(f"no recordings in {options.folder}/*/{options.what}")
    torch.set_num_threads(1)
    made = notes(paths) if options.what == "notes" else phrases(paths, limit=options.limit, seconds=options.seconds)
    print("\n\n".join(made))


if __name__ == "__main__":
    main()
