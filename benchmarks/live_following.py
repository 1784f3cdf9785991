"""How what `Live` plays follows phrases of other instruments: every shipped model, at 48 kHz in blocks of 128.

    python benchmarks/live_following.py RECORDINGS --count 4

RECORDINGS has an INDEX.tsv, as for `transfer_pairs.py`; the phrases are chosen as there. A phrase follows where

pitch     the median distance between the pitch of the phrase and that of the output, later by the declared latency and
          octaves aside, is under 20 cents (YIN, where it is sure of both; of phrases with 20 such frames)
loudness  the mean distance between the loudness that the model was asked for, frame by frame, and that of the output,
          in the model's own kind, is under 6 dB (pauses left out; what was asked is averaged over the window that
          the output's loudness is measured in: 64 ms, for the thesis's loudness 128 ms)
voiced    the same over frames with a pitch: the first 20 to 40 ms of a note have none yet, and a model that has no
          breath is softer there than it was asked
level     the same for the A-weighted level of phrase and output, each less its median: what is heard

Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import zoo_player
from live import DEFAULT_FMIN, FMIN
from torch import Tensor
from transfer_phrases import cents_apart, excerpts_in, sample_of, yin

import zoo
from zoo.features import FeatureSettings, read_audio
from zoo.features.audio import resample
from zoo.features.loudness import WINDOW_SECONDS, a_weighted_level_db, heard_frames
from zoo.losses.loudness_matching import through_window
from zoo.metrics import tracking_error
from zoo.models.model import Model
from zoo.streaming import instrument_file

RATE, BLOCK = 48000, 128
MAX_CENTS, MAX_DB, MIN_FRAMES = 20.0, 6.0, 20


def played(live: zoo_player.Live, phrase: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What `Live` makes of a phrase `[samples]` at `RATE`; and per frame the pitch and loudness that it asks for."""
    live.reset()
    made, asked = [], {}
    for at in range(0, len(phrase), BLOCK):
        made.append(live.process(phrase[at : at + BLOCK].numpy()))
        state = live.state
        # softer than the model plays, and silence, are turned down
        level_db = min(state.loudness_db, state.input_db + state.shift_db)
        asked[state.frames] = (state.f0_hz, level_db if state.input_db > -79 else -80.0)
    frames = np.array([asked.get(number, asked[max(asked)]) for number in range(1, max(asked) + 1)], np.float32)
    curves = torch.from_numpy(frames)
    return torch.from_numpy(np.concatenate(made)), curves[:, 0], curves[:, 1]


def follows(live: zoo_player.Live, model: Model, phrase: Tensor) -> tuple[float, float, float, float]:
    """Cents (NaN without a pitch), dB to what was asked, the same with a pitch, dB to the phrase's own level."""
    audio, f0_hz, loudness_db = played(live, phrase)
    rate, hop = model.sample_rate, model.hop
    late = live.latency
    heard = resample(phrase[: len(phrase) - late][None], RATE, rate)[0]
    output = resample(audio[late:][None], RATE, rate)[0]
    count = min(len(heard), len(output)) // hop * hop
    heard, output = heard[:count], output[:count]
    sure = yin(heard, sample_rate=rate)
    apart = cents_apart(sure, yin(output, sample_rate=rate))
    cents = float(apart.median()) if len(apart) >= MIN_FRAMES else float("nan")
    levels = [a_weighted_level_db(each[None], sample_rate=rate, hop=hop)[0] for each in (heard, output)]
    loud = heard_frames(levels[0])
    level = (levels[1] - levels[0])[loud]
    # from a frame's end until its sound is out: what is late but for the analysis
    delays = live.delays
    begin = round((delays["frame"] + delays["synth"] + delays["resampling"]) / RATE * rate) - hop
    sound = resample(audio[None], RATE, rate)[0][begin:]
    frames = min(len(sound) // hop, len(f0_hz))
    settings = FeatureSettings(tracker="yin", loudness=model.feature_settings().loudness)
    seconds = WINDOW_SECONDS if settings.loudness == "a_weighted" else settings.n_fft / rate
    loudness_db = through_window(loudness_db, frame_rate=rate / hop, seconds=seconds)
    f0_hz, loudness_db, sound = f0_hz[:frames], loudness_db[:frames], sound[: frames * hop]
    asked = [
        tracking_error(sound, f0_hz, each, sample_rate=rate, hop=hop, settings=settings).loudness_error_db
        for each in (loudness_db, loudness_db.masked_fill(f0_hz == 0, -80.0))
    ]
    return cents, *asked, float((level - level.median()).abs().mean())


def row(name: str, found: Sequence[tuple[float, float, float, float]]) -> str:
    """A line of the table."""
    cents, asked, voiced, level = (np.array(values) for values in zip(*found, strict=True))
    pitched = cents[~np.isnan(cents)]
    return (
        f"| {name} | {len(cents)} | {len(pitched)} "
        f"| {100 * np.mean(pitched < MAX_CENTS):.1f} % | {np.median(pitched):.1f} "
        f"| {100 * np.mean(asked < MAX_DB):.1f} % | {np.median(asked):.1f} "
        f"| {100 * np.mean(voiced < MAX_DB):.1f} % | {np.median(voiced):.1f} | {100 * np.mean(level < MAX_DB):.1f} % "
        f"| {np.median(level):.1f} |"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=4, help="phrases of each instrument")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a phrase")
    parser.add_argument("--only", nargs="*", help="models")
    parser.add_argument("--fmin", type=float, help="of the input; else just under each instrument's lowest note")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    pieces = sample_of(
        excerpts_in(chosen.folder, sample_rate=16000, seconds=chosen.seconds, per_file=4), chosen.count, seed=0
    )
    print("| model | phrases | with a pitch | within 20 cents | median | loudness within 6 dB | median ", end="")
    print("| voiced | median | level within 6 dB | median |\n" + "|---" * 11 + "|")
    everything = []
    for name in chosen.only or zoo.list_models(pretrained=True):
        model = zoo.load(name)
        instrument, found = instrument_file(model), []
        for piece in pieces:
            if piece.instrument == model.config.instrument:
                continue
            fmin = chosen.fmin or FMIN.get(piece.instrument, DEFAULT_FMIN)
            live = zoo_player.Live(instrument, sample_rate=RATE, fmin=fmin)
            audio = read_audio(piece.path, sample_rate=16000)[piece.start : piece.start + piece.samples]
            found.append(follows(live, model, resample(audio[None], 16000, RATE)[0]))
        print(row(name, found), flush=True)
        everything += found
    print(row("all", everything))


if __name__ == "__main__":
    main()
