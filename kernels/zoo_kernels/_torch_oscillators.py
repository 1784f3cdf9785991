"""Harmonic oscillators in plain torch, for any device: Clenshaw's recurrence over the harmonics.

Both passes go through the harmonics with a few buffers of the phase's size. On a CPU they take blocks of frames that
fit its cache, and stop at a block's last harmonic; on other devices everything is one block and nothing waits for the
device.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from zoo_kernels._threads import over_blocks

_BLOCK = 1 << 15  # samples: four float64 buffers of this size stay in a core's second-level cache


def _working(phase: Tensor) -> torch.dtype:
    return torch.float32 if phase.device.type == "mps" else torch.float64  # Apple's GPUs have no float64


def _over_frames(block: Callable[[slice], None], frames: int, hop: int, on_cpu: bool) -> None:
    over_blocks(block, frames, step=max(1, _BLOCK // hop) if on_cpu else frames, on_cpu=on_cpu)


def _masked(amplitudes: Tensor, active: Tensor | None) -> Tensor:
    if active is None:
        return amplitudes
    numbers = torch.arange(1, amplitudes.shape[1] + 1, device=amplitudes.device)
    return amplitudes * (numbers <= active[:, None])


def _last_nonzero(amplitudes: Tensor, on_cpu: bool) -> int:
    if not on_cpu:
        return amplitudes.shape[1]
    used = (amplitudes != 0).any(dim=0).nonzero()
    return int(used[-1]) + 1 if len(used) else 0


def _clenshaw(coefficients: Tensor, twice_cosine: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """b[k] = coefficient[k] + 2 cos(phase) b[k+1] - b[k+2], down to b[1] and b[2]."""
    later, latest = torch.zeros_like(twice_cosine), torch.zeros_like(twice_cosine)
    for k in range(count - 1, -1, -1):
        torch.sub(coefficients[:, k, None], later, out=later)
        later.addcmul_(twice_cosine, latest)
        later, latest = latest, later
    return latest, later


def forward(phase: Tensor, amplitudes: Tensor, active: Tensor | None) -> Tensor:
    """Sum the harmonics.

    Args:
        phase: `[frames, hop]`, the batch's frames one after another.
        amplitudes: `[frames, harmonics]`.
        active: int64 `[frames]`, or None.

    Returns:
        `[frames, hop]` in the amplitudes' dtype.
    """
    work, on_cpu = _working(phase), phase.device.type == "cpu"
    out = torch.empty(phase.shape, dtype=amplitudes.dtype, device=phase.device)
    phase, amplitudes = phase.detach(), amplitudes.detach()

    def block(part: slice) -> None:
        coefficients = _masked(amplitudes[part], None if active is None else active[part]).to(work)
        angle = phase[part].to(work)
        first, _ = _clenshaw(coefficients, 2 * torch.cos(angle), _last_nonzero(coefficients, on_cpu))
        out[part] = first.mul_(torch.sin(angle))

    _over_frames(block, phase.shape[0], phase.shape[1], on_cpu)
    return out


def recorded(phase: Tensor, amplitudes: Tensor, hop: int, active: Tensor | None) -> Tensor:
    """The sum in plain operations, for exported graphs: `harmonic_oscillators` without checks or gradients.

    It holds `[batch, frames, hop, harmonics]`: Clenshaw's recurrence would be some hundred operations, one after the
    other.
    """
    numbers = torch.arange(1, amplitudes.shape[-1] + 1, dtype=torch.float64, device=phase.device)
    turns = phase.double().reshape(phase.shape[0], -1, hop, 1) * (numbers / (2 * math.pi))
    turns = (turns - torch.round(turns)).to(amplitudes.dtype)  # wrapped before it loses digits
    if active is not None:
        amplitudes = amplitudes * (numbers <= active[..., None])
    return (torch.sin(turns * (2 * math.pi)) @ amplitudes[..., None]).flatten(1)


def backward(
    phase: Tensor, amplitudes: Tensor, active: Tensor | None, grad: Tensor, need_phase: bool, need_amplitudes: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of the sum for both arguments, shapes as in `forward`."""
    work, on_cpu = _working(phase), phase.device.type == "cpu"
    harmonics = amplitudes.shape[1]
    grad_phase = torch.empty_like(phase) if need_phase else None
    grad_amplitudes = torch.zeros_like(amplitudes) if need_amplitudes else None
    phase, amplitudes, grad = phase.detach(), amplitudes.detach(), grad.detach()

    def block(part: slice) -> None:
        counts = None if active is None else active[part]
        angle, incoming = phase[part].to(work), grad[part].to(work)
        cosine = torch.cos(angle)
        twice_cosine = 2 * cosine
        if grad_phase is not None:
            numbers = torch.arange(1, harmonics + 1, dtype=work, device=phase.device)
            slopes = _masked(amplitudes[part], counts).to(work) * numbers
            first, second = _clenshaw(slopes, twice_cosine, _last_nonzero(slopes, on_cpu))
            grad_phase[part] = first.mul_(cosine).sub_(second).mul_(incoming)
        if grad_amplitudes is not None:
            # The recurrence is linear: started with grad * sin(phase) it gives grad * sin(k * phase).
            before, now = torch.zeros_like(angle), torch.sin(angle) * incoming
            last = harmonics
            if on_cpu and counts is not None:
                last = min(harmonics, int(counts.max()))
            sums = torch.zeros(angle.shape[0], harmonics, dtype=work, device=phase.device)
            for k in range(last):
                torch.sum(now, dim=1, out=sums[:, k])
                before.neg_().addcmul_(twice_cosine, now)
                before, now = now, before
            grad_amplitudes[part] = _masked(sums, counts)

    _over_frames(block, phase.shape[0], phase.shape[1], on_cpu)
    return grad_phase, grad_amplitudes
