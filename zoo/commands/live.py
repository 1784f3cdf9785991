"""Play a model's instrument live, by a microphone or a MIDI keyboard."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.checks.plain_text import write_controls
from zoo.commands import cli
from zoo.commands.midi import add_playing_options
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.live.session import Count, Devices
    from zoo.models.model import Model

_BAR = 30


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo live",
        "Play a model's instrument live: it follows a microphone, or is played by a MIDI keyboard. Ctrl-C ends it. "
        "Use headphones: what a microphone hears of the output is played again.",
        [
            "zoo live gru-S-violin",
            "zoo live gru-S-flute --input 3 --output headphones --fmin 80 --record flute.wav",
            "zoo live gru-S-trumpet --midi --voices 4",
            "zoo live --list-devices",
            "zoo live --measure --input 3 --output 4       # with a cable from the output to the input",
        ],
    )
    add = parser.add_argument
    add("model", nargs="?", help="a name, or a run's folder")
    add("--input", metavar="DEVICE", help="number, or a part of the name (default: the system's choice)")
    add("--output", metavar="DEVICE", help="the same")
    add("--rate", type=int, metavar="HZ", help="sample rate of the devices (default: the output's own)")
    add("--blocksize", type=int, default=256, metavar="SAMPLES", help="smaller: sooner; larger: safer (default 256)")
    add(
        "--latency",
        default="low",
        metavar="S",
        help="of the devices: low (default), high, or seconds, where it drops out",
    )
    add("--list-devices", action="store_true", help="show audio devices, and end")
    add(
        "--measure", action="store_true", help="measure the devices' round trip by chirps that the input hears, and end"
    )
    add("--record", type=Path, metavar="out.wav", help="write what is played into a file, too")
    add("--seconds", type=float, metavar="S", help="end after so long (default: at Ctrl-C)")
    add("--midi", nargs="?", const="", metavar="PORT", help="play by MIDI: the port's number, or a part of its name")
    add_playing_options(parser, voices="1")
    add("--fmin", type=float, metavar="HZ", help="lowest pitch of the input (default: a semitone under the model's)")
    add(
        "--fit", choices=("auto", "off"), default="auto", help="move the input into the model's range (default), or not"
    )
    add("--loudness", type=float, default=0.0, metavar="DB", help="play louder or softer than the input")
    add("--input-gain", type=float, default=0.0, metavar="DB", help="of a soft or loud microphone")
    add("--gate", type=float, default=-65.0, metavar="DB", help="input of a lower level is silence (default -65)")
    add("--gain", type=float, default=0.0, metavar="DB", help="of the output")
    add("--dry", action="store_true", help="without the model's reverb")
    options = parser.parse_args(arguments)

    from zoo.checks.options import number_fault, output_file_fault, refuse, torch_seed_fault, whole_fault
    from zoo.live import devices
    from zoo.live.session import Devices, run

    if options.list_devices:
        cli.write_table(devices.device_lines())
        return 0
    if options.model is None and not options.measure:
        raise ConfigError("zoo live needs a model, e.g. zoo live gru-S-violin. zoo list shows them.")
    if options.record is not None and options.record.suffix.lower() != ".wav":
        raise ConfigError(f"--record {options.record}: it must be a .wav file: {options.record.with_suffix('.wav')}")
    refuse(
        (
            whole_fault("--blocksize", options.blocksize, least=16, most=16384),
            None if options.rate is None else whole_fault("--rate", options.rate, least=8000, most=192000),
            None if options.seconds is None else number_fault("--seconds", options.seconds, over=0, most=1e6),
            number_fault("--input-gain", options.input_gain, least=-60, most=60),
            number_fault("--gain", options.gain, least=-60, most=60),
            torch_seed_fault("--seed", options.seed),
            output_file_fault(options.record, "The recording") if options.record else None,
        )
    )
    chosen = Devices(options.input, options.output, options.rate, options.blocksize, _latency(options.latency))
    if options.measure:
        return _measure(chosen, options.seconds or 3.0)
    from zoo.resolve import load

    model = load(options.model)
    if options.midi is None:
        engine, delays, lines = _following(model, options, chosen.opened_at())
        close = None
    else:
        chosen = replace(chosen, input="")
        engine, delays, lines, close = _played(model, options, chosen.opened_at())
    view = _View(delays, lines)
    try:
        count = run(engine, chosen, seconds=options.seconds, record=options.record, look=view.show)
    finally:
        view.leave()
        if close is not None:
            close()
    view.say(count, chosen)
    if options.record is not None:
        sys.stdout.write(f"{options.record}: what was played\n")
    return 0


def _latency(text: str) -> str | float:
    if text in ("low", "high"):
        return text
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= 2.0:
        raise ConfigError(f"--latency {text!r}: it is low, high, or seconds up to 2, e.g. --latency 0.05.")
    return seconds


def _following(model: Model, options: Any, rate: int) -> tuple[Any, dict[str, float], Callable[[], list[str]]]:  # noqa: ANN401
    """An engine that follows the input, what it is late, in seconds, and what it says of itself."""
    import zoo_player

    from zoo.live import playable

    try:
        live = zoo_player.Live(playable(model), sample_rate=rate, fit=options.fit, fmin=options.fmin, seed=options.seed)
        live.transpose, live.loudness_db, live.gate_db = options.transpose, options.loudness, options.gate
    except zoo_player.PlayerError as error:
        raise ConfigError(f"{model.name} cannot be played so: {error}.") from None
    live.input_gain, live.gain = 10 ** (options.input_gain / 20), 10 ** (options.gain / 20)
    live.reverb = not options.dry
    live.reset()

    def lines() -> list[str]:
        state = live.state
        loud = " TOO LOUD: turn the microphone down" if state.input_peak * live.input_gain >= 1.0 else ""
        moved = f", {state.octaves:+d} octaves" if state.octaves else ""
        return [
            f"hears   {_note(state.input_hz)}  level {_level(state.input_peak)}{loud}",
            f"plays   {_note(state.f0_hz)}  loudness {state.loudness_db:6.1f} dB ({state.shift_db:+.0f} dB{moved})",
        ]

    # a frame is not late by itself: its values stand for its beginning
    return live, {name: value / rate for name, value in live.delays.items() if name not in ("frame", "hold")}, lines


def _played(
    model: Model,
    options: Any,  # noqa: ANN401
    rate: int,
) -> tuple[Any, dict[str, float], Callable[[], list[str]], Callable[[], None]]:
    """The same, played by a keyboard; and what closes its port."""
    from zoo.live import MidiInstrument, devices
    from zoo.live.engines import MidiEngine

    voices = 1 if options.voices is None else options.voices
    instrument = MidiInstrument(
        model, voices=voices, style=options.style, transpose=options.transpose, seed=options.seed
    )
    engine = MidiEngine(instrument, sample_rate=rate)
    engine.gain = 10 ** (options.gain / 20)
    received = 0

    def receive(message: Any) -> None:  # noqa: ANN401
        nonlocal received
        received += 1
        instrument.message(message)

    port, name = devices.open_midi(options.midi, receive)

    def lines() -> list[str]:
        return [f"MIDI    {name}", f"plays   {instrument.performer.sounding} voices, {received} messages"]

    return engine, engine.delays_seconds, lines, port.close_port


def _measure(chosen: Devices, seconds: float) -> int:
    from zoo.live.engines import Probe
    from zoo.live.session import run

    rate = chosen.opened_at()
    probe = Probe(sample_rate=rate)
    count = run(probe, chosen, seconds=seconds)
    found = probe.round_trip_seconds()
    said = 1000 * sum(count.device_seconds)
    if found is None:
        sys.stdout.write(
            f"The input did not hear the output: connect them, by a cable or by air. The system says {said:.1f} ms.\n"
        )
        return 1
    sys.stdout.write(
        f"round trip of the devices: {1000 * found:.1f} ms, measured at {rate} Hz in blocks of {chosen.blocksize}; "
        f"the system says {said:.1f} ms. {count.dropouts} dropouts.\n"
    )
    return 0


class _View:
    """What the terminal shows: some lines, drawn anew; nothing where the output is no terminal."""

    def __init__(self, delays: dict[str, float], lines: Callable[[], list[str]]) -> None:
        self._delays, self._lines = delays, lines
        self._drawn = 0

    def show(self, count: Count) -> None:
        """Draw."""
        if not sys.stdout.isatty():
            return
        lines = [*self._lines(), f"output  {_level(count.output_peak)}", self._load(count), self._latency(count)]
        if self._drawn:
            write_controls(sys.stdout, f"\x1b[{self._drawn}A")
        for line in lines:
            sys.stdout.write(line)
            write_controls(sys.stdout, "\x1b[K\n")
        self._drawn = len(lines)
        sys.stdout.flush()

    def leave(self) -> None:
        """Nothing more is drawn."""
        self._drawn = 0

    def say(self, count: Count, chosen: Devices) -> None:
        """Say what happened, at the end."""
        played = count.blocks * chosen.blocksize / chosen.opened_at()
        sys.stdout.write(f"played {played:.1f} s; {self._load(count)}; {self._latency(count)}\n")

    def _load(self, count: Count) -> str:
        return (
            f"load    {100 * count.load:.0f} % of a block, {100 * count.most:.0f} % at most; dropouts {count.dropouts}"
        )

    def _latency(self, count: Count) -> str:
        devices = dict(zip(("input", "output"), count.device_seconds, strict=True))
        parts = {name: value for name, value in {**self._delays, **devices}.items() if name != "total" and value > 0}
        shown = ", ".join(f"{name} {1000 * value:.1f}" for name, value in parts.items())
        return f"latency {1000 * (self._delays['total'] + sum(devices.values())):.0f} ms: {shown}"


def _note(f0_hz: float) -> str:
    if f0_hz <= 0:
        return f"{'-':>8}     {'':>9}"
    from zoo.live.notes import note_name

    pitch = 69 + 12 * math.log2(f0_hz / 440)
    nearest = round(pitch)
    return f"{f0_hz:8.1f} Hz  {note_name(nearest):>3} {100 * (pitch - nearest):+3.0f} ct"


def _level(peak: float) -> str:
    db = 20 * math.log10(max(peak, 1e-5))
    filled = min(_BAR, max(0, round(_BAR * (db + 60) / 60)))
    return f"{'#' * filled}{'.' * (_BAR - filled)} {db:6.1f} dBFS"
