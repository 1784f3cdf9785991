"""Play phrases of other instruments on every shipped model, and measure what comes out from outside.

    python benchmarks/transfer_pairs.py /path/to/recordings --cache /tmp/heard
    python benchmarks/transfer_pairs.py /path/to/recordings --cache /tmp/heard --all --out docs/results/transfer.md

The folder has an INDEX.tsv (columns path, instrument, kind, seconds; kind = "phrases"). Each phrase goes through each
model of another instrument as `model.synthesize` does by default, and its result is measured with definitions that no
model was trained with (`transfer_phrases.py`):

level          A-weighted level of the result less that of the phrase: within 6 dB?
pitch          median over the frames in which two trackers agree on the phrase's pitch and YIN is sure of the result's,
               octaves aside: within 20 cents? Only of phrases that are monophonic by two trackers.
peak           over full scale?
timbre         Fréchet distance of log-mel frames to recordings of the model's instrument, both at one level

By default a few phrases of each instrument are taken, chosen by chance and always the same; --all takes every one.
What is measured of a phrase is kept in --cache: remove it when the front end has changed.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transfer_phrases import (
    AGREE_CENTS,
    AGREEMENT,
    MIN_FRAMES,
    Excerpt,
    a_weighted_level_db,
    cents_apart,
    excerpts_in,
    hear,
    sample_of,
    yin,
)

from zoo import resolve
from zoo.features import Features, read_audio
from zoo.metrics import Gaussian, frechet_distance, frechet_log_mel
from zoo.models.fit import FITS, into_range
from zoo.models.model import Model
from zoo.storage import store
from zoo.storage.files import write_atomically

MAX_LEVEL_DB, MAX_CENTS = 6.0, 20.0
PIECES = 4
"""That a long recording is cut into, at most."""
TIMBRE_DB = -30.0
"""A-weighted level to which sounds are brought before their timbre is compared."""


@dataclass(frozen=True)
class Pair:
    """A phrase, as a model plays it.

    Attributes:
        model: Its name.
        phrase: Its name.
        instrument: The phrase's.
        level_db: A-weighted, of the result less that of the phrase.
        cents: How far the pitch is off in the median, octaves aside; NaN without enough frames.
        frames: That is the median of.
        monophonic: Whether the phrase has one pitch at a time.
        peak: Largest sample of the result.
    """

    model: str
    phrase: str
    instrument: str
    level_db: float
    cents: float
    frames: int
    monophonic: bool
    peak: float

    @property
    def level_holds(self) -> bool:
        """Within `MAX_LEVEL_DB`."""
        return abs(self.level_db) <= MAX_LEVEL_DB

    @property
    def pitch_holds(self) -> bool:
        """Within `MAX_CENTS`, of enough frames."""
        return self.frames >= MIN_FRAMES and self.cents <= MAX_CENTS


@dataclass
class Tally:
    """What a model made of all phrases.

    Attributes:
        name: The model's.
        pairs: One a phrase.
        timbre: Fréchet distance to recordings of its instrument; None where there are none.
    """

    name: str
    pairs: list[Pair]
    timbre: float | None


def measure(name: str, chosen: Sequence[Excerpt], options: argparse.Namespace) -> Tally:
    """Play all phrases of other instruments on a model."""
    model = resolve.load(name)
    pairs: list[Pair] = []
    made = None
    for excerpt in chosen:
        if excerpt.instrument == model.config.instrument:
            continue
        heard = hear(
            excerpt,
            model.listening_settings(),
            sample_rate=model.sample_rate,
            hop=model.hop,
            cache=options.cache,
        )
        audio = play(model, heard.features, options)
        apart = cents_apart(heard.f0_hz, yin(audio, sample_rate=model.sample_rate))
        level_db = a_weighted_level_db(audio, sample_rate=model.sample_rate)
        pairs.append(
            Pair(
                name,
                excerpt.name,
                excerpt.instrument,
                level_db - heard.level_db,
                float(apart.median()) if len(apart) else float("nan"),
                len(apart),
                heard.monophonic,
                float(audio.abs().max()),
            )
        )
        made = added(made, audio, level_db, model.sample_rate)
    own = recordings_of(model.config.instrument or "", options.folder, model.sample_rate, options.seconds)
    return Tally(name, pairs, frechet_distance(made, own) if made and own else None)


@functools.cache
def recordings_of(instrument: str, folder: Path, sample_rate: int, seconds: float) -> Gaussian | None:
    """What an instrument's own recordings sound like; None where there are none."""
    known = None
    for excerpt in excerpts_in(folder, sample_rate=sample_rate, seconds=seconds, per_file=PIECES):
        if excerpt.instrument == instrument:
            whole = read_audio(excerpt.path, sample_rate=sample_rate)
            audio = whole[excerpt.start : excerpt.start + excerpt.samples]
            known = added(known, audio, a_weighted_level_db(audio, sample_rate=sample_rate), sample_rate)
    return known


def play(model: Model, features: Features, options: argparse.Namespace) -> Tensor:
    """As `model.synthesize` does, whose first half, but for the fit, was measured once for all models."""
    if options.fit == "auto" and model.config.range is not None:
        features = into_range(features, model.config.range, sample_rate=model.sample_rate, hop=model.hop)
    return model.render(features)


def added(known: Gaussian | None, audio: Tensor, level_db: float, sample_rate: int) -> Gaussian | None:
    """A set of sounds and one more, at one level; what is silent is left out."""
    if not np.isfinite(level_db):
        return known
    levelled = audio * 10 ** ((TIMBRE_DB - level_db) / 20)
    found = frechet_log_mel.statistics(levelled[None], sample_rate=sample_rate)
    return found if known is None else known + found


HEAD = (
    "| model | pairs | level within 6 dB | off in the median, dB | off at most in 95 %, dB | monophonic "
    "| pitch within 20 cents | cents in the median | over full scale | highest peak | Fréchet |\n" + "|---" * 11 + "|"
)


def in_a_line(name: str, pairs: Sequence[Pair], timbre: float | None) -> str:
    """A row of the table."""
    single = [each for each in pairs if each.monophonic]
    off = np.abs([each.level_db for each in pairs])
    return (
        f"| {name} | {len(pairs):,} | {share([each.level_holds for each in pairs])} | {np.median(off):.1f} "
        f"| {np.quantile(off, 0.95):.1f} | {len(single):,} | {share([each.pitch_holds for each in single])} "
        f"| {np.nanmedian([each.cents for each in single]):.1f} | {sum(each.peak > 1 for each in pairs)} "
        f"| {max(each.peak for each in pairs):.2f} | {'' if timbre is None else f'{timbre:,.0f}'} |"
    )


def share(holds: Sequence[bool]) -> str:
    """In per cent."""
    return f"{100 * sum(holds) / len(holds):.1f} %" if holds else ""


def table(tallies: Sequence[Tally]) -> str:
    """All models, and all pairs."""
    rows = [in_a_line(each.name, each.pairs, each.timbre) for each in tallies]
    return "\n".join([HEAD, *rows, in_a_line("all", [pair for each in tallies for pair in each.pairs], None)])


def read_tallies(path: Path) -> list[Tally]:
    """What an earlier run wrote with --json."""
    return [
        Tally(each["name"], [Pair(**pair) for pair in each["pairs"]], each["timbre"])
        for each in json.loads(path.read_text())
    ]


def among(earlier: Sequence[Tally], tallies: Sequence[Tally]) -> list[Tally]:
    """An earlier run's pairs that are in this run too; of fewer pairs than it had, it knows no timbre."""
    kept = []
    for now in tallies:
        names = {(pair.instrument, pair.phrase) for pair in now.pairs}
        for each in (each for each in earlier if each.name == now.name):
            pairs = [pair for pair in each.pairs if (pair.instrument, pair.phrase) in names]
            kept.append(Tally(each.name, pairs, each.timbre if len(pairs) == len(each.pairs) else None))
    return kept


PAGE = """# Timbre transfer, measured independently

This page measures timbre transfer independently of zoo's own definitions: each shipped model plays phrases of other
instruments, as `model.synthesize` does by default, and the results are measured with definitions that no model was
trained with.

- **Level** is the A-weighted RMS level, by the standard's filter in the time domain and frames of 50 ms: the median
  over the frames within 30 dB of the loudest one. The table has its difference from the phrase's level.
- **Pitch** is the median distance in cents, apart from octaves, between the pitch of the phrase where pYIN and YIN
  agree, and that of YIN in the result. Fewer than {frames} frames count as a failure. It is measured only for
  monophonic phrases, in which the two trackers agree within {agree:.0f} cents in {agreement:.0f} % of the frames within
  30 dB of the loudest one.
- **Over full scale** counts results with a sample over 1.
- **Fréchet** is the distance of log-mel frames to recordings of the model's own instrument, all at one level. It also
  depends on which notes are played: it can compare one model before and after a change, but not two models.

Phrases are pieces of at most {seconds:g} s, at most {pieces} per recording{chosen}. The command was

```
python benchmarks/transfer_pairs.py RECORDINGS --cache CACHE{command}
```

{table}
"""


def page(tallies: Sequence[Tally], earlier: Sequence[Tally], options: argparse.Namespace) -> str:
    """The page of results."""
    command = " --all" if options.all else f" --count {options.count}"
    text = PAGE.format(
        frames=MIN_FRAMES,
        agree=AGREE_CENTS,
        agreement=100 * AGREEMENT,
        seconds=options.seconds,
        pieces=PIECES,
        chosen="" if options.all else f"; {options.count} of each instrument, chosen at random",
        command=f"{command}{'' if options.fit == 'auto' else f' --fit {options.fit}'} --out docs/results/transfer.md",
        table=table(tallies),
    )
    if earlier:
        text += (
            "\n## Before\n\nThese are the same phrases with an older zoo. It did not give results the A-weighted level "
            "of the recording, did not move them\ninto the model's range, did not hold pauses to the recording's level "
            "and did not start the pitch search anew after silence.\n\n"
            f"{table(among(earlier, tallies))}\n"
        )
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a line a model, write what was found."""
    parser = argparse.ArgumentParser(description="Play phrases on every shipped model, and measure from outside.")
    parser.add_argument("folder", type=Path, help="recordings, with an INDEX.tsv")
    parser.add_argument("models", nargs="*", help="names (default: all that ship)")
    parser.add_argument("--cache", type=Path, required=True, help="keeps what is measured of a phrase")
    parser.add_argument("--count", type=int, default=12, help="phrases of each instrument (default 12)")
    parser.add_argument("--all", action="store_true", help="every phrase")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a phrase, at most (default 6)")
    parser.add_argument("--fit", choices=FITS, default="auto", help="as `zoo synth` has it (default auto)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice (default 0)")
    parser.add_argument("--json", type=Path, help="write every pair there")
    parser.add_argument("--before", type=Path, help="what an earlier run wrote with --json, for a second table")
    parser.add_argument("--out", type=Path, help="the page to write")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    names = options.models or sorted(store.shipped_models())
    chosen = excerpts_in(options.folder, sample_rate=16000, seconds=options.seconds, per_file=PIECES)
    if not options.all:
        chosen = sample_of(chosen, options.count, seed=options.seed)
    tallies = []
    print(HEAD)
    for name in names:
        began = time.perf_counter()
        tallies.append(measure(name, chosen, options))
        print(
            in_a_line(name, tallies[-1].pairs, tallies[-1].timbre), f"{time.perf_counter() - began:.0f} s", flush=True
        )
    print(in_a_line("all", [pair for each in tallies for pair in each.pairs], None))
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(each) for each in tallies]))
    if options.out:
        earlier = read_tallies(options.before) if options.before else []
        write_atomically(options.out, page(tallies, earlier, options))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
