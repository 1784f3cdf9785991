"""Play a MIDI file on a model's instrument."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.commands import cli
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.live import Performer, Song
    from zoo.models.model import Model


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo midi",
        "Play a MIDI file on a model's instrument, into a wav file.",
        [
            "zoo midi gru-S-violin song.mid violin.wav",
            "zoo midi gru-S-flute song.mid flute.wav --track 1 --voices 1",
            "zoo midi runs/my-trumpet song.mid trumpet.wav --style plain --transpose -12 --fit off",
        ],
    )
    parser.add_argument("model", help="a name, or a run's folder")
    parser.add_argument("song", type=Path, metavar="song.mid", help="the MIDI file")
    parser.add_argument("output", type=Path, metavar="out.wav", help="the wav file to write")
    add_playing_options(parser, voices="as many as the song needs; 1 where its notes at most overlap a little")
    parser.add_argument(
        "--fit",
        choices=("auto", "off"),
        default="auto",
        help="move the song by octaves into the range that the model was trained on (default), or do not",
    )
    parser.add_argument("--channel", type=int, metavar="N", help="play this one alone, 1 to 16 (default: all but 10)")
    parser.add_argument("--track", type=int, metavar="N", help="play this one alone, from 0 (default: all)")
    options = parser.parse_args(arguments)
    if options.output.suffix.lower() != ".wav":
        raise ConfigError(f"The output {options.output} must be a .wav file: {options.output.with_suffix('.wav')}")
    import torch

    from zoo.checks.options import output_file_fault, refuse, torch_seed_fault, whole_fault
    from zoo.features import write_wav
    from zoo.live import MidiInstrument, octaves_for, read_midi, voices_for
    from zoo.models.fit import shift_faults
    from zoo.resolve import load

    refuse(
        (
            *shift_faults(options.transpose, 0.0),
            torch_seed_fault("--seed", options.seed),
            None if options.channel is None else whole_fault("--channel", options.channel, least=1, most=16),
            output_file_fault(options.output, "The output"),
        )
    )
    song = read_midi(options.song, channel=options.channel, track=options.track)
    voices = voices_for(song) if options.voices is None else options.voices
    model = load(options.model)
    octaves = octaves_for(song, model.config.range) if options.fit == "auto" else 0
    transpose = options.transpose + 12 * octaves
    instrument = MidiInstrument(model, voices=voices, style=options.style, transpose=transpose, seed=options.seed)
    audio = torch.from_numpy(instrument.play(song))
    peak = float(audio.abs().max())
    write_wav(options.output, audio / max(peak, 1.0), sample_rate=model.sample_rate)
    said = [f"{options.output}: {len(audio) / model.sample_rate:.2f} s of {model.name}"]
    notes = len(song.notes())
    said.append(f"{notes} note{'s' * (notes > 1)}, {voices} voice{'s' * (voices > 1)}")
    if octaves:
        said.append(f"moved {'up' if octaves > 0 else 'down'} {abs(octaves)} octave{'s' * (abs(octaves) > 1)}")
    if peak > 1.0:
        said.append(f"turned down by {20 * torch.tensor(peak).log10():.1f} dB, to full scale")
    lines = [", ".join(said), *_out_of_range(song, model, transpose), *_cut_short(song, instrument.performer)]
    sys.stdout.write("\n".join([*lines, ""]))
    return 0


def _out_of_range(song: Song, model: Model, transpose: float) -> list[str]:
    """Notes that the model was not trained to play, and those that nothing can play, as lines."""
    from zoo.live.notes import note_name
    from zoo.live.performer import HIGHEST, LOWEST

    pitches = [pitch + transpose for *_, pitch in song.notes()]
    said = []
    span = model.config.range
    if span is not None:
        low, high = (round(69 + 12 * math.log2(f0_hz / 440)) for f0_hz in (span.f0_hz.lowest, span.f0_hz.highest))
        outside = sum(not low - 0.5 <= pitch <= high + 0.5 for pitch in pitches)
        if outside:
            said.append(
                f"{_of(outside, pitches)} outside the range of {model.name} ({note_name(low)} to {note_name(high)}): "
                "--transpose moves the song, and another model may have its range."
            )
    beyond = sum(not LOWEST <= pitch <= HIGHEST for pitch in pitches)
    return [*said, f"{_of(beyond, pitches)} left out: there is no such pitch."] if beyond else said


def _cut_short(song: Song, performer: Performer) -> list[str]:
    """Notes whose voice later ones took, as a line."""
    from zoo.live.performer import MOST_VOICES

    if not performer.cut_short:
        return []
    most = f"{MOST_VOICES} voices are the most"
    few = most if performer.voices == MOST_VOICES else f"--voices gives more than {performer.voices}; {most}"
    return [f"{_of(performer.cut_short, song.notes(), 'was', 'were')} cut short or not heard: {few}."]


def _of(some: int, notes: Sequence[object], one: str = "is", several: str = "are") -> str:
    return f"{some} of {len(notes)} note{'s' * (len(notes) > 1)} {one if some == 1 else several}"


def add_playing_options(parser: argparse.ArgumentParser, *, voices: str) -> None:
    """Add how notes are played, which `zoo live --midi` has, too.

    Args:
        parser: A command's.
        voices: How many voices there are by default.
    """
    add = parser.add_argument
    add("--voices", type=int, metavar="N", help=f"notes at once, 1 to 64 (default: {voices})")
    add(
        "--style",
        help="how notes are played: expressive, plain or struck (default: struck where the instrument's notes fall "
        "while they are held, as a piano's do, else expressive)",
    )
    add("--transpose", type=float, default=0.0, metavar="SEMITONES", help="shift the pitch")
    add("--seed", type=int, default=0, help="of the noise part (default 0)")
