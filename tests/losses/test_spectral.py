from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from zoo_kernels import SpectralPlan, reference, spectral_distances, spectral_magnitudes

from zoo import losses
from zoo.errors import ConfigError
from zoo.losses import FFT_SIZES

SMALL = (64, 32)


@pytest.fixture(scope="module")
def signals():
    return load_file(Path(__file__).parents[1] / "data" / "spectral-reference.safetensors")


def plain(a, b, *, fft_sizes=FFT_SIZES, alpha=1.0, beta=1.0, valid_samples=None):
    """The definition, by torch.stft and autograd, in the signals' own dtype."""
    if valid_samples is not None:
        keep = torch.arange(a.shape[1]) < valid_samples[:, None]
        a, b = a * keep, b * keep
    total = 0.0
    for size in fft_sizes:
        window = torch.hann_window(size, dtype=a.dtype)
        x, y = (
            torch.stft(s, size, size // 4, window=window, normalized=True, return_complex=True).abs() for s in (a, b)
        )
        counted = torch.ones(x.shape, dtype=torch.bool)
        if valid_samples is not None:
            counted &= (torch.arange(x.shape[2]) * (size // 4) <= valid_samples[:, None])[:, None]
        for difference in (x - y, torch.log(x + 1e-7) - torch.log(y + 1e-7)):
            total = total + (torch.where(difference > 0, alpha, beta) * difference.abs())[counted].mean()
    return total


def noise(batch=2, samples=400, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, samples, generator=generator, dtype=torch.float64).to(dtype)


def test_multi_scale_spectral_equals_the_reference(signals):
    a, b = signals["a"], signals["b"]
    found = losses.multi_scale_spectral(a, b)
    assert found.shape == ()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(signals["multi_scale_spectral"].item(), rel=1e-5)
    asymmetric = losses.multi_scale_spectral(a, b, alpha=2.0, beta=0.5)
    expected = signals["multi_scale_spectral_asymmetric_alpha2_beta0.5"].item()
    assert asymmetric.item() == pytest.approx(expected, rel=1e-5)


def test_each_row_equals_the_reference(signals):
    found = losses.multi_scale_spectral_each_row(signals["a"], signals["b"])
    torch.testing.assert_close(found, signals["multi_scale_spectral_each_row"], rtol=1e-5, atol=0)


@pytest.mark.parametrize("backend", ["numba", "torch"])
@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(1, 6),
    samples=st.integers(33, 700),
    sizes=st.lists(st.sampled_from([4, 16, 34, 64]), min_size=1, max_size=3),
    overlap=st.sampled_from([0.0, 0.4, 0.5, 0.75]),
    weights=st.sampled_from([(1.0, 1.0), (2.0, 0.5), (0.0, 3.0)]),
    floor=st.sampled_from([1e-7, 1e-2]),
    seed=st.integers(0, 99),
)
def test_backends_equal_the_float64_reference(backend, batch, samples, sizes, overlap, weights, floor, seed):
    a, b = noise(batch, samples, seed, torch.float32), noise(batch, samples, seed + 1, torch.float32)
    hops = tuple(max(1, round(size * (1 - overlap))) for size in sizes)
    plan = SpectralPlan(tuple(sizes), hops, *weights, floor)
    counts = torch.tensor([[plan.frame_count(i, samples)] * batch for i in range(len(sizes))])
    scales = 1 / (counts.double() * torch.tensor(sizes)[:, None].floor_divide(2).add(1))
    targets = [spectral_magnitudes(b, plan, backend=backend)]
    found, gradients = spectral_distances(
        a, targets, plan, counts=counts, scales=scales, mix=torch.ones(1, 1), backend=backend
    )
    # float32 knows neither the direction of a bin that is nearly 0 nor the sign of a difference that is.
    exact = [spectral_magnitudes(signal.double(), plan) for signal in (a, b)]
    assume(all(x.min() > 1e-5 and (x - y).abs().min() > 1e-6 for x, y in zip(*exact, strict=True)))
    wide = a.double().requires_grad_()
    expected = sum(
        reference.spectral_distance(wide, b, fft_size=size, hop=hop, alpha=weights[0], beta=weights[1], floor=floor)
        for size, hop in zip(sizes, hops, strict=True)
    )
    (gradient,) = torch.autograd.grad(expected.sum(), wide)
    # Rounding counts in a logarithm by one over the bin: much where a bin is nearly 0, and nowhere else.
    rounding = sum(1e-7 * size**0.5 * (1 / x + 1 / y).mean((1, 2)) for size, x, y in zip(sizes, *exact, strict=True))
    allowed = 1e-6 + 1e-5 * expected.detach() + max(weights) * rounding
    assert torch.all((found[0] - expected.detach()).abs() <= allowed)
    assert (gradients[0] - gradient).norm() <= 2e-2 * gradient.norm() + 1e-9


def test_what_lies_under_the_floor_counts_little():
    """A recording without its upper half, and the same with a tone there that is 60 dB softer than the rest."""
    time = torch.arange(16000, dtype=torch.float64) / 16000
    low = torch.sin(2 * torch.pi * 440 * time)[None]
    both = low + 1e-3 * torch.sin(2 * torch.pi * 6000 * time)[None]
    plain_one = losses.multi_scale_spectral(both, low)
    assert losses.multi_scale_spectral(both, low, floor=0.1) < 0.03 * plain_one
    assert losses.multi_scale_spectral(0.5 * low, low, floor=0.1) > 0.1
    with pytest.raises(ConfigError, match="floor must be over 0"):
        losses.multi_scale_spectral(both, low, floor=0.0)


def test_gradient_equals_the_plain_one_on_music(signals):
    a, b = signals["a"], signals["b"]
    wide, narrow, ours = a.double().requires_grad_(), a.clone().requires_grad_(), a.clone().requires_grad_()
    (exact,) = torch.autograd.grad(plain(wide, b.double()), wide)
    (single,) = torch.autograd.grad(plain(narrow, b), narrow)
    (found,) = torch.autograd.grad(losses.multi_scale_spectral(ours, b), ours)

    def error(gradient):
        return float((gradient - exact).norm() / exact.norm())

    assert error(found) <= max(1e-4, 1.5 * error(single))


def test_float64_gradient_equals_the_plain_one():
    a, b = noise().requires_grad_(), noise(seed=1)
    options = {"fft_sizes": SMALL, "alpha": 2.0, "beta": 0.5, "valid_samples": torch.tensor([400, 150])}
    (expected,) = torch.autograd.grad(plain(a, b, **options), a)
    (found,) = torch.autograd.grad(losses.multi_scale_spectral(a, b, **options), a)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_multi_scale_spectral_passes_gradcheck_for_both_signals():
    a, b = noise(1, 24).requires_grad_(), noise(1, 24, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, y: losses.multi_scale_spectral(x, y, fft_sizes=(16,), alpha=2.0, beta=0.5), (a, b)
    )
    assert torch.autograd.gradcheck(
        lambda y: losses.multi_scale_spectral(a.detach(), y, fft_sizes=(16,), alpha=2.0, beta=0.5, floor=0.1), (b,)
    )
    assert torch.autograd.gradcheck(
        lambda x: losses.multi_scale_spectral_many(x, [b.detach(), -b.detach()], fft_sizes=(16,)), (a,)
    )


def test_gradient_reaches_what_made_the_signal_and_scales_with_the_loss():
    gain = torch.tensor(0.5, requires_grad=True)
    b = noise(dtype=torch.float32)
    loss = losses.multi_scale_spectral(gain * b, b, fft_sizes=SMALL)
    (once,) = torch.autograd.grad(loss, gain, retain_graph=True)
    (thrice,) = torch.autograd.grad(3 * loss, gain)
    assert once < 0
    assert thrice == pytest.approx(3 * once.item())


@pytest.mark.parametrize("other", ["itself", "silence"])
def test_gradient_is_finite_where_there_is_nothing_to_compare(other):
    a = torch.zeros(2, 400).requires_grad_()
    b = noise(dtype=torch.float32) if other == "itself" else torch.zeros(2, 400)
    a = b.clone().requires_grad_() if other == "itself" else a
    loss = losses.multi_scale_spectral(a, b, fft_sizes=SMALL)
    loss.backward()
    assert loss.item() == 0
    assert a.grad.eq(0).all()


def test_gradient_of_silence_against_sound_is_zero_and_finite():
    a = torch.zeros(2, 400, requires_grad=True)
    loss = losses.multi_scale_spectral(a, noise(dtype=torch.float32), fft_sizes=SMALL)
    loss.backward()
    assert loss.item() > 1
    assert a.grad.eq(0).all()


def test_nan_in_a_signal_is_nan_in_the_distance():
    a = noise(dtype=torch.float32)
    a[0, 200] = float("nan")
    assert losses.multi_scale_spectral(a, noise(dtype=torch.float32), fft_sizes=SMALL).isnan()


def test_valid_samples_leave_the_padding_out():
    a, b = noise(3, 4000, dtype=torch.float32), noise(3, 4000, 1, torch.float32)
    valid = torch.tensor([4000, 1500, 0])
    found = losses.multi_scale_spectral(a, b, fft_sizes=(256, 64), valid_samples=valid)
    assert found.item() == pytest.approx(plain(a, b, fft_sizes=(256, 64), valid_samples=valid).item(), rel=1e-5)
    a[1, 1500:] = 7.0
    again = losses.multi_scale_spectral(a.requires_grad_(), b, fft_sizes=(256, 64), valid_samples=valid)
    assert again.item() == found.item()
    again.backward()
    assert a.grad[1, 1500:].eq(0).all()
    assert a.grad[1, :1500].ne(0).any()


def test_each_row_with_valid_samples_is_the_row_alone():
    a, b = noise(2, 2000, dtype=torch.float32), noise(2, 2000, 1, torch.float32)
    valid = torch.tensor([2000, 900])
    rows = losses.multi_scale_spectral_each_row(a, b, fft_sizes=SMALL, valid_samples=valid)
    for i in range(2):
        alone = losses.multi_scale_spectral(a[i : i + 1], b[i : i + 1], fft_sizes=SMALL, valid_samples=valid[i : i + 1])
        assert rows[i].item() == pytest.approx(alone.item(), rel=1e-6)


def test_stored_spectra_and_several_targets_give_the_same_numbers():
    a = noise(3, 1000, dtype=torch.float32).requires_grad_()
    targets = [noise(3, 1000, seed, torch.float32) for seed in (1, 2)]
    valid = torch.tensor([1000, 700, 300])
    options = {"fft_sizes": SMALL, "valid_samples": valid}
    stored = [losses.target_spectra(target, **options) for target in targets]
    singles = torch.stack([losses.multi_scale_spectral(a, target, **options) for target in targets])
    many = losses.multi_scale_spectral_many(a, [targets[0], stored[1]], **options)
    torch.testing.assert_close(many, singles)
    weights = torch.tensor([0.3, 0.7])
    (expected,) = torch.autograd.grad((singles * weights).sum(), a)
    (found,) = torch.autograd.grad((many * weights).sum(), a)
    torch.testing.assert_close(found, expected)
    total, each = losses.multi_scale_spectral_weighted(a, stored, [0.3, 0.7], **options)
    torch.testing.assert_close(each, singles)
    torch.testing.assert_close(total, (singles * weights).sum())
    assert not each.requires_grad
    torch.testing.assert_close(torch.autograd.grad(total, a)[0], expected)


def test_autocast_changes_nothing():
    a, b = noise(dtype=torch.float32), noise(seed=1, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = losses.multi_scale_spectral(a, b, fft_sizes=SMALL)
    assert torch.equal(inside, losses.multi_scale_spectral(a, b, fft_sizes=SMALL))
    halved = a.bfloat16().requires_grad_()
    losses.multi_scale_spectral(halved, b, fft_sizes=SMALL).backward()
    assert halved.grad.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((torch.ones(400), torch.ones(400)), {}, r"a must be audio \[batch, samples\].*a\[None\]"),
        ((torch.ones(2, 4000), torch.ones(2, 3999)), {}, r"same shape; a is \[2, 4000\] and b \[2, 3999\]"),
        ((torch.ones(2, 4000), torch.ones(1, 4000)), {}, r"same shape"),
        ((torch.ones(0, 4000), torch.ones(0, 4000)), {}, r"a is empty"),
        ((torch.ones(1, 400, dtype=torch.int16), torch.ones(1, 400)), {}, r"floating-point"),
        ((torch.ones(1, 512), torch.ones(1, 512)), {}, r"512 samples is too short for FFT sizes \[2048, 1024\].*512"),
        ((torch.ones(1, 4000), torch.ones(1, 4000)), {"fft_sizes": (511,)}, r"even numbers"),
        ((torch.ones(1, 4000), torch.ones(1, 4000)), {"fft_sizes": ()}, r"at least one"),
        ((torch.ones(1, 4000), torch.ones(1, 4000)), {"overlap": 1.0}, r"overlap must be"),
        ((torch.ones(1, 4000), torch.ones(1, 4000)), {"alpha": -1.0}, r"alpha and beta"),
        ((torch.ones(1, 4000), torch.ones(1, 4000)), {"valid_samples": torch.ones(2).long()}, r"valid_samples must"),
    ],
)
def test_multi_scale_spectral_refuses_bad_input(arguments, options, message):
    with pytest.raises(ConfigError, match=message):
        losses.multi_scale_spectral(*arguments, **options)


def test_stored_spectra_of_other_options_are_refused():
    a = torch.ones(1, 400)
    stored = losses.target_spectra(a, fft_sizes=SMALL)
    with pytest.raises(ConfigError, match=r"stored spectra have fft_sizes \(64, 32\)"):
        losses.multi_scale_spectral(a, stored, fft_sizes=(64,))
    with pytest.raises(ConfigError, match="other valid_samples"):
        losses.multi_scale_spectral(a, stored, fft_sizes=SMALL, valid_samples=torch.tensor([3]))
    with pytest.raises(ConfigError, match=r"of \[1, 400\] audio, and a is \[1, 500\]"):
        losses.multi_scale_spectral(torch.ones(1, 500), stored, fft_sizes=SMALL)
    with pytest.raises(ConfigError, match="as many weights"):
        losses.multi_scale_spectral_weighted(a, [stored], [1.0, 2.0], fft_sizes=SMALL)


def test_inference_mode_and_threads_change_nothing():
    a, b = noise(5, 4000, dtype=torch.float32), noise(5, 4000, 1, torch.float32)
    expected = losses.multi_scale_spectral(a, b)
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                found = losses.multi_scale_spectral(a.clone(), losses.target_spectra(b.clone()))
            assert torch.equal(found, expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": torch.tensor([[40, 3]])}, "counts must be from 0 to each size's frames"),
        ({"counts": torch.tensor([[-1, 3]])}, "counts must be from 0"),
        ({"counts": torch.tensor([3])}, "counts must be"),
        ({"scales": torch.ones(1, 2)}, "scales must be"),
        ({"mix": torch.ones(1, 2)}, "mix must be"),
        ({"signal": torch.zeros(2, 20)}, "needs 33 at least"),
        ({"signal": torch.zeros(500)}, r"must be \[batch, samples\]"),
        ({"signal": torch.zeros(2, 300)}, "target 0 must be spectra of such a signal"),
        ({"targets": [[]]}, "found nothing"),
    ],
)
def test_kernels_refuse_what_does_not_go_together(backend, change, message):
    plan = SpectralPlan((64,), (16,))
    signal = noise(2, 500, 0, torch.float32)
    given = {"signal": signal, "targets": [spectral_magnitudes(signal, plan)], "counts": torch.tensor([[32, 32]])}
    given |= {"scales": torch.ones(1, 2, dtype=torch.float64), "mix": torch.ones(1, 1)}
    assert spectral_distances(plan=plan, backend=backend, **given)[0].shape == (1, 2)
    with pytest.raises(ValueError, match=message):
        spectral_distances(plan=plan, backend=backend, **given | change)
