"""`python -m zoo synth`: timbre transfer."""

from __future__ import annotations

import sys
from pathlib import Path

from zoo import cli
from zoo.errors import ConfigError


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "python -m zoo synth",
        "Timbre transfer: play a recording's pitch and loudness on a model's instrument.",
        [
            "python -m zoo synth runs/my-flute voice.wav flute.wav",
            "python -m zoo synth runs/my-flute voice.wav flute.wav --transpose 12 --loudness -6",
            "python -m zoo synth runs/my-flute voice.wav flute.wav --pitch yin",
        ],
    )
    parser.add_argument("model", help="a name, or a run's folder")
    parser.add_argument("input", type=Path, help="a recording of one voice (wav, flac, ogg or mp3, any rate)")
    parser.add_argument("output", type=Path, help="the wav file to write")
    parser.add_argument("--transpose", type=float, default=0.0, metavar="SEMITONES", help="shift the pitch")
    parser.add_argument("--loudness", type=float, default=0.0, metavar="DB", help="shift the loudness that drives it")
    parser.add_argument(
        "--level",
        choices=("recording", "normalised"),
        default="recording",
        help="give the recording's level back (default), or keep the model's own",
    )
    parser.add_argument(
        "--pitch", metavar="TRACKER", help="pitch tracker (default: the model's): torchcrepe, pyin, yin"
    )
    parser.add_argument("--pitch-model", choices=("full", "tiny"), help="torchcrepe's network; tiny is 10 times faster")
    parser.add_argument("--seed", type=int, default=0, help="of the noise part (default 0)")
    options = parser.parse_args(arguments)
    if options.output.suffix.lower() != ".wav":
        raise ConfigError(f"The output {options.output} must be a .wav file: {options.output.with_suffix('.wav')}")
    if options.input.exists() and options.output.exists() and options.input.samefile(options.output):
        raise ConfigError(f"Input and output are both {options.input}; give the output another name.")
    from zoo.features import write_wav
    from zoo.hub import load

    model = load(options.model)
    features = model.config.features
    full = features["tracker"] == "torchcrepe" and features["tracker_options"].get("model", "full") == "full"
    if full and options.pitch is None and options.pitch_model is None and options.input.is_file():
        sys.stderr.write(
            "Pitch is tracked by torchcrepe's full network, as this model was made for: about ten seconds for each "
            "second of audio on a CPU. --pitch-model tiny is ten times as fast, --pitch yin faster still.\n"
        )
    audio = model.synthesize(
        options.input,
        transpose=options.transpose,
        loudness_shift_db=options.loudness,
        level=options.level,
        pitch=options.pitch,
        pitch_options={"model": options.pitch_model} if options.pitch_model else None,
        seed=options.seed,
    )
    peak = float(audio.abs().max())
    if peak > 1.0:
        sys.stderr.write(f"The result peaks at {peak:.2f} of full scale and was turned down to fit.\n")
        audio = audio / peak
    write_wav(options.output, audio, sample_rate=model.sample_rate)
    sys.stdout.write(f"{options.output}: {audio.numel() / model.sample_rate:.2f} s of {model.name}\n")
    return 0
