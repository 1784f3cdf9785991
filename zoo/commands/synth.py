"""Timbre transfer: play a recording on a model's instrument."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.commands import cli
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.features import Features, FeatureSettings
    from zoo.models.levelling import Levelled
    from zoo.models.model import Model

DEMO = "demo"
"""In place of a recording: the first of the synthetic phrases, whose pitch is known."""


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo synth",
        "Timbre transfer: play a recording's pitch and loudness on a model's instrument.",
        [
            "zoo synth gru-S-violin demo violin.wav                     # a built-in melody",
            "zoo synth runs/my-flute voice.wav flute.wav",
            "zoo synth runs/my-flute voice.wav flute.wav --transpose -12 --loudness -6",
            "zoo synth runs/my-flute voice.wav flute.wav --fit off --level normalised",
            "zoo synth runs/my-flute voice.wav flute.wav --pitch yin",
            "zoo synth runs/my-flute voice.wav flute.wav --check",
        ],
    )
    parser.add_argument("model", help="a name, or a run's folder")
    parser.add_argument(
        "input",
        type=Path,
        help="a recording of one voice (wav, flac, ogg, opus, mp3, aiff; any rate); or: demo, a built-in melody of 8 s",
    )
    parser.add_argument("output", type=Path, help="the wav file to write")
    parser.add_argument(
        "--fit",
        choices=("auto", "off"),
        default="auto",
        help="move pitch by octaves, and loudness, into the range that the model was trained on (default), or do not",
    )
    parser.add_argument(
        "--transpose", type=float, default=0.0, metavar="SEMITONES", help="shift the pitch, on top of --fit"
    )
    parser.add_argument(
        "--loudness", type=float, default=0.0, metavar="DB", help="shift the loudness that drives it, on top of --fit"
    )
    parser.add_argument(
        "--level",
        choices=("recording", "normalised"),
        default="recording",
        help="give the recording's level back, A-weighted (default), or keep the model's own",
    )
    parser.add_argument(
        "--pitch", metavar="TRACKER", help="pitch tracker (default: the model's): torchcrepe, pyin, yin"
    )
    parser.add_argument("--pitch-model", choices=("full", "tiny"), help="torchcrepe's network; tiny is 10 times faster")
    parser.add_argument(
        "--input",
        dest="inputs",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="what else drives the model, beside pitch and loudness, where it has such an input; may be repeated",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise part (default 0)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="also measure how the result follows the recording's pitch, loudness and level",
    )
    options = parser.parse_args(arguments)
    if options.output.suffix.lower() != ".wav":
        raise ConfigError(f"The output {options.output} must be a .wav file: {options.output.with_suffix('.wav')}")
    if options.input.exists() and options.output.exists() and options.input.samefile(options.output):
        raise ConfigError(f"Input and output are both {options.input}; give the output another name.")
    from zoo.checks.options import output_file_fault, refuse, torch_seed_fault
    from zoo.features import quick_options, write_wav
    from zoo.models.fit import MIN_FRAMES, FittedFeatures, shift_faults
    from zoo.models.levelling import recording_level_db
    from zoo.resolve import load

    refuse(
        (
            *shift_faults(options.transpose, options.loudness),
            torch_seed_fault("--seed", options.seed),
            output_file_fault(options.output, "The output"),
        )
    )

    inputs = _inputs(options.inputs)
    model = load(options.model)
    if set(inputs) != set(model.decoder.further_inputs):
        wanted = " ".join(f"--input {name}=0.5" for name in model.decoder.further_inputs) or "no --input"
        raise ConfigError(f"{model.name} needs {wanted}.")
    own_tracker = options.pitch is None and options.pitch_model is None and options.input.is_file()
    heard = model.listening_settings() if own_tracker else None
    if heard and not quick_options(heard.tracker).items() <= heard.tracker_options.items():
        sys.stderr.write(
            "Pitch is tracked by torchcrepe's full network, as this model was made for: about ten seconds for each "
            "second of audio on a CPU. --pitch-model tiny is ten times as fast, --pitch yin faster still.\n"
        )
    tracking = {
        "pitch": options.pitch,
        "pitch_options": {"model": options.pitch_model} if options.pitch_model else None,
    }
    source = demo_phrase(model) if str(options.input) == DEMO else {"source": options.input}
    expected = model.analyse(
        **source, transpose=options.transpose, loudness_shift_db=options.loudness, fit=options.fit, **tracking
    )
    result = model.render_levelled(expected, level=options.level, inputs=inputs, seed=options.seed, tail=True)
    write_wav(options.output, result.audio, sample_rate=model.sample_rate)
    lines = [f"{options.output}: {result.audio.numel() / model.sample_rate:.2f} s of {model.name}"]
    silent = math.isinf(recording_level_db(expected, sample_rate=model.sample_rate))
    if silent:
        lines.append(f"the recording is silent{'' if result.audio.any() else ', and so is the result'}")
    elif int((expected.f0_hz > 0).sum()) < MIN_FRAMES:
        searched = model.listening_settings(**tracking)
        lines.append(
            f"no pitch from {searched.fmin:g} to {searched.fmax:g} Hz was found in the recording: of what has none, a "
            "model makes noise or silence"
        )
    elif isinstance(expected, FittedFeatures):
        lines.append(expected.fit.describe(model.name))
    lines += [result.describe()] if result.describe() else []
    if options.check and not silent:
        lines.append(_tracking(model, result, expected, model.feature_settings(**tracking), level=options.level))
    sys.stdout.write("\n".join([*lines, ""]))
    return 0


def _inputs(given: list[str]) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            raise ConfigError(f"--input {text!r}: write NAME=NUMBER, for example --input velocity=0.8.") from None
    return found


def demo_phrase(model: Model) -> dict[str, Any]:
    """The built-in melody, as arguments of `Model.analyse`."""
    from zoo.datasets.tones import tones

    phrase = next(iter(tones(phrases=1)))
    return {
        "source": phrase.load(model.sample_rate),
        "sample_rate": model.sample_rate,
        "f0_hz": phrase.known_f0(model.sample_rate, model.hop),
    }


def _tracking(model: Model, result: Levelled, expected: Features, settings: FeatureSettings, *, level: str) -> str:
    """How a result follows what it was asked for, as a line."""
    from zoo.features import sound_level_db
    from zoo.metrics import tracking_error
    from zoo.metrics.transfer import dbfs
    from zoo.models.levelling import recording_level_db

    audio = result.audio[: len(expected.f0_hz) * model.hop]  # what follows the recording's end, nothing asks for
    found = tracking_error(
        audio,
        expected.f0_hz,
        expected.loudness_db,
        sample_rate=model.sample_rate,
        hop=model.hop,
        settings=settings,
        level_db=result.gain_db - result.turned_down_db if math.isfinite(result.gain_db) else 0.0,
        every=1,
    )
    pitch = (
        f"median {found.pitch_cents:.0f} cents from what was asked ({found.pitch_frames} frames)"
        if found.pitch_cents == found.pitch_cents
        else "none was asked for"
        if not found.expected_frames
        else f"cannot be told, only {found.pitch_frames} of {found.expected_frames} frames have one in both"
    )
    loudness = f"{found.loudness_error_db:.1f} dB off" if found.heard_frames else "silence was asked for"
    level_db = float(sound_level_db(audio[None], sample_rate=model.sample_rate)[0])
    away = f"{level_db:.1f} dB(A)"
    wanted_db = recording_level_db(expected, sample_rate=model.sample_rate)
    if level == "recording" and math.isfinite(wanted_db):
        away += f", {level_db - wanted_db:+.1f} from the recording's"
    silent = "; the result is silent" if found.silent else ""
    return f"pitch: {pitch}; loudness: {loudness}; level: {away}; peak {dbfs(found.peak):.1f} dBFS{silent}"
