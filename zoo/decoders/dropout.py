"""Dropout whose random bits cost a fifth of torch's on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_STEPS = 1 << 16  # probabilities are whole numbers of 1 / 65,536


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
