"""Train a model again, by the gin file inside its run or repo."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping
from pathlib import Path

from zoo.commands import cli
from zoo.errors import ConfigError, ZooError
from zoo.storage.config import ModelConfig, read_config

_RECIPE = "config.gin"
_BEGINNINGS = ("start", "reverb")

_log = logging.getLogger("zoo")


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo reproduce",
        "Train a model again, by the gin file inside its run or its repo on the Hub, from the very teacher that it was "
        "distilled from; then say whether the result is made the same way, and how both measure.",
        [
            "zoo reproduce org/gru-S-flute@v1 --data data/flute",
            "zoo reproduce runs/my-flute --data data/flute --out runs/my-flute-again",
            "zoo reproduce gru-M-tones --data tones",
        ],
    )
    parser.add_argument("model", help="a run's folder, a name, or a Hub id")
    parser.add_argument("--data", required=True, help="the dataset: a folder that zoo prepare made, or tones")
    parser.add_argument("--out", metavar="FOLDER", help="the new run's folder (default: runs/<model>-reproduced)")
    parser.add_argument("--teacher", help="take this teacher (default: the one that is recorded)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument(
        "--set",
        dest="bindings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting of its gin file",
    )
    options = parser.parse_args(arguments)
    from zoo.commands import gin_program
    from zoo.resolve import find
    from zoo.storage.lineage import teacher_reference
    from zoo.storage.store import describe_folder

    gin_program.show_messages()
    found = find(options.model, every_file=True)
    config = read_config(found.folder)
    recipe = found.folder / _RECIPE
    if not recipe.is_file():
        raise ConfigError(f"{options.model} has no {_RECIPE}: it was not trained by zoo train or zoo.distill.")
    describe_folder(found.folder)  # what is compared at the end must be readable before a training is spent on it
    teacher = options.teacher or teacher_reference(config)
    command = "distill" if teacher else "train"
    _compare_data(options.data, config.lineage.get("dataset", {}).get("hash"))
    rounded = _compare_beginning(config)
    # What a recipe from elsewhere says of places and of the store is not for this machine.
    own = {"dataset": options.data, "num_workers": 0, "devices": 1, "num_nodes": 1}
    if teacher:
        own |= {"teacher": teacher, "assistants": []}  # it was the last assistant
    out = Path(options.out or Path("runs") / f"{config.name}-reproduced")
    done = gin_program.run(
        command,
        argparse.Namespace(
            gin=[str(recipe)],
            bindings=[*(f"{command}.{key}={value!r}" for key, value in own.items()), *options.bindings],
            out=str(out),
            name=None,
            resume=options.resume,
            force=False,
            progress=None,
        ),
        outside=True,
    )
    sys.stdout.write(_compare(found.folder, out, rounded))
    return done


def _compare_data(data: str, recorded: str | None) -> None:
    from zoo.datasets import open_dataset

    if recorded is not None and open_dataset(data).hash != recorded:
        _log.warning("%s is other data than the model was made from: the result will differ.", data)


def _compare_beginning(config: ModelConfig) -> dict[str, str]:
    """Warn where what it began with has other weights now, as the former version of a model that was trained on has.

    Returns:
        The hash of weights that are here in half precision, by that of those they were rounded from.
    """
    from zoo.resolve import load
    from zoo.storage.checkpoint import weights_hash
    from zoo.storage.lineage import weights_before_rounding

    rounded = {}
    for origin in {str(part["weights"]): part for part in map(config.lineage.get, _BEGINNINGS) if part}.values():
        try:
            model = load(origin["id"])
        except ZooError:
            continue  # the training will say so, unless it is given another one
        here = weights_hash(model)
        if weights_before_rounding(model.config) == origin["weights"]:
            rounded[origin["weights"]] = here
        elif here != origin["weights"]:
            _log.warning(
                "%s began with the weights %s... of %s, which has others by now: the result will differ.",
                config.name,
                origin["weights"][:12],
                origin["id"],
            )
    return rounded


def _compare(original: Path, made: Path, rounded: Mapping[str, str]) -> str:
    """Whether both were made the same way, weights in half precision aside, and how they measure."""
    from zoo.models.loading import load_folder
    from zoo.storage.checkpoint import weights_hash
    from zoo.storage.lineage import weights_before_rounding
    from zoo.storage.store import describe_folder

    first, second = (read_config(folder) for folder in (original, made))
    lines = [f"original: {original}", f"reproduced: {made}"]
    now = _facts(second)
    differing = [name for name, value in _facts(first).items() if now[name] not in (value, rounded.get(str(value)))]
    lines.append(f"made differently: {', '.join(differing)}" if differing else "made the same way: the same config")
    if first.weights_sha256 is not None:
        same = first.weights_sha256 == second.weights_sha256
        if before := weights_before_rounding(first):
            same = before == weights_hash(load_folder(made))
        lines.append(f"weights: {'the same, byte for byte' if same else 'others'}")
    metrics = [describe_folder(folder).metrics.get("student", {}) for folder in (original, made)]
    for name in metrics[0]:
        if name in metrics[1]:
            lines.append(f"{name}: {metrics[0][name]['mean']:.4g} originally, {metrics[1][name]['mean']:.4g} now")
    return "\n".join(lines) + "\n"


def _facts(config: ModelConfig) -> dict[str, object]:
    """What of a config a recipe decides."""
    teacher = config.lineage.get("teacher", {})
    return {
        "architecture": config.architecture,
        "instrument": config.instrument,
        **config.build_arguments(),
        "features": config.features,
        "data": config.lineage.get("dataset", {}).get("hash"),
        "teacher": teacher.get("weights"),
        **{part: config.lineage.get(part, {}).get("weights") for part in _BEGINNINGS},
        "seed": config.lineage.get("training", {}).get("seed"),
        "batch size": config.lineage.get("training", {}).get("batch_size"),
    }
