"""The streaming interface: block by block, a decoder gives what it gives for the whole clip."""

import threading

import numpy as np
import pytest
import torch
from torch import nn
from velocity_decoder import VelocityDecoder

import zoo
from zoo import registry
from zoo.decoders import Decoded, Decoder
from zoo.decoders.tcn import TCNDecoder
from zoo.testing.decoders import stream_through

MODELS = registry.models.names()
SMALL = [name for name in MODELS if not name.endswith(("-L", "-M"))]
KINDS = ("gru-S", "tcn-S", "s4-S", "s4d-S")
SIZES = {"amplitude": 1, "noise_bands": 5}


def clip(batch, frames, dtype=torch.float32):
    f0_scaled = torch.rand(batch, frames, dtype=dtype)
    f0_scaled[:, frames // 3 : frames // 2] = 0
    return {"f0": f0_scaled, "loudness": torch.rand(batch, frames, dtype=dtype)}


def small(name):
    torch.manual_seed(0)
    sizes = registry.models.get(name)().decoder.args
    few = {option: min(size, 16) for option, size in sizes.items() if not name.endswith("-S")}
    return zoo.create(name, **few).decoder.eval()


def assert_same(found, expected, atol=1e-5):
    assert found.controls.keys() == expected.controls.keys()
    for name, value in {**expected.controls, "hidden": expected.hidden}.items():
        given = found.hidden if name == "hidden" else found.controls[name]
        torch.testing.assert_close(given, value, atol=atol, rtol=0, msg=name)


@torch.no_grad()
def whole(decoder, inputs):
    training = decoder.training
    try:
        return decoder.eval()(inputs["f0"], inputs["loudness"])
    finally:
        decoder.train(training)


@pytest.mark.parametrize("name", MODELS)
def test_blocks_of_any_size_are_the_clip_in_training_mode_too(name):
    decoder = small(name).train()
    inputs = clip(3, 130)
    expected = whole(decoder, inputs)
    for frames in (1, 3, 64):
        assert_same(stream_through(decoder, inputs, frames=frames), expected)
    assert decoder.training


@pytest.mark.parametrize("name", SMALL)
def test_streaming_works_in_float64(name):
    decoder = small(name).double()
    inputs = clip(2, 70, torch.float64)
    assert_same(stream_through(decoder, inputs, frames=9), whole(decoder, inputs), atol=1e-6)


class Graph(nn.Module):
    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder
        self.constants = decoder.stream_constants()

    def forward(self, f0, loudness, state):
        decoded, after = self.decoder.stream({"f0": f0, "loudness": loudness}, state, self.constants)
        return decoded.controls, after


@torch.no_grad()
@pytest.mark.parametrize("way", ["strict", "export", "trace"])
@pytest.mark.parametrize("name", KINDS)
def test_graph_of_three_frames_gives_the_same(name, way):
    graph = Graph(small(name))
    _, state = graph(*clip(1, 3).values(), graph.decoder.stream_state(1))
    given = (*clip(1, 3).values(), state)
    if way == "trace":
        recorded = torch.jit.trace(graph, given, strict=False)
    else:
        recorded = torch.export.export(graph, given, strict=way == "strict").module()
    other = (*clip(1, 3).values(), state)
    for found, expected in zip(recorded(*other), graph(*other), strict=True):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", SMALL)
def test_state_can_be_continued_from_by_several_threads_at_once_and_stays_as_it_was(name):
    decoder = small(name)
    constants = decoder.stream_constants()
    with torch.no_grad():
        _, kept = decoder.stream(clip(1, 5), decoder.stream_state(1), constants)
        before = {key: value.clone() for key, value in kept.items()}
    clips = [clip(1, 10) for _ in range(4)]
    found = {}

    def play(number):
        with torch.no_grad():
            found[number] = decoder.stream(clips[number], kept, constants)[0]

    threads = [threading.Thread(target=play, args=(number,)) for number in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, inputs in enumerate(clips):
        with torch.no_grad():
            assert_same(found[number], decoder.stream(inputs, kept, constants)[0], atol=0)
    assert all(torch.equal(value, before[key]) for key, value in kept.items())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"f0": torch.zeros(2, 1), "loudness": torch.zeros(2, 1)}, r"\[2, 1\] and \[2, 1\]"),
        ({"f0": torch.zeros(3), "loudness": torch.zeros(3)}, r"\[3\] and \[3\]"),
        ({"f0": torch.zeros(3, 0), "loudness": torch.zeros(3, 0)}, r"\[3, 0\] and \[3, 0\]"),
        ({"f0": torch.zeros(3, 2), "loudness": torch.zeros(3, 1)}, r"\[3, 2\] and \[3, 1\]"),
        ({"f0": torch.zeros(3, 1)}, "driven by f0, loudness; found f0"),
        (dict.fromkeys(("f0", "loudness", "breath"), torch.zeros(3, 1)), "found breath, f0, loudness|f0, loudness, b"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(name, wrong, found):
    decoder = small(name)
    with pytest.raises(ValueError, match=found):
        decoder.stream(wrong, decoder.stream_state(3))


@pytest.mark.parametrize("name", SMALL)
def test_state_of_no_voices_is_refused(name):
    with pytest.raises(ValueError, match="at least 1, found 0"):
        small(name).stream_state(0)


def test_decoder_without_a_streaming_interface_or_a_c_form_says_so():
    class WholeClips(Decoder):
        def forward(self, f0_scaled, loudness_scaled):
            return Decoded({}, f0_scaled)

    decoder = WholeClips(control_sizes=SIZES)
    with pytest.raises(NotImplementedError, match="WholeClips has no streaming interface"):
        decoder.stream_state(1)
    with pytest.raises(NotImplementedError, match="WholeClips has no streaming interface"):
        decoder.stream({}, {})
    with pytest.raises(NotImplementedError, match="WholeClips has no C form"):
        decoder.describe(None)


@pytest.mark.parametrize(("kernel_size", "blocks"), [(1, 2), (2, 3), (3, 9), (5, 4)])
def test_tcn_streams_at_any_kernel_size_and_depth(kernel_size, blocks):
    options = {"input_size": 3, "channels": 5, "output_size": 4}
    decoder = TCNDecoder(control_sizes=SIZES, kernel_size=kernel_size, blocks=blocks, **options).eval()
    assert all(value.numel() for value in decoder.stream_state(2).values())
    inputs = clip(2, 1200 if blocks == 9 else 150)  # 3 x 9 looks back over a thousand frames
    assert_same(stream_through(decoder, inputs, frames=7), whole(decoder, inputs))


@torch.no_grad()
@pytest.mark.parametrize("name", ["s4-S", "s4d-S"])
def test_recurrence_of_real_pairs_is_that_of_complex_numbers_after_a_minute(name):
    kernel = small(name).blocks[0].kernel
    exact = zoo.create(name).double().decoder.blocks[0].kernel
    exact.load_state_dict(kernel.state_dict())
    constants, wanted = kernel.constants(), exact.constants()
    assert (constants.dtype, wanted.dtype) == (torch.float32, torch.float64)
    state = torch.zeros(1, *constants.shape[1:])
    precise, largest, apart = state.double(), 0.0, 0.0
    slow = torch.from_numpy(np.sin(np.arange(15000) / 4000)).float()  # what slow modes add up
    for begin in range(0, 15000, 1000):
        u = torch.rand(1, 1000, constants.shape[1]) - 0.5 + 0.5 * slow[None, begin : begin + 1000, None]
        y, state = kernel.stream(u, state, constants)
        expected, precise = exact.stream(u.double(), precise, wanted)
        largest, apart = max(largest, float(expected.abs().max())), max(apart, float((y - expected).abs().max()))
    assert apart < 3e-6 * largest


def with_velocity():
    torch.manual_seed(0)
    model = zoo.create("gru-S", reverb_length=0).eval()
    model.decoder = VelocityDecoder(control_sizes=model.synth.control_sizes)
    return model


def test_further_input_reaches_the_decoder_by_its_name():
    zoo.testing.check_decoder(VelocityDecoder)
    model = with_velocity()
    assert model.decoder.hidden_size == 3
    f0_hz, loudness_db, noise = torch.full((1, 5), 440.0), torch.full((1, 5), -20.0), torch.rand(1, 320)
    with torch.no_grad():
        soft, loud = (model(f0_hz, loudness_db, noise, velocity=[[v] * 5]).audio for v in (0.1, 0.9))
        strange = model(f0_hz, loudness_db, noise, velocity=[[float("nan")] * 5]).audio
        none = model(f0_hz, loudness_db, noise, velocity=torch.zeros(1, 5)).audio
    assert (soft - loud).abs().max() > 1e-4
    assert torch.equal(strange, none)
    for given, message in (
        ({}, "missing: velocity"),
        ({"velocity": [[0.0] * 5], "breath": [[0.0] * 5]}, "unknown: breath"),
        ({"velocity": [[0.0] * 4]}, r"velocity must have one value per frame.*\[1, 5\]; found \[1, 4\]"),
    ):
        with pytest.raises(ValueError, match=message):
            model(f0_hz, loudness_db, noise, **given)


@pytest.mark.parametrize("backend", ["torch", "native"])
def test_further_input_drives_a_player(backend):
    model = with_velocity()
    velocity, noise = [0.1, 0.5, 0.9, float("inf"), 0.2], torch.rand(1, 320)
    player = zoo.Player(model, backend=backend)
    played = player.process([440.0] * 5, [-20.0] * 5, noise, velocity=velocity)
    played = torch.cat([played, player.finish()])[player.latency :]
    with torch.no_grad():
        expected = model([[440.0] * 5], [[-20.0] * 5], noise, velocity=[velocity]).audio[0]
    torch.testing.assert_close(played, expected, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="missing: velocity"):
        player.process(440.0, -20.0)
