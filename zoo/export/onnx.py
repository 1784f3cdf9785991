"""ONNX graphs: a step of some frames, with the state before it and after it as named tensors.

Whoever plays the file keeps the states: each `next_state_NAME` is the `state_NAME` of the next step, and the first are
zeros, but for those in the file's metadata under `initial_states`.

All of a file's tensors are float32, which is all that some hosts have. A phase needs more digits, or hours go out of
tune: a float64 is given as a pair in a last axis, what float32 makes of it and what that leaves out.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.checks.options import refuse, whole_fault
from zoo.errors import ConfigError, PluginError, listing, near_matches
from zoo.export import anira
from zoo.export.base import Curve, Exporter, Runtime
from zoo.models.model import Model
from zoo.storage.checkpoint import weights_hash
from zoo.streaming import StreamingModel

PARTS = ("model", "decoder")

_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_MOST_FRAMES = 1024
_STATE, _NEXT = "state_", "next_state_"


class OnnxExporter(Exporter):
    """A step of a model as an ONNX graph; onnxruntime and others run it.

    Inputs are `f0_hz` and `loudness_db` `[1, frames]`, the decoder's further inputs by their names, `noise`
    `[1, frames * hop]` uniform in [-1, 1), and `state_NAME`s. Outputs are `audio` `[1, frames * hop]` and the
    `next_state_NAME`s. What else a host must know is in the file's metadata, as text.

    Example:
        >>> zoo.export("gru-S-violin", "onnx", "gru-S-violin.onnx", frames=8)  # doctest: +SKIP

    Args:
        frames: Per step.
        part: "model" gives audio; "decoder" gives the synth's raw controls by their names, `[1, frames, size]`, for a
            host with a synth of its own. It has no `noise`.

    Raises:
        ConfigError: There is no such part, or `frames` is no number of frames.
        PluginError: What writes and plays ONNX is not installed.
    """

    suffixes = (".onnx",)

    def __init__(self, *, frames: int = 1, part: str = "model") -> None:
        refuse((whole_fault("frames", frames, least=1, most=_MOST_FRAMES),))
        if part not in PARTS:
            raise ConfigError(
                f"The exporter 'onnx' has no part={part!r}.{near_matches(str(part), PARTS)} It knows {listing(PARTS)}."
            )
        if missing := [name for name in _NEEDED if find_spec(name) is None]:
            raise PluginError(f"ONNX needs {listing(missing)}, not installed here: pip install 'ddsp-zoo[onnx]'")
        self._frames = frames
        self.part = part
        self._written: StreamingModel | None = None
        self.special: Mapping[str, Any] = {}  # states that do not begin with zeros
        self._graph: Any = None
        self._late = 0

    @property
    def frames(self) -> int:
        """See `Exporter.frames`."""
        return self._frames

    @property
    def largest_difference(self) -> float:
        """See `Exporter.largest_difference`: other kernels add in another order."""
        return 1e-4

    def write(self, model: Model, path: Path) -> None:
        """See `Exporter.write`."""
        streaming = StreamingModel(model)
        state = streaming.stream_state(1)
        step = _Model(streaming, model) if self.part == "model" else _Decoder(streaming, model)
        state = {name: value for name, value in state.items() if name.startswith(step.states)}
        curves = {name: torch.full((1, self.frames), 0.5) for name in ("f0_hz", "loudness_db", *step.further)}
        noise = {"noise": torch.zeros(1, self.frames * model.hop)} if self.part == "model" else {}
        step.pairs = {name for name, value in state.items() if value.dtype == torch.float64}
        state = {name: _pair(value) if name in step.pairs else value for name, value in state.items()}
        given = {**curves, **noise, **{_STATE + name: value for name, value in state.items()}}
        step.names = tuple(given)
        try:
            with _quiet(), torch.no_grad():
                program = torch.onnx.export(
                    step.eval(),
                    tuple(given.values()),
                    dynamo=True,
                    verbose=False,
                    input_names=list(given),
                    output_names=[*step.outputs, *(_NEXT + name for name in state)],
                )
        except torch.onnx.OnnxExporterError as error:
            raise NotImplementedError(
                "torch cannot make a graph of it, for example where its decoder or synth branches on values. "
                "zoo.testing.check_decoder and check_synth test that"
            ) from error
        if program is None:  # what the exporter of before could give
            raise NotImplementedError("torch made no graph of it")
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # whole stack traces, with this machine's paths
        program.model.metadata_props.update(_described(model, self, state))
        program.save(str(path), external_data=False)
        self._written, self._graph = streaming, program.model.graph
        self._late = model.synth.latency * model.hop if self.part == "model" else 0

    def companions(self, path: Path) -> Mapping[str, str]:
        """See `Exporter.companions`: anira's configuration, where its states can begin as the model's do."""
        text = anira.configuration(self._graph, path, latency=self._late, special=self.special)
        return {} if text is None else {path.with_suffix(anira.SUFFIX).name: text}

    def load(self, path: Path) -> Runtime:
        """See `Exporter.load`; the synth that plays a decoder's controls is the model's own."""
        return Steps(path, synth=self._written if self.part == "decoder" else None)

    def versions(self) -> dict[str, str]:
        """See `Exporter.versions`."""
        return {name: version(name) for name in ("torch", *_NEEDED)}


class Steps:
    """A file's graph in onnxruntime, played step by step; it keeps the states.

    Args:
        path: The file.
        synth: What makes audio of controls, where the graph is a decoder.

    Attributes:
        latency: Samples that the audio is late.
        frames: Per step.
    """

    def __init__(self, path: str | Path, *, synth: StreamingModel | None = None) -> None:
        import onnxruntime  # optional, and it takes a second

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1  # a step is too little work to share
        self._session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        about = self._session.get_modelmeta().custom_metadata_map
        self.latency, self._hop = int(about["latency_samples"]), int(about["hop"])
        self.frames = int(about["frames"])
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._synth = synth
        kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
        special = json.loads(about["initial_states"])
        self._beginning = {
            put.name: np.asarray(special.get(put.name, np.zeros(put.shape)), kinds[put.type]).reshape(put.shape)
            for put in self._session.get_inputs()
            if put.name.startswith(_STATE)
        }
        self._takes_noise = any(put.name == "noise" for put in self._session.get_inputs())
        self._begin()

    def _begin(self) -> None:
        self._state = self._beginning
        self._sound = {} if self._synth is None else self._synth.stream_state(1)
        self._last: dict[str, Curve] = {}

    def process(self, f0_hz: Curve, loudness_db: Curve, noise: Curve, **inputs: Curve) -> NDArray[np.float32]:
        """See `zoo.export.base.Runtime`."""
        curves, played = {"f0_hz": f0_hz, "loudness_db": loudness_db, **inputs}, []
        for at in range(0, len(f0_hz), self.frames):
            given = {name: curve[None, at : at + self.frames] for name, curve in curves.items()}
            heard = noise[None, at * self._hop : (at + self.frames) * self._hop]
            step = {**given, **({"noise": heard} if self._takes_noise else {}), **self._state}
            made = dict(zip(self._outputs, self._session.run(None, step), strict=True))
            self._state = {name: made.pop(_NEXT + name.removeprefix(_STATE)) for name in self._state}
            played.append(made["audio"][0] if self._synth is None else self._play(given["f0_hz"], made, heard))
            self._last = {name: values[:, -1:] for name, values in {**given, **made}.items() if name != "audio"}
        return np.concatenate(played)

    @torch.no_grad()
    def _play(self, f0_hz: Curve, controls: Mapping[str, Curve], noise: Curve) -> Curve:
        assert self._synth is not None  # noqa: S101 - its caller looked
        given = {name: torch.from_numpy(values) for name, values in controls.items()}
        made, self._sound = self._synth.play(torch.from_numpy(f0_hz), given, torch.from_numpy(noise), self._sound)
        audio: Curve = made.audio[0].numpy()
        return audio

    def finish(self) -> NDArray[np.float32]:
        """What is still to come, and begin anew: the last frame goes on, with noise of zeros.

        A synth that is apart holds the last controls, as the streaming interface has it. A whole graph is given the
        last features again, of which its decoder makes slightly other controls where it is in the middle of a note.
        """
        steps = -(-self.latency // (self.frames * self._hop))
        frames = steps * self.frames
        last = {name: values.repeat(frames, 1) for name, values in self._last.items()}
        noise = np.zeros(frames * self._hop, np.float32)
        if not last:
            audio = noise
        elif self._synth is None:
            audio = self.process(noise=noise, **{name: values[0] for name, values in last.items()})
        else:
            audio = self._play(
                last["f0_hz"], {name: last[name] for name in self._synth.synth.control_sizes}, noise[None]
            )
        self._begin()
        return audio[: self.latency]


class _Model(nn.Module):
    """A step of a model as graphs have it: tensors in, tensors out, in the order of `names`."""

    states = ("decoder_", "synth_")
    outputs: tuple[str, ...] = ("audio",)

    def __init__(self, streaming: StreamingModel, model: Model) -> None:
        super().__init__()
        self.streaming = streaming
        self.further = model.decoder.further_inputs
        self.names: tuple[str, ...] = ()
        self.pairs: set[str] = set()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.names, tensors, strict=True))
        state = {name.removeprefix(_STATE): value for name, value in given.items() if name.startswith(_STATE)}
        state |= {name: state[name].double().sum(-1) for name in self.pairs}
        further = {name: given[name] for name in self.further}
        made, after = self.step(given, state, further)
        return *made, *(_pair(after[name]) if name in self.pairs else after[name] for name in state)

    def step(
        self, given: Mapping[str, Tensor], state: Mapping[str, Tensor], further: Mapping[str, Tensor]
    ) -> tuple[list[Tensor], Mapping[str, Tensor]]:
        audio, after = self.streaming(given["f0_hz"], given["loudness_db"], given["noise"], state, **further)
        return [audio], after


class _Decoder(_Model):
    """A step of the first half of a model."""

    states = ("decoder_",)  # type: ignore[assignment]

    def __init__(self, streaming: StreamingModel, model: Model) -> None:
        super().__init__(streaming, model)
        self.outputs = tuple(model.synth.control_sizes)

    def step(
        self, given: Mapping[str, Tensor], state: Mapping[str, Tensor], further: Mapping[str, Tensor]
    ) -> tuple[list[Tensor], Mapping[str, Tensor]]:
        controls, after = self.streaming.decode(given["f0_hz"], given["loudness_db"], state, **further)
        return [controls[name] for name in self.outputs], after


def _pair(value: Tensor) -> Tensor:
    """A float64 as two float32, `[..., 2]`, which add up to 48 of its 53 bits."""
    near = value.float()
    return torch.stack([near, (value - near.double()).float()], -1)


def _described(model: Model, exporter: OnnxExporter, state: Mapping[str, Tensor]) -> dict[str, str]:
    """The file's metadata."""
    known = model.config.range
    limits = {} if known is None else {"f0_hz": known.f0_hz, "loudness_db": known.loudness_db}
    special = exporter.special = {_STATE + name: value.tolist() for name, value in state.items() if value.any()}
    values: dict[str, Any] = {
        "name": model.name,
        "part": exporter.part,
        "frames": exporter.frames,
        "sample_rate": model.sample_rate,
        "hop": model.hop,
        "latency_samples": model.synth.latency * model.hop,
        "range": {name: [values.lowest, values.highest] for name, values in limits.items()},
        "features": model.feature_settings().to_dict(),
        "weights_sha256": weights_hash(model),
        "initial_states": special,
        **exporter.about,
    }
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter tells its own developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.onnx._internal.exporter._registration")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
