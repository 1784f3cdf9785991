import pytest
import torch
from torch import nn

from zoo.decoders.linear import FastLinear


def pair(inputs, outputs):
    torch.manual_seed(0)
    ours, theirs = FastLinear(inputs, outputs), nn.Linear(inputs, outputs)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("shape", [(16, 100, 7), (1, 64, 7), (200, 7), (2, 3, 50, 7), (7,), (3, 7), (0, 7), (2, 0, 7)])
@pytest.mark.parametrize("outputs", [1, 5, 130])
def test_linear_is_torchs_in_values_and_gradients(shape, outputs):
    ours, theirs = pair(7, outputs)
    x = torch.randn(shape, requires_grad=True)
    found, expected = ours(x), theirs(x)
    assert found.shape == expected.shape
    assert found.is_contiguous()
    assert torch.allclose(found, expected, atol=1e-5)
    grad = torch.randn_like(expected)
    gradients = torch.autograd.grad(found, (x, *ours.parameters()), grad)
    for a, b in zip(gradients, torch.autograd.grad(expected, (x, *theirs.parameters()), grad), strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_linear_takes_rows_that_do_not_lie_one_after_another():
    ours, theirs = pair(7, 5)
    x = torch.randn(16, 7, 100).transpose(1, 2)
    assert torch.allclose(ours(x), theirs(x), atol=1e-5)


def test_linear_in_float64_and_under_autocast():
    ours, theirs = pair(7, 5)
    x = torch.randn(300, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ours(x).dtype == theirs(x).dtype == torch.bfloat16
        assert torch.allclose(ours(x).float(), theirs(x).float(), atol=0.05)
    assert torch.equal(ours.double()(x.double()), theirs.double()(x.double()))


def test_linear_without_onednn_is_torchs():
    ours, theirs = pair(7, 5)
    x = torch.randn(300, 7)
    with torch.backends.mkldnn.flags(enabled=False):
        assert torch.equal(ours(x), theirs(x))
