"""The picture at the top of the README: one phrase goes in, the shipped instruments come out.

    python benchmarks/picture.py                                     # docs/instruments.png
    python benchmarks/picture.py gru-L-violin gru-S-violin --out a.png --sounds out/

The phrase is the first of those that zoo makes by rule (`zoo.datasets.tones`), so that anybody can draw it again. With
--sounds, what is drawn is also written as wav files, to listen to.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image

import zoo
from zoo.datasets.tones import tones
from zoo.features.audio import write_wav
from zoo.training.report import plot_spectrograms

INSTRUMENTS = ["gru-S-flute", "gru-S-violin", "gru-S-trumpet"]


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=INSTRUMENTS, metavar="MODEL", help="a name, a folder, a Hub id")
    parser.add_argument("--out", type=Path, default=Path("docs/instruments.png"), help="the picture to write")
    parser.add_argument("--sounds", type=Path, help="a folder for the sounds")
    parser.add_argument("--seconds", type=float, default=4.0, help="of the phrase (default 4)")
    options = parser.parse_args()
    phrase = next(iter(tones(seconds=8.0)))
    drawn: dict[str, torch.Tensor] = {}
    for name in options.models:
        model = zoo.load(name)
        samples = round(options.seconds * model.sample_rate)
        source = phrase.load(model.sample_rate)[:samples]
        drawn.setdefault("what goes in", source)
        drawn[name] = model.synthesize(source, sample_rate=model.sample_rate)
        print(f"{name}: {len(drawn[name]) / model.sample_rate:.2f} s")
    plot_spectrograms(drawn, options.out, sample_rate=model.sample_rate)
    # a spectrogram has few colours: a palette needs a quarter of the bytes
    few = Image.open(options.out).convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(options.out, optimize=True)
    print(options.out)
    if options.sounds is not None:
        for title, audio in drawn.items():
            write_wav(options.sounds / f"{title.replace(' ', '-')}.wav", audio, sample_rate=model.sample_rate)
        print(options.sounds)


if __name__ == "__main__":
    main()
