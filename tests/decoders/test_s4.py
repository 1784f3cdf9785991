"""S4 and S4D: the kernel, its gradients, what is done for longer clips, and the recurrence."""
# ruff: noqa: N806 - matrices are called as in the papers

import math

import pytest
import torch
from torch.autograd import gradcheck

import zoo
from zoo.decoders.s4 import S4Decoder, S4Kernel, legs
from zoo.decoders.s4d import S4DDecoder, S4DKernel

SIZES = {"amplitude": 1, "noise_bands": 5}


def dense(kernel):
    """A dt, B dt and C of the whole system, from the kernel's parameters, by the definitions; complex128."""
    dt = torch.exp(kernel.log_dt.double())[:, None]
    w = torch.complex(-torch.exp(kernel.log_decay.double()), kernel.frequency.double())
    P, B, C = (torch.view_as_complex(x.double()) for x in (kernel.low_rank, kernel.drive, kernel.read))
    w, P, B, C = (torch.cat([x, x.conj()], dim=1) for x in (w, P, B, C))
    A = torch.diag_embed(w) - P[:, :, None] * P.conj()[:, None, :]
    identity = torch.eye(A.shape[-1], dtype=A.dtype)
    ahead, back = identity + A * dt[..., None] / 2, torch.linalg.inv(identity - A * dt[..., None] / 2)
    step = back @ ahead
    drive = (back @ (B * dt)[..., None])[..., 0]
    truncation = identity - torch.linalg.matrix_power(step, kernel.frames)
    return step, drive, C, truncation


def impulse_response(kernel, frames):
    """`C A^l B` one by one, with the C that the stored one stands for."""
    step, state, read, truncation = dense(kernel)
    read = torch.linalg.solve(truncation, read[:, None], left=False)[:, 0]
    samples = []
    for _ in range(frames):
        samples.append((read * state).sum(dim=-1))
        state = (step @ state[..., None])[..., 0]
    samples = torch.stack(samples, dim=1)
    assert samples.imag.abs().max() < 1e-9 * samples.abs().max()
    return samples.real


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 7, 100, 260])
def test_s4_kernel_is_the_impulse_response(frames):
    torch.manual_seed(0)
    kernel = S4Kernel(3, frames=frames, order=16).double()
    expected = impulse_response(kernel, frames)
    assert torch.allclose(kernel(frames), expected, atol=1e-10 * expected.abs().max(), rtol=0)
    single = kernel.float()(frames)
    assert (single - expected).abs().max() < 1e-5 * expected.abs().max()


@torch.no_grad()
@pytest.mark.parametrize(("made_for", "frames"), [(50, 51), (50, 100), (33, 500), (1, 20)])
def test_s4_kernel_of_a_longer_clip_goes_on_where_the_shorter_ends(made_for, frames):
    torch.manual_seed(0)
    kernel = S4Kernel(3, frames=made_for, order=16).double()
    before = {name: value.clone() for name, value in kernel.state_dict().items()}
    short = kernel(made_for)
    longer = kernel(frames)
    expected = impulse_response(kernel, frames)
    assert torch.allclose(longer, expected, atol=1e-9 * expected.abs().max(), rtol=0)
    assert torch.equal(kernel(made_for), short)
    assert all(torch.equal(value, before[name]) for name, value in kernel.state_dict().items())


@torch.no_grad()
def test_s4_kernel_of_a_shorter_clip_is_the_beginning():
    kernel = S4Kernel(3, frames=101, order=16)
    assert torch.equal(kernel(40), kernel(101)[:, :40])


@pytest.mark.parametrize(("order", "made_for", "frames"), [(2, 1, 1), (2, 6, 6), (4, 5, 3), (4, 5, 12)])
def test_s4_kernel_gradcheck(order, made_for, frames):
    torch.manual_seed(0)
    kernel = S4Kernel(2, frames=made_for, order=order).double()
    names = [name for name, _ in kernel.named_parameters()]

    def run(*values):
        return torch.func.functional_call(kernel, dict(zip(names, values, strict=True)), (frames,))

    gradcheck(run, tuple(p.detach().clone().requires_grad_() for p in kernel.parameters()))


def test_s4d_kernel_gradcheck():
    torch.manual_seed(0)
    kernel = S4DKernel(2, order=4).double()
    names = [name for name, _ in kernel.named_parameters()]

    def run(*values):
        return torch.func.functional_call(kernel, dict(zip(names, values, strict=True)), (9,))

    gradcheck(run, tuple(p.detach().clone().requires_grad_() for p in kernel.parameters()))


@torch.no_grad()
def test_s4d_kernel_is_the_response_to_an_input_held_over_a_frame():
    """Against the continuous system in fine Euler steps."""
    torch.manual_seed(0)
    kernel = S4DKernel(2, order=6).double()
    dt, fine = torch.exp(kernel.log_dt)[:, None], 20000
    w = torch.complex(-torch.exp(kernel.log_decay), kernel.frequency)
    x, samples = torch.zeros_like(w), []
    for frame in range(4):
        for _ in range(fine):
            x = x + dt / fine * (w * x + (frame == 0))
        samples.append(2 * (torch.view_as_complex(kernel.read) * x).sum(dim=-1).real)
    expected = torch.stack(samples, dim=1)
    assert torch.allclose(kernel(4), expected, atol=1e-4 * expected.abs().max(), rtol=0)


@torch.no_grad()
def test_hippo_is_legs_in_another_basis():
    """From the diagonal form back: the same impulse response as the matrix of the paper's equation 2."""
    order, dt, frames = 8, 0.05, 60
    n = torch.arange(order, dtype=torch.float64)
    root = torch.sqrt(2 * n + 1)
    paper = -(torch.tril(root[:, None] * root, -1) + torch.diag(n + 1))
    form = legs(order)
    w, P, B = (torch.cat([x, x.conj()]) for x in form)
    A = torch.diag(w) - P[:, None] * P.conj()
    identity = torch.eye(order, dtype=torch.float64)
    responses = []
    for matrix, drive in ((paper.to(w.dtype), root.to(w.dtype)), (A, B)):
        step = torch.linalg.solve(identity - matrix * dt / 2, identity + matrix * dt / 2)
        state, energies = drive, []
        for _ in range(frames):
            energies.append(torch.linalg.vector_norm(state))  # the bases differ by a unitary matrix
            state = step @ state
        responses.append(torch.stack(energies))
    assert torch.allclose(*responses, rtol=1e-9)
    assert (form.w.real + 0.5).abs().max() < 1e-12


@torch.no_grad()
@pytest.mark.parametrize("frames", [40, 200])
@pytest.mark.parametrize("make", [lambda: S4Kernel(4, frames=40, order=16), lambda: S4DKernel(4, order=16)])
def test_impulse_response_of_the_recurrence_is_the_kernel(frames, make):
    torch.manual_seed(0)
    kernel = make()
    expected = kernel(frames)
    impulse = torch.zeros(2, frames, 4)
    impulse[:, 0] = 1
    found, _ = kernel.stream(impulse, torch.zeros(2, 4, 8, 2), kernel.constants())
    assert (found.transpose(1, 2) - expected).abs().max() < 1e-5 * expected.abs().max()


@torch.no_grad()
def test_matrix_without_eigenvectors_streams_as_well():
    """HiPPO-LegS itself, not rounded to float32, has no basis of eigenvectors that float64 could find."""
    decoder = S4Decoder(control_sizes=SIZES, model_size=4, blocks=2, kernel_frames=50).double().eval()
    exact = legs(64)
    for block in decoder.blocks:
        block.kernel.low_rank.copy_(torch.view_as_real(exact.P).expand(8, -1, -1))
        block.kernel.frequency.copy_(exact.w.imag.expand(8, -1))
        block.kernel.log_decay.copy_(torch.log(-exact.w.real).expand(8, -1))
    features = torch.rand(2, 1, 120, dtype=torch.float64)
    inputs = {"f0": features[0], "loudness": features[1]}
    found, _ = decoder.stream(inputs, decoder.stream_state(1))
    torch.testing.assert_close(found.hidden, decoder(*features).hidden, atol=1e-6, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["s4", "s4d"])
def test_longer_clip_changes_neither_parameters_nor_later_results(kind):
    decoder = zoo.create(f"{kind}-S").decoder.eval()
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    features = torch.rand(2, 1, 2500)
    short = decoder(*features[..., :400]).hidden
    longer = decoder(*features).hidden
    assert torch.equal(decoder(*features[..., :400]).hidden, short)
    assert all(torch.equal(value, before[name]) for name, value in decoder.state_dict().items())
    assert torch.allclose(longer[:, :400], short, atol=1e-4)


@pytest.mark.parametrize(("kind", "count"), [("s4", 5), ("s4d", 3)])
def test_dynamics_have_their_own_parameter_group(kind, count):
    decoder = zoo.create(f"{kind}-S").decoder
    rest, dynamics = decoder.param_groups()
    assert dynamics["lr"] <= 1e-3
    assert dynamics["weight_decay"] == 0
    names = {id(p): name for name, p in decoder.named_parameters()}
    slow = {names[id(p)] for p in dynamics["params"]}
    assert len(slow) == 3 * count
    assert all(".kernel." in name and not name.endswith("read") for name in slow)
    assert sorted(names.values()) == sorted(slow | {names[id(p)] for p in rest["params"]})


@pytest.mark.parametrize("kind", ["s4", "s4d"])
def test_bfloat16_autocast_keeps_the_convolution_in_float32(kind):
    torch.manual_seed(0)
    decoder = zoo.create(f"{kind}-S").decoder
    features = torch.rand(2, 1, 300)
    with torch.no_grad():
        expected = decoder.eval()(*features).hidden
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = decoder(*features).hidden
    assert (hidden.float() - expected).abs().max() < 0.2
    hidden.float().square().mean().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in decoder.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_frames": 0}, "kernel_frames must be at least 1"),
        ({"state_size": 7}, "state_size must be even"),
        ({"blocks": 0}, "blocks must be at least 1"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(options, message):
    with pytest.raises(zoo.errors.ConfigError, match=message):
        zoo.create("s4-S", **options)


@torch.no_grad()
@pytest.mark.parametrize("make", [S4Decoder, S4DDecoder])
def test_new_decoder_remembers_a_second(make):
    """Time scales are spread over 10 to 1,000 frames: an impulse is still heard after 250."""
    torch.manual_seed(0)
    decoder = make(control_sizes=SIZES, model_size=16, blocks=1).eval()
    kernel = decoder.blocks[0].kernel(1000)
    energy = kernel.square().cumsum(dim=1) / kernel.square().sum(dim=1, keepdim=True)
    heard = (energy < 0.99).sum(dim=1)
    assert heard.max() > 250
    assert math.isfinite(float(kernel.abs().max()))
