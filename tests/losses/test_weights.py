import math
from dataclasses import dataclass

import pytest
import torch

from zoo import registry
from zoo.commands.gin_program import main_functions
from zoo.errors import ConfigError
from zoo.gin_config.configure import configure
from zoo.losses.distillation import OutputAudio, Reconstruction, compute
from zoo.losses.weights import Cosine, Linear, Schedule, Step, Uncertainty
from zoo.models.rendering import Rendering


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        (Linear(1.0, 0.0), [1.0, 0.75, 0.5, 0.25, 0.0]),
        (Linear(0.0, 2.0, begin=0.25, end=0.75), [0.0, 0.0, 1.0, 2.0, 2.0]),
        (Linear(1.0, 3.0, begin=0.5, end=0.5), [1.0, 1.0, 3.0, 3.0, 3.0]),
        (Cosine(1.0, 0.0), [1.0, 0.5 + 0.25 * math.sqrt(2), 0.5, 0.5 - 0.25 * math.sqrt(2), 0.0]),
        (Step((1.0, 0.5, 0.0), (0.25, 0.75)), [1.0, 0.5, 0.5, 0.0, 0.0]),
        (Cosine(2.0, 0.0, begin=0.25, end=0.75), [2.0, 2.0, 1.0, 0.0, 0.0]),
        (Cosine(0.0, 2.0, begin=0.25, end=0.75), [0.0, 0.0, 1.0, 2.0, 2.0]),
    ],
    ids=repr,
)
def test_schedule_gives_the_weight_at_each_place_of_the_run(schedule, wanted):
    found = [schedule.at(place) for place in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert found == pytest.approx(wanted, abs=1e-12)


def test_distilling_first_hands_over_to_supervision():
    files = ["distill/gru-L-to-gru-S.gin", "losses/distil-first.gin"]
    made = configure(files, ["DATASET='x'"], functions=main_functions()).make("distill")
    then, first = (loss.schedule for loss in made.losses)
    assert (first.at(0.5), first.at(0.6)) == (1.0, 0.0)
    assert all(first.at(place) + then.at(place) == pytest.approx(1.0) for place in (0.0, 0.4, 0.53, 0.6, 1.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Linear(start=-1.0), r"linear\.start"),
        (lambda: Linear(begin=2000), "fractions of the run"),
        (lambda: Cosine(begin=0.6, end=0.4), "before it begins"),
        (lambda: Step((1.0,), (0.5,)), "one value more"),
        (lambda: Step((1.0, 0.0, 1.0), (0.5, 0.2)), "must rise"),
        (lambda: Step(1.0, 0.5), "must be lists"),
        (lambda: Uncertainty(start=0.0), "over 0"),
        (lambda: Linear(stop=float("inf")), r"linear\.stop"),
    ],
)
def test_what_is_no_schedule_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_schedules_are_the_registered_components_and_gin_scopes_keep_them_apart():
    assert registry.loss_weights.get("linear") is Linear

    def pair(*, losses=()): ...

    bindings = [
        "pair.losses=[@reconstruction(), @output_audio(), @feature()]",
        "reconstruction.weight=@rise/linear()",
        "output_audio.weight=@fall/linear()",
        "feature.weight=@cosine()",
        "rise/linear.start=0.0",
        "rise/linear.stop=1.0",
        "fall/linear.stop=0.25",
        "cosine.begin=0.75",
    ]
    losses = configure([], bindings, functions={"pair": pair}).arguments("pair")["losses"]
    found = [loss.schedule for loss in losses]
    assert found == [Linear(0.0, 1.0), Linear(1.0, 0.25), Cosine(begin=0.75)]


def test_binding_in_a_scope_that_nothing_uses_is_warned_of(caplog):
    def pair(*, losses=()): ...

    bindings = ["pair.losses=[@output_audio()]", "output_audio.weight=@fall/linear()", "fal/linear.stop=0.25"]
    configure([], bindings, functions={"pair": pair})
    assert "fal/linear.stop has no effect, since nothing uses @fal/linear()" in caplog.text


def test_loss_follows_its_schedule_and_keeps_it_in_its_state():
    loss = OutputAudio(weight=Linear(1.0, 0.0))
    loss.begin(10)
    loss.advance(4)
    assert loss.factor == pytest.approx(0.6)
    resumed = OutputAudio(weight=Linear(1.0, 0.0))
    resumed.begin(20)  # more steps are asked for than at first: what has been must not change
    resumed.load_state_dict(loss.state_dict())
    assert resumed.factor == pytest.approx(0.6)
    resumed.advance(9)
    assert resumed.factor == pytest.approx(0.1)
    resumed.advance(15)
    assert resumed.factor == 0.0


@pytest.mark.parametrize("given", [None, "x", float("nan"), -0.5])
def test_schedule_that_gives_no_weight_is_told_by_name(given):
    @dataclass(frozen=True)
    class Broken(Schedule):
        def at(self, fraction):
            return 1 if fraction < 0.5 else given

    loss = OutputAudio(weight=Broken())
    assert loss.state_dict()["weight"].dtype == torch.float32  # of a whole number too
    loss.begin(10)
    with pytest.raises(ConfigError, match=r"The weight of output_audio by .*Broken\(\)"):
        loss.advance(5)


@pytest.fixture
def sounds():
    student, teacher, recording = (0.1 * torch.randn(2, 6400) for _ in range(3))
    batch = {"audio": recording, "f0_hz": torch.full((2, 100), 440.0), "valid_frames": torch.tensor([100, 60])}
    student.requires_grad_()
    return *(Rendering(audio, audio, None, None, {}, audio[..., None]) for audio in (student, teacher)), batch


def test_uncertainty_weighs_each_loss_by_a_variance_of_its_own(sounds):
    student, teacher, batch = sounds
    losses = [Reconstruction(weight=Uncertainty(start=0.5)), OutputAudio(weight=Uncertainty(start=2.0))]
    found = compute(losses, student, teacher, batch)
    logs = [loss.uncertainty.log_variance for loss in losses]
    alone = [loss(student, teacher, batch) for loss in losses]
    wanted = sum(torch.exp(-s) * value + s for s, value in zip(logs, alone, strict=True))
    torch.testing.assert_close(found.total, wanted)
    for gradient, expected in zip(
        torch.autograd.grad(found.total, [student.audio, *logs]),
        torch.autograd.grad(wanted, [student.audio, *logs]),
        strict=True,
    ):
        torch.testing.assert_close(gradient, expected)


def test_learned_variance_settles_at_the_size_of_its_loss(sounds):
    student, _, batch = sounds
    loss = Reconstruction(weight=Uncertainty())
    (group,) = loss.param_groups()
    assert group["weight_decay"] == 0.0
    optimizer = torch.optim.SGD([group], lr=0.3)
    for _ in range(60):
        loss.advance(0)
        computed = compute([loss], student, None, batch)
        optimizer.zero_grad()
        computed.total.backward()
        optimizer.step()
    assert torch.exp(loss.uncertainty.log_variance).item() == pytest.approx(computed.values[0].item(), rel=1e-2)


def test_loss_without_weight_is_left_out_where_that_is_asked_for(sounds):
    student, teacher, batch = sounds
    losses = [Reconstruction(weight=0.5), OutputAudio(weight=Cosine(0.0, 1.0, begin=0.5))]
    skipped = compute(losses, student, teacher, batch, skip_weightless=True)
    whole = compute(losses, student, teacher, batch)
    assert skipped.values[1] == 0
    assert whole.values[1] > 0
    torch.testing.assert_close(skipped.total, whole.total)
