"""A linear layer that takes the faster of the two libraries that torch has for products of matrices on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_kernels import exporting

_SMALLEST = 64  # rows: fewer are played frame by frame, where the call costs more than the product


class FastLinear(nn.Linear):
    """`nn.Linear`, with the same parameters and the same result but for rounding; see `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """`[..., in_features]` -> `[..., out_features]`."""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, but for rounding.

    torch gives a linear layer in float32 to MKL and a convolution to oneDNN, which on processors that are not Intel's
    is twice as fast, forward and backward. A convolution of width 1 over the rows is the same product; in the
    channels-last layout the rows lie as they are, and nothing is copied.

    Args:
        x: `[..., inputs]`.
        weight: `[outputs, inputs]`.
        bias: `[outputs]`.

    Returns:
        `[..., outputs]`.
    """
    if exporting():  # a graph is for whatever runs it
        return F.linear(x, weight, bias)
    outputs, inputs = weight.shape
    rows = x.numel() // max(1, inputs)
    if x.device.type != "cpu" or x.dtype != torch.float32 or rows < _SMALLEST or not _has_onednn():
        return F.linear(x, weight, bias)
    image = x.reshape(1, 1, rows, inputs).permute(0, 3, 1, 2)  # [1, channels, 1, rows], channels last
    product = F.conv2d(image, weight[:, :, None, None], bias)
    return product.permute(0, 2, 3, 1).reshape(*x.shape[:-1], outputs)


def _has_onednn() -> bool:
    onednn = torch.backends.mkldnn
    return bool(onednn.is_available()) and bool(onednn.enabled)  # type: ignore[no-untyped-call] # torch does not annotate it
