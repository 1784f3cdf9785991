"""Write a model as a file for another runtime."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.commands import cli
from zoo.errors import ConfigError


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo export",
        "Write a model as a file for another runtime. The file is played there and compared with the model before it "
        f"is kept; what was measured lies beside it. Exporters: {', '.join(registry.exporters)}.",
        [
            "zoo export gru-S-violin --to player --out gru-S-violin.zoo --option weights=int8",
            "zoo export runs/flute --to onnx --out flute.onnx --option frames=8",
            "zoo export runs/flute --to onnx --out controls.onnx --option part=decoder",
            "zoo export org/gru-S-flute --to nn --out flute.ts --option sample_rate=44100",
            "zoo export gru-S-violin --to c --out violin",
        ],
    )
    parser.add_argument("model", help="a name, a run's folder, a Hub id")
    parser.add_argument(
        "--to", required=True, metavar="EXPORTER", dest="exporter", help=f"one of {', '.join(registry.exporters)}"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the file to write; for c a new folder")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of the exporter; may be repeated"
    )
    options = parser.parse_args(arguments)
    registry.exporters.entry(options.exporter)  # a wrong name is told at once, not after torch's import
    chosen = _options(options.option)
    from zoo.checks.options import refuse, writable_fault
    from zoo.export.base import REPORT, export

    refuse((writable_fault(options.out, "The file"),))
    made = export(options.model, options.exporter, options.out, **chosen)
    report = json.loads(made.with_name(made.name + REPORT).read_text())
    ratio = report["signal_to_difference_db"]
    frames, microseconds = next(iter(report["microseconds_per_block"].items()))
    sys.stdout.write(
        f"{made}: {report['bytes'] / 1e3:.0f} kB, {report['latency_samples']} samples late; {microseconds:.0f} us for "
        f"a block of {frames} {'frame' if frames == '1' else 'frames'}; differs from the model by at most "
        f"{report['largest_difference']:.1e}{'' if ratio is None else f' ({ratio:.0f} dB below its audio)'}.\n"
    )
    return 0


def _options(given: Sequence[str]) -> dict[str, Any]:
    """`NAME=VALUE`s, with values as Python writes them, or words."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"--option {text!r}: write NAME=VALUE, for example --option weights=int8.")
        if name in found:
            raise ConfigError(f"--option {name} is given twice.")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found
