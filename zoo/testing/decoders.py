"""The check of a decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from zoo import registry
from zoo.decoders import Decoded, Decoder
from zoo.synths import Synth
from zoo.testing.contract import Subject, check_gradients, instance_of, reloaded, trial
from zoo.testing.streams import check_stream_form

_BATCH, _FRAMES, _HOP = 3, 60, 64


def check_decoder(
    decoder: str | type[Decoder],
    *,
    options: Mapping[str, Any] | None = None,
    synth: str | type[Synth] = "harmonic_noise",
    synth_options: Mapping[str, Any] | None = None,
) -> None:
    """Make sure that a decoder does what zoo, its trainer and its players rely on.

    Checked: the handshake with a synth; shapes, dtype (float32, float64) and finite values, silence and clips of one
    frame included; that eval mode is deterministic and rows do not see each other; that a finite gradient reaches
    every parameter; that `param_groups` hold every parameter once; that weights can be saved and loaded; and, where
    `stream_state` and `stream` are offered, that streaming gives what `forward` gives in blocks of any size, and that
    graphs can be made of it.

    Example:
        >>> check_decoder("tcn", options={"input_size": 4, "channels": 8, "output_size": 8, "blocks": 2})

    Args:
        decoder: A registered name, or the class.
        options: The decoder's own options; small sizes keep the check quick.
        synth: The synth that it drives, by name or class: it is built with that one's controls.
        synth_options: That synth's own options.

    Raises:
        AssertionError: It breaks a promise, which the message tells beside what was found.
        ConfigError: There is no decoder or synth of that name.
    """
    subject = Subject(registry.decoders, decoder)
    synth_class = registry.synths.get(synth) if isinstance(synth, str) else synth
    driven: Synth = synth_class(sample_rate=16000, hop=_HOP, **(synth_options or {}))
    arguments = {**(options or {}), "control_sizes": driven.control_sizes}
    build = instance_of(
        subject, Decoder, arguments, f"It is built with control_sizes= and its own options as keywords: {arguments}."
    )
    with trial():
        built: Decoder = build().eval()
        _check_handshake(subject, built, driven)
        _check_outputs(subject, built)
        _check_rows(subject, built)
        _check_param_groups(subject, built)
        _check_gradients(subject, built, driven)
        _check_reload(subject, built, build)
        _check_stream(subject, built)
        _check_float64(subject, built)


def _inputs(decoder: Decoder, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    f0_scaled = 0.3 + 0.4 * torch.rand(_BATCH, _FRAMES, dtype=dtype)
    f0_scaled[:, _FRAMES // 3 : _FRAMES // 2] = 0  # unvoiced
    others = {name: torch.rand(_BATCH, _FRAMES, dtype=dtype) for name in decoder.inputs[1:]}
    return {decoder.inputs[0]: f0_scaled, **others}


def _check_handshake(subject: Subject, decoder: Decoder, synth: Synth) -> None:
    subject.require(
        decoder.control_sizes == synth.control_sizes,
        f"Its control_sizes are those that it was given, {synth.control_sizes}.",
        decoder.control_sizes,
    )


def _decode(subject: Subject, decoder: Decoder, inputs: Mapping[str, Tensor]) -> Decoded:
    further = "".join(f", {name}=" for name in decoder.further_inputs)
    promise = f"forward takes f0_scaled and loudness_scaled{further}, each [batch, frames]."
    with subject.promises(promise), torch.no_grad():
        return _forward(decoder, inputs)


def _forward(decoder: Decoder, inputs: Mapping[str, Tensor]) -> Decoded:
    f0_scaled, loudness_scaled, *further = (inputs[name] for name in decoder.inputs)
    decoded: Decoded = decoder(f0_scaled, loudness_scaled, **dict(zip(decoder.further_inputs, further, strict=True)))
    return decoded


def _some(inputs: Mapping[str, Tensor], rows: slice, frames: slice = slice(None)) -> dict[str, Tensor]:
    return {name: values[rows, frames] for name, values in inputs.items()}


def _check_outputs(subject: Subject, decoder: Decoder, dtype: torch.dtype = torch.float32) -> None:
    inputs = _inputs(decoder, dtype)
    everything = slice(None)
    clips = {
        "a clip": inputs,
        "one frame of one row": _some(inputs, slice(1), slice(1)),
        "an odd number of frames": _some(inputs, everything, slice(37)),
        "silence": {name: torch.zeros_like(values) for name, values in inputs.items()},
    }
    for clip, given in clips.items():
        decoded = _decode(subject, decoder, given)
        subject.require(isinstance(decoded, Decoded), "forward gives a zoo.decoders.Decoded.", type(decoded).__name__)
        subject.require(
            set(decoded.controls) == set(decoder.control_sizes),
            f"Decoded.controls are exactly {sorted(decoder.control_sizes)}.",
            sorted(decoded.controls),
        )
        batch, frames = next(iter(given.values())).shape
        for name, size in decoder.control_sizes.items():
            what = f"The control {name!r} of {clip} ([batch, frames, size])"
            subject.require_tensor(decoded.controls[name], (batch, frames, size), what, dtype)
        width = decoded.hidden.shape[-1] if decoded.hidden.ndim == 3 else 1
        what = f"Decoded.hidden of {clip} ([batch, frames, hidden])"
        subject.require_tensor(decoded.hidden, (batch, frames, width), what, dtype)


def _check_rows(subject: Subject, decoder: Decoder) -> None:
    inputs = _inputs(decoder)
    first = _decode(subject, decoder, inputs)
    again = _decode(subject, decoder, inputs)
    alone = _decode(subject, decoder, _some(inputs, slice(1, 2)))
    for name, value in first.controls.items():
        promise = f"In eval mode it is deterministic: the control {name!r} is the same twice."
        subject.require_close(again.controls[name], value, promise, atol=0)
        promise = f"Rows of a batch do not see each other: the control {name!r} of a row is what it is alone."
        subject.require_close(alone.controls[name], value[1:2], promise)


def _check_param_groups(subject: Subject, decoder: Decoder) -> None:
    promise = "param_groups() gives groups that torch.optim.AdamW takes."
    with subject.promises(promise):
        groups = decoder.param_groups()
        grouped = [parameter for group in groups for parameter in group["params"]]
        torch.optim.AdamW([dict(group) for group in groups], lr=1e-3)
    names = {id(parameter): name for name, parameter in decoder.named_parameters()}
    counts = {name: sum(parameter is p for parameter in grouped) for name, p in decoder.named_parameters()}
    wrong = [f"{name} {count} times" for name, count in counts.items() if count != 1]
    strange = sum(id(parameter) not in names for parameter in grouped)
    if strange:
        wrong.append(f"{strange} parameters that are not the decoder's")
    subject.require(not wrong, "param_groups() holds every parameter exactly once.", ", ".join(wrong))


def _check_gradients(subject: Subject, decoder: Decoder, synth: Synth) -> None:
    inputs = _inputs(decoder)
    decoder.train()
    with subject.promises("Its controls can be differentiated in training mode."):
        decoded = _forward(decoder, inputs)
        total = sum(((v * torch.rand_like(v)).square().sum() for v in decoded.controls.values()), torch.zeros(()))
        torch.autograd.backward(total)
    check_gradients(subject, decoder, of="A function of all controls, in training mode,")
    decoder.zero_grad()
    decoder.eval()
    f0_scaled = inputs[decoder.inputs[0]]
    f0_hz = torch.where(f0_scaled > 0, 440 * 2 ** ((127 * f0_scaled - 69) / 12), 0.0)
    with subject.promises(f"The synth {type(synth).__name__} renders what it decodes."), torch.no_grad():
        controls = _forward(decoder, inputs).controls
        audio = synth(f0_hz, controls, torch.rand(_BATCH, _FRAMES * _HOP) * 2 - 1).audio
    what = f"The audio that {type(synth).__name__} renders from its controls"
    subject.require_tensor(audio, (_BATCH, _FRAMES * _HOP), what, torch.float32)


def _check_reload(subject: Subject, decoder: Decoder, build: Callable[[], Decoder]) -> None:
    other = reloaded(subject, decoder, build)
    inputs = _inputs(decoder)
    expected = _decode(subject, decoder, inputs)
    found = _forward(other, inputs)
    for name, value in expected.controls.items():
        promise = f"What it is lies in its state_dict: loaded into another one, the control {name!r} is the same."
        subject.require_close(found.controls[name].detach(), value, promise, atol=1e-6)


def _check_stream(subject: Subject, decoder: Decoder) -> None:
    cls = type(decoder)
    offered = [name for name in ("stream_state", "stream") if getattr(cls, name) is not getattr(Decoder, name)]
    if not offered:
        return
    subject.require(
        len(offered) == 2, "A streaming interface is both stream_state and stream, or neither.", f"only {offered[0]}"
    )
    inputs = _inputs(decoder)
    expected = _decode(subject, decoder, inputs)
    for frames in (1, 7, _FRAMES):
        with subject.promises("stream_state(batch), then stream(inputs, state, constants) -> (Decoded, state)."):
            found = stream_through(decoder, inputs, frames=frames)
        for name, value in {**expected.controls, "hidden": expected.hidden}.items():
            given = found.hidden if name == "hidden" else found.controls[name]
            promise = f"stream gives block by block, {frames} frames each, what forward gives for the clip: {name}."
            subject.require_close(given, value, promise)
    few = {name: values[:, :3] for name, values in inputs.items()}
    check_stream_form(subject, decoder, few, results=lambda made: {**made.controls, "hidden": made.hidden})


@torch.no_grad()
def stream_through(decoder: Decoder, inputs: Mapping[str, Tensor], *, frames: int = 1) -> Decoded:
    """Decode a clip block by block.

    Args:
        decoder: With a streaming interface.
        inputs: As `stream` takes them.
        frames: In a block.
    """
    clip = next(iter(inputs.values()))
    state, constants = decoder.stream_state(len(clip)), decoder.stream_constants()
    blocks = []
    for begin in range(0, clip.shape[1], frames):
        now = {name: values[:, begin : begin + frames] for name, values in inputs.items()}
        decoded, state = decoder.stream(now, state, constants)
        blocks.append(decoded)
    controls = {name: torch.cat([block.controls[name] for block in blocks], 1) for name in blocks[0].controls}
    return Decoded(controls, torch.cat([block.hidden for block in blocks], 1))


def _check_float64(subject: Subject, decoder: Decoder) -> None:
    with subject.promises("It works in float64 after .double()."):
        decoder.double()
    _check_outputs(subject, decoder, torch.float64)
