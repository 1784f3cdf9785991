"""TorchScript for nn~, which plays models in Max, Pure Data and SuperCollider.

What nn~ asks of a file (github.com/acids-ircam/nn_tilde): a method in `get_methods`, whose `NAME_params` are channels
and ratios in and out; attributes in `get_attributes`, each with `get_NAME`, `set_NAME` (0 where it worked) and types in
`NAME_params` (0 bool, 1 int, 2 float, 3 text). A block holds any number of samples, and gives as many.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.checks.options import refuse, whole_fault
from zoo.export.base import Curve, Exporter, Runtime
from zoo.export.nn_script import Instrument
from zoo.models.model import Model
from zoo.storage.checkpoint import weights_hash
from zoo.streaming import StreamingModel

ABOUT = "zoo.json"
"""The file inside, with what is known of the model."""

_MOST_FRAMES = 256


class NNExporter(Exporter):
    """TorchScript for nn~: signals of pitch in Hz and loudness in dB in, and of further inputs; audio out.

    Attributes that a host can set: `transpose` in semitones, `loudness_shift_db`, and `sample_rate` in Hz, the host's,
    to which the audio is resampled.

    Example:
        >>> zoo.export("gru-S-violin", "nn", "gru-S-violin.ts", sample_rate=44100)  # doctest: +SKIP

    Args:
        frames: That are played at once. Fewer are less late and cost more.
        sample_rate: Of the host in Hz, where that does not say it.

    Raises:
        ConfigError: They are no such numbers.
    """

    suffixes = (".ts",)

    def __init__(self, *, frames: int = 8, sample_rate: int = 48000) -> None:
        refuse(
            (
                whole_fault("frames", frames, least=1, most=_MOST_FRAMES),
                whole_fault("sample_rate", sample_rate, least=1000, most=768_000),
            )
        )
        self._frames = frames
        self.sample_rate = sample_rate

    @property
    def frames(self) -> int:
        """See `Exporter.frames`: the file takes any number, but works every so many."""
        return self._frames

    @property
    def largest_difference(self) -> float:
        """See `Exporter.largest_difference`: other kernels add in another order."""
        return 1e-4

    def write(self, model: Model, path: Path) -> None:
        """See `Exporter.write`."""
        inputs = ("f0_hz", "loudness_db", *model.decoder.further_inputs)
        step = _Step(StreamingModel(model), inputs).eval()
        curves, noise = torch.full((1, len(inputs), self.frames), 0.5), torch.zeros(1, self.frames * model.hop)
        about = {
            "name": model.name,
            "inputs": inputs,
            "sample_rate": model.sample_rate,
            "hop": model.hop,
            "weights_sha256": weights_hash(model),
            "features": model.feature_settings().to_dict(),
            **self.about,
        }
        with _quiet(), torch.no_grad():
            state = step.state()
            traced = torch.jit.trace(step, (curves, noise, *state), check_trace=False)  # type: ignore[no-untyped-call]  # torch's
            instrument = Instrument(
                traced,
                state,
                inputs,
                rate=model.sample_rate,
                hop=model.hop,
                frames=self.frames,
                latency=model.synth.latency * model.hop,
                sample_rate=self.sample_rate,
            )
            scripted = torch.jit.script(instrument.eval())
            torch.jit.save(scripted, str(path), _extra_files={ABOUT: json.dumps(about)})
        _without_paths(path)

    def load(self, path: Path) -> Runtime:
        """See `Exporter.load`."""
        return Hosted(path)

    def versions(self) -> dict[str, str]:
        """See `Exporter.versions`."""
        return {"torch": version("torch")}


def _without_paths(path: Path) -> None:
    """Take out of a TorchScript file which line of which source file each instruction is from: this machine's paths."""
    reader = torch._C.PyTorchFileReader(str(path))
    records = {name: reader.get_record(name) for name in reader.get_all_records() if not name.endswith(".debug_pkl")}
    del reader
    writer = torch._C.PyTorchFileWriter(str(path))
    for name, content in records.items():
        if name not in ("version", ".data/serialization_id", "byteorder"):  # the writer's own
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()


def operators(path: str | Path) -> set[str]:
    """The schemas of torch's operators that a TorchScript file needs, e.g. "aten::sinc(Tensor self) -> Tensor".

    Args:
        path: The file.
    """

    def within(block: Any) -> Iterator[str]:  # noqa: ANN401 - torch's graphs and blocks
        for node in block.nodes():
            if not node.kind().startswith("prim::"):  # the language itself
                yield node.schema() if node.schema() != "(no schema)" else node.kind()
            for inner in node.blocks():
                yield from within(inner)

    with _quiet():
        module = torch.jit.load(str(path))  # type: ignore[no-untyped-call]  # torch's
    found = set()
    for name in module._c._method_names():
        graph = module._c._get_method(name).graph
        torch._C._jit_pass_inline(graph)
        found |= set(within(graph))
    return found


class Hosted:
    """A file, driven as nn~ drives it, by a host that runs at the model's own rate.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        found = {ABOUT: ""}
        with _quiet():
            self._module: Any = torch.jit.load(str(path), _extra_files=found)  # type: ignore[no-untyped-call]  # torch's
        about = json.loads(found[ABOUT])
        self._inputs, self._hop = about["inputs"], about["hop"]
        self._module.set_sample_rate(about["sample_rate"])
        self._last: dict[str, Curve] = {}

    @property
    def latency(self) -> int:
        """Samples that the audio is late."""
        return int(self._module.get_latency())

    @torch.no_grad()
    def process(self, f0_hz: Curve, loudness_db: Curve, noise: Curve, **inputs: Curve) -> NDArray[np.float32]:
        """See `zoo.export.base.Runtime`."""
        curves = {"f0_hz": f0_hz, "loudness_db": loudness_db, **inputs}
        signals = np.stack([curves[name] for name in self._inputs]).repeat(self._hop, axis=1)
        audio = self._module.play(torch.from_numpy(signals)[None], torch.from_numpy(noise)[None])
        self._last = {name: values[-1:] for name, values in curves.items()}
        played: NDArray[np.float32] = audio[0, 0].numpy()
        return played

    def finish(self) -> NDArray[np.float32]:
        """What is still to come, and begin anew: the last frame goes on, with noise of zeros.

        Of features that stay as they are, a decoder makes slightly other controls where it is in the middle of a note.
        """
        audio, frames = np.zeros(self.latency, np.float32), -(-self.latency // self._hop)
        if self._last:
            last = {name: values.repeat(frames) for name, values in self._last.items()}
            audio = self.process(noise=np.zeros(frames * self._hop, np.float32), **last)[: self.latency]
        self._last = {}
        self._module.reset()
        return audio


class _Step(nn.Module):
    """A step with all states in two flat tensors, float32 and float64: what a script can hold of any model."""

    def __init__(self, streaming: StreamingModel, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self.streaming = streaming
        self.inputs = inputs
        state = streaming.stream_state(1)
        self._beginning = state
        self._wide = [name for name, value in state.items() if value.dtype != torch.float32]
        self._narrow = [name for name in state if name not in self._wide]

    def state(self) -> tuple[Tensor, Tensor]:
        return self._flat(self._beginning)

    def forward(self, curves: Tensor, noise: Tensor, narrow: Tensor, wide: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        given = dict(zip(self.inputs, curves.unbind(1), strict=True))
        state = {**self._parts(self._narrow, narrow), **self._parts(self._wide, wide)}
        audio, after = self.streaming(given.pop("f0_hz"), given.pop("loudness_db"), noise, state, **given)
        return audio[0], *self._flat(after)

    def _flat(self, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        narrow = [torch.zeros(0), *(state[name].flatten() for name in self._narrow)]
        wide = [torch.zeros(0, dtype=torch.float64), *(state[name].flatten().double() for name in self._wide)]
        return torch.cat(narrow), torch.cat(wide)

    def _parts(self, names: list[str], flat: Tensor) -> dict[str, Tensor]:
        like = [self._beginning[name] for name in names]
        parts = torch.split(flat, [value.numel() for value in like]) if like else ()
        return {
            name: part.view(value.shape).to(value.dtype) for name, part, value in zip(names, parts, like, strict=True)
        }


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's advice to move on from TorchScript, which is what nn~ loads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
