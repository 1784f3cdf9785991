"""The sections of a card, each a piece of Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.cards.markdown import address, code, inline
from zoo.registry import paths
from zoo.storage.config import ModelConfig
from zoo.storage.exports import Exported
from zoo.storage.lineage import attributions, authors_of, public_reference, rounding_difference_db, teachers_of
from zoo.storage.results import SPEED, SYSTEMS, MeasuredResults, markdown_table, metric, rows_of, spread


def is_shipped(folder: Path) -> bool:
    """Whether a folder is that of a model that ships with a package, so that its name alone finds it."""
    return folder.resolve().parent in [place.resolve() for place in paths.model_card_folders()]


def what(config: ModelConfig) -> str:
    """What the model is, in a few sentences."""
    plays = f"plays {inline(config.instrument)}" if config.instrument else "is not tied to an instrument"
    text = (
        f"A small neural audio synthesizer that {plays}: a {inline(config.decoder.name)} network turns pitch and "
        f"loudness into the controls of a differentiable synth ({inline(config.synth.name)}). {config.sample_rate} Hz, "
        f"{config.hop} samples per frame."
    )
    if config.range is not None:
        text += f" It was trained on {config.range.in_words()} (98 % of the frames with a pitch)."
    if teacher := config.lineage.get("teacher"):
        text += f" It was distilled from {inline(teacher.get('name', 'a larger model'))}."
    if start := config.lineage.get("start"):
        text += f" Its training began with the network of {inline(start.get('name', 'another model'))}."
    if room := config.lineage.get("reverb"):
        text += f" Its reverb began as that of {inline(room.get('name', 'another model'))}."
    if origin := config.lineage.get("imported_from"):
        text += f" Its weights were imported from {inline(origin)}."
    return text


def needs(config: ModelConfig, *, shipped_in: Path | None = None) -> str:
    """What has to be installed to use it.

    Args:
        config: The model's.
        shipped_in: Its folder, where it ships with a package, which then is needed too.
    """
    shipper = {paths.origin_of(shipped_in).split()[0]} if shipped_in else set()
    plugins = sorted(({*config.requires} | shipper) - {registry.OWN_DISTRIBUTION})
    packages = " and ".join([registry.OWN_DISTRIBUTION, *plugins])
    return f"Both need {packages}: `pip install {' '.join([registry.OWN_DISTRIBUTION, *plugins])}`."


def measured(metrics: MeasuredResults, reference: str) -> str:
    """The table of measures."""
    labels = {**SYSTEMS, "student": "this model"}
    shown = [measures for name, measures in metrics.items() if name in labels]
    if not shown:
        return f"Not measured yet: `zoo evaluate {reference} --data DATASET`."
    rows = [[inline(cell) for cell in row] for row in rows_of(metrics, labels=labels)]
    note = (
        f"Mean ± standard deviation over {_segments(metrics)}; lower is better. The noise floor "
        "is the distance between two renderings of this model that differ only in their noise."
    )
    if "baseline" in metrics:
        note += " The baseline is the same model, trained without its teacher."
    if any(metric(name).over_the_set for measures in shown for name in measures):
        note += " A Fréchet distance is one value over all segments, ± its standard error."
    if metrics.tracked:
        note += f" {inline(metrics.tracked)}"
    return f"{markdown_table(rows)}\n\n{note}"


def _segments(metrics: MeasuredResults) -> str:
    if not metrics.held_out:
        return f"{metrics.segments} segments of the training split, which says little of other recordings"
    return f"{metrics.segments} held-out segments{' (validation split)' if metrics.split == 'validation' else ''}"


def samples(folder: Path) -> str:
    """A player for each sample."""
    found = sorted((folder / "samples").glob("*.wav"), key=_sample_order)
    return "\n".join(
        f'- {inline(path.stem.replace("_", " "))}: <audio controls src="{address(f"samples/{path.name}")}"></audio> '
        f"[{inline(path.name)}]({address(f'samples/{path.name}')})"
        for path in found
    )


def _sample_order(path: Path) -> tuple[str, int, str]:
    """By phrase, and in it the recording, the teacher, the student: as one compares them."""
    phrase, _, system = path.stem.rpartition("_")
    order = ("recording", "teacher", "student")
    return phrase, order.index(system) if system in order else len(order), system


def pictures(folder: Path) -> str:
    """The run's plots."""
    return "\n\n".join(
        f"![{inline(path.stem)}]({address(f'plots/{path.name}')})" for path in sorted((folder / "plots").glob("*.png"))
    )


def size(parameters: int | None, size_bytes: int | None, config: ModelConfig, metrics: Mapping[str, Any]) -> str:
    """Parameters, bytes, options, and how fast it plays."""
    if parameters is None or size_bytes is None:
        return "There are no weights in this folder."
    text = (
        f"{parameters:,} parameters, {size_bytes / 1e6:.2f} MB{_stored_as(config)}. Decoder "
        f"{_arguments(config.decoder.args)}; synth {_arguments(config.synth.args)}."
    )
    if speed := metrics.get("student", {}).get(SPEED):
        text += (
            f" Rendering took {spread(speed)} of the audio's own duration (whole clips, one "
            "thread of the machine that measured it)."
        )
    return text


def exports(config: ModelConfig, found: Mapping[str, Exported], reference: str) -> str:
    """What plays the model elsewhere, how late it is and how long it takes there; empty where that was not tried."""
    if not found:
        return ""
    rows: list[Sequence[str]] = [("exporter", "kB", "late, ms", "largest difference", "us per frame")]
    for name, exported in sorted(found.items()):
        links = [f"[{inline(Path(file).name)}]({address(file)})" for file in sorted(exported.files)]
        rows.append((" ".join([code(name), *links]), *exported.facts(config.sample_rate)))
    limits = "" if config.range is None else f" Ask for pitch and loudness in its range: {config.range.in_words()}."
    machines = sorted({exported.machine for exported in found.values()} - {""})
    return (
        f"`zoo export {reference} --to EXPORTER` writes it for other programs. Each of these files was played in its "
        f"own runtime and compared with the model.{limits}\n\n{markdown_table(rows)}\n\n"
        f"A frame lasts {1e6 * config.hop / config.sample_rate:,.0f} us. Times are of one voice, on one thread "
        f"({inline(', '.join(machines))})."
    )


def _stored_as(config: ModelConfig) -> str:
    if config.weights_dtype is None:
        return ""
    text = f", stored as {config.weights_dtype}"
    if (difference := rounding_difference_db(config)) is not None:
        text += f" (the sound differs from that of the weights before rounding by {difference:.1f} dB)"
    return text


def _arguments(args: Mapping[str, Any]) -> str:
    return ", ".join(inline(f"{name} {_plain(value)}") for name, value in sorted(args.items())) or "with its defaults"


def lineage(config: ModelConfig) -> str:
    """What the model was made from: data, teacher and the teacher's teachers, training."""
    known = dict(config.lineage)
    if not known:
        return "Nothing is recorded of how it was made."
    lines = []
    for key, value in known.items():
        if isinstance(value, dict):
            facts = [
                inline(f"{name} {_plain(fact)}")
                for name, fact in value.items()
                if name not in ("attribution", "lineage")
            ]
            lines.append(f"- {inline(key)}: {'; '.join(facts)}")
        else:
            lines.append(f"- {inline(key)}: {inline(_plain(value))}")
    lines += [
        f"- before that, {step} steps back: {inline(teacher.get('name'))} ({inline(public_reference(teacher))})"
        for step, teacher in enumerate(teachers_of(config)[1:], start=2)
    ]
    files = "`config.gin` beside this card is the whole recipe; `zoo reproduce` runs it again."
    return "\n".join(lines) + f"\n\n{files}"


def licence(stated: str | None, config: ModelConfig) -> str:
    """The licence, and those who must be named."""
    text = code(stated) if stated else "Not stated yet: `zoo card RUN --licence cc-by-4.0`."
    if not (lines := attributions(config)):
        return text
    authors = authors_of(lines)
    text += "\n\nMade from recordings by:\n\n" + "\n".join(f"- {inline(line)}" for line in authors)
    if len(authors) < len(lines):
        files = "\n".join(f"- {inline(line.rpartition(', ')[2])}" for line in lines if line not in authors)
        text += f"\n\n<details><summary>The recordings</summary>\n\n{files}\n\n</details>"
    return text


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return str(value)
