"""Rendering recordings of any length in pieces, so that memory grows with the result alone.

Requirements: it gives what the model gives for the whole, to rounding; a recording of up to a minute is rendered at
once, to the bit as ever; what cannot be rendered in pieces still is rendered, as a whole.

The synth goes through its streaming interface, some seconds at a time. The decoder sees overlapping pieces, each with a
lead whose result is thrown away: where what two pieces give for one second agrees, the lead was long enough; if not,
the decoder goes through its streaming interface too, or where it has none decodes the whole.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from zoo.errors import DatasetError
from zoo.features import clean_f0, clean_loudness
from zoo.features.values import HALF, as_floats

if TYPE_CHECKING:
    from zoo.models.model import Model

_AT_ONCE_SECONDS = 60.0
_PIECE_SECONDS = 20.0
_LEAD_SECONDS = 10.0
_COMPARED_SECONDS = 1.0
# How far apart, of the largest value of a control, two pieces may be: rounding of float32.
_AGREE = 2e-6
# Frames that a decoder or synth streams at a time.
_FRAMES = 512

Controls = dict[str, Tensor]


class LongRendering(NamedTuple):
    """What was rendered, each float32 `[1, frames * hop]`.

    Attributes:
        audio: All together.
        dry: The same without the reverb.
    """

    audio: Tensor
    dry: Tensor


@torch.no_grad()
def render_long(
    model: Model, f0_hz: Tensor, loudness_db: Tensor, *, inputs: Mapping[str, Any] | None = None, seed: int = 0
) -> LongRendering:
    """Render pitch and loudness of any length.

    Args:
        model: In eval mode.
        f0_hz: `[frames]` in Hz, 0 where unvoiced.
        loudness_db: `[frames]`, -80..0.
        inputs: What else drives the decoder, by name: a number, or `[frames]`.
        seed: Of the noise.

    Returns:
        The sound, with its reverb and without; a long one on the CPU, up to a minute on the model's device.

    Raises:
        DatasetError: There are no frames.
        ValueError: An input is missing or unknown.
    """
    frames = f0_hz.shape[-1]
    if frames == 0:
        raise DatasetError(
            f"The recording is shorter than a frame ({model.hop} samples at {model.sample_rate} Hz): there is nothing "
            "to play. Give a longer one."
        )
    device = next(model.parameters()).device
    f0_hz, loudness_db = f0_hz[None].to(device), loudness_db[None].to(device)
    noise = _Noise(seed, model.hop, device)
    if frames * model.hop > _AT_ONCE_SECONDS * model.sample_rate and _in_pieces_at_all(model):
        half = next(model.parameters()).dtype in HALF  # too coarse to work in
        whole = copy.deepcopy(model).float() if half else model
        dtype = next(whole.parameters()).dtype
        return _in_pieces(whole, clean_f0(f0_hz).to(dtype), clean_loudness(loudness_db).to(dtype), noise)
    further = {name: as_floats(curve, name=name, like=f0_hz).reshape(1, -1) for name, curve in (inputs or {}).items()}
    further = {name: curve.expand_as(f0_hz) if curve.shape[1] == 1 else curve for name, curve in further.items()}
    made = model(f0_hz, loudness_db, noise(frames), **further)
    return LongRendering(made.audio, made.dry)


class _Noise:
    """The same numbers, however many frames are drawn at a time."""

    def __init__(self, seed: int, hop: int, device: torch.device) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._hop, self._device = hop, device

    def __call__(self, frames: int) -> Tensor:
        return torch.rand(1, frames * self._hop, generator=self._generator).mul_(2).sub_(1).to(self._device)


def _in_pieces_at_all(model: Model) -> bool:
    try:
        model.synth.stream_state(1)
        # who is driven by more than pitch and loudness hears from `Model.forward` what is missing
        return isinstance(model.synth.latency, int) and not model.decoder.further_inputs
    except NotImplementedError:
        return False


def _in_pieces(model: Model, f0_hz: Tensor, loudness_db: Tensor, noise: _Noise) -> LongRendering:
    synth, hop = model.synth, model.hop
    frames, late = f0_hz.shape[1], synth.latency
    audio, dry = (torch.empty(1, (frames + late) * hop) for _ in range(2))
    state, constants, at = synth.stream_state(1), synth.stream_constants(), 0

    def play(pitch: Tensor, controls: Controls, drawn: Tensor) -> None:
        nonlocal state, at
        made, state = synth.stream({"f0_hz": pitch, "noise": drawn, **controls}, state, constants)
        for whole, piece in ((audio, made.audio), (dry, made.dry)):
            whole[:, at * hop : (at + pitch.shape[1]) * hop] = piece.float().cpu()
        at += pitch.shape[1]

    given: Controls = {}
    for controls in _controls(model, *model.scale(f0_hz, loudness_db)):
        count = next(iter(controls.values())).shape[1]
        for begin in range(0, count, _FRAMES):
            given = {name: values[:, begin : begin + _FRAMES] for name, values in controls.items()}
            size = min(_FRAMES, count - begin)
            play(f0_hz[:, at : at + size], given, noise(size))
    if late:  # what is still to come when no frame follows
        held = {name: values[:, -1:].expand(-1, late, -1) for name, values in given.items()}
        play(f0_hz[:, -1:].expand(-1, late), held, torch.zeros(1, late * hop, device=f0_hz.device))
    return LongRendering(audio[:, late * hop :], dry[:, late * hop :])


def _controls(model: Model, f0_scaled: Tensor, loudness_scaled: Tensor) -> Iterator[Controls]:
    """Give what the decoder says, `[1, some frames, size]` at a time."""
    frame_rate = model.sample_rate / model.hop
    piece, lead, compared = (
        max(1, round(seconds * frame_rate)) for seconds in (_PIECE_SECONDS, _LEAD_SECONDS, _COMPARED_SECONDS)
    )
    frames = f0_scaled.shape[1]
    before: Controls = {}
    for start in range(0, frames, piece):
        first, last = max(0, start - lead), min(start + piece, frames)
        found = model.decoder(f0_scaled[:, first:last], loudness_scaled[:, first:last]).controls
        skipped = start - first
        seen_twice = {name: values[:, max(0, skipped - compared) : skipped] for name, values in found.items()}
        if start and not _agree(before, seen_twice):
            yield from _exactly(model, f0_scaled, loudness_scaled, start)
            return
        before = {name: values[:, -compared:].clone() for name, values in found.items()}
        yield {name: values[:, skipped:] for name, values in found.items()}


def _agree(before: Controls, after: Controls) -> bool:
    return all(
        float((values - after[name]).abs().max()) <= _AGREE * max(1.0, float(values.abs().max()))
        for name, values in before.items()
    )


def _exactly(model: Model, f0_scaled: Tensor, loudness_scaled: Tensor, start: int) -> Iterator[Controls]:
    """The same from a frame on, by the streaming interface from the beginning, or by decoding the whole."""
    decoder = model.decoder
    try:
        state, constants = decoder.stream_state(1), decoder.stream_constants()
    except NotImplementedError:
        yield {name: values[:, start:] for name, values in decoder(f0_scaled, loudness_scaled).controls.items()}
        return
    for begin in range(0, f0_scaled.shape[1], _FRAMES):
        some = slice(begin, begin + _FRAMES)
        inputs = {"f0": f0_scaled[:, some], "loudness": loudness_scaled[:, some]}
        decoded, state = decoder.stream(inputs, state, constants)
        known = max(0, start - begin)
        if known < inputs["f0"].shape[1]:
            yield {name: values[:, known:] for name, values in decoded.controls.items()}
