"""How far pitch and loudness as heard live are from offline features, on recordings.

    python benchmarks/live.py FOLDER                                       # against YIN, all phrases
    python benchmarks/live.py FOLDER --tracker torchcrepe --cache CACHE    # against CREPE `full`, every 16 ms

FOLDER has recordings below a folder per instrument; those below a folder `phrases` are taken, or all where there is
none. The lowest pitch is the instrument's, as below. A frame as heard live is compared with the offline frame that is
older by its declared latency (pitch), or by 20 ms (loudness). What CREPE says of a recording is kept in --cache: it
takes 0.7 s a second. Prints a table in Markdown:

cents    median of the absolute difference, over frames that are voiced in both
within   percentage of these frames that differ by under 50 cents
octaves  percentage of these frames that are wrong by octaves or a twelfth; in brackets offline YIN's, against CREPE
voiced   percentage of the offline tracker's voiced frames that are voiced live
holes    unvoiced stretches of under 50 ms inside what is voiced offline, per minute of it
dB       mean of the absolute difference in loudness, over frames over -60 dB
dB 95 %  what 95 % of these differences are under
slope    of the straight line from live to offline loudness that fits best
offset   of that line, in dB; were the mapping that the player has exact, they would be 1 and 0
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import zoo_player
from numpy.typing import NDArray

from zoo.features import read_audio, track_pitch
from zoo.features.loudness import a_weighted, mean_db
from zoo.features.pitch import default_thresholds

Floats = NDArray[np.float64]

SAMPLE_RATE, HOP, FMAX = 16000, 64, 2000.0
CREPE_HOP = 256
LOUDNESS_LATE = 0.020
FMIN = {
    **{"violin": 190.0, "flute": 240.0, "oboe": 220.0, "trumpet": 155.0, "clarinet": 140.0, "saxophone": 130.0},
    **{"voice": 140.0, "trombone": 75.0, "cello": 62.0, "horn": 60.0, "bassoon": 56.0},
}
DEFAULT_FMIN = 80.0


def recordings(folder: Path) -> list[Path]:
    """The sound files of an instrument: its phrases, where they lie apart."""
    phrases = folder / "phrases"
    root = phrases if phrases.is_dir() else folder
    return sorted(path for path in root.rglob("*") if path.suffix in {".flac", ".wav", ".ogg"})


def compare(audio: torch.Tensor, *, fmin: float, tracker: str, loudness: str, cache: Path | None) -> dict[str, Floats]:
    """One recording, heard live and offline, aligned: pitch by the offline tracker's frames, loudness by all; holes."""
    live_hz, live_db, _ = zoo_player.live_features(
        audio.numpy(), sample_rate=SAMPLE_RATE, hop=HOP, fmin=fmin, fmax=FMAX, loudness=loudness
    )
    late = zoo_player.live_features_latency(sample_rate=SAMPLE_RATE, hop=HOP, fmin=fmin, fmax=FMAX)
    every = {"sample_rate": SAMPLE_RATE, "hop": HOP, "center": True}

    hop = HOP if tracker == "yin" else CREPE_HOP

    def pitch_by(name: str) -> Floats:
        kept = cache if name == "torchcrepe" else None
        if kept is not None and kept.is_file():
            return np.asarray(np.load(kept)["f0_hz"], np.float64)
        asked = {**every, "hop": hop, "fmin": fmin, "fmax": FMAX}
        f0_hz, sure = track_pitch(audio[None], tracker=name, **asked)  # type: ignore[arg-type]
        found: Floats = torch.where(sure >= default_thresholds(name)[0], f0_hz, 0.0)[0].double().numpy()
        if kept is not None:
            np.savez(kept, f0_hz=found)
        return found

    offline_hz = pitch_by(tracker)
    yin_hz = offline_hz if tracker == "yin" else pitch_by("yin")
    offline_db = (mean_db if loudness == "mean_db" else a_weighted)(audio[None], **every)[0].double().numpy()  # type: ignore[arg-type]
    live_hz = _earlier(live_hz, round(late["pitch"] / HOP) - 1)
    live_db = _earlier(live_db, round(LOUDNESS_LATE * SAMPLE_RATE / HOP) - 1)
    fine_hz = np.repeat(offline_hz, hop // HOP)
    gaps = holes(live_hz[: len(fine_hz)], fine_hz[: len(live_hz)])
    frames, levels = min(len(offline_hz), len(live_hz[:: hop // HOP])), min(len(offline_db), len(live_db))
    return {
        **{"offline_hz": offline_hz[:frames], "yin_hz": yin_hz[:frames], "live_hz": live_hz[:: hop // HOP][:frames]},
        **{"offline_db": offline_db[:levels], "live_db": live_db[:levels], "holes": np.array([gaps], np.float64)},
        "seconds": np.array([frames * hop / SAMPLE_RATE]),
    }


def _earlier(values: NDArray[np.float32], frames: int) -> Floats:
    return values[max(frames, 0) :].astype(np.float64)


def octave_errors(cents: Floats) -> float:
    """Percentage that is wrong by octaves or a twelfth."""
    wrong = [np.abs(np.abs(cents) - off) < 50 for off in (1200.0, 1902.0, 2400.0)]
    return 100 * float(np.any(wrong, axis=0).mean()) if len(cents) else 0.0


def cents_between(a: Floats, b: Floats) -> Floats:
    """Cents from b to a, where both are voiced."""
    both = (a > 0) & (b > 0)
    cents: Floats = 1200 * np.log2(a[both] / b[both])
    return cents


def holes(live_hz: Floats, offline_hz: Floats) -> int:
    """Unvoiced stretches of under 50 ms, voiced offline and live on both sides."""
    count, begin, most = 0, None, round(0.05 * SAMPLE_RATE / HOP)
    for t in range(1, len(live_hz)):
        if live_hz[t] == 0 and live_hz[t - 1] > 0:
            begin = t
        elif live_hz[t] > 0 and begin is not None:
            count += t - begin < most and bool((offline_hz[begin - 1 : t + 1] > 0).all())
            begin = None
    return count


def row(name: str, fmin: str, pieces: Sequence[dict[str, Floats]], *, against_crepe: bool) -> str:
    """A line of the table."""
    whole = {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}
    cents = cents_between(whole["live_hz"], whole["offline_hz"])
    voiced = whole["offline_hz"] > 0
    seconds = whole["seconds"].sum()
    heard = whole["offline_db"] > -60
    live_db, offline_db = whole["live_db"][heard], whole["offline_db"][heard]
    apart = np.abs(live_db - offline_db)
    slope, at_zero = np.polyfit(live_db, offline_db, 1)
    octaves = f"{octave_errors(cents):.2f}"
    if against_crepe:
        octaves += f" ({octave_errors(cents_between(whole['yin_hz'], whole['offline_hz'])):.2f})"
    numbers = [
        *(f"{seconds:.0f}", f"{np.median(np.abs(cents)):.1f}"),
        *(f"{100 * np.mean(np.abs(cents) < 50):.1f}", octaves),
        *(
            f"{100 * np.mean(whole['live_hz'][voiced] > 0):.1f}",
            f"{60 * whole['holes'].sum() / (seconds * voiced.mean()):.0f}",
        ),
        *(f"{apart.mean():.1f}", f"{np.quantile(apart, 0.95):.1f}", f"{slope:.2f}"),
        f"{at_zero:.1f}",
    ]
    return f"| {name} | {fmin} | {' | '.join(numbers)} |"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tracker", default="yin", choices=("yin", "torchcrepe"))
    parser.add_argument("--loudness", default="a_weighted", choices=("a_weighted", "mean_db"))
    parser.add_argument("--seconds", type=float, default=1e9, help="of each instrument, at most; 2 of each recording")
    parser.add_argument("--cache", type=Path, help="folder for what CREPE says")
    parser.add_argument("--only", nargs="*", help="instruments")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.cache is not None:
        chosen.cache.mkdir(parents=True, exist_ok=True)
    print("| instrument | fmin | seconds | cents | within | octaves | voiced | holes | dB | dB 95 % | slope | offset |")
    print("|---" * 12 + "|")
    everything = []
    for folder in sorted(path for path in chosen.folder.iterdir() if path.is_dir()):
        if folder.name not in (chosen.only or FMIN):
            continue
        fmin, pieces, seconds = FMIN.get(folder.name, DEFAULT_FMIN), [], 0.0
        for path in recordings(folder):
            audio = read_audio(path, sample_rate=SAMPLE_RATE)
            if chosen.seconds < 1e9:
                middle = len(audio) // 2
                audio = audio[max(0, middle - SAMPLE_RATE) : middle + SAMPLE_RATE]
            if len(audio) < SAMPLE_RATE // 2:
                continue
            name = f"{folder.name}__{path.relative_to(folder).as_posix().replace('/', '__')}.npz"
            kept = chosen.cache / name if chosen.cache and chosen.seconds == 1e9 else None
            pieces.append(compare(audio, fmin=fmin, tracker=chosen.tracker, loudness=chosen.loudness, cache=kept))
            seconds += len(audio) / SAMPLE_RATE
            if seconds >= chosen.seconds:
                break
        if pieces:
            print(row(folder.name, f"{fmin:g}", pieces, against_crepe=chosen.tracker != "yin"), flush=True)
            everything += pieces
    print(row("all", "", everything, against_crepe=chosen.tracker != "yin"))


if __name__ == "__main__":
    main()
