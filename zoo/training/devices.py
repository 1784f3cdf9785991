"""Devices and processes of a run: number formats, recorded work, memory, and what processes must agree on.

Lightning starts further processes (`devices=2`) by running the same command again, or a launcher such as torchrun does.
The first process alone writes files and messages.
"""

from __future__ import annotations

import ctypes
import logging
import os
import platform

import torch
from torch import distributed

from zoo.errors import ConfigError
from zoo.models.model import Model

_log = logging.getLogger(__name__)

_LARGE = 200_000
"""Parameters from which on products of matrices are most of a step."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's numbers for mallopt, from malloc.h
_LARGEST = 2**31 - 1  # mallopt takes an int


def accelerator_fault(accelerator: str, devices: int = 1) -> str | None:
    """Why a run cannot train on what was asked for, as a sentence; None where it can.

    Args:
        accelerator: "auto", "cpu", "gpu", "cuda" or "mps".
        devices: How many of them.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    there = {"cuda": cuda, "gpu": cuda or mps, "mps": mps}.get(accelerator, True)
    if not there:
        return (
            f"accelerator = {accelerator!r} cannot be used: this machine, or the torch installed here, has none. Take "
            "'auto' or 'cpu'; python -m zoo doctor says what there is."
        )
    count = torch.cuda.device_count() if cuda else 1
    if accelerator in ("auto", "cuda", "gpu", "mps") and (cuda or accelerator == "mps") and devices > count:
        return f"devices = {devices} cannot be used: there are {count}. Take that many at most, or accelerator = 'cpu'."
    return None


def resolve_precision(precision: str, accelerator: str, parameters: int) -> str:
    """What "auto" means here; anything else stays as it is, with a warning where it will be slow.

    Args:
        precision: As asked for.
        accelerator: As asked for.
        parameters: Of the student.
    """
    on_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    quick = torch.cuda.is_bf16_supported() if on_gpu else has_bfloat16()
    if precision == "auto":
        return "bf16-mixed" if quick and parameters >= _LARGE else "32-true"
    if precision == "bf16-mixed" and not quick and accelerator != "mps":
        _log.warning("This device computes bfloat16 by way of float32: %s would be faster.", "precision = '32-true'")
    return precision


def has_bfloat16() -> bool:
    """Whether the processor multiplies matrices of bfloat16 by itself: with AMX, or with AVX-512's own instructions."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def graph_decoder(model: Model, *, batch_size: int, frames: int) -> None:
    """Record the decoder's forward and backward work as CUDA graphs, and replay these from now on in training.

    On a large GPU a small network's step is mostly waiting for launches; a graph is one. Shapes are fixed from then on:
    `batch_size` segments of `frames` frames. In eval mode the decoder works as before.

    Args:
        model: On a CUDA device, in training mode.
        batch_size: Segments a step.
        frames: Of a segment.

    Raises:
        ConfigError: The model is not on a CUDA device.
    """
    device = next(model.parameters()).device
    if device.type != "cuda":
        raise ConfigError("cuda_graphs = True needs a CUDA device; this run is on the CPU. Leave it out.")
    samples = tuple(torch.rand(batch_size, frames, device=device) for _ in range(2))
    model.decoder(*samples)  # kernels try their backends at their first call, which cannot be recorded
    # It takes the place of the module's forward; parameters and state stay as they are.
    torch.cuda.make_graphed_callables(model.decoder, samples, allow_unused_input=True)


def keep_freed_memory() -> bool:
    """Tell glibc not to hand large blocks back to the system each time that they are freed.

    A step of a large model asks for dozens of tensors over 32 MB and frees them again. By default each is new memory
    from the system, which clears it page by page: a quarter of the step of s4-L goes into that. The process keeps its
    largest use of memory until it ends. Whoever has set one of glibc's own variables (`MALLOC_MMAP_THRESHOLD_`,
    `MALLOC_TRIM_THRESHOLD_`) has decided already, and is left alone.

    Returns:
        Whether anything was changed; elsewhere than on glibc nothing is.
    """
    if platform.libc_ver()[0] != "glibc" or any(
        name in os.environ for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
    ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST)) and bool(mallopt(_TRIM_THRESHOLD, _LARGEST))


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
