"""The command `python -m zoo_player`."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import soundfile

from zoo_player.instrument import Instrument, describe
from zoo_player.library import PlayerError

_HELP = """Play an instrument file from curves of pitch and loudness, into a wav file.

Examples:
  python -m zoo_player gru-S-violin.zoo features.csv out.wav
  python -m zoo_player --info gru-S-violin.zoo

features.csv begins with a line of names, then has one line per frame (250 per second for 16 kHz and a hop of 64):
  f0_hz,loudness_db
  440.0,-20.0
  0,-60.0          (0, or nothing: unvoiced)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0; 2 if what was asked for cannot be done; 1 if writing fails.
    """
    parser = argparse.ArgumentParser(
        prog="python -m zoo_player", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("instrument", type=Path, metavar="NAME.zoo", help="the instrument file")
    parser.add_argument("features", type=Path, nargs="?", metavar="features.csv", help="the curves, one line per frame")
    parser.add_argument("out", type=Path, nargs="?", metavar="out.wav", help="the audio (float32; .flac: 24 bits)")
    parser.add_argument("--info", action="store_true", help="print what the file says of itself, as JSON")
    parser.add_argument("--seed", type=int, default=0, help="of the noise; default 0")
    chosen = parser.parse_args(arguments)
    if not chosen.info and (chosen.features is None or chosen.out is None):
        parser.error("features.csv and out.wav are needed, too (or --info)")
    try:
        if chosen.info:
            _print_info(chosen.instrument)
            return 0
        instrument = Instrument(chosen.instrument, seed=chosen.seed)
        curves = _read_curves(chosen.features, instrument.inputs)
        if chosen.out.suffix.lower() not in (".wav", ".flac"):
            raise PlayerError(f"{str(chosen.out)!r}: the audio's file must end in .wav or .flac")
        f0_hz, loudness_db = curves.pop("f0_hz", None), curves.pop("loudness_db", None)
        if f0_hz is None or loudness_db is None:
            raise PlayerError(f"this command plays instruments of f0_hz and loudness_db, not {instrument.inputs}")
        audio = instrument.process(f0_hz, loudness_db, **curves)
    except PlayerError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    try:
        with tempfile.TemporaryDirectory(dir=chosen.out.parent, prefix=".zoo-player-") as folder:
            made = Path(folder) / f"audio{chosen.out.suffix.lower()}"  # nothing half-written under the final name
            soundfile.write(made, audio, instrument.sample_rate, "FLOAT" if made.suffix == ".wav" else "PCM_24")
            made.replace(chosen.out)
    except (OSError, soundfile.SoundFileError) as error:
        sys.stderr.write(f"error: cannot write {str(chosen.out)!r}: {error}\n")
        return 1
    seconds = len(audio) / instrument.sample_rate
    sys.stdout.write(
        f"{chosen.out}: {seconds:.2f} s at {instrument.sample_rate} Hz, {instrument.latency} samples late\n"
    )
    return 0


def _print_info(file: Path) -> None:
    found = describe(file)
    numbers = {name: getattr(found, name) for name in ("sample_rate", "hop", "latency", "weights")}
    sys.stdout.write(json.dumps({**found.text, **numbers}, indent=2) + "\n")


def _read_curves(file: Path, inputs: Sequence[str]) -> dict[str, list[float]]:
    """The columns that the instrument needs."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            rows = list(csv.reader(opened))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text of comma-separated values"
        raise PlayerError(f"cannot read {str(file)!r}: {reason}") from None
    header = [name.strip() for name in rows[0]] if rows else []
    if missing := [name for name in inputs if name not in header]:
        raise PlayerError(
            f"{str(file)!r} lacks the column {', '.join(missing)}: its first line must be {','.join(inputs)}"
        )
    curves: dict[str, list[float]] = {name: [] for name in inputs}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        for name in inputs:
            place = header.index(name)
            text = row[place].strip() if place < len(row) else ""
            try:
                curves[name].append(float(text) if text else float("nan"))
            except ValueError:
                raise PlayerError(f"{str(file)!r}, line {number}: {text!r} is no number for {name}") from None
    return curves


if __name__ == "__main__":
    sys.exit(main())
