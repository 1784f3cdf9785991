"""Whether a graph is being recorded, which must hold plain operations only."""

from __future__ import annotations

import torch


def exporting() -> bool:
    """Whether `torch.export`, an exporter built on it, or `torch.jit.trace` is recording what runs now.

    Kernels then take a form that is a few plain operations, look at no value, and are meant for a few frames at a time:
    memory grows with samples times harmonics.
    """
    return torch.compiler.is_exporting() or bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]
