"""Models written as instrument files. Components will describe themselves; until then the tests do it for ours."""

import functools

import numpy as np
import torch
import zoo_player
from zoo_player.program import Program, checksum_of
from zoo_wavetable.tables import table_harmonics

import zoo
from zoo.decoders import s4
from zoo.decoders.state_space import LowRankRecurrence

SMALL = {
    "gru": ("gru-S", {"hidden_size": 4, "harmonics": 5, "noise_bands": 9, "reverb_length": 100}),
    "tcn": (
        "tcn-S",
        {"input_size": 4, "channels": 5, "output_size": 4, "blocks": 2, "harmonics": 3, "reverb_length": 0},
    ),
    "s4": (
        "s4-S",
        {"model_size": 4, "blocks": 1, "state_size": 8, "harmonics": 4, "noise_bands": 9, "reverb_length": 1},
    ),
    "s4d": ("s4d-S", {"model_size": 4, "blocks": 1, "state_size": 8, "harmonics": 4, "noise_bands": 9}),
    "ddx7": ("ddx7-violin", {"channels": 8, "blocks": 2, "noise_bands": 9, "reverb_length": 70}),
    "wavetable": ("gru-wavetable-S", {"tables": 3, "table_size": 24, "noise_bands": 9, "reverb_length": 64}),
}


def mlp(p, x, layers):
    for linear, norm, _ in zip(layers[::3], layers[1::3], layers[2::3], strict=True):
        x = p.layer_norm(p.linear(x, linear.weight, linear.bias), norm, "leaky_relu")
    return x


def convolutions(p, x, blocks):
    for block in blocks:
        y = p.convolution(x, block.first.weight(), block.first.bias, dilation=block.first.dilation, activation="relu")
        last = "identity" if block.last else "relu"
        y = p.convolution(y, block.second.weight(), block.second.bias, dilation=block.second.dilation, activation=last)
        if block.residual is not None:
            y = p.add(y, p.linear(x, block.residual.weight[..., 0], block.residual.bias))
        x = y
    return x


def s4_tables(kernel):
    poles, low_rank, drive = kernel._scaled()
    step = s4._one_step(s4._real_matrix(poles, low_rank))
    truncation = torch.eye(step.shape[-1], dtype=step.dtype) - torch.linalg.matrix_power(step, kernel.frames)
    read = s4._real_row(kernel.C.to(torch.complex128))
    read = torch.linalg.solve(truncation, read[:, None], left=False)[:, 0]
    r = LowRankRecurrence(poles, low_rank, drive, s4._complex_row(read))
    return [r._ahead, r._inverse, r.P, r.B, r._correction, r.C]


def state_spaces(p, x, blocks, tables):
    for block in blocks:
        y = p.state_space(x, tables(block.kernel))
        y = p.activate(p.skip(y, x, block.skip), "gelu")
        y = p.gated(p.linear(y, block.mix.weight, block.mix.bias))
        x = p.layer_norm(p.add(x, y), block.norm)
    return x


def s4d_tables(kernel):
    recurrence = kernel.recurrence()
    return [recurrence.A, recurrence.B, recurrence.C]


def controls(p, decoder):
    f0, loudness = p.input("f0_hz", "f0_midi"), p.input("loudness_db", "loudness")
    kind = type(decoder).__name__
    if kind == "DDX7Decoder":
        y = convolutions(p, p.concatenate(f0, loudness), decoder.blocks)
        sizes = decoder.control_sizes
        return dict(zip(sizes, p.split(y, list(sizes.values())), strict=True))
    x = p.concatenate(mlp(p, f0, decoder.encoder.f0), mlp(p, loudness, decoder.encoder.loudness))
    if kind == "GRUDecoder":
        hidden = p.gru(x, decoder.gru)
    elif kind == "TCNDecoder":
        hidden = convolutions(p, x, decoder.blocks)
    else:
        hidden = state_spaces(p, x, decoder.blocks, s4_tables if kind == "S4Decoder" else s4d_tables)
    x = mlp(p, p.concatenate(hidden, f0, loudness), decoder.head.mlp)
    return {name: p.linear(x, part.weight, part.bias) for name, part in decoder.head.controls.items()}


def tone_of(p, synth, phases, f0, control):
    kind = type(synth).__name__
    if "HarmonicNoise" in kind:
        floor = 1e-4 if getattr(synth, "leaves_trace", False) else 0.0
        shares = p.distribution(control["harmonic_distribution"], f0, ceiling=synth.ceiling, floor=floor)
        return p.harmonics(p.delay(shares), p.delay(p.activate(control["amplitude"], "scale")))
    if kind == "DDX7":
        after = p.activate(control["ol"], "sigmoid", times=synth.max_ol)
        levels = p.delay(after, 2, repeat=True), p.delay(after, 1, repeat=True), after
        graph = synth.graph
        return p.frequency_modulation(
            levels,
            modulators=graph.modulators,
            carriers=graph.carriers,
            phases=graph.phases,
            multiples=graph.multiples,
            order=graph.order,
            times=1 / synth.max_ol,
        )
    weights, amplitude = p.softmax(control["table_weights"]), p.activate(control["amplitude"], "scale")
    harmonics = table_harmonics(synth.tables.float())
    mute = synth.unvoiced == "mute"
    return p.wavetable(p.delay(weights), p.delay(amplitude), phases, harmonics, ceiling=synth.ceiling, mute=mute)


def sound(p, synth, control):
    f0 = p.input("f0_hz", "f0_hz")
    mute = synth.unvoiced == "mute"
    phases = p.pitch(f0, mute=mute, multiples=synth.frequency_ratios)
    audio = tone_of(p, synth, phases, f0, control)
    if mute:
        audio = p.multiply(audio, phases.gate)
    audio = p.delay(audio, synth.latency - 1)
    if synth.noise_part is not None:
        add = -3.0 if type(synth).__name__ == "DDX7" else 0.0
        magnitudes, late = p.activate(control["noise_bands"], "scale", add=add), synth.noise_part.latency
        noise = p.noise(magnitudes, frames_late=late) if late else p.cropped_noise(magnitudes)
        audio = p.add(audio, p.delay(noise, synth.latency - late))
    audio = p.silence(audio, synth.latency)
    return audio if synth.reverb is None else p.reverb(audio, synth.reverb.impulse())


@torch.no_grad()
def file_of(model, *, weights="float32"):
    """The instrument file of a model."""
    p = Program(sample_rate=model.sample_rate, hop=model.hop, weights=weights)
    held = {name: p.hold(control) for name, control in controls(p, model.decoder).items()}
    output = sound(p, model.synth, held)
    about = {"name": model.name, "range": {"f0_hz": [196.0, 1760.0]}}
    return p.to_bytes(output, latency_frames=model.synth.latency, about=about)


@functools.cache
def small_model(kind):
    torch.manual_seed(0)
    name, options = SMALL[kind]
    return zoo.create(name, **options).eval()


@functools.cache
def small_file(kind):
    return file_of(small_model(kind))


def phrase(frames, *, seed=0):
    """Curves with voiced, unvoiced, silent and extreme frames."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / 250
    f0 = 330 * 2 ** (0.8 * np.sin(2 * np.pi * 0.9 * t)) * 2 ** (0.3 / 12 * np.sin(2 * np.pi * 5.5 * t))
    f0[(t % 0.8) < 0.1] = 0
    f0[frames // 2 : frames // 2 + 9] = 4000
    f0[frames * 3 // 5 : frames * 3 // 5 + 9] = 60
    loudness = -25 + 10 * np.sin(2 * np.pi * 0.5 * t) + rng.normal(size=frames)
    loudness[(t % 0.8) < 0.08] = -80
    return f0.astype(np.float32), loudness.astype(np.float32)


def noise_for(frames, hop, *, seed=1):
    return (np.random.default_rng(seed).random(frames * hop, np.float32) * 2 - 1).astype(np.float32)


@torch.no_grad()
def offline(model, f0, loudness, noise):
    return model(torch.tensor(f0)[None], torch.tensor(loudness)[None], noise=torch.tensor(noise)[None]).audio[0].numpy()


def difference(model, data, f0, loudness):
    """The largest difference between the model's audio and the player's."""
    noise = noise_for(len(f0), model.hop)
    expected = offline(model, f0, loudness, noise)
    instrument = zoo_player.Instrument(data)
    actual = np.concatenate([instrument.process(f0, loudness, noise), instrument.finish()])
    late = instrument.latency
    assert late == model.synth.latency * model.hop
    return np.abs(actual[late:] - expected).max()


def with_checksum(data):
    """An altered file, its checksum made right again."""
    body = bytes(data)[32:]
    return bytes(data)[:24] + checksum_of(body[: len(body) // 8 * 8]).to_bytes(8, "little") + body
