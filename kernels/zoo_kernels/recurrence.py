"""The recurrence of a gated recurrent unit: what a GRU does from step to step, its input's products already made."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from zoo_kernels._arguments import plain
from zoo_kernels._backends import choose

# A row's steps follow each other, and each needs the whole matrix: where that is many times a core's caches, products
# for all rows at once are quicker.
_LARGEST = 512


def gated_recurrence(inputs: Tensor, weight: Tensor, bias: Tensor, *, backend: str = "auto") -> Tensor:
    """Run a gated recurrent unit over whole sequences, from zeros on.

    With `a = inputs[:, t]` and `b = weight h + bias`, each in three parts of H: `r = sigmoid(a_r + b_r)`,
    `z = sigmoid(a_z + b_z)`, `n = tanh(a_n + r b_n)`, and `h` becomes `(1 - z) n + z h`. So with
    `inputs = x weight_ih^T + bias_ih` it is `torch.nn.GRU`, of one layer.

    What torch's own does in a dozen operations a step, and again on the way back, is one loop here; the gradient of the
    weight is a single product at the end.

    Example:
        >>> gated_recurrence(torch.randn(16, 1000, 132), torch.randn(132, 44), torch.zeros(132)).shape
        torch.Size([16, 1000, 44])

    Args:
        inputs: `[batch, steps, 3 H]`, float32 or float64.
        weight: `[3 H, H]`, of the same dtype: `weight_hh` of torch's.
        bias: `[3 H]`: `bias_hh` of torch's.
        backend: "auto", "numba" (CPU, float32) or "torch".

    Returns:
        The states after each step, `[batch, steps, H]`, with gradients for all three arguments.

    Raises:
        ValueError: Shapes, dtypes or devices that do not fit; an unknown backend, or one that does not serve the
            inputs' device or dtype.
        RuntimeError: The backend asked for does not work here.

    Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder" (2014), in cuDNN's form.
    """
    size = weight.shape[-1] if weight.ndim == 2 else 0
    if inputs.ndim != 3 or weight.shape != (3 * size, size) or bias.shape != (3 * size,) or size == 0:
        raise ValueError(
            "inputs must be [batch, steps, 3 H], weight [3 H, H] and bias [3 H]; "
            f"they are {list(inputs.shape)}, {list(weight.shape)} and {list(bias.shape)}."
        )
    if inputs.shape[-1] != 3 * size:
        raise ValueError(f"weight is {list(weight.shape)}: inputs must end in {3 * size}, found {list(inputs.shape)}.")
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor.dtype != inputs.dtype or tensor.device != inputs.device:
            raise ValueError(
                f"inputs are {inputs.dtype} on {inputs.device} and {name} {tensor.dtype} on {tensor.device}: "
                "convert one."
            )
    if inputs.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"inputs must be float32 or float64, and are {inputs.dtype}.")
    if inputs.dtype == torch.float64:  # the compiled loop is float32
        if backend == "numba":
            raise ValueError("The backend 'numba' of gated_recurrence takes float32, and inputs are float64.")
        backend = "torch"
    elif backend == "auto" and size > _LARGEST:
        backend = "torch"
    module = choose("gated_recurrence", backend, inputs.device)
    if inputs.numel() == 0:
        return inputs[..., :size] + 0 * (weight.sum() + bias.sum())
    states: Tensor = _Recurrence.apply(inputs, weight, bias, module, torch.is_grad_enabled())
    return states


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor,
        module: ModuleType,
        with_grad: bool,
    ) -> Tensor:
        keep = with_grad and any(ctx.needs_input_grad[:3])
        states, gates = module.forward(plain(inputs), plain(weight), plain(bias), keep)
        ctx.save_for_backward(weight, states, gates)
        ctx.module = module
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:  # noqa: ANN401 - torch's context
        weight, states, gates = (plain(tensor) for tensor in ctx.saved_tensors)
        grad_inputs, grad_products = ctx.module.backward(weight, states, gates, plain(grad))
        size = states.shape[-1]
        grad_weight = None
        if ctx.needs_input_grad[1]:
            before = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], dim=1)
            grad_weight = grad_products.reshape(-1, 3 * size).t() @ before.reshape(-1, size)
        grad_bias = grad_products.sum(dim=(0, 1)) if ctx.needs_input_grad[2] else None
        return grad_inputs, grad_weight, grad_bias, None, None
