"""What a model costs: to keep, to play, to play block by block as a plugin does, and to train."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from zoo.decoders import Decoder
from zoo.losses.distillation import Reconstruction
from zoo.models.model import Model
from zoo.streaming.player import Player
from zoo.training.batches import Batch
from zoo.training.config import OptimizerConfig
from zoo.training.evaluation import real_time_factors
from zoo.training.task import Task

BLOCKS = (1, 8)
"""Frames in a block: 4 ms and 32 ms with a hop of 64 at 16 kHz."""

_NORMALISATION = 5  # operations per element: mean, variance, subtraction, division, scaling


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        name: The model's.
        parameters: Of decoder and synth.
        file_bytes: Of its weights as a file; of an untrained architecture, what they would take.
        operations: Of the decoder, for a second of audio.
        real_time_factor: Time to render whole clips over their duration, on one thread.
        block_seconds: Time to render a block of so many frames on one thread; empty without a streaming interface.
        block_share: The same over the block's duration.
        training_step: Seconds of a training step; None where it was not measured.
    """

    name: str
    parameters: int
    file_bytes: int
    operations: int
    real_time_factor: float
    block_seconds: dict[int, float]
    block_share: dict[int, float]
    training_step: float | None


def measure_cost(
    model: Model,
    *,
    name: str | None = None,
    file_bytes: int | None = None,
    training: bool = True,
    batch_size: int = 16,
    seconds: float = 4.0,
    steps: int = 3,
) -> Cost:
    """Measure a model.

    Args:
        model: In eval mode.
        name: What to call it; its own name by default.
        file_bytes: Of its weights' file, where there is one.
        training: Whether to time training steps: forward, loss, backward, optimizer, on all threads that torch uses.
        batch_size: Segments of such a step.
        seconds: Of a segment.
        steps: To take the median of.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    blocks = {frames: block_seconds(model, frames) for frames in BLOCKS}
    known = {frames: value for frames, value in blocks.items() if value is not None}
    return Cost(
        name=name or model.name,
        parameters=model.num_parameters,
        file_bytes=size if file_bytes is None else file_bytes,
        operations=operations_per_second(model.decoder, frame_rate=model.sample_rate / model.hop),
        real_time_factor=statistics.median(real_time_factors(model)),
        block_seconds=known,
        block_share={frames: value * model.sample_rate / (frames * model.hop) for frames, value in known.items()},
        training_step=step_seconds(model, batch_size=batch_size, seconds=seconds, steps=steps) if training else None,
    )


def block_seconds(model: Model, frames: int, *, blocks: int = 60) -> float | None:
    """Median time in which a `zoo.Player` plays a block, on one thread.

    Args:
        model: What to play.
        frames: In a block.
        blocks: To take the median of, after a few that are not timed.

    Returns:
        Seconds; None where decoder or synth has no streaming interface.
    """
    try:
        player = Player(model)
    except NotImplementedError:
        return None
    f0_hz, loudness_db = torch.full((frames,), 440.0), torch.full((frames,), -20.0)
    further = dict.fromkeys(model.decoder.further_inputs, torch.zeros(frames))
    times = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a plugin's host; the compiled loops keep to it too
    try:
        for _ in range(blocks + 5):
            begin = time.perf_counter()
            float(player.process(f0_hz, loudness_db, **further)[0])  # waits for a device that works by itself
            times.append(time.perf_counter() - begin)
    finally:
        torch.set_num_threads(threads)
    return statistics.median(times[5:])


def step_seconds(model: Model, *, batch_size: int, seconds: float, steps: int) -> float:
    """Median time of a training step on recordings, with a copy of the model.

    Args:
        model: What to train.
        batch_size: Segments.
        seconds: Of a segment.
        steps: To take the median of, after one that is not timed.
    """
    student = copy.deepcopy(model).train()
    device = next(student.parameters()).device
    task = Task(student, [Reconstruction()])
    optimizer = task.optimizer(OptimizerConfig(learning_rate=1e-4))
    frames = max(1, round(seconds * model.sample_rate / model.hop))
    batch = {name: tensor.to(device) for name, tensor in melody(batch_size, frames, model.hop).items()}
    batch |= dict.fromkeys(model.decoder.further_inputs, torch.zeros_like(batch["f0_hz"]))
    times = []
    for _ in range(steps + 1):
        begin = time.perf_counter()
        loss, _ = task(batch)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(task.parameters(), 3.0)
        optimizer.step()
        float(loss.detach())
        times.append(time.perf_counter() - begin)
        task.step += 1
    return statistics.median(times[1:])


def melody(batch_size: int, frames: int, hop: int) -> Batch:
    """A batch of long notes between 200 and 500 Hz: what oscillators cost depends on the pitch.

    Args:
        batch_size: Segments.
        frames: Of a segment.
        hop: Samples per frame.
    """
    generator = torch.Generator().manual_seed(0)
    notes = 200 + 300 * torch.rand(batch_size, -(-frames // 125), generator=generator)
    return {
        "f0_hz": notes.repeat_interleave(125, dim=1)[:, :frames],
        "loudness_db": -60 + 50 * torch.rand(batch_size, frames, generator=generator),
        "audio": 0.2 * torch.randn(batch_size, frames * hop, generator=generator),
        "valid_frames": torch.full((batch_size,), frames),
        "index": torch.arange(batch_size),
    }


def operations_per_second(decoder: Decoder, *, frame_rate: float) -> int:
    """How many operations a decoder takes for a second of audio, played frame by frame where it can be.

    A multiply-add in a product of matrices or in a convolution counts two, an elementwise operation one per value (of
    complex values, what their parts take). The synth is not counted.

    Args:
        decoder: Whose cost is asked.
        frame_rate: Frames per second.
    """
    counter = _Counter()
    frame = next(decoder.parameters()).new_full((1, 1), 0.5)
    with torch.no_grad():
        try:
            state, constants = decoder.stream_state(1), decoder.stream_constants()
        except NotImplementedError:
            second = frame.expand(1, round(frame_rate))
            with counter:
                decoder(second, second, **dict.fromkeys(decoder.further_inputs, second))
            return counter.total
        with counter:
            decoder.stream(dict.fromkeys(decoder.inputs, frame), state, constants)
    return round(counter.total * frame_rate)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch does not annotate it
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # as above
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's own
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operation gives
        out = func(*args, **(kwargs or {}))
        known = flop_registry.get(func.overloadpacket)
        if known is not None:
            self.total += int(known(*args, **(kwargs or {}), out_val=out))
        elif torch.Tag.pointwise in func.tags:
            self.total += _elements(out) * _parts(func, out)
        elif "norm" in func.name():
            self.total += _NORMALISATION * _elements(out)
        elif "fft" in func.name():
            self.total += round(2.5 * _elements(out) * math.log2(max(2, _elements(out))))
        elif func.name().startswith(("aten::sum", "aten::mean")):
            self.total += _elements(args[0])
        return out


def _elements(out: Any) -> int:  # noqa: ANN401 - a tensor, or several of which the first counts
    first = out[0] if isinstance(out, tuple | list) else out
    return first.numel() if isinstance(first, Tensor) else 0


def _parts(func: Any, out: Any) -> int:  # noqa: ANN401 - torch's own
    first = out[0] if isinstance(out, tuple | list) else out
    if not isinstance(first, Tensor) or not first.is_complex():
        return 1
    return 6 if "mul" in func.name() else 2
