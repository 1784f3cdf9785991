"""Show what is known of a model."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.commands import cli
from zoo.storage import (
    SPEED,
    SYSTEMS,
    ModelConfig,
    attributions,
    authors_of,
    metric,
    metrics_in,
    public_reference,
    spread,
    systems_in,
    teachers_of,
)


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo info",
        "Show what is known of a model: how it is built, its size, what it was made from, how it measures.",
        [
            "zoo info gru-S",
            "zoo info runs/my-flute",
            "zoo info org/gru-S-flute --lineage",
            "zoo info runs/my-flute --json",
        ],
    )
    parser.add_argument("model", help="a name, a run's folder, or a Hub id")
    parser.add_argument("--json", action="store_true", help="print config.json's content")
    parser.add_argument("--lineage", action="store_true", help="show its teacher, that one's teacher, and so on")
    options = parser.parse_args(arguments)
    from zoo.listing import info

    known = info(options.model)
    if options.json:
        sys.stdout.write(known.config.to_json())
        return 0
    config = known.config
    if options.lineage:
        _write_lineage(config)
        return 0
    rows: list[Sequence[str]] = [("name", known.name), ("status", known.status)]
    if known.folder is not None:
        rows.append(("folder", str(known.folder)))
    rows.append(("instrument", config.instrument or "none (an architecture)"))
    for part, made_of in (("decoder", config.decoder), ("synth", config.synth)):
        rows.append((part, " ".join([made_of.name, *(f"{k}={v}" for k, v in sorted(made_of.args.items()))])))
    rows.append(("audio", f"{config.sample_rate} Hz, {config.hop} samples per frame"))
    if config.range is not None:
        highest = config.range.harmonics_under(config.sample_rate / 2)
        rows.append(
            (
                "range",
                f"{config.range.in_words()} (98 % of the frames with a pitch); lowest pitch "
                f"{config.range.lowest_f0_hz:g} Hz, with {highest} harmonics under Nyquist",
            )
        )
    if known.parameters is not None and known.size_bytes is not None:
        stored_as = f", stored as {config.weights_dtype}" if config.weights_dtype else ""
        rows.append(("weights", f"{known.parameters:,} values, {known.size_bytes / 1e6:.2f} MB{stored_as}"))
    for name, exported in sorted(known.exports.items()):
        size, late, difference, microseconds = exported.facts(config.sample_rate)
        rows.append(
            (
                f"export: {name}",
                f"{size} kB, {late} ms late, differs by {difference}; {microseconds} us per frame of "
                f"{1e6 * config.hop / config.sample_rate:,.0f} ({exported.machine})",
            )
        )
    if known.folder is not None and not known.exports:
        rows.append(("exports", f"not tried with these weights; try them: zoo card {options.model} --exports all"))
    if known.brought_by:
        rows.append(("brought by", known.brought_by))
    for key, value in sorted(config.lineage.items()):
        if isinstance(value, dict):
            value = {name: fact for name, fact in value.items() if name not in ("attribution", "lineage")}
        rows.append((f"lineage: {key}", value if isinstance(value, str) else json.dumps(value, sort_keys=True)))
    rows += [("recordings by", line) for line in authors_of(attributions(config))]
    for system in systems_in(known.metrics):
        measures = known.metrics[system]
        for name in [*metrics_in({system: measures}), *([SPEED] if SPEED in measures else [])]:
            title = "real-time factor" if name == SPEED else metric(name).title
            rows.append(
                (
                    f"{SYSTEMS.get(system, system)}: {title}",
                    f"{spread(measures[name], name)} (n = {measures[name]['n']})",
                )
            )
    cli.write_table(rows)
    return 0


def _write_lineage(config: ModelConfig) -> None:
    """A line for the model and each of its teachers: what it is, what finds it again, what it was trained on."""
    rows: list[Sequence[str]] = [("", "model", "found by", "weights", "data")]
    rows.append(("student" if teachers_of(config) else "", config.name, "", "", _data(config.lineage)))
    for number, teacher in enumerate(teachers_of(config)):
        weights = str(teacher.get("weights", ""))[:12]
        rows.append(
            (
                "teacher" if number == 0 else "its teacher",
                str(teacher.get("name", "")),
                public_reference(teacher),
                weights,
                _data(teacher.get("lineage", {})),
            )
        )
    cli.write_table(rows)


def _data(lineage: Mapping[str, Any]) -> str:
    dataset = lineage.get("dataset", {})
    return f"{dataset['name']} {str(dataset.get('hash', ''))[:12]}".strip() if dataset.get("name") else "unknown"
