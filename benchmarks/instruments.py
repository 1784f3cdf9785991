"""Check and tabulate the instruments that ship with zoo.

    python benchmarks/instruments.py --phrases recordings --data 'data/{instrument}'
    python benchmarks/instruments.py 'gru-*' runs/violin --phrases recordings --out /tmp/models.md
    python benchmarks/instruments.py gru-S-oboe --phrases recordings --update    # its rows anew, the others as they are

For each model, by name or in a run's folder:

transfer       phrases of other instruments are played on it, without a socket; the result must be heard, must not clip,
               and must follow the phrase's pitch and loudness (docs/instruments.md says what that means)
resynthesis    its own instrument's held-out recordings: the multi-scale spectral distance to them, by that of the same
               model before any training
training       what its files say: sizes, steps, time, data, teacher, measures
speed          as `zoo bench` measures it

Phrases come from a folder with an INDEX.tsv (columns path, instrument and, where there are other kinds, kind =
"phrases"), or in which each instrument has a folder (with a folder `phrases`, where it has one). They are chosen evenly
from those in order, but for those in which hardly a pitch is heard (chords), and brought to full scale first: how loud
a recording is says nothing about the model. A phrase out of the instrument's range is moved by octaves. Exits with 1
when a check fails.
"""

from __future__ import annotations

import argparse
import fnmatch
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import torch
from instrument_phrases import Phrases, range_of
from instrument_tables import page, updated, worst
from zoo_experiments.run_table import RunResult, result_of

from zoo import metrics, resolve
from zoo.bench.cost import Cost, measure_cost
from zoo.datasets import Dataset, open_dataset
from zoo.errors import ModelNotFoundError, ZooError, listing
from zoo.metrics.transfer import SILENT_DB, TrackingError, dbfs
from zoo.models.model import Model
from zoo.storage import store
from zoo.storage.config import read_config
from zoo.storage.files import write_atomically
from zoo.storage.store import ModelInfo, describe_folder
from zoo.training.batches import in_order
from zoo.training.evaluation import held_out, play
from zoo.training.teacher import check_fits_data

MAX_CENTS, MIN_FRAMES, MAX_LOUDNESS_DB, MAX_RATIO = 20.0, 20, 6.0, 0.6
LIMITS = {"cents": MAX_CENTS, "frames": MIN_FRAMES, "loudness_db": MAX_LOUDNESS_DB, "ratio": MAX_RATIO}
"""What the checks ask for."""

EVERY = 4
"""Pitch is tracked at every so many frames: 16 ms with a hop of 64 at 16 kHz."""


@dataclass(frozen=True)
class Played:
    """A phrase of another instrument, as a model plays it.

    Attributes:
        instrument: The phrase's.
        path: Where the phrase is.
        octaves: That it was moved by.
        following: How the result follows it.
    """

    instrument: str
    path: Path
    octaves: int
    following: TrackingError

    def failures(self) -> list[str]:
        """Which checks it fails, in words."""
        found, said = self.following, []
        if found.silent:
            said.append(f"is silent (RMS {dbfs(found.rms):.1f} dBFS, {SILENT_DB:.0f} is the least)")
        if found.clips:
            said.append(f"clips (peak {dbfs(found.peak):+.1f} dBFS)")
        if found.pitch_frames < MIN_FRAMES:
            said.append(
                f"has pitch in {found.pitch_frames} of {found.expected_frames} frames, {MIN_FRAMES} are the least"
            )
        elif not found.pitch_cents < MAX_CENTS:
            said.append(f"is {found.pitch_cents:.1f} cents from the pitch, {MAX_CENTS:.0f} is the limit")
        if not found.loudness_error_db < MAX_LOUDNESS_DB:
            said.append(
                f"is {found.loudness_error_db:.1f} dB from the loudness ({found.loudness_offset_db:+.1f} dB in the "
                f"median), {MAX_LOUDNESS_DB:.0f} is the limit"
            )
        return [f"{self.instrument} {self.path.stem}: {each}" for each in said]


@dataclass(frozen=True)
class Resynthesis:
    """Distances to held-out recordings.

    Attributes:
        distance: The model's.
        untrained: That of the same model before any training.
        segments: They are the mean of.
        split: Of the data.
        note: What else there is to say of the data.
    """

    distance: float
    untrained: float
    segments: int
    split: str
    note: str = ""

    @property
    def ratio(self) -> float:
        """The model's distance by the untrained one's."""
        return self.distance / self.untrained

    def failures(self) -> list[str]:
        """Whether it fails, in words."""
        if self.ratio <= MAX_RATIO:
            return []
        return [f"resynthesis: the distance is {self.ratio:.2f} of the untrained model's, {MAX_RATIO} is the limit"]


@dataclass
class Instrument:
    """A model, and all that was found of it.

    Attributes:
        name: Its name.
        folder: Where its files are.
        known: What config.json, the weights' header and metrics.json say.
        trained: What is known of its training; None without a history.
        played: Phrases of other instruments.
        resynthesis: Of its own; None where that could not be measured.
        cost: What it costs to play.
        problems: Why something could not be measured.
    """

    name: str
    folder: Path
    known: ModelInfo
    trained: RunResult | None
    played: list[Played] = field(default_factory=list)
    resynthesis: Resynthesis | None = None
    cost: Cost | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def data_name(self) -> str:
        """The data that it was trained with."""
        return str(self.known.config.lineage.get("dataset", {}).get("name", ""))

    def failures(self) -> list[str]:
        """What it fails, in words, without its name."""
        said = [*self.problems, *(line for each in self.played for line in each.failures())]
        return said + (self.resynthesis.failures() if self.resynthesis else [])


@contextmanager
def no_sockets() -> Iterator[list[str]]:
    """While this lasts no socket can be opened; gives a list that gets a line for each attempt, hidden or not."""
    attempts: list[str] = []

    def refuse(*arguments: object, **_: object) -> None:
        attempts.append(f"a socket was asked for {arguments or ''}".rstrip())
        raise OSError("a shipped model needs no network")

    with mock.patch.object(socket, "socket", refuse), mock.patch.object(socket, "create_connection", refuse):
        yield attempts


def transfer(model: Model, phrases: Phrases, span: tuple[float, float] | None, pitch_model: str) -> Iterator[Played]:
    """Play phrases of other instruments on a model; both halves of `model.synthesize`, one by one."""
    settings = replace(
        model.feature_settings(), tracker="torchcrepe", tracker_options={"model": pitch_model}, voicing_threshold=None
    ).today()
    for asked in phrases.for_model(model, span):
        following = metrics.tracking_error(
            model.render(asked.features, level="normalised"),  # at the level that the loudness was asked at
            asked.features.f0_hz,
            asked.features.loudness_db,
            sample_rate=model.sample_rate,
            hop=model.hop,
            settings=settings,
            recording=asked.features.audio,
            every=EVERY,
            min_frames=MIN_FRAMES,
        )
        yield Played(asked.instrument, asked.path, asked.octaves, following)


def resynthesize(model: Model, dataset: Dataset, segments: int) -> Resynthesis:
    """Compare a model, and the same one before any training, with recordings that neither has seen."""
    check_fits_data(model, dataset)
    chosen = held_out(dataset, max_segments=segments)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        untrained = Model(model.config).eval()
    sums = torch.zeros(2, dtype=torch.float64)
    for batch in in_order(chosen.segments, batch_size=8):
        valid = batch["valid_frames"] * model.hop
        for place, each in enumerate((model, untrained)):
            away = metrics.multi_scale_spectral_distance(play(each, batch, 0), batch["audio"], valid_samples=valid)
            sums[place] += away.double().sum()
    trained, before = (sums / len(chosen.positions)).tolist()
    same = dataset.hash == model.config.lineage.get("dataset", {}).get("hash")
    note = "" if same else "other data than it was trained with"
    return Resynthesis(trained, before, len(chosen.positions), chosen.split, note)


def find_data(model: Model, template: str) -> Dataset:
    """A model's data: a folder, or the phrases that zoo makes by rule."""
    name = str(model.config.lineage.get("dataset", {}).get("name", ""))
    path = Path(template.format(instrument=model.config.instrument, dataset=name))
    return open_dataset(name if name == "tones" and not path.exists() else path)


def folders_of(references: Sequence[str]) -> dict[str, Path]:
    """The models that patterns of shipped names, and folders, mean.

    Raises:
        ModelNotFoundError: A pattern means none.
    """
    shipped, found = store.shipped_models(), {}
    for reference in references:
        if Path(reference).is_dir():
            found[read_config(Path(reference)).name] = Path(reference)
            continue
        names = fnmatch.filter(shipped, reference)
        if not names:
            raise ModelNotFoundError(f"No shipped model is named like {reference}; there are: {listing(shipped)}")
        found |= {name: shipped[name] for name in sorted(names)}
    return found


def examine(name: str, folder: Path, phrases: Phrases, options: argparse.Namespace) -> Instrument:
    """Measure all that there is to measure of a model."""
    found = Instrument(name, folder, describe_folder(folder), result_of(folder, name=name))
    with no_sockets() as attempts:
        model = resolve.load(folder)
        try:
            dataset = find_data(model, options.data)
            found.resynthesis = resynthesize(model, dataset, options.segments)
        except ZooError as error:
            dataset = None
            if not options.update:
                found.problems.append(f"resynthesis: {error}")
        found.played += transfer(model, phrases, range_of(dataset) if dataset else None, options.pitch_model)
    found.problems += attempts
    if not found.played:
        found.problems.append("transfer: there are no phrases of other instruments")
    if options.speed:
        found.cost = measure_cost(model, name=name, file_bytes=found.known.size_bytes, training=False)
    return found


def in_a_line(found: Instrument, seconds: float) -> str:
    """What one looks at while the others are measured."""
    cents, loudness = (
        worst([getattr(each.following, name) for each in found.played]) for name in ("pitch_cents", "loudness_error_db")
    )
    ratio = f"{found.resynthesis.ratio:.2f} of the untrained distance" if found.resynthesis else "no resynthesis"
    failures = len(found.failures())
    return (
        f"{found.name}: {len(found.played)} phrases, at most {cents:.1f} cents and {loudness:.1f} dB off; "
        f"{ratio}; {f'{failures} failed' if failures else 'all checks passed'} ({seconds:.0f} s)"
    )


def parser_of() -> argparse.ArgumentParser:
    """What the command takes."""
    parser = argparse.ArgumentParser(description="Check and tabulate the instruments that ship with zoo.")
    parser.add_argument("models", nargs="*", default=["*"], help="patterns of names, or runs' folders (default: all)")
    parser.add_argument("--phrases", type=Path, required=True, help="recordings of phrases, by instrument")
    parser.add_argument(
        "--data", default="data/{instrument}", help="prepared data; {instrument} and {dataset} are the model's"
    )
    parser.add_argument("--count", type=int, default=5, help="phrases of each other instrument (default 5)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a phrase, from its beginning (default 6)")
    parser.add_argument("--segments", type=int, default=16, help="held-out segments at most (default 16)")
    parser.add_argument(
        "--pitch-model",
        choices=("tiny", "full"),
        default="tiny",
        help="torchcrepe's network for results (default tiny)",
    )
    parser.add_argument(
        "--update",
        action="store_true",
        help="keep the page's rows of other models, and the resynthesis of a model whose data is not there",
    )
    parser.add_argument("--no-speed", dest="speed", action="store_false", help="do not measure how fast models are")
    parser.add_argument("--out", type=Path, default=Path("docs/results/models.md"), help="the page to write")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a line a model, write the page."""
    options = parser_of().parse_args(argv)
    found = []
    try:
        folders = folders_of(options.models)
        phrases = Phrases(
            options.phrases, count=options.count, seconds=options.seconds, least=2 * MIN_FRAMES, every=EVERY
        )
        for name, folder in folders.items():
            began = time.perf_counter()
            found.append(examine(name, folder, phrases, options))
            print(in_a_line(found[-1], time.perf_counter() - began), flush=True)
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    made = page(found, options, LIMITS)
    if options.update and options.out.is_file():
        made = updated(options.out.read_text(), made, found)
    write_atomically(options.out, made)
    failures = [f"{each.name}: {line}" for each in found for line in each.failures()]
    print("\n".join([f"{options.out} is written.", *failures]))
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
