"""Melodies as MIDI files, played by models: how near pitch and pauses are to the notes, and a picture of each.

    python benchmarks/midi.py OUT [MODEL ...]

Writes the MIDI files, a wav file and a spectrogram of each rendering into OUT, and prints a table in Markdown:

model     and the melody that it plays
cents     median of the difference between the pitch in the rendering (YIN) and the file's notes, over their middles
within    percentage of these frames that differ by under 50 cents (vibrato included)
pauses    level in the pauses of over half a second, from 0.3 s after their beginning, under that of the notes, in dB
peak      of the rendering, 1 is full scale
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import mido
import numpy as np
import torch

import zoo
from zoo.features import read_audio, track_pitch
from zoo.live import read_midi

# Melodies in the public domain: pitch (0: a pause) and length in eighths, with slurs written as overlaps.
GREENSLEEVES = [  # English, 16th century
    *((69, 2), (72, 4), (74, 2), (76, 3), (77, 1), (76, 2), (74, 4), (71, 2), (67, 3), (69, 1), (71, 2), (72, 4)),
    *((69, 2), (69, 3), (68, 1), (69, 2), (71, 4), (68, 2), (64, 6), (0, 4)),
    *((69, 2), (72, 4), (74, 2), (76, 3), (77, 1), (76, 2), (74, 4), (71, 2), (67, 3), (69, 1), (71, 2), (72, 3)),
    *((71, 1), (69, 2), (68, 3), (66, 1), (68, 2), (69, 10), (0, 6)),
]
BACH = [  # Johann Sebastian Bach, BWV 147, the chorale's ritornello
    *((67, 1), (69, 1), (71, 1), (74, 1), (72, 1), (72, 1), (76, 1), (74, 1), (74, 1), (79, 1), (78, 1), (79, 1)),
    *((74, 1), (71, 1), (67, 1), (69, 1), (71, 1), (72, 1), (74, 1), (76, 1), (74, 1), (72, 1), (71, 1), (69, 1)),
    *((71, 1), (67, 1), (66, 1), (67, 1), (69, 1), (62, 1), (66, 1), (69, 1), (72, 1), (71, 1), (69, 1), (71, 1)),
    *((67, 1), (69, 1), (71, 1), (74, 1), (72, 1), (72, 1), (76, 1), (74, 1), (74, 1), (79, 1), (78, 1), (79, 6)),
    *((0, 6),),
]
MELODIES = {"greensleeves": (GREENSLEEVES, 200), "bach": (BACH, 170)}
TICKS = 480


def melody_file(
    melody: Sequence[tuple[int, int]], path: Path, *, eighths_per_minute: float, slur_ticks: int = 20
) -> None:
    """Write a melody as a MIDI file: bound, with accents on what is long, and a swell on the longest."""
    file = mido.MidiFile(ticks_per_beat=TICKS)
    track = mido.MidiTrack()
    file.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=round(2 * 60e6 / eighths_per_minute)))
    events, at = [], 0
    for (pitch, length), (follows, _) in zip(melody, [*melody[1:], (0, 0)], strict=True):
        ticks = length * TICKS // 2
        if pitch:
            end = at + ticks + (slur_ticks if follows != pitch else -slur_ticks)
            events.append((at, mido.Message("note_on", note=pitch, velocity=min(60 + 8 * length, 110))))
            events.append((end, mido.Message("note_off", note=pitch)))
        at += ticks
    before = 0
    for when, message in sorted(events, key=lambda event: event[0]):
        track.append(message.copy(time=when - before))
        before = when
    track.append(mido.MetaMessage("end_of_track", time=max(0, at - before)))
    file.save(path)


def measured(song: Path, audio: torch.Tensor, *, sample_rate: int) -> tuple[float, float, float]:
    """Cents, percentage within 50, and how far the pauses are under the notes in dB."""
    notes = read_midi(song).notes()
    f0_hz, _ = track_pitch(audio[None], sample_rate=sample_rate, hop=64, tracker="yin", fmin=150, center=True)
    rate = sample_rate / 64
    cents, levels, quiet = [], [], []
    power = audio.double().square()
    for index, (start, end, pitch) in enumerate(notes):
        after = notes[index + 1][0] if index + 1 < len(notes) else len(audio) / sample_rate
        heard = f0_hz[0, round((start + 0.08) * rate) : round((min(end, after) - 0.03) * rate)]
        # the octave is the fit's
        apart = 1200 * torch.log2(heard[heard > 0].double() / 440) - 100 * (pitch - 69)
        cents.append((apart + 600) % 1200 - 600)
        levels.append(power[round(start * sample_rate) : round(end * sample_rate)].mean())
        if after - end > 0.5:
            quiet.append(power[round((end + 0.3) * sample_rate) : round(after * sample_rate)].mean())
    off = torch.cat(cents).abs()
    under = 10 * torch.log10(torch.stack(levels).mean() / torch.stack(quiet).mean().clamp(min=1e-20))
    return float(off.median()), 100 * float((off < 50).double().mean()), float(under)


def picture(audio: torch.Tensor, path: Path, *, sample_rate: int, title: str) -> None:
    """A spectrogram."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(12, 4))
    spectrum = torch.stft(audio, 1024, 128, window=torch.hann_window(1024), return_complex=True).abs()
    shown = 20 * np.log10(spectrum.numpy() + 1e-6)
    extent = (0, len(audio) / sample_rate, 0, sample_rate / 2000)
    axes.imshow(shown, origin="lower", aspect="auto", extent=extent, vmin=shown.max() - 90, vmax=shown.max())
    axes.set(title=title, xlabel="seconds", ylabel="kHz")
    figure.savefig(path, dpi=80, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("models", nargs="*", default=None, help="default: all that are shipped")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    print("| model | cents | within | pauses, dB under | peak |\n|---|---|---|---|---|")
    for name in chosen.models or zoo.list_models(pretrained=True):
        for title, (melody, speed) in MELODIES.items():
            song, out = chosen.out / f"{title}.mid", chosen.out / f"{name}-{title}.wav"
            melody_file(melody, song, eighths_per_minute=speed)
            subprocess.run([sys.executable, "-m", "zoo", "midi", name, song, out], check=True, capture_output=True)
            audio = read_audio(out, sample_rate=16000)
            cents, within, under = measured(song, audio, sample_rate=16000)
            print(
                f"| {name}, {title} | {cents:.1f} | {within:.1f} | {under:.0f} | {float(audio.abs().max()):.2f} |",
                flush=True,
            )
            picture(audio, out.with_suffix(".png"), sample_rate=16000, title=f"{name}: {title}")


if __name__ == "__main__":
    main()
