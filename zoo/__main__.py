"""The command line: `python -m zoo COMMAND`, or `zoo COMMAND`."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from zoo import cli
from zoo.errors import ConfigError, ModelNotFoundError, listing, near_matches

# Commands that are programs of their own, also run as `python -m zoo.prepare` and so on.
_PROGRAMS = {
    "doctor": "say what is installed, what works here, and where things lie",
    "prepare": "turn recordings into a dataset of segments",
    "train": "train a model on a dataset (a teacher, for one)",
    "distill": "train a small student from a large teacher",
    "evaluate": "measure a model on held-out recordings",
}


def _list(arguments: list[str]) -> int:
    parser = cli.parser(
        "python -m zoo list",
        "List models: architectures that can be built, and trained models on this machine.",
        ["python -m zoo list", "python -m zoo list 'gru-*'", "python -m zoo list --pretrained"],
    )
    parser.add_argument("pattern", nargs="?", default="*", help="a name with the wildcards * and ? (quote it)")
    parser.add_argument("--pretrained", action="store_true", help="only models with weights on this machine")
    options = parser.parse_args(arguments)
    from zoo.listing import list_models, status_of

    names = list_models(options.pattern, pretrained=options.pretrained)
    if not names:
        raise ModelNotFoundError(
            f"No {'trained ' if options.pretrained else ''}model is named like {options.pattern!r}."
            f"{near_matches(options.pattern, list_models())} All of them: python -m zoo list"
        )
    _table([("name", "status")] + [(name, status_of(name)) for name in names])
    return 0


def _info(arguments: list[str]) -> int:
    parser = cli.parser(
        "python -m zoo info",
        "Show what is known of a model: how it is built, its size, what it was made from, how it measures.",
        ["python -m zoo info gru-S", "python -m zoo info runs/my-flute", "python -m zoo info runs/my-flute --json"],
    )
    parser.add_argument("model", help="a name, or a run's folder")
    parser.add_argument("--json", action="store_true", help="print config.json's content")
    options = parser.parse_args(arguments)
    from zoo.listing import info

    known = info(options.model)
    if options.json:
        sys.stdout.write(known.config.to_json())
        return 0
    config = known.config
    rows: list[Sequence[str]] = [("name", known.name), ("status", known.status)]
    if known.folder is not None:
        rows.append(("folder", str(known.folder)))
    rows.append(("instrument", config.instrument or "none (an architecture)"))
    for part, made_of in (("decoder", config.decoder), ("synth", config.synth)):
        rows.append((part, " ".join([made_of.name, *(f"{k}={v}" for k, v in sorted(made_of.args.items()))])))
    rows.append(("audio", f"{config.sample_rate} Hz, {config.hop} samples a frame"))
    if known.parameters is not None and known.size_bytes is not None:
        rows.append(("weights", f"{known.parameters:,} values, {known.size_bytes / 1e6:.2f} MB"))
    if known.brought_by:
        rows.append(("brought by", known.brought_by))
    for key, value in sorted(config.lineage.items()):
        rows.append((f"lineage: {key}", value if isinstance(value, str) else json.dumps(value, sort_keys=True)))
    for arm, measures in known.metrics.items():
        for measure, value in measures.items():
            rows.append((f"{arm}: {measure}", f"{value['mean']:.4g} ± {value['std']:.2g} (n = {value['n']})"))
    _table(rows)
    return 0


def _synth(arguments: list[str]) -> int:
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


def _import_thesis(arguments: list[str]) -> int:
    parser = cli.parser(
        "python -m zoo import-thesis",
        "Convert a checkpoint of the thesis (Lightning .ckpt or safetensors) to a folder that zoo.load reads.",
        ["python -m zoo import-thesis flute.ckpt --model gru-S-flute --out runs/thesis-flute"],
    )
    parser.add_argument("checkpoint", type=Path, help="the file; its code is never run")
    parser.add_argument("--model", required=True, help="what it is, e.g. gru-S or gru-S-flute")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    options = parser.parse_args(arguments)
    if (options.out / "config.json").exists():
        raise ConfigError(f"{options.out} already holds a model; choose another folder.")
    from zoo.card import write_card
    from zoo.checkpoint import save
    from zoo.thesis import import_thesis

    model = import_thesis(options.checkpoint, model=options.model)
    save(model, options.out)
    write_card(options.out)
    sys.stdout.write(
        f"{options.out}: {model.name}, {model.num_parameters:,} parameters\n"
        f"Try it: python -m zoo synth {options.out} RECORDING.wav OUT.wav\n"
    )
    return 0


_COMMANDS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "list": (_list, "list models: architectures, and trained ones on this machine"),
    "info": (_info, "show what is known of a model"),
    "synth": (_synth, "timbre transfer: play a recording on a model's instrument"),
    "import-thesis": (_import_thesis, "convert a checkpoint of the thesis"),
}


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(f"{line.rstrip()}\n")


def _usage() -> argparse.ArgumentParser:
    summaries = {**{name: text for name, (_, text) in _COMMANDS.items()}, **_PROGRAMS}
    width = max(map(len, summaries))
    commands = "\n".join(f"  {name.ljust(width)}  {text}" for name, text in sorted(summaries.items()))
    parser = argparse.ArgumentParser(
        prog="python -m zoo",
        description="Small neural audio synthesizers: train, distil, measure, play.",
        epilog=f"commands:\n{commands}\n\n"
        "Each has its own --help with examples. Begin with:\n  python -m zoo.distill --gin quickstart.gin",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument("--verbose", action="store_true", help="say where each model was found")
    parser.add_argument("command", nargs="?", help="one of the commands below")
    return parser


def _main(arguments: list[str]) -> int:
    # What stands before the command is ours; everything after it is the command's.
    position = next((i for i, word in enumerate(arguments) if not word.startswith("-")), len(arguments))
    rest = arguments[position + 1 :]
    options, unknown = _usage().parse_known_args(arguments[: position + 1])
    unknown = [word for word in unknown if word != "--debug"]
    if unknown:
        raise ConfigError(f"There is no option {unknown[0]}. python -m zoo --help shows what there is.")
    if options.verbose:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.version:
        from importlib.metadata import version

        sys.stdout.write(f"ddsp-zoo {version('ddsp-zoo')}\n")
        return 0
    if options.command is None:
        _usage().print_help()
        return 0
    if options.command in _COMMANDS:
        return _COMMANDS[options.command][0](rest)
    if options.command in _PROGRAMS:
        program: Callable[[list[str]], int] = importlib.import_module(f"zoo.{options.command}").main
        return program(rest)
    known = [*_COMMANDS, *_PROGRAMS]
    raise ConfigError(
        f"There is no command {options.command!r}.{near_matches(options.command, known)} Commands: {listing(known)}."
    )


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    return cli.run(_main, argv)


if __name__ == "__main__":
    raise SystemExit(main())
