"""Dropout whose random bits cost a fifth of torch's on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_STEPS = 1 << 16  # probabilities are whole numbers of 1 / 65,536
_COARSE = 1 << 8  # or of 1 / 256, where eight values share a draw


class Dropout(nn.Module):
    """Zero single values with probability p in training, and scale the others so that the mean stays.

    torch draws a float from one generator for each value, in one thread: half a second a step in tcn-L. Here four
    values share one draw of 64 bits, so p is rounded to a 65,536th (and the scale belongs to the rounded p). The
    draws come from torch's own generator, so a seed gives the same result again. On other devices it is torch's.

    Args:
        p: Probability, 0 to 1.

    Raises:
        ValueError: p is not a probability.

    Source: Srivastava et al., "Dropout", JMLR 15 (2014).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout must be a probability from 0 to 1, and is {p}.")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; in eval mode the input itself."""
        dropped = round(self.p * _STEPS)
        if not self.training or dropped == 0:
            return x
        if x.device.type != "cpu" or dropped == _STEPS:
            return F.dropout(x, self.p)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(torch.iinfo(torch.int64).min, None)
        kept = bits.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - _STEPS // 2
        return (x * kept).mul_(_STEPS / (_STEPS - dropped))

    def extra_repr(self) -> str:
        """For printing."""
        return f"p={self.p}"


class ReLUDropout(Dropout):
    """ReLU, then dropout, as one operation on a CPU where p is a whole number of 1 / 256.

    What comes out is over 0 exactly where the gradient passes both, so it is all that is kept for the way back: no
    mask, and two passes over memory instead of four.

    Args:
        p: Probability, 0 to 1.

    Raises:
        ValueError: p is not a probability.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; in eval mode ReLU alone."""
        dropped = round(self.p * _STEPS)
        if not self.training or x.device.type != "cpu" or dropped % _COARSE or not 0 < dropped < _STEPS:
            return super().forward(F.relu(x))
        y: Tensor = _ReLUDropout.apply(x, dropped // _COARSE)
        return y


class _ReLUDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped: int) -> Tensor:  # noqa: ANN401 - torch's context
        draws = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(torch.iinfo(torch.int64).min, None)
        kept = draws.view(torch.int8)[: x.numel()].ge_(dropped - _COARSE // 2)  # 1 or 0, in place
        ctx.scale = _COARSE / (_COARSE - dropped)
        y = F.relu(x.contiguous())
        y.mul_(kept.view(y.shape)).mul_(ctx.scale)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's context
        (y,) = ctx.saved_tensors
        passed: Tensor = torch.ops.aten.threshold_backward(grad, y, 0)
        return passed.mul_(ctx.scale), None
