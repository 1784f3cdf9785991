"""The configuration of an ONNX file for anira (github.com/anira-project/anira), which runs networks in audio plugins.

It is a model file of anira 3: each tensor's role, and which output each state comes from, so that a host needs no code
of its own for them. Its schema is in anira's `docs/anira-v3-architecture.md` (section 8).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SUFFIX = ".anira.json"
"""In place of the graph's own suffix."""

_STATE, _NEXT = "state_", "next_state_"


def configuration(graph: Any, path: Path, *, latency: int, special: Mapping[str, Any]) -> str | None:  # noqa: ANN401 - onnx_ir's
    """The configuration as JSON; None where anira cannot play the graph: its states are float32, and begin with zeros.

    Args:
        graph: An `onnx_ir.Graph` as the exporter writes it.
        path: Its file: the configuration lies beside it.
        latency: Samples that the audio is late.
        special: States that do not begin with zeros.
    """
    if special or any(put.dtype.name != "FLOAT" for put in (*graph.inputs, *graph.outputs)):
        return None
    inputs, outputs = ([_tensor(put) for put in side] for side in (graph.inputs, graph.outputs))
    for put in outputs:
        if put["name"] == "audio" and latency:
            put["latency"] = latency
    names = [put["name"] for put in (*inputs, *outputs)]
    content = {
        "models": [{"engine": "onnxruntime", "path": path.name}],
        "state": "stateful",
        # what advances fastest: samples, or frames where there are none
        "anchor": "audio" if "audio" in names else "f0_hz",
        "inputs": inputs,
        "outputs": outputs,
    }
    return json.dumps(content, indent=2) + "\n"


def _tensor(put: Any) -> dict[str, Any]:  # noqa: ANN401 - onnx_ir's Value
    name, shape = put.name, [int(size) for size in put.shape]
    about: dict[str, Any] = {"name": name, "dtype": "float32"}
    if name.startswith((_STATE, _NEXT)):
        about |= {"role": "state", "axes": [["any", size] for size in shape]}
        return about | ({"state_source": f"next_{name}"} if name.startswith(_STATE) else {})
    tags = ["batch", "time", *["channel"] * (len(shape) - 2)]
    window = {"min": shape[1], "max": shape[1]}
    return about | {
        "role": "streamed",
        "axes": [list(axis) for axis in zip(tags, shape, strict=True)],
        "window": window,
    }
