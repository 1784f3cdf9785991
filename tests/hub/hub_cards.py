"""What the Hub reads from a model card's YAML header: whether it is valid, and the tags that searches find."""

from __future__ import annotations

import re
from typing import Any

import yaml  # a dependency of huggingface_hub

HEADER = re.compile(r"\A(?:\ufeff)?\s*---[ \t]*\r?\n(.*?)(?:\r?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
MODEL_ID = re.compile(r"(?:[\w.-]+/)?[\w.-]+")


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, as the Hub's own reader does; PyYAML takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"duplicated mapping key: {key}")
        return super().construct_mapping(node, deep)


def read_card(text: str) -> tuple[dict[str, Any], list[str], list[str]]:
    """The header of a card, its errors and its warnings."""
    found = HEADER.match(text)
    if not found or not found[1].strip():
        return {}, [], ["empty or missing yaml metadata in repo card"]
    try:
        data = yaml.load(found[1], _Loader)
    except yaml.YAMLError as error:
        return {}, [f"YAML metadata: {error}"], []
    if not isinstance(data, dict):
        return {}, ["YAML metadata must be a mapping"], []
    return data, list(_faults(data)), []


def tags(data: dict[str, Any]) -> list[str]:
    """The tags under which a search finds a model with this header."""
    found = [data.get("library_name"), *_list(data.get("tags")), *_list(data.get("language")), data.get("pipeline_tag")]
    for key, prefix in (("license", "license"), ("datasets", "dataset"), ("base_model", "base_model")):
        found += [f"{prefix}:{value}" for value in _list(data.get(key))]
    return list(dict.fromkeys(str(tag) for tag in found if tag))


def _faults(data: dict[str, Any]) -> list[str]:
    faults = [
        f'"{key}" must be a string'
        for key in ("library_name", "pipeline_tag", "license_name", "license_link")
        if not isinstance(data.get(key, ""), str)
    ]
    faults += [
        f'"{key}" must be a string or an array of strings'
        for key in ("tags", "language", "datasets", "license", "metrics", "base_model")
        if not all(isinstance(value, str) for value in _list(data.get(key, [])))
    ]
    faults += [
        f'"base_model" with value "{value}" is not valid. Use a model id from https://hf.co/models.'
        for value in _list(data.get("base_model"))
        if isinstance(value, str) and not MODEL_ID.fullmatch(value)
    ]
    return faults + _index_faults(data.get("model-index", []))


def _index_faults(index: Any) -> list[str]:
    """The required keys of `model-index`, by the path at which each is missing."""
    if not isinstance(index, list):
        return ['"model-index" must be an array']
    faults = []
    for i, model in enumerate(index):
        at = f"model-index[{i}]"
        faults += _missing(model, at, "name", "results")
        for j, result in enumerate(_list(_get(model, "results"))):
            here = f"{at}.results[{j}]"
            faults += _missing(result, here, "task", "dataset", "metrics")
            faults += _missing(_get(result, "task"), f"{here}.task", "type")
            faults += _missing(_get(result, "dataset"), f"{here}.dataset", "name", "type")
            for k, metric in enumerate(_list(_get(result, "metrics"))):
                faults += _missing(metric, f"{here}.metrics[{k}]", "type", "value")
    return faults


def _missing(value: Any, at: str, *keys: str) -> list[str]:
    return [f'"{at}.{key}" is required' for key in keys if _get(value, key) in (None, "")]


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
