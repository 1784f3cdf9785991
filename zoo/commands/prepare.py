"""Turn recordings into a dataset of segments."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from zoo import registry
from zoo.commands import cli, gin_program
from zoo.datasets import Outcome, Preparation, PrepareConfig, Recording, prepare
from zoo.datasets.preparation.preparing import ProgressCallback
from zoo.datasets.recordings import known_f0
from zoo.errors import ConfigError
from zoo.features.frontend import NORMALIZATIONS

PROG = "zoo prepare"
EXAMPLES = [
    f"{PROG} recordings/flute data/flute --jobs 2",
    f"{PROG} recordings/flute data/flute --pitch yin          # the quickest",
    f"{PROG} recordings/flute data/flute --pitch-model full   # torchcrepe's large model: slow without a GPU",
    f"{PROG} recordings/test data/flute-test --whole          # for evaluation: nothing cut or dropped",
    f"{PROG} recordings/notes data/flute --dataset notes      # single notes, joined into phrases",
    f"{PROG} URMP data/urmp --dataset urmp                    # data/urmp/violin, flute and trumpet",
    f"{PROG} recordings/flute data/flute --gin data/thesis.gin   # as the thesis did",
    f"{PROG} --dataset tones data/tones                       # synthetic, no recordings needed",
]

_NAME_WIDTH = 32
"""Of a recording's name beside the progress bar."""


def _parser() -> argparse.ArgumentParser:
    defaults = {name: one.default for name, one in PrepareConfig.settings().items()}
    parser = cli.parser(
        PROG,
        "Cut recordings into segments with pitch and loudness, ready to train on. An interrupted run goes on where it "
        "was when the same command is given again.",
        EXAMPLES,
    )
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="RECORDINGS OUT: a folder of wav, flac, ogg, opus, mp3, aiff files, and the folder to make (tones: OUT)",
    )
    add = parser.add_argument
    add(
        "--dataset",
        default=defaults["dataset"],
        help=f"what the recordings are: {', '.join(registry.datasets)} (default: folder)",
    )
    add("--instrument", help="what plays, to be stored")
    add("--attribution", metavar="TEXT", help="who made the recordings, and under which licence; an INDEX.tsv beside "
        "or above them is read by itself")  # fmt: skip
    add("--pitch", default=defaults["pitch"], help=f"pitch tracker: {', '.join(registry.pitch)} (default: torchcrepe)")
    add("--pitch-model", metavar="MODEL", help="torchcrepe's model: tiny (default) or full")
    add("--fmin", type=float, default=defaults["fmin"], help="lowest pitch in Hz (default: %(default)g)")
    add("--fmax", type=float, default=defaults["fmax"], help="highest pitch in Hz (default: %(default)g)")
    add("--sample-rate", type=int, default=defaults["sample_rate"], help="in Hz (default: %(default)s)")
    add("--hop", type=int, default=defaults["hop"], help="samples per frame (default: %(default)s)")
    add("--segment-seconds", type=float, default=defaults["segment_seconds"], help="default: %(default)g")
    add("--min-seconds", type=float, default=defaults["min_seconds"],
        help="shortest stretch of sound that is kept (default: %(default)g)")  # fmt: skip
    add("--silence-db", type=float, default=defaults["silence_db"],
        help="how far under the loudest moment silence begins (default: %(default)g)")  # fmt: skip
    add("--min-confidence", type=float, help="drop segments whose mean pitch confidence is under this (default: the "
        "tracker's own)")  # fmt: skip
    add("--voicing-threshold", type=float, help="pitch is 0 in frames whose confidence is under this (default: the "
        "tracker's own)")  # fmt: skip
    add("--bridge-ms", type=float, default=defaults["bridge_ms"],
        help="fill gaps in the pitch of a note up to this long; 0: none (default: %(default)g)")  # fmt: skip
    add("--min-snr", type=float, metavar="DB", help="leave out segments that are less than this over their "
        "recording's noise floor (default: none)")  # fmt: skip
    add("--normalize", choices=NORMALIZATIONS, default=defaults["normalize"],
        help="bring each recording's A-weighted level to -20 dB or its peak to full scale, or leave it "
        "(default: %(default)s)")  # fmt: skip
    add("--loudness", default=defaults["loudness"],
        help=f"what a model is driven by: {', '.join(registry.loudness)} (default: %(default)s; mean_db is the "
        "thesis's, and that of models trained with it)")  # fmt: skip
    add("--features", choices=("live",), action=_Both, default=argparse.SUPPRESS,
        help="live: --pitch and --loudness as the player hears them (zoo_player.Live)")  # fmt: skip
    add("--center", action=argparse.BooleanOptionalAction, default=defaults["center"],
        help="centre analysis windows on their frame; the thesis's begin there")  # fmt: skip
    add("--whole", action="store_true", help="keep each recording whole, nothing cut or dropped, for testing")
    add("--split-seed", type=int, default=defaults["split_seed"], help="another number splits otherwise (default: 0)")
    cli.add_executor_options(parser, "recordings that are analysed")
    add("--device", default=defaults["device"], help="where torchcrepe runs: cpu or cuda (default: cpu)")
    gin_program.add_gin_options(parser)
    add("--force", action="store_true", help="replace a dataset made with other settings or recordings")
    return parser


class _Both(argparse.Action):
    """One word for the pitch tracker and the loudness of that name."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: object, option: object = None) -> None:
        namespace.pitch = namespace.loudness = values


def main(argv: list[str]) -> int:
    """Run the command and give its exit code."""
    given = gin_program.typed_arguments("prepare", _parser(), argv, paths=("recordings", "out"))
    if "out" not in given:
        raise ConfigError(f"Say which folder to make: {PROG} RECORDINGS OUT")
    config = PrepareConfig.from_flat(**given)

    def starting(todo: Sequence[Recording], preparation: Preparation) -> None:
        _announce(todo, preparation, config.execution.jobs or 1)

    with _progress() as progress:
        outcomes = prepare(config, starting=starting, progress=progress)
    for outcome in outcomes:
        _report(outcome)
    return 0


def _announce(todo: Sequence[Recording], preparation: Preparation, jobs: int) -> None:
    lengths = [_seconds(recording) for recording in todo]
    seconds = sum(filter(None, lengths))
    chosen = preparation.features.tracker_options
    options = " ".join(name if value is True else str(value) for name, value in chosen.items() if value is not False)
    at_least = "" if all(lengths) else "at least "  # a plugin's recordings need not say their length
    what = _count(len(todo)) + (f" ({at_least}{_duration(seconds)} of audio)" if seconds else "")
    if known_f0(todo[0], preparation.sample_rate, preparation.hop) is not None:
        print(f"Analysing {what}; their pitch is known.", flush=True)
        return
    announced = f"Analysing {what}; pitch by {preparation.features.tracker} {options}".rstrip()
    if seconds:
        announced += f", {at_least or 'about '}{_duration(seconds * _cost(preparation, jobs))} on this machine"
    print(f"{announced}.", flush=True)


def _seconds(recording: Recording) -> float | None:
    try:
        return recording.seconds()
    except Exception:  # noqa: BLE001 - of a plugin's that cannot be read, its analysis says why
        return None


def _cost(preparation: Preparation, jobs: int) -> float:
    # Seconds of work for a second of audio, measured on a quarter of a second of a tone, the second time.
    import torch

    from zoo.features.pitch import track_pitch

    time_axis = torch.arange(preparation.sample_rate // 4) / preparation.sample_rate
    tone = torch.sin(2 * torch.pi * 220.0 * time_axis)[None].to(preparation.device)
    features = preparation.features
    took = 0.0
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // jobs))
    try:
        for _ in range(2):
            start = time.perf_counter()
            track_pitch(
                tone,
                sample_rate=preparation.sample_rate,
                hop=preparation.hop,
                tracker=features.tracker,
                fmin=features.fmin,
                fmax=features.fmax,
                **features.tracker_options,
            )
            took = time.perf_counter() - start
    finally:
        torch.set_num_threads(threads)
    return took / 0.25 / min(jobs, os.cpu_count() or 1)


def _count(recordings: int) -> str:
    return "1 recording" if recordings == 1 else f"{recordings} recordings"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def _progress() -> Iterator[ProgressCallback]:
    if not sys.stderr.isatty():

        def line(done: int, total: int, name: str) -> None:
            sys.stderr.write(f"{done}/{total} {name or 'done before'}\n")

        yield line
        return
    from tqdm import tqdm

    bars: list[tqdm[NoReturn]] = []  # made at the first recording, so that what is said before it keeps its own line

    def advance(done: int, total: int, name: str) -> None:
        if not bars:
            bars.append(tqdm(total=total, unit="recording", dynamic_ncols=True))
        bars[0].set_postfix_str(name if len(name) <= _NAME_WIDTH else f"...{name[3 - _NAME_WIDTH :]}", refresh=False)
        bars[0].update(done - bars[0].n)

    try:
        yield advance
    finally:
        for bar in bars:
            bar.close()


def _report(outcome: Outcome) -> None:
    if not outcome.fresh:
        print(f"{outcome.path} is already prepared from these recordings with these settings; nothing to do.")
    elif outcome.skipped:
        width = max(len(s.source) for s in outcome.skipped)
        print("Left out:")
        for skipped in outcome.skipped:
            print(f"  {skipped.source:<{width}}  {skipped.seconds:8.2f} s  {skipped.reason}")
    for note in outcome.notes:
        print(f"Note: {note}")
    print(f"{outcome.path}: {_count(outcome.recordings)}")
    for name, segments in outcome.segments.items():
        print(f"  {name:<10} {segments:6d} segments {outcome.minutes[name]:8.2f} min")
