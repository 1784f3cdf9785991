import pytest
import torch

from zoo import registry
from zoo.errors import ConfigError
from zoo.losses import multi_scale_spectral, valid_mean
from zoo.losses.distillation import Loss, OutputAudio, Reconstruction, bind_losses, compute
from zoo.losses.weights import Linear
from zoo.models.creating import create
from zoo.models.rendering import Rendering


def rendering(audio, dry=None):
    return Rendering(audio, audio if dry is None else dry, None, None, {}, audio[..., None])


@pytest.fixture
def sounds():
    torch.manual_seed(0)
    student, dry, teacher, teacher_dry, recording = (0.1 * torch.randn(2, 6400) for _ in range(5))
    batch = {"audio": recording, "f0_hz": torch.full((2, 100), 440.0), "valid_frames": torch.tensor([100, 60])}
    return rendering(student.requires_grad_(), dry.requires_grad_()), rendering(teacher, teacher_dry), batch


def test_losses_are_the_registered_components():
    assert registry.losses.get("reconstruction") is Reconstruction
    assert registry.losses.get("output_audio") is OutputAudio


def test_reconstruction_is_the_distance_to_the_recording_without_padding(sounds):
    student, _, batch = sounds
    value = Reconstruction()(student, None, batch)
    wanted = multi_scale_spectral(student.audio, batch["audio"], valid_samples=torch.tensor([6400, 3840]))
    torch.testing.assert_close(value, wanted)


def test_spectral_options_reach_the_distance(sounds):
    student, _, batch = sounds
    options = {"fft_sizes": (512, 128), "overlap": 0.5, "alpha": 2.0, "beta": 0.5}
    wanted = multi_scale_spectral(student.audio, batch["audio"], valid_samples=torch.tensor([6400, 3840]), **options)
    torch.testing.assert_close(Reconstruction(**options)(student, None, batch), wanted)


def test_losses_computed_together_equal_those_computed_alone_gradients_too(sounds):
    student, teacher, batch = sounds
    losses = [Reconstruction(weight=0.25), OutputAudio(weight=2.0), Reconstruction(weight=0.5, fft_sizes=(256,))]
    together = compute(losses, student, teacher, batch)
    (gradient,) = torch.autograd.grad(together.total, student.audio)
    alone = [loss(student, teacher, batch) for loss in losses]
    total = sum(loss.weight * value for loss, value in zip(losses, alone, strict=True))
    torch.testing.assert_close(torch.stack(together.values), torch.stack(alone).detach())
    torch.testing.assert_close(together.total, total)
    torch.testing.assert_close(gradient, torch.autograd.grad(total, student.audio)[0])


def test_a_loss_of_ones_own_takes_part(sounds):
    class Louder(Loss):
        name = "louder"

        def forward(self, student, teacher, batch):
            return student.audio.square().mean()

    student, teacher, batch = sounds
    computed = compute([Reconstruction(), Louder(weight=3.0)], student, teacher, batch)
    torch.testing.assert_close(computed.total, computed.values[0] + 3 * computed.values[1])
    assert computed.total.requires_grad


def test_spectral_loss_with_a_forward_of_its_own_is_computed_by_that(sounds):
    class Halved(Reconstruction):
        name = "halved"

        def forward(self, student, teacher, batch):
            return super().forward(student, teacher, batch) / 2

    student, teacher, batch = sounds
    whole, half = compute([Reconstruction(), Halved()], student, teacher, batch).values
    torch.testing.assert_close(half, whole / 2)


@pytest.mark.parametrize(("lengths", "which"), [((200, 200), "audio"), ((200, 400), "dry"), ((0, 200), "dry")])
def test_output_audio_compares_dry_audio_where_reverbs_differ(sounds, lengths, which):
    student, teacher, batch = sounds
    loss = OutputAudio()
    loss.bind(*(create("gru-S", hidden_size=4, reverb_length=length) for length in lengths))
    found = loss.signals(student, teacher, batch)
    assert found[0] is getattr(student, which)
    assert found[1] is getattr(teacher, which)


def test_weight_is_a_buffer_of_the_state():
    assert Reconstruction(weight=0.25).state_dict()["weight"] == 0.25


@pytest.mark.parametrize("weight", [0.2, 0.3])
def test_weight_from_a_state_is_the_very_number_where_that_has_not_changed(weight):
    resumed = Reconstruction(weight=weight)
    resumed.load_state_dict(Reconstruction(weight=0.2).state_dict())
    assert resumed.factor == (0.2 if weight == 0.2 else pytest.approx(0.2, rel=1e-7))  # 0.2 is no float32


def test_step_in_which_no_loss_counts_has_a_gradient_of_zero(sounds):
    student, teacher, batch = sounds
    losses = [Reconstruction(weight=Linear(0.0, 1.0)), OutputAudio(weight=0.0)]
    total = compute(losses, student, teacher, batch, skip_weightless=True).total
    (gradient,) = torch.autograd.grad(total, student.audio)
    assert total == 0
    assert not gradient.any()


class Own(Loss):
    name = "own"

    def __init__(self, value=None, needs=frozenset()):
        super().__init__()
        self.value, self.needs = value, needs

    def forward(self, student, teacher, batch):
        return self.value


@pytest.mark.parametrize("value", [torch.zeros(2), torch.zeros(1), 0.5, None])
def test_loss_that_gives_no_scalar_is_refused_by_name(sounds, value):
    with pytest.raises(ConfigError, match=r"loss own gave .* must give a scalar tensor"):
        compute([Own(value)], *sounds)


@pytest.mark.parametrize("needs", [frozenset({"harmonic"}), "audio"])
def test_loss_that_needs_what_no_teacher_gives_is_refused_by_name(needs):
    pair = [create("gru-S", hidden_size=4) for _ in range(2)]
    with pytest.raises(ConfigError, match=r"loss own needs .* a set of some of audio, controls"):
        bind_losses([Own(needs=needs)], *pair)


@pytest.mark.parametrize(
    "options",
    [
        {"weight": -1.0},
        {"weight": float("nan")},
        {"weight": "big"},
        {"fft_sizes": ()},
        {"fft_sizes": (0.5,)},
        {"overlap": 1.0},
        {"alpha": -1.0},
        {"floor": 0.0},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Reconstruction(**options)


def test_loss_that_needs_a_teacher_says_so():
    with pytest.raises(ConfigError, match="output_audio compares with a teacher"):
        OutputAudio().bind(create("gru-S", hidden_size=4), None)


def test_valid_mean_leaves_out_padding_whatever_stands_there():
    values = torch.tensor([[1.0, 2.0, 3.0], [5.0, float("-inf"), float("nan")]], requires_grad=True)
    found = valid_mean(values, torch.tensor([3, 1]))
    assert found.item() == pytest.approx(11 / 4)
    (gradient,) = torch.autograd.grad(found, values)
    assert gradient.tolist() == [[0.25, 0.25, 0.25], [0.25, 0.0, 0.0]]


@pytest.mark.parametrize("shape", [(1, 50, 1), (2, 50, 5), (2, 50)])  # the first was the sum over all frames
def test_valid_mean_refuses_what_is_no_value_per_frame(shape):
    with pytest.raises(ConfigError, match=r"a value per frame.*values\.mean\(-1\)"):
        valid_mean(torch.ones(shape), torch.tensor([50]))
