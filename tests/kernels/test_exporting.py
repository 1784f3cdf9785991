"""Kernels in exported graphs: plain operations that give the same."""

import math

import pytest
import torch
from torch import nn
from zoo_kernels import OperatorGraph, exporting, frequency_modulation, harmonic_oscillators

GRAPH = OperatorGraph(modulators=((1, 2), (), ()), carriers=(0, 1), phases=(0, 0, 1), multiples=(1, 3, 1))


class Bank(nn.Module):
    def forward(self, phase, amplitudes, active):
        return harmonic_oscillators(phase, amplitudes, hop=10, active=active)


class Operators(nn.Module):
    def forward(self, phases, levels):
        return frequency_modulation(phases, levels, GRAPH, hop=10)


CASES = {
    "harmonic_oscillators": (
        Bank(),
        lambda: (
            (torch.rand(2, 30, dtype=torch.float64) * 2 - 1) * math.pi,
            torch.randn(2, 3, 20),
            torch.tensor([[20, 3, 0], [1, 40, 7]]),
        ),
    ),
    "frequency_modulation": (
        Operators(),
        lambda: ((torch.rand(2, 2, 30, dtype=torch.float64) * 2 - 1) * math.pi, torch.rand(2, 3, 3)),
    ),
}


@pytest.mark.parametrize("how", ["strict", "not strict", "trace"])
@pytest.mark.parametrize("kernel", CASES)
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_graph_gives_what_the_kernel_gives(kernel, how):
    torch.manual_seed(0)
    module, arguments = CASES[kernel]
    if how == "trace":
        graph = torch.jit.trace(module, arguments())
    else:
        graph = torch.export.export(module, arguments(), strict=how == "strict").module()
    given = arguments()
    torch.testing.assert_close(graph(*given), module(*given), atol=2e-6, rtol=0)
    assert not exporting()
