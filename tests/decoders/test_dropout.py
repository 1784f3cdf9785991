import pytest
import torch

from zoo.decoders.dropout import Dropout, ReLUDropout


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.9])
def test_dropout_drops_the_share_that_was_asked_for_and_keeps_the_mean(p):
    torch.manual_seed(0)
    out = Dropout(p)(torch.ones(1_000_001))
    assert float((out == 0).float().mean()) == pytest.approx(p, abs=0.003)
    assert float(out.mean()) == pytest.approx(1.0, abs=0.01)
    assert out.unique().tolist() == pytest.approx([0, 1 / (1 - p)], rel=1e-4)


def test_dropout_draws_every_value_by_itself():
    """Neighbours share a draw of 64 bits, of which each has its own 16."""
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(400_000)) > 0).float().view(-1, 4)
    assert torch.corrcoef(kept.T).fill_diagonal_(0).abs().max() < 0.02
    assert torch.corrcoef(torch.stack([kept[:-1, 3], kept[1:, 0]]))[0, 1].abs() < 0.02


def test_dropout_gradient_goes_through_what_was_kept():
    x = torch.randn(7, 3, requires_grad=True)
    out = Dropout(0.3)(x)
    (grad,) = torch.autograd.grad(out.sum(), x)
    assert torch.allclose(grad * x, out)


def test_dropout_repeats_with_its_seed_and_does_nothing_in_eval_mode():
    x = torch.randn(5, 5)
    layer = Dropout(0.4)
    torch.manual_seed(3)
    first = layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), first)
    assert not torch.equal(layer(x), first)
    assert layer.eval()(x) is x


@pytest.mark.parametrize(("p", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_of_nothing_and_of_everything(p, expected):
    assert (Dropout(p)(torch.ones(9)) == expected).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_dropout_keeps_the_dtype(dtype):
    assert Dropout(0.5)(torch.ones(3, 5, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_dropout_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match="probability from 0 to 1"):
        Dropout(p)


@pytest.mark.parametrize("p", [0.5, 0.25, 0.2])
@pytest.mark.parametrize("shape", [(1000, 1001), (2, 3, 5)])
def test_relu_and_dropout_at_once_give_what_both_give_one_after_the_other(p, shape):
    torch.manual_seed(0)
    x = torch.randn(shape).transpose(0, 1).requires_grad_()
    out = ReLUDropout(p)(x)
    kept = out > 0
    scale = 65536 / (65536 - round(p * 65536))
    torch.testing.assert_close(out, torch.where(kept, x * scale, 0.0))
    assert not kept[x <= 0].any()
    if x.numel() > 1000:
        assert float(kept[x > 0].float().mean()) == pytest.approx(1 - p, abs=0.003)
    grad = torch.randn(out.shape)
    (gradient,) = torch.autograd.grad(out, x, grad)
    torch.testing.assert_close(gradient, torch.where(kept, grad * scale, 0.0))


def test_relu_and_dropout_draw_every_value_by_itself():
    torch.manual_seed(0)
    kept = (ReLUDropout(0.5)(torch.ones(800_000)) > 0).float().view(-1, 8)
    assert torch.corrcoef(kept.T).fill_diagonal_(0).abs().max() < 0.02


def test_relu_and_dropout_repeat_with_their_seed_and_are_relu_alone_in_eval_mode():
    x = torch.randn(40, 5)
    layer = ReLUDropout(0.5)
    torch.manual_seed(3)
    first = layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), first)
    assert not torch.equal(layer(x), first)
    assert torch.equal(layer.eval()(x), torch.relu(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_relu_and_dropout_keep_the_dtype(dtype):
    assert ReLUDropout(0.5)(torch.ones(3, 5, dtype=dtype)).dtype == dtype
