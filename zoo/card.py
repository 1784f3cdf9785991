"""The card of a run: its README.md, with metadata that the Hugging Face Hub reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from zoo.config import ModelConfig
from zoo.errors import CheckpointError
from zoo.files import write_atomically
from zoo.listing import describe_folder
from zoo.run_files import CARD

LIBRARY = "ddsp-zoo"

OWN_KEY = "ddsp_zoo"
"""The metadata that only we write stands under this key; the Hub keeps what it does not know."""

_ARMS = {
    "teacher": "teacher",
    "student": "this model",
    "alone": "the same, trained without a teacher",
    "noise_floor": "noise floor",
}
_METRICS = {
    "multi_scale_spectral": "multi-scale spectral distance",
    "log_spectral_distance": "log-spectral distance (dB)",
    "onset_flux_distance": "onset flux distance",
    "loudness_error_db": "loudness error (dB)",
    "f0_error_cents": "f0 error (cents, median)",
    "f0_over_50_cents": "share of frames over 50 cents off",
}


def write_card(folder: str | Path) -> Path:
    """Write the README.md of a run's folder from what is in it.

    Args:
        folder: With config.json; metrics.json, samples/ and plots/ are shown where they are there.

    Returns:
        The card's path.

    Raises:
        CheckpointError: The folder holds no model.
    """
    folder = Path(folder)
    known = describe_folder(folder)
    config = known.config
    results = _results(config, known.metrics)
    data = ModelCardData(
        library_name=LIBRARY,
        pipeline_tag="audio-to-audio",
        tags=sorted({LIBRARY, "ddsp", "audio-synthesis", "timbre-transfer", config.decoder.name, config.synth.name}),
        model_name=config.name if results else None,  # a model without results has no model-index
        eval_results=results or None,
    )
    sections = [
        f"# {config.name}",
        _what(config),
        _usage(config),
        _measured(known.metrics),
        _samples(folder),
        _size(known.parameters, known.size_bytes, config),
        _lineage(config),
    ]
    body = "\n\n".join(section for section in sections if section)
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n")
    path = folder / "README.md"
    write_atomically(path, card.content)
    return path


def hub_reference(folder: str | Path) -> str | None:
    """The Hub repo that a folder's card names as the place of the model's weights, "org/name@commit"; None for none.

    Raises:
        CheckpointError: The folder has a card, and its metadata cannot be read.
    """
    path = Path(folder) / CARD
    if not path.is_file():
        return None
    try:
        known = ModelCard(path.read_text(encoding="utf-8"), ignore_metadata_errors=False).data.to_dict()  # type: ignore[no-untyped-call]  # the library's
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path} has metadata that cannot be read ({error}).") from None
    ours = known.get(OWN_KEY)
    reference = ours.get("hub") if isinstance(ours, dict) else None
    return reference if isinstance(reference, str) else None


def _results(config: ModelConfig, metrics: dict[str, Any]) -> list[EvalResult]:
    dataset = config.lineage.get("dataset", {}).get("name", "held-out recordings")
    return [
        EvalResult(
            task_type="audio-to-audio",
            dataset_type="recordings",
            dataset_name=dataset,
            metric_type=name,
            metric_name=_METRICS.get(name, name),
            metric_value=round(float(value["mean"]), 4),
        )
        for name, value in metrics.get("student", {}).items()
    ]


def _what(config: ModelConfig) -> str:
    plays = f"plays {config.instrument}" if config.instrument else "is not tied to an instrument"
    text = (
        f"A small neural audio synthesizer that {plays}: a {config.decoder.name} network turns pitch and loudness "
        f"into the controls of a differentiable synth ({config.synth.name}). {config.sample_rate} Hz, "
        f"{config.hop} samples a frame."
    )
    if teacher := config.lineage.get("teacher"):
        text += f" It was distilled from {teacher.get('name', 'a larger model')}."
    if origin := config.lineage.get("imported_from"):
        text += f" Its weights were imported from {origin}."
    return text


def _usage(config: ModelConfig) -> str:
    return (
        "## Use\n\n```python\nimport zoo\n\n"
        f'model = zoo.load("FOLDER")  # this folder, or its name in your store ({config.name})\n'
        'audio = model.synthesize("voice.wav")  # [samples] at '
        f"{config.sample_rate} Hz\n```\n\n"
        "Or from a shell: `python -m zoo synth FOLDER voice.wav out.wav`. Both need the package ddsp-zoo."
    )


def _measured(metrics: dict[str, Any]) -> str:
    if not metrics:
        return "## Measured\n\nNot measured yet: `python -m zoo.evaluate FOLDER --data DATASET`."
    arms = [arm for arm in _ARMS if metrics.get(arm)]
    names = [*_METRICS, *sorted({name for arm in arms for name in metrics[arm]} - set(_METRICS))]
    rows = [["", *(_ARMS[arm] for arm in arms)]]
    for name in names:
        cells = [_cell(metrics[arm].get(name)) for arm in arms]
        if any(cells):
            rows.append([_METRICS.get(name, name), *cells])
    counts = sorted({value["n"] for arm in arms for value in metrics[arm].values()})
    note = (
        f"Mean ± standard deviation over {counts[-1]} held-out segments; lower is better. The noise floor is the "
        "distance between two renderings of this model that differ only in their noise."
    )
    return f"## Measured\n\n{_markdown_table(rows)}\n\n{note}"


def _cell(value: dict[str, Any] | None) -> str:
    return f"{value['mean']:.3g} ± {value['std']:.2g}" if value else ""


def _samples(folder: Path) -> str:
    parts = []
    if samples := sorted((folder / "samples").glob("*.wav"), key=_sample_order):
        lines = "\n".join(
            f'- {path.stem.replace("_", " ")}: <audio controls src="samples/{path.name}"></audio> '
            f"[{path.name}](samples/{path.name})"
            for path in samples
        )
        parts.append(f"## Listen\n\n{lines}")
    pictures = [f"![{path.stem}](plots/{path.name})" for path in sorted((folder / "plots").glob("*.png"))]
    return "\n\n".join([*parts, *pictures])


def _sample_order(path: Path) -> tuple[str, int, str]:
    """By phrase, and in it the recording, the teacher, the student: as one compares them."""
    phrase, _, arm = path.stem.rpartition("_")
    order = ("recording", "teacher", "student")
    return phrase, order.index(arm) if arm in order else len(order), arm


def _size(parameters: int | None, size_bytes: int | None, config: ModelConfig) -> str:
    if parameters is None or size_bytes is None:
        return ""
    return (
        f"## Size\n\n{parameters:,} parameters, {size_bytes / 1e6:.2f} MB. Decoder {_arguments(config.decoder.args)}; "
        f"synth {_arguments(config.synth.args)}."
    )


def _arguments(args: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(args.items())) or "with its defaults"


def _lineage(config: ModelConfig) -> str:
    lineage = dict(config.lineage)
    if not lineage:
        return ""
    lines = []
    attribution = lineage.get("dataset", {}).get("attribution", [])
    for key, value in lineage.items():
        if isinstance(value, dict):
            facts = [f"{name} {_plain(fact)}" for name, fact in value.items() if name != "attribution"]
            lines.append(f"- {key}: {'; '.join(facts)}")
        else:
            lines.append(f"- {key}: {_plain(value)}")
    text = "## Lineage\n\n" + "\n".join(lines)
    if attribution:
        text += "\n\nRecordings by:\n\n" + "\n".join(f"- {line}" for line in attribution)
    return text


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return str(value)


def _markdown_table(rows: Iterable[list[str]]) -> str:
    head, *rest = rows
    lines = [head, ["---"] * len(head), *rest]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
