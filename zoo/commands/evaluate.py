"""Measure a model on held-out recordings."""

from __future__ import annotations

import argparse
import json
from typing import Any

from zoo import registry
from zoo.commands import cli, gin_program
from zoo.errors import ConfigError

_EXAMPLES = (
    "zoo evaluate runs/gru-S-violin --data data/violin",
    "zoo evaluate gru-S-violin --data data/violin --split validation --max-segments 20 --out metrics.json",
    "zoo evaluate runs/gru-S --data data/violin --also frechet_audio_distance weights=vggish.safetensors",
)


class _Also(argparse.Action):
    """A metric's name and its options, gathered by name."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401 - argparse's: here a list of words
        option_string: str | None = None,
    ) -> None:
        name, *words = values
        options = {}
        for word in words:
            key, given, value = word.partition("=")
            if not given:
                raise ConfigError(
                    f"--also {name}: {word!r} is no OPTION=VALUE. Write it so, or give the model before --also."
                )
            options[key] = _value(value)
        gathered = getattr(namespace, self.dest, None)
        setattr(namespace, self.dest, {**(gathered if isinstance(gathered, dict) else {}), name: options})


def _value(text: str) -> Any:  # noqa: ANN401 - a number, a boolean or a list where it reads as one, else the text
    try:
        return json.loads(text)
    except ValueError:
        return text


def main(argv: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo evaluate",
        "Measure a model, its teacher and its noise floor on held-out segments; lower is better in every line. The "
        "numbers of a run's folder go into its metrics.json and its card.",
        _EXAMPLES,
    )
    parser.add_argument("model", nargs="?", metavar="RUN_OR_NAME", help="a run's folder, or a model's name")
    parser.add_argument("--data", metavar="DATA", help="a prepared dataset's folder, or tones")
    parser.add_argument(
        "--split", default="test", help="train, validation or test (default: test; validation where it is empty)"
    )
    parser.add_argument("--max-segments", type=int, metavar="N", help="measure on at most N segments, evenly spread")
    parser.add_argument("--pitch", default="torchcrepe", metavar="TRACKER", help="of the f0 error (torchcrepe)")
    parser.add_argument("--also", nargs="+", action=_Also, metavar=("METRIC", "OPTION=VALUE"), help="measure this too; "
        f"may be repeated; metrics: {', '.join(registry.metrics)}")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument("--out", metavar="FILE", help="where to write the numbers as JSON")
    gin_program.add_gin_options(parser)
    given = gin_program.typed_arguments("evaluate", parser, argv)
    for name, example in (("model", "zoo evaluate RUN_OR_NAME"), ("data", "--data data/violin")):
        if given.get(name) is None:
            raise ConfigError(f"Say which {name} to use: {example}")
    gin_program.show_messages()
    from zoo.training.evaluation import evaluate, table

    summary = evaluate(given.pop("model"), **given)
    print(table(summary))
    return 0
