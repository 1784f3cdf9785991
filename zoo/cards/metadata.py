"""A card's metadata: what the Hugging Face Hub shows, searches by and compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from zoo.cards.safe_yaml import check_yaml, read_card
from zoo.errors import CheckpointError
from zoo.hub.client import LIBRARY
from zoo.storage.config import ModelConfig
from zoo.storage.results import SPEED, MeasuredResults, metric
from zoo.storage.run_files import CARD

OWN_KEY = "ddsp_zoo"
"""What only we write stands under this key; the Hub keeps what it does not know."""


def make_metadata(
    config: ModelConfig, metrics: MeasuredResults, *, licence: str | None, repo_id: str | None
) -> ModelCardData:
    """The metadata of a model.

    Args:
        config: The model's.
        metrics: Content of its metrics.json; what was measured on the training split is no result for the Hub.
        licence: A licence's identifier on the Hub, e.g. "cc-by-4.0".
        repo_id: Where the model is, or is about to be.
    """
    results = _results(config, metrics)
    teacher = config.lineage.get("teacher", {})
    start = config.lineage.get("start", {})
    dataset = config.lineage.get("dataset", {})
    bases = [origin["id"] for origin in (teacher, start) if origin.get("commit")]
    own: dict[str, Any] = {
        "architecture": config.architecture,
        "instrument": config.instrument,
        "sample_rate": config.sample_rate,
        "hub": repo_id,
        "teacher": {key: teacher[key] for key in ("id", "commit", "weights") if teacher.get(key)},
        "start": {key: start[key] for key in ("id", "commit", "weights") if start.get(key)},
        "dataset": {key: dataset[key] for key in ("name", "hash") if dataset.get(key)},
    }
    extra: dict[str, Any] = {OWN_KEY: {key: value for key, value in own.items() if value}}
    return ModelCardData(
        library_name=LIBRARY,
        license=licence,
        pipeline_tag="audio-to-audio",
        tags=sorted({LIBRARY, "ddsp", "audio-synthesis", "timbre-transfer", config.decoder.name, config.synth.name}),
        # a plain id: which commit of it is under our own key
        base_model=(bases[0] if len(bases) == 1 else bases) or None,
        model_name=config.name if results else None,  # a model without results has no model-index
        eval_results=results or None,
        **extra,
    )


def _results(config: ModelConfig, metrics: MeasuredResults) -> list[EvalResult]:
    if not metrics.held_out:
        return []
    dataset = config.lineage.get("dataset", {}).get("name", "held-out recordings")
    return [
        EvalResult(
            task_type="audio-to-audio",
            dataset_type="recordings",
            dataset_name=dataset,
            metric_type=name,
            metric_name="real-time factor (one thread)" if name == SPEED else metric(name).title,
            metric_value=round(metric(name).scale * float(value["mean"]), 4),
        )
        for name, value in metrics.get("student", {}).items()
    ]


def read_metadata(card: str, *, where: str) -> dict[str, Any]:
    """A card's metadata as plain data.

    Args:
        card: Its text.
        where: What messages call it.

    Raises:
        CheckpointError: It cannot be read.
    """
    check_yaml(card, where=where)
    try:
        return dict(ModelCard(card, ignore_metadata_errors=False).data.to_dict())  # type: ignore[no-untyped-call]  # the library's
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, yaml.YAMLError) as error:
        reason = str(error)[:300].rstrip(".")
        raise CheckpointError(f"{where} has metadata that cannot be read ({reason}). Mend it, or remove it.") from None


def hub_reference(folder: str | Path) -> str | None:
    """The Hub repo that a folder's card names as the place of the model, "org/name[@revision]"; None for none.

    Raises:
        CheckpointError: The folder has a card, and its metadata cannot be read.
    """
    path = Path(folder) / CARD
    if not path.exists():
        return None
    own = read_metadata(read_card(path), where=str(path)).get(OWN_KEY)
    reference = own.get("hub") if isinstance(own, dict) else None
    return reference if isinstance(reference, str) else None
