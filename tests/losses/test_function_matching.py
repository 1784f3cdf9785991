from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ranges import SPAN

from zoo import registry
from zoo.errors import ConfigError
from zoo.losses.distillation import Control, Feature, FunctionMatching, OutputAudio, Reconstruction, bind_losses
from zoo.losses.weights import Linear
from zoo.models.creating import create
from zoo.storage.model_range import ModelRange, Quantiles
from zoo.training import DistillConfig

FRAMES, HOP = 80, 64


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    models = create("gru-S", hidden_size=6, reverb_length=100), create("tcn-S", channels=10, blocks=2)
    return models[0].train(), models[1].eval().requires_grad_(False)


def a_batch(rows=3, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return {
        "f0_hz": 200 + 300 * torch.rand(rows, FRAMES, generator=draw),
        "loudness_db": -30 - 20 * torch.rand(rows, FRAMES, generator=draw),
        "valid_frames": torch.tensor([FRAMES, 30, 55][:rows]),
        "index": torch.arange(10, 10 + rows),
    }


def rendered(pair, batch):
    return [model(batch["f0_hz"], batch["loudness_db"]) for model in pair]


def test_it_is_a_registered_component():
    assert registry.losses.get("function_matching") is FunctionMatching


@settings(deadline=None, max_examples=50)
@given(
    share=st.floats(0.02, 1.0),
    semitones=st.floats(0.0, 24.0),
    decibels=st.floats(0.0, 80.0),
    unvoiced=st.floats(0.0, 0.5),
    step=st.integers(0, 10**6),
)
def test_what_is_played_is_a_variation_of_the_segments(share, semitones, decibels, unvoiced, step):
    batch = a_batch()
    loss = FunctionMatching(share=share, semitones=semitones, decibels=decibels, unvoiced=unvoiced)
    played = loss.sample_inputs(batch, hop=HOP, step=step)
    length = max(1, round(share * FRAMES))
    assert played["f0_hz"].shape == played["loudness_db"].shape == (3, length)
    assert played["noise"].shape == (3, length * HOP)
    assert played["valid_frames"].tolist() == [min(length, valid) for valid in (FRAMES, 30, 55)]
    voiced = played["f0_hz"] > 0
    assert (~voiced).sum(1).le(2 * unvoiced * length + 1).all()
    ratio = 2 ** (semitones / 12)
    assert played["f0_hz"][voiced].ge(200 / ratio * 0.999).all()
    assert played["f0_hz"][voiced].le(500 * ratio * 1.001).all()
    lowest, highest = max(-80.0, -50 - decibels), min(0.0, -30 + decibels)
    assert played["loudness_db"].ge(lowest - 1e-3).all()
    assert played["loudness_db"].le(highest + 1e-3).all()


def test_pitch_and_loudness_come_from_different_places_of_a_segment():
    batch = a_batch(rows=1)
    batch["f0_hz"] = 200 + torch.arange(FRAMES)[None].float()
    batch["loudness_db"] = -60 + 0.25 * torch.arange(FRAMES)[None].float()
    loss = FunctionMatching(semitones=0.0, decibels=0.0, unvoiced=0.0)
    apart = []
    for step in range(20):
        played = loss.sample_inputs(batch, hop=HOP, step=step)
        assert played["f0_hz"].diff().allclose(torch.tensor(1.0))
        assert played["loudness_db"].diff().allclose(torch.tensor(0.25))
        apart.append(float((played["f0_hz"][0, 0] - 200) - (played["loudness_db"][0, 0] + 60) / 0.25))
    assert len(set(apart)) > 10
    assert batch["f0_hz"].min() == 200  # the batch is as it was


def test_what_is_played_depends_on_the_step_and_the_segment_alone():
    loss, batch = FunctionMatching(), a_batch()
    torch.manual_seed(1)
    first = loss.sample_inputs(batch, hop=HOP, step=3)
    torch.manual_seed(2)
    backwards = {name: value.flip(0) for name, value in batch.items()}
    again = loss.sample_inputs(backwards, hop=HOP, step=3)
    assert all(torch.equal(first[name], again[name].flip(0)) for name in first)
    other = loss.sample_inputs(batch, hop=HOP, step=4)
    assert not torch.equal(first["f0_hz"], other["f0_hz"])


def test_value_is_that_of_the_loss_within_on_what_both_play(pair):
    loss, batch = FunctionMatching(), a_batch()
    loss.bind(*pair)
    loss.advance(7)
    value = loss(*rendered(pair, batch), batch)
    played = loss.sample_inputs(batch, hop=HOP, step=7)
    control = Control(relative=True)
    control.bind(*pair)
    torch.testing.assert_close(value, control(*rendered(pair, played), played))


@pytest.mark.parametrize("within", [lambda: Control(relative=True), OutputAudio])
def test_a_teacher_has_nothing_to_learn_from_itself(pair, within):
    loss, batch = FunctionMatching(loss=within()), a_batch()
    teacher = pair[1]
    loss.bind(teacher, teacher)
    assert loss(*rendered((teacher, teacher), batch), batch).item() == 0


@pytest.mark.parametrize("within", [Control, Feature, OutputAudio])
def test_student_alone_is_trained(pair, within):
    loss, batch = FunctionMatching(loss=within()), a_batch()
    loss.bind(*pair)
    pair[0].zero_grad()
    loss(*rendered(pair, batch), batch).backward()
    gradients = {name: p.grad for name, p in pair[0].decoder.named_parameters() if p.grad is not None}
    own = list(loss.parameters())
    if within is Feature:  # its map begins at 0, through which nothing reaches the student at the first step
        assert own[0].grad.abs().sum() > 0
        assert [p.shape for group in loss.param_groups() for p in group["params"]] == [(10, 6)]
    else:
        assert own == []
        assert sum(gradient.abs().sum() for gradient in gradients.values()) > 0
    assert all(p.grad is None for p in pair[1].parameters())
    assert not any("decoder" in name or "synth" in name for name in loss.state_dict())


def test_validations_play_the_same_at_every_step_and_ask_the_teacher_once(pair):
    loss, batch = FunctionMatching(), a_batch()
    loss.bind(*pair)
    renderings = rendered(pair, batch)
    loss.eval()
    loss.advance(1)
    first = loss(*renderings, batch)
    asked = []
    counting = pair[1].register_forward_pre_hook(lambda *_: asked.append(1))
    loss.advance(2)
    assert torch.equal(loss(*renderings, batch), first)
    assert not asked
    loss(*renderings, a_batch(rows=2))  # other segments
    assert len(asked) == 1
    counting.remove()
    loss.train()
    assert not torch.equal(loss(*renderings, batch), first)


def test_pieces_are_spread_over_the_teachers_range(pair):
    limits = ((60, 2000), (-60, -5))
    quantiles = [Quantiles(tuple(low + k * (high - low) / 8 for k in range(9))) for low, high in limits]
    student, teacher = pair
    known = replace(teacher.config, range=ModelRange(*quantiles, quantiles[0].lowest))
    loss = FunctionMatching(spread=True, semitones=0.0, decibels=0.0, unvoiced=0.0)
    with pytest.raises(ConfigError, match=r"has none.*function_matching\.spread"):
        loss.bind(*pair)
    original, teacher.config = teacher.config, known
    try:
        loss.bind(student, teacher)
    finally:
        teacher.config = original
    played = [loss.sample_inputs(a_batch(), hop=HOP, step=step) for step in range(100)]
    medians = {name: torch.cat([each[name].median(1).values for each in played]) for name in ("f0_hz", "loudness_db")}
    for name, spread in zip(medians, quantiles, strict=True):
        for probability in (0.25, 0.5, 0.75):
            share = (medians[name] < spread.at(probability)).float().mean()
            assert abs(share - probability) < 0.1
    first, again = (loss.sample_inputs(a_batch(), hop=HOP, step=4) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_spread_pieces_have_rests_that_fall_to_silence(pair):
    teacher = pair[1]
    loss, original = FunctionMatching(spread=True, unvoiced=0.3, decibels=0.0), teacher.config
    teacher.config = replace(original, range=SPAN)
    try:
        loss.bind(*pair)
    finally:
        teacher.config = original
    played = [loss.sample_inputs(a_batch(), hop=HOP, step=step) for step in range(50)]
    f0_hz, loudness_db = (torch.cat([each[name] for each in played]) for name in ("f0_hz", "loudness_db"))
    rests = loudness_db[f0_hz == 0]
    assert rests.max() <= -30  # no rest is louder than the segments
    assert 0.1 < (rests <= -79).float().mean() < 0.9
    assert f0_hz.ge(0).all()
    assert loudness_db.ge(-80).all()


@pytest.mark.parametrize("within", [Control, OutputAudio])
def test_pieces_that_come_again_are_not_asked_of_the_teacher_again(pair, within):
    kept, anew = (FunctionMatching(loss=within(), variety=variety) for variety in (3, None))
    batch, asked = a_batch(), []
    kept.bind(*pair)
    anew.bind(*pair)
    counting = pair[1].register_forward_pre_hook(lambda _, given: asked.append(len(given[0])))
    for step in range(3):  # nothing changes what is played, but that it comes again
        for loss in (kept, anew):
            loss.advance(step)
        torch.testing.assert_close(*(loss(*[None] * 2, batch) for loss in (kept, anew)))
    asked.clear()
    backwards = {name: value.flip(0) for name, value in batch.items()}
    kept.advance(3)
    value = kept(None, None, backwards)
    assert not asked
    anew.advance(0)
    torch.testing.assert_close(value, anew(None, None, batch))
    kept.advance(4)
    asked.clear()
    kept(
        None,
        None,
        {name: torch.cat([value, value[:1] + 7]) for name, value in batch.items()}
        | {"index": torch.tensor([10, 11, 12, 99])},
    )
    assert asked == [1]  # the new segment alone
    counting.remove()


def test_what_is_kept_of_the_teacher_does_not_depend_on_what_was_kept_before(pair):
    batch = a_batch()
    student, teacher = pair[0], create("tcn-S").eval().requires_grad_(False)
    begun, resumed = (FunctionMatching(variety=1, share=1.0, loss=OutputAudio()) for _ in range(2))
    values = []
    for loss in (begun, resumed):
        loss.bind(student, teacher)
    begun(None, None, {name: value[:1] for name, value in batch.items()})  # a resumed run has not seen this
    for loss in (begun, resumed):
        values.append(loss(None, None, batch))
    assert torch.equal(*values)


def test_without_a_teacher_it_is_refused(pair):
    with pytest.raises(ConfigError, match="function_matching compares with a teacher"):
        bind_losses([FunctionMatching()], pair[0], None)
    config = DistillConfig(teacher="x", student="y", dataset="z", losses=[FunctionMatching(), Reconstruction()])
    assert [loss.label for loss in config.baseline().losses] == ["reconstruction"]


def test_loss_that_is_not_bound_says_so(pair):
    batch = a_batch()
    with pytest.raises(ConfigError, match="must be bound"):
        FunctionMatching()(*rendered(pair, batch), batch)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FunctionMatching(share=0.0), "share"),
        (lambda: FunctionMatching(share=1.5), "share"),
        (lambda: FunctionMatching(semitones=-1.0), "semitones"),
        (lambda: FunctionMatching(decibels=float("nan")), "decibels"),
        (lambda: FunctionMatching(unvoiced=0.6), "unvoiced"),
        (lambda: FunctionMatching(loss=Reconstruction()), "no recordings of what is played"),
        (lambda: FunctionMatching(loss=FunctionMatching()), "no recordings of what is played"),
        (lambda: FunctionMatching(loss="control"), "'control'"),
        (lambda: FunctionMatching(variety=0), "variety"),
        (lambda: FunctionMatching(spread="wide"), "spread"),
        (lambda: FunctionMatching(loss=Control(weight=2.0)), "@matched/control"),
        (lambda: FunctionMatching(loss=Control(weight=Linear())), "@matched/control"),
    ],
)
def test_options_out_of_range_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
