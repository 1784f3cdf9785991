from dataclasses import replace

import pytest
import torch

from zoo import register, registry
from zoo.errors import ConfigError
from zoo.losses.distillation import Control, Feature, OutputAudio, Reconstruction, bind_losses
from zoo.losses.weights import Linear, Uncertainty
from zoo.models.creating import create
from zoo.storage.config import ComponentConfig, ModelConfig
from zoo.synths import HarmonicNoise, Synth, Synthesis


class Whistle(Synth):
    """One sine, whose controls no other synth shares."""

    def __init__(self, *, sample_rate, hop):
        super().__init__(sample_rate=sample_rate, hop=hop, control_sizes={"amplitude": 1})

    def forward(self, f0_hz, controls, noise=None):
        phase = torch.cumsum(f0_hz.repeat_interleave(self.hop, 1) / self.sample_rate, 1)
        audio = torch.sin(2 * torch.pi * phase) * controls["amplitude"][..., 0].repeat_interleave(self.hop, 1)
        return Synthesis(audio, audio)


@pytest.fixture
def whistle():
    register.synth("whistle")(Whistle)

    @register.model("whistle-S")
    def preset():
        return ModelConfig("whistle-S", ComponentConfig("gru", {"hidden_size": 4}), ComponentConfig("whistle"))

    yield create("whistle-S", instrument="flute")
    registry.synths.unregister("whistle")
    registry.models.unregister("whistle-S")


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    return create("gru-S", hidden_size=6, reverb_length=100), create("tcn-S", channels=10, blocks=2)


@pytest.fixture
def batch():
    return {
        "f0_hz": 200 + 300 * torch.rand(3, 50),
        "loudness_db": -60 * torch.rand(3, 50),
        "valid_frames": torch.tensor([50, 20, 35]),
    }


def renderings(pair, batch):
    student, teacher = (model.eval()(batch["f0_hz"], batch["loudness_db"]) for model in pair)
    with torch.no_grad():
        return student, replace(teacher, hidden=teacher.hidden.detach())


def valid_rows(batch):
    return torch.arange(50) < batch["valid_frames"][:, None]


def test_losses_are_the_registered_components():
    assert registry.losses.get("feature") is Feature
    assert registry.losses.get("control") is Control


def test_projection_is_compared_as_a_share_of_the_teachers_variance(pair, batch):
    student, teacher = renderings(pair, batch)
    loss = Feature()
    loss.bind(*pair)
    assert loss(student, teacher, batch).item() == pytest.approx(1.0)
    torch.nn.init.normal_(loss.projection.weight)
    mine, theirs = (x[valid_rows(batch)] for x in (loss.projection(student.hidden), teacher.hidden))
    error = (mine - mine.mean(0) - theirs + theirs.mean(0)).square().mean()
    wanted = error / theirs.var(0, unbiased=False).mean()
    torch.testing.assert_close(loss(student, teacher, batch), wanted)


def test_projection_is_trained_and_can_reach_what_is_a_linear_map_of_the_student(pair, batch):
    student, teacher = renderings(pair, batch)
    hidden = student.hidden.detach()
    target = replace(teacher, hidden=hidden @ torch.randn(6, 10) + 2)
    loss = Feature()
    loss.bind(*pair)
    (group,) = loss.param_groups()
    optimizer = torch.optim.LBFGS(group["params"], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = loss(replace(student, hidden=hidden), target, batch)
        value.backward()
        return value

    assert closure().item() == pytest.approx(1.0)
    optimizer.step(closure)
    assert closure().item() < 1e-3


def test_similarity_needs_no_parameters_and_ignores_rotation_and_scale(pair, batch):
    student, teacher = renderings(pair, batch)
    loss = Feature(match="similarity", every=3)
    loss.bind(*pair)
    assert list(loss.parameters()) == []
    rotation = torch.linalg.qr(torch.randn(10, 10))[0]
    turned = replace(teacher, hidden=3 * teacher.hidden @ rotation)
    assert loss(turned, teacher, batch).item() == pytest.approx(0.0, abs=1e-9)
    value = loss(student, teacher, batch)
    assert value.item() > 1e-3
    (gradient,) = torch.autograd.grad(value, student.hidden)
    assert gradient.abs().sum() > 0
    assert gradient[~valid_rows(batch)].eq(0).all()


@pytest.mark.parametrize("loss", [Feature(), Feature(match="similarity"), Control()], ids=lambda x: x.describe())
def test_padding_counts_nothing(pair, batch, loss):
    student, teacher = renderings(pair, batch)
    loss.bind(*pair)
    before = loss(student, teacher, batch)
    pad = ~valid_rows(batch)
    broken = replace(
        student,
        hidden=student.hidden.masked_fill(pad[..., None], 7.0),
        scaled_controls={k: v.masked_fill(pad[..., None], 7.0) for k, v in student.scaled_controls.items()},
    )
    torch.testing.assert_close(loss(broken, teacher, batch), before)


@pytest.mark.parametrize("loss", [Feature(), Feature(match="similarity")], ids=lambda x: x.describe())
def test_features_are_compared_in_float32_under_autocast_too(pair, batch, loss):
    student, teacher = renderings(pair, batch)
    loss.bind(*pair)
    for parameter in loss.parameters():
        torch.nn.init.normal_(parameter)
    expected = loss(student, teacher, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(student, teacher, batch), expected)


def test_control_is_the_absolute_difference_of_scaled_controls(pair, batch):
    student, teacher = renderings(pair, batch)
    keep = valid_rows(batch)
    names = ("amplitude", "harmonic_distribution", "noise_bands")
    made = zip(pair, (student, teacher), strict=True)
    scaled = [model.synth.scaled_controls(batch["f0_hz"], rendering.controls) for model, rendering in made]
    each = {name: (scaled[0][name][keep] - scaled[1][name][keep]).abs().mean() for name in names}
    loss = Control()
    loss.bind(*pair)
    torch.testing.assert_close(loss(student, teacher, batch), sum(each.values()))
    loss = Control(controls=["noise_bands"], relative=True)
    loss.bind(*pair)
    wanted = each["noise_bands"] / scaled[1]["noise_bands"][keep].abs().mean()
    torch.testing.assert_close(loss(student, teacher, batch), wanted)


def test_control_leaves_out_what_differs_in_size(pair):
    loss = Control()
    loss.bind(create("gru-S", hidden_size=4, noise_bands=33), pair[1])
    assert loss.shared == ("amplitude", "harmonic_distribution")


def test_control_leaves_out_what_differs_in_meaning(pair):
    class Other(HarmonicNoise):
        def control_scales(self):
            return {**super().control_scales(), "noise_bands": "in dB"}

    registry.synths.register("other_noise")(Other)
    loss = Control()
    try:
        loss.bind(create(replace(pair[0].config, synth=ComponentConfig("other_noise"))), pair[1])
    finally:
        registry.synths.unregister("other_noise")
    assert loss.shared == ("amplitude", "harmonic_distribution")


def test_pair_that_cannot_use_a_loss_is_refused_with_the_losses_that_it_can(pair, whistle):
    with pytest.raises(ConfigError, match="share no control") as caught:
        bind_losses([Reconstruction(), Control()], whistle, pair[1])
    said = str(caught.value)
    assert "whistle-S-flute (whistle)" in said
    usable = said.partition("Losses that this pair can use: ")[2].rstrip(".").split(", ")
    assert {"feature", "output_audio", "reconstruction"} <= set(usable)  # and those of plugins that are installed here
    assert "control" not in usable
    bind_losses([Reconstruction(), Feature(), OutputAudio()], whistle, pair[1])


def test_control_that_is_not_shared_is_named(pair):
    with pytest.raises(ConfigError, match=r"'amplitud'.*Did you mean amplitude"):
        Control(controls=["amplitud"]).bind(*pair)


def test_some_loss_must_count_at_the_end(pair):
    with pytest.raises(ConfigError, match="no loss has a weight over 0"):
        bind_losses([Reconstruction(weight=0.0), OutputAudio(weight=Linear(1.0, 0.0))], *pair)


def test_each_loss_learns_its_own_uncertainty(pair):
    both = Uncertainty()
    with pytest.raises(ConfigError, match="each needs its own"):
        bind_losses([Reconstruction(weight=both), OutputAudio(weight=both)], *pair)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Feature(match="gram"), "projection"),
        (lambda: Feature(every=0), "every"),
        (lambda: Control(controls="amplitude"), "list of names"),
    ],
)
def test_options_out_of_range_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_loss_that_is_not_bound_says_so(pair, batch):
    student, teacher = renderings(pair, batch)
    for loss in (Feature(), Control()):
        with pytest.raises(ConfigError, match="must be bound"):
            loss(student, teacher, batch)
