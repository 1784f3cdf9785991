"""The recurrent form: frame by frame, a decoder gives what it gives for the whole clip."""

import threading
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo import registry
from zoo.decoders import Decoded, Decoder
from zoo.decoders.gru import GRUDecoder
from zoo.decoders.tcn import HistoryBuffer, TCNDecoder

MODELS = registry.models.names()
SMALL = [name for name in MODELS if not name.endswith(("-L", "-M"))]
SIZES = {"amplitude": 1, "noise_bands": 5}


def clip(batch, frames, dtype=torch.float32):
    f0_scaled = torch.rand(batch, frames, dtype=dtype)
    f0_scaled[:, frames // 3 : frames // 2] = 0
    return f0_scaled, torch.rand(batch, frames, dtype=dtype)


def step_through(decoder, f0_scaled, loudness_scaled, state=None):
    """Step over a clip; what comes out, put together as `forward` gives it, and the last state."""
    state = decoder.initial_state(len(f0_scaled)) if state is None else state
    frames = []
    for features_t in zip(f0_scaled.unbind(1), loudness_scaled.unbind(1), strict=True):
        decoded, state = decoder.step(features_t, state)
        frames.append(decoded)
    controls = {name: torch.stack([frame.controls[name] for frame in frames], 1) for name in frames[0].controls}
    return Decoded(controls, torch.stack([frame.hidden for frame in frames], 1)), state


def assert_same(found, expected, atol=1e-4):
    assert found.controls.keys() == expected.controls.keys()
    for name, value in expected.controls.items():
        assert value.dtype == found.controls[name].dtype
        assert torch.allclose(found.controls[name], value, atol=atol, rtol=0), name
    assert torch.allclose(found.hidden, expected.hidden, atol=atol, rtol=0)


@torch.no_grad()
def whole(decoder, f0_scaled, loudness_scaled):
    training = decoder.training
    try:
        return decoder.eval()(f0_scaled, loudness_scaled)
    finally:
        decoder.train(training)


@pytest.mark.parametrize("name", MODELS)
def test_stepping_over_a_clip_equals_forward(name):
    # L with narrower layers: setting s4-L up takes seconds
    sizes = registry.models.get(name)().decoder.args if name.endswith("-L") else {}
    decoder = zoo.create(name, **{option: min(size, 16) for option, size in sizes.items()}).decoder.eval()
    features = clip(3, 250)
    assert_same(step_through(decoder, *features)[0], whole(decoder, *features))


@pytest.mark.parametrize("name", SMALL)
def test_stepping_is_the_same_in_training_mode_and_needs_no_gradients(name):
    decoder = zoo.create(name).decoder.train()
    features = clip(1, 70)
    found, _ = step_through(decoder, *features)
    assert_same(found, whole(decoder, *features))
    assert decoder.training
    assert not any(value.requires_grad for value in (*found.controls.values(), found.hidden))


@pytest.mark.parametrize("name", SMALL)
def test_stepping_works_in_float64(name):
    decoder = zoo.create(name).decoder.double()
    features = clip(2, 70, torch.float64)
    assert_same(step_through(decoder, *features)[0], whole(decoder, *features), atol=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_kept_state_can_be_continued_from_twice_in_turns(name):
    decoder = zoo.create(name).decoder
    start = clip(2, 40)
    _, kept = step_through(decoder, *start)
    branches = [(start, kept), (start, kept)]
    for turn, frames in enumerate((1, 1, 7, 60, 60, 7)):
        before, state = branches[turn % 2]
        more = clip(2, frames)
        found, state = step_through(decoder, *more, state)
        joined = tuple(torch.cat(pair, 1) for pair in zip(before, more, strict=True))
        expected = whole(decoder, *joined)
        controls = {control: value[:, -frames:] for control, value in expected.controls.items()}
        assert_same(found, Decoded(controls, expected.hidden[:, -frames:]))
        branches[turn % 2] = (joined, state)


@pytest.mark.parametrize("name", SMALL)
def test_one_tensor_of_both_features_is_the_same_as_the_pair(name):
    decoder = zoo.create(name).decoder
    features_t = torch.rand(3, 2)
    state = decoder.initial_state(3)
    one, _ = decoder.step(features_t, state)
    pair, _ = decoder.step((features_t[:, 0], features_t[:, 1]), state)
    assert_same(one, pair, atol=0)
    assert {control: tuple(value.shape) for control, value in one.controls.items()} == {
        control: (3, size) for control, size in decoder.control_sizes.items()
    }


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (torch.zeros(2, 2), r"found \[2, 2\]"),
        (torch.zeros(3), r"found \[3\]"),
        (torch.zeros(3, 1, 2), r"found \[3, 1, 2\]"),
        ((torch.zeros(3), torch.zeros(2)), r"found \[3\] and \[2\]"),
        ((torch.zeros(3, 1), torch.zeros(3, 1)), r"found \[3, 1\] and \[3, 1\]"),
        ((torch.zeros(3),), r"found \[3\]\."),
    ],
)
def test_frame_of_another_shape_is_refused(name, wrong, found):
    decoder = zoo.create(name).decoder
    with pytest.raises(ValueError, match=rf"\[batch, 2\] = \[3, 2\].*{found}"):
        decoder.step(wrong, decoder.initial_state(3))


@pytest.mark.parametrize("name", SMALL)
def test_state_of_no_voices_is_refused(name):
    with pytest.raises(ValueError, match="at least 1, found 0"):
        zoo.create(name).decoder.initial_state(0)


def test_decoder_without_a_step_form_says_so():
    class WholeClips(Decoder):
        def forward(self, f0_scaled, loudness_scaled):
            return Decoded({}, f0_scaled)

    decoder = WholeClips(control_sizes=SIZES)
    with pytest.raises(NotImplementedError, match="WholeClips has no streaming interface"):
        decoder.initial_state(1)
    with pytest.raises(NotImplementedError, match="WholeClips has no streaming interface"):
        decoder.step(torch.zeros(1, 2), None)


@pytest.mark.parametrize(("kernel_size", "blocks"), [(1, 2), (2, 3), (3, 9), (5, 4)])
def test_tcn_steps_at_any_kernel_size_and_depth(kernel_size, blocks):
    # 3 x 9 looks back over a thousand frames, further than any buffer's room
    options = {"input_size": 3, "channels": 5, "output_size": 4}
    decoder = TCNDecoder(control_sizes=SIZES, kernel_size=kernel_size, blocks=blocks, **options)
    features = clip(2, 700 if blocks == 9 else 150)
    assert_same(step_through(decoder, *features)[0], whole(decoder, *features))


def test_tcn_state_takes_the_same_memory_after_any_time():
    decoder = TCNDecoder(control_sizes=SIZES, input_size=3, channels=5, output_size=4, blocks=3)
    _, early = step_through(decoder, *clip(1, 5))
    _, late = step_through(decoder, *clip(1, 300), early)
    assert [x.shape for x in late.past.inputs] == [x.shape for x in early.past.inputs]
    assert all(x.untyped_storage().nbytes() == x.nbytes for x in late.past.inputs)


@settings(max_examples=20, deadline=None)
@given(choices=st.lists(st.integers(0, 1000), min_size=10, max_size=40), make=st.sampled_from([GRUDecoder, TCNDecoder]))
def test_any_state_of_a_tree_of_continuations_stays_good(choices, make):
    sizes = {"hidden_size": 4} if make is GRUDecoder else {"input_size": 2, "channels": 3, "blocks": 2}
    decoder = make(control_sizes=SIZES, **sizes)
    with mock.patch.object(HistoryBuffer, "ROOM", 3):
        leaves = [(torch.zeros(1, 0, 2), decoder.initial_state(1))]
        for choice in choices:
            before, state = leaves[choice % len(leaves)]
            features = torch.cat([before, torch.rand(1, 1, 2)], 1)
            decoded, after = decoder.step(features[:, -1], state)
            expected = whole(decoder, features[..., 0], features[..., 1])
            assert torch.allclose(decoded.hidden, expected.hidden[:, -1], atol=1e-5)
            leaves.append((features, after))


@pytest.mark.parametrize("name", SMALL)
def test_one_state_can_be_continued_by_several_threads_at_once(name):
    decoder = zoo.create(name).decoder
    start = decoder.initial_state(1)
    clips = [clip(1, 100) for _ in range(6)]
    found = {}

    def play(number):
        found[number] = step_through(decoder, *clips[number], start)[0]

    threads = [threading.Thread(target=play, args=(number,)) for number in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, features in enumerate(clips):
        assert_same(found[number], whole(decoder, *features))
