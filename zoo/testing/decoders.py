"""The check of a decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from zoo import registry
from zoo.decoders import Decoded, Decoder
from zoo.synths import Synth
from zoo.testing.contract import TOLERANCE, Subject, check_gradients, instance_of, reloaded, trial

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
    `initial_state` and `step` are offered, that stepping gives what `forward` gives.

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
        _check_step(subject, built)
        _check_float64(subject, built)


def _features(batch: int = _BATCH, frames: int = _FRAMES, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    f0_scaled = 0.3 + 0.4 * torch.rand(batch, frames, dtype=dtype)
    f0_scaled[:, frames // 3 : frames // 2] = 0  # unvoiced
    return f0_scaled, torch.rand(batch, frames, dtype=dtype)


def _check_handshake(subject: Subject, decoder: Decoder, synth: Synth) -> None:
    subject.require(
        decoder.control_sizes == synth.control_sizes,
        f"Its control_sizes are those that it was given, {synth.control_sizes}.",
        decoder.control_sizes,
    )


def _decode(subject: Subject, decoder: Decoder, f0_scaled: Tensor, loudness_scaled: Tensor) -> Decoded:
    with subject.promises("forward takes f0_scaled and loudness_scaled, each [batch, frames]."), torch.no_grad():
        return decoder(f0_scaled, loudness_scaled)


def _check_outputs(subject: Subject, decoder: Decoder, dtype: torch.dtype = torch.float32) -> None:
    f0_scaled, loudness_scaled = _features(dtype=dtype)
    clips = {
        "a clip": (f0_scaled, loudness_scaled),
        "one frame of one row": (f0_scaled[:1, :1], loudness_scaled[:1, :1]),
        "an odd number of frames": (f0_scaled[:, :37], loudness_scaled[:, :37]),
        "silence": (torch.zeros_like(f0_scaled), torch.zeros_like(loudness_scaled)),
    }
    for clip, (f0, loudness) in clips.items():
        decoded = _decode(subject, decoder, f0, loudness)
        subject.require(isinstance(decoded, Decoded), "forward gives a zoo.decoders.Decoded.", type(decoded).__name__)
        subject.require(
            set(decoded.controls) == set(decoder.control_sizes),
            f"Decoded.controls are exactly {sorted(decoder.control_sizes)}.",
            sorted(decoded.controls),
        )
        batch, frames = f0.shape
        for name, size in decoder.control_sizes.items():
            what = f"The control {name!r} of {clip} ([batch, frames, size])"
            subject.require_tensor(decoded.controls[name], (batch, frames, size), what, dtype)
        width = decoded.hidden.shape[-1] if decoded.hidden.ndim == 3 else 1
        what = f"Decoded.hidden of {clip} ([batch, frames, hidden])"
        subject.require_tensor(decoded.hidden, (batch, frames, width), what, dtype)


def _check_rows(subject: Subject, decoder: Decoder) -> None:
    f0_scaled, loudness_scaled = _features()
    first = _decode(subject, decoder, f0_scaled, loudness_scaled)
    again = _decode(subject, decoder, f0_scaled, loudness_scaled)
    alone = _decode(subject, decoder, f0_scaled[1:2], loudness_scaled[1:2])
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
    f0_scaled, loudness_scaled = _features()
    decoder.train()
    with subject.promises("Its controls can be differentiated in training mode."):
        decoded: Decoded = decoder(f0_scaled, loudness_scaled)
        total = sum(((v * torch.rand_like(v)).square().sum() for v in decoded.controls.values()), torch.zeros(()))
        torch.autograd.backward(total)
    check_gradients(subject, decoder, of="A function of all controls, in training mode,")
    decoder.zero_grad()
    decoder.eval()
    f0_hz = torch.where(f0_scaled > 0, 440 * 2 ** ((127 * f0_scaled - 69) / 12), 0.0)
    with subject.promises(f"The synth {type(synth).__name__} renders what it decodes."), torch.no_grad():
        controls = decoder(f0_scaled, loudness_scaled).controls
        audio = synth(f0_hz, controls, torch.rand(_BATCH, _FRAMES * _HOP) * 2 - 1).audio
    what = f"The audio that {type(synth).__name__} renders from its controls"
    subject.require_tensor(audio, (_BATCH, _FRAMES * _HOP), what, torch.float32)


def _check_reload(subject: Subject, decoder: Decoder, build: Callable[[], Decoder]) -> None:
    other = reloaded(subject, decoder, build)
    f0_scaled, loudness_scaled = _features()
    expected = _decode(subject, decoder, f0_scaled, loudness_scaled)
    found: Decoded = other(f0_scaled, loudness_scaled)
    for name, value in expected.controls.items():
        promise = f"What it is lies in its state_dict: loaded into another one, the control {name!r} is the same."
        subject.require_close(found.controls[name].detach(), value, promise, atol=1e-6)


def _check_step(subject: Subject, decoder: Decoder) -> None:
    cls = type(decoder)
    offered = [name for name in ("initial_state", "step") if getattr(cls, name) is not getattr(Decoder, name)]
    if not offered:
        return
    subject.require(
        len(offered) == 2, "A streaming interface is both initial_state and step, or neither.", f"only {offered[0]}"
    )
    f0_scaled, loudness_scaled = _features()
    expected = _decode(subject, decoder, f0_scaled, loudness_scaled)
    with subject.promises("initial_state(batch), then step((f0_scaled, loudness_scaled), state) -> (Decoded, state)."):
        start = decoder.initial_state(_BATCH)
        frames, state = [], start
        for features_t in zip(f0_scaled.unbind(1), loudness_scaled.unbind(1), strict=True):
            decoded, state = decoder.step(features_t, state)
            frames.append(decoded)
        again, _ = decoder.step((f0_scaled[:, 0], loudness_scaled[:, 0]), start)
        joined, _ = decoder.step(torch.stack([f0_scaled[:, 0], loudness_scaled[:, 0]], -1), start)
    for name, value in expected.controls.items():
        found = torch.stack([frame.controls[name] for frame in frames], 1)
        promise = f"step gives frame by frame what forward gives: the control {name!r}."
        subject.require_close(found, value, promise, atol=TOLERANCE)
        promise = f"step leaves the state that it is given as it was: the control {name!r} of the first frame again."
        subject.require_close(again.controls[name], frames[0].controls[name], promise, atol=0)
        promise = f"step takes [batch, 2] as it takes the pair: the control {name!r}."
        subject.require_close(joined.controls[name], again.controls[name], promise, atol=0)
        subject.require(not found.requires_grad, "step is for playing: it records no gradients.", "requires_grad")
    hidden = torch.stack([frame.hidden for frame in frames], 1)
    subject.require_close(hidden, expected.hidden, "step gives frame by frame what forward gives: hidden.")


def _check_float64(subject: Subject, decoder: Decoder) -> None:
    with subject.promises("It works in float64 after .double()."):
        decoder.double()
    _check_outputs(subject, decoder, torch.float64)
