"""The order in which segments are trained on, and by which process.

The order is decided by the seed and the step alone, so that a run resumes exactly. Lightning starts further processes
(`devices=2`) by running the same command again, or a launcher such as torchrun does. Each takes its part of every
batch; the first one alone writes files and messages.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset, Sampler

Batch = dict[str, Tensor]

_LEAST_APART = 10  # steps between validations, where nobody has set them


class Stream(Sampler[list[int]]):
    """Batches out of an endless stream of shuffled epochs.

    Batch `i` is `stream[i * size : (i + 1) * size]`, where the stream is one permutation of the segments after the
    other, each drawn from `(seed, epoch)`. So no segment is left out of an epoch, no batch is short, and batch `i` is
    the same whether the steps before it were made in this process or not. A data set smaller than a batch gives batches
    of its own size.

    Args:
        segments: How many there are.
        batch_size: Segments per batch.
        seed: Of the order.
        start: First batch.
        stop: One past the last.
        shard: Of each batch give every so many-th segment alone, from which on: `(first, every)`, asked when it is
            iterated. Processes that train together shard batches so.
    """

    def __init__(
        self,
        segments: int,
        *,
        batch_size: int,
        seed: int,
        start: int,
        stop: int,
        shard: Callable[[], tuple[int, int]] = lambda: (0, 1),
    ) -> None:
        self.segments = segments
        self.size = min(batch_size, segments)
        self.seed = seed
        self.start = start
        self.stop = stop
        self.shard = shard

    def epoch(self, step: int) -> int:
        """Whole epochs seen after `step` batches."""
        return step * self.size // self.segments

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __iter__(self) -> Iterator[list[int]]:
        epoch, order = -1, torch.empty(0, dtype=torch.int64)
        first, every = self.shard()
        for step in range(self.start, self.stop):
            batch = []
            for place in range(step * self.size, (step + 1) * self.size):
                if place // self.segments != epoch:
                    epoch = place // self.segments
                    # a large odd factor keeps the seeds of neighbouring runs and epochs apart
                    generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
                    order = torch.randperm(self.segments, generator=generator)
                batch.append(int(order[place % self.segments]))
            yield batch[first::every]


def validations(stream: Stream, *, every: int | None, steps: int) -> Callable[[int], bool]:
    """After which steps a run validates.

    Where nobody has set an interval, the first one is validated early too, so that a run that is stopped there has
    learned weights. Only the step counts: a resumed run validates where one that was never stopped does.

    Args:
        stream: What is trained on.
        every: The interval, where it is set.
        steps: Of the whole run.
    """
    if every:
        return lambda step: step % every == 0
    interval = default_interval(stream.segments, stream.size, steps)
    early = [step for step in (interval // 8, interval // 4, interval // 2) if step >= _LEAST_APART]
    return lambda step: step % interval == 0 or step in early


def default_interval(segments: int, batch_size: int, steps: int) -> int:
    """Steps between validations: an epoch, but at most 50 validations a run, and ten steps at least."""
    return max(-(-segments // batch_size), steps // 50, _LEAST_APART)


def training_loader(segments: Dataset[Batch], stream: Stream, *, num_workers: int) -> DataLoader[Any]:
    """A loader of the stream's batches."""
    # The loader draws a seed for its workers when it is iterated; a generator of its own keeps that out of torch's.
    return DataLoader(
        segments,
        batch_sampler=stream,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        generator=torch.Generator().manual_seed(stream.seed),
    )


def in_order(segments: Dataset[Batch], *, batch_size: int) -> DataLoader[Any]:
    """A loader of all segments in their order, the last batch short."""
    return DataLoader(segments, batch_size=batch_size, generator=torch.Generator().manual_seed(0))


def fixed_noise(batch: Batch, *, hop: int, seed: int | Sequence[int]) -> Tensor:
    """Noise `[batch, samples]` uniform in [-1, 1) that depends on nothing but the seed and each segment's index.

    So two evaluations differ by the model alone, in whatever batches the segments come.

    Args:
        batch: With `index` and `f0_hz`.
        hop: Samples per frame.
        seed: One for all, or one per row.
    """
    indices = batch["index"].tolist()
    seeds = [seed] * len(indices) if isinstance(seed, int) else seed
    return _rows(batch, hop, [one * 1_000_003 + index for one, index in zip(seeds, indices, strict=True)])


def step_noise(batch: Batch, *, hop: int, seed: int, step: int) -> Tensor:
    """Noise `[batch, samples]` uniform in [-1, 1) for a step of training, anew at every step.

    It depends on the seed, the step and each segment's index alone: not on what was drawn before, nor on how many
    processes a batch is divided among. On a GPU, where that would be slow, it is drawn for the batch as a whole.

    Args:
        batch: With `index` and `f0_hz`.
        hop: Samples per frame.
        seed: Of the run.
        step: Steps done before.
    """
    device = batch["f0_hz"].device
    indices = batch["index"].tolist()
    if device.type == "cuda":
        generator = torch.Generator(device).manual_seed(_mixed(seed, step, *indices))
        shape = len(indices), batch["f0_hz"].shape[-1] * hop
        return torch.rand(shape, generator=generator, device=device).mul_(2).sub_(1)
    return _rows(batch, hop, [_mixed(seed, step, index) for index in indices])


def _mixed(*numbers: int) -> int:
    # torch's generator on the CPU looks at 32 bits of a seed, so sums of products would meet again and again
    return int.from_bytes(hashlib.blake2b(repr(numbers).encode(), digest_size=4).digest(), "little")


def _rows(batch: Batch, hop: int, seeds: Sequence[int]) -> Tensor:
    noise = torch.empty(len(seeds), batch["f0_hz"].shape[-1] * hop)
    for row, seed in zip(noise, seeds, strict=True):
        row.uniform_(-1, 1, generator=torch.Generator().manual_seed(seed))
    return noise.to(batch["f0_hz"].device)


def is_main() -> bool:
    """Whether this process is the first one, or the only one; known before the others are met."""
    if "RANK" in os.environ:
        return os.environ["RANK"] == "0"
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def count() -> int:
    """How many processes train together, once they have met."""
    return distributed.get_world_size() if _met() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if _met() else 0


def sum_over_all(value: float, device: torch.device) -> float:
    """The sum of a number over all processes; NaN where one has NaN. All must call it."""
    if count() == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64 if device.type != "mps" else torch.float32, device=device)
    distributed.all_reduce(total)
    return float(total)


def any_of_all(value: bool, device: torch.device) -> bool:
    """Whether it is true in any process. All must call it."""
    return sum_over_all(float(value), device) > 0


def _met() -> bool:
    return distributed.is_available() and distributed.is_initialized()
