"""The recurrence in plain torch, for any device: a few operations a step, and no graph of them."""

from __future__ import annotations

import torch
from torch import Tensor


def forward(inputs: Tensor, weight: Tensor, bias: Tensor, keep: bool) -> tuple[Tensor, Tensor]:
    """Run the steps.

    Args:
        inputs: `[batch, steps, 3 H]`.
        weight: `[3 H, H]`.
        bias: `[3 H]`.
        keep: Whether to keep what `backward` needs.

    Returns:
        The states `[batch, steps, H]`, and r, z, n and `(weight h + bias)_n` of each step, `[steps, batch, 4 H]`
        (no steps unless kept).
    """
    batch, steps, _ = inputs.shape
    size = weight.shape[1]
    states = inputs.new_empty(steps, batch, size)
    gates = inputs.new_empty(steps if keep else 0, batch, 4 * size)
    scratch = inputs.new_empty(batch, 4 * size)
    by_step = inputs.transpose(0, 1)
    state = inputs.new_zeros(batch, size)
    products = inputs.new_empty(batch, 3 * size)
    transposed = weight.t()
    for t in range(steps):
        kept = gates[t] if keep else scratch
        torch.addmm(bias, state, transposed, out=products)
        both, new, product = kept[:, : 2 * size], kept[:, 2 * size : 3 * size], kept[:, 3 * size :]
        torch.add(by_step[t, :, : 2 * size], products[:, : 2 * size], out=both).sigmoid_()
        product.copy_(products[:, 2 * size :])
        torch.addcmul(by_step[t, :, 2 * size :], both[:, :size], product, out=new).tanh_()
        state = torch.lerp(new, state, both[:, size:], out=states[t])
    return states.transpose(0, 1).contiguous(), gates


def backward(weight: Tensor, states: Tensor, gates: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of a real loss.

    Args:
        weight: `[3 H, H]`.
        states: What `forward` gave.
        gates: What `forward` kept.
        grad: Of the states, `[batch, steps, H]`.

    Returns:
        The gradients of `inputs` and of the products `weight h + bias`, each `[batch, steps, 3 H]`.
    """
    batch, steps, size = states.shape
    r, z, n, product = torch.split(gates, size, dim=-1)
    before = torch.cat([states.new_zeros(batch, 1, size), states[:, :-1]], dim=1).transpose(0, 1)
    # Everything but the incoming gradient is known beforehand, for all steps at once.
    of_new = (1 - z) * (1 - n * n)
    factors = torch.cat([of_new * product * r * (1 - r), (before - n) * z * (1 - z), of_new * r], dim=-1)
    found = torch.empty(steps, batch, 3 * size, dtype=states.dtype, device=states.device)
    total = torch.empty(steps, batch, size, dtype=states.dtype, device=states.device)
    incoming = grad.transpose(0, 1)
    carried = states.new_zeros(batch, size)
    for t in range(steps - 1, -1, -1):
        step = torch.add(incoming[t], carried, out=total[t])
        torch.mul(factors[t].view(batch, 3, size), step[:, None], out=found[t].view(batch, 3, size))
        carried = torch.addmm(step * z[t], found[t], weight)
    grad_inputs = torch.cat([found[..., : 2 * size], total * of_new], dim=-1)
    return grad_inputs.transpose(0, 1).contiguous(), found.transpose(0, 1).contiguous()
