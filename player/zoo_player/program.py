"""Instrument files: a model as a list of the player library's operations, with its weights, in one file.

A decoder and a synth describe themselves to a `Program`, operation by operation; what they get back are registers, as
which later operations find the results. `Program.to_bytes` writes the file; its layout is that of
`player/csrc/zp_internal.h`.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo_player.layout import Tensor, file_of

Array: TypeAlias = Any
"""Numbers as numpy has them, or as torch does: torch itself is not needed here."""

WEIGHT_TYPES = ("float32", "float16", "int8")

_OPERATION = struct.Struct("<16I")
_NONE = 0xFFFFFFFF
_OPERATIONS = (
    *("input", "linear", "layer_norm", "copy", "add", "multiply", "skip", "glu"),
    *("activate", "softmax", "gru", "convolution", "ssm_low_rank", "ssm_diagonal", "delay", "pitch"),
    *("distribution", "harmonics", "fm", "wavetable", "noise", "noise_cropped", "silence", "reverb", "hold"),
)
_CODES = {name: code for code, name in enumerate(_OPERATIONS, 1)}
_ACTIVATIONS = ("identity", "relu", "leaky_relu", "gelu", "sigmoid", "tanh", "scale")
_TRANSFORMS = ("raw", "f0_hz", "f0_midi", "loudness")
_SMALL = {"float16": 1024, "int8": 4096}  # numbers; a smaller matrix stays float32 whatever is asked for


@dataclass(frozen=True)
class Register:
    """Where an operation's result lies: `size` numbers from `begin` on, in the frame's array of float32."""

    begin: int
    size: int


@dataclass(frozen=True)
class Phases:
    """What `Program.pitch` works out of a frame, one frame late, when its neighbours are known.

    Attributes:
        f0_hz: 0 where unvoiced.
        pitch_before: The pitch of the frame before.
        pitch: Of the frame; where it is unvoiced a neighbour's.
        pitch_after: Of the frame after.
        gate: `hop` gains: 0 in unvoiced frames, fading at their borders.
    """

    f0_hz: Register
    pitch_before: Register
    pitch: Register
    pitch_after: Register
    gate: Register


class Program:
    """The operations of an instrument, in the order in which they run, once per frame.

    Args:
        sample_rate: In Hz.
        hop: Samples per frame.
        inputs: Names of the curves that it is driven by.
        weights: What matrices are stored as: "float32", "float16" or "int8" (with a scale per row).
    """

    def __init__(
        self, *, sample_rate: int, hop: int, inputs: Sequence[str] = ("f0_hz", "loudness_db"), weights: str = "float32"
    ) -> None:
        self.sample_rate = sample_rate
        self.hop = hop
        self.inputs = tuple(inputs)
        self.weights = weights
        self._operations: list[bytes] = []
        self._tensors: list[Tensor] = []
        self._registers = 0

    # what every operation is made of

    def _register(self, size: int) -> Register:
        begin = self._registers
        self._registers += -(-size // 8) * 8
        return Register(begin, size)

    def _add(self, name: str, *numbers: int | Register) -> None:
        words = [number.begin if isinstance(number, Register) else int(number) for number in numbers]
        self._operations.append(_OPERATION.pack(_CODES[name], *words, *[0] * (15 - len(words))))

    def _table(self, values: Array) -> int:
        data = np.atleast_2d(_array(values).astype("<f4"))
        self._tensors.append((0, *data.shape, 0, data.tobytes()))
        return len(self._tensors) - 1

    def _words(self, values: Sequence[int]) -> int:
        self._tensors.append((3, 1, len(values), 0, np.asarray(values, "<u4").tobytes()))
        return len(self._tensors) - 1

    def _matrix(self, values: Array, *, exact: bool = False) -> int:
        data = _array(values).astype(np.float32)
        rows, columns = data.shape
        padded = np.zeros((-(-rows // 8) * 8, columns), np.float32)
        padded[:rows] = data
        kind, head = 0, b""
        if not exact and data.size >= _SMALL.get(self.weights, math.inf):
            kind = WEIGHT_TYPES.index(self.weights)
        if kind == 2:
            scale = np.abs(padded).max(axis=1) / 127
            padded = np.rint(padded / np.where(scale > 0, scale, 1)[:, None])
            head = scale.astype("<f4").tobytes()
        blocks = padded.reshape(-1, 8, columns).transpose(0, 2, 1)
        with np.errstate(over="ignore"):  # the library refuses what is infinite then
            numbers = np.ascontiguousarray(blocks).astype(("<f4", "<f2", "i1")[kind])
        self._tensors.append((kind, rows, columns, 1, head + numbers.tobytes()))
        return len(self._tensors) - 1

    def _optional(self, bias: Array | None) -> int:
        return _NONE if bias is None else self._table(bias)

    # networks

    def input(self, name: str, transform: str = "raw") -> Register:
        """A named input: "raw", or cleaned as "f0_hz", "f0_midi" (MIDI / 127) or "loudness" (dB / 80 + 1)."""
        made = self._register(1)
        self._add("input", made, self.inputs.index(name), _TRANSFORMS.index(transform))
        return made

    def linear(self, x: Register, weight: Array, bias: Array | None, activation: str = "identity") -> Register:
        """`activation(weight x + bias)`, with `weight` `[outputs, inputs]`."""
        rows, columns = weight.shape
        made = self._register(rows)
        bias_at = self._optional(bias)
        self._add("linear", made, x, rows, columns, self._matrix(weight), bias_at, _ACTIVATIONS.index(activation))
        return made

    def layer_norm(self, x: Register, norm: Array, activation: str = "identity") -> Register:
        """A `torch.nn.LayerNorm` over all of `x`."""
        made = self._register(x.size)
        tables = self._table(norm.weight), self._table(norm.bias)
        self._add("layer_norm", made, x, x.size, *tables, _bits(norm.eps), _ACTIVATIONS.index(activation))
        return made

    def concatenate(self, *parts: Register) -> Register:
        """Vectors one after the other."""
        made = self._register(sum(part.size for part in parts))
        at = made.begin
        for part in parts:
            self._add("copy", at, part, part.size)
            at += part.size
        return made

    def split(self, x: Register, sizes: Sequence[int]) -> list[Register]:
        """A vector's parts."""
        made, at = [], x.begin
        for size in sizes:
            part = self._register(size)
            self._add("copy", part, at, size)
            made.append(part)
            at += size
        return made

    def add(self, a: Register, b: Register) -> Register:
        """`a + b`."""
        made = self._register(a.size)
        self._add("add", made, a, b, a.size)
        return made

    def multiply(self, a: Register, b: Register) -> Register:
        """`a * b`, number by number."""
        made = self._register(a.size)
        self._add("multiply", made, a, b, a.size)
        return made

    def skip(self, a: Register, b: Register, weight: Array) -> Register:
        """`a + weight * b`, number by number."""
        made = self._register(a.size)
        self._add("skip", made, a, b, a.size, self._table(weight))
        return made

    def gated(self, x: Register) -> Register:
        """`torch.nn.functional.glu`: the first half times the sigmoid of the second."""
        made = self._register(x.size // 2)
        self._add("glu", made, x, made.size)
        return made

    def activate(self, x: Register, activation: str, *, add: float = 0.0, times: float = 1.0) -> Register:
        """`times * activation(x + add)`; "scale" is `2 sigmoid(x) ** ln(10) + 1e-7`."""
        made = self._register(x.size)
        self._add("activate", made, x, x.size, _ACTIVATIONS.index(activation), _bits(add), _bits(times))
        return made

    def softmax(self, x: Register) -> Register:
        """Positive numbers that sum to 1."""
        made = self._register(x.size)
        self._add("softmax", made, x, x.size)
        return made

    def gru(self, x: Register, gru: Array) -> Register:
        """A `torch.nn.GRU` of one layer."""
        weight_ih, weight_hh, bias_ih, bias_hh = gru.all_weights[0]
        from_input = self.linear(x, weight_ih, bias_ih)
        made = self._register(gru.hidden_size)
        self._add("gru", made, from_input, made.size, self._matrix(weight_hh), self._table(bias_hh))
        return made

    def convolution(
        self, x: Register, weight: Array, bias: Array | None, *, dilation: int, activation: str = "identity"
    ) -> Register:
        """A causal convolution over frames, zeros before the first; `weight` is `[outputs, inputs, kernel]`."""
        outputs, inputs, kernel = weight.shape
        made = self._register(outputs)
        flat = _array(weight).transpose(0, 2, 1).reshape(outputs, kernel * inputs)
        bias_at = self._optional(bias)
        numbers = (outputs, inputs, kernel, dilation, self._matrix(flat), bias_at, _ACTIVATIONS.index(activation))
        self._add("convolution", made, x, *numbers)
        return made

    def state_space(self, x: Register, parts: Sequence[Array]) -> Register:
        """A linear state space per channel, from complex tables `[channels, modes]`.

        With three (decay, drive, read) every mode is by itself: `x = decay x + drive u`, `y = Re sum of read x`. With
        six they are those of the low-rank recurrence `x' = (diag(w) - P P*) x + B u`, `y = C x` with a step of 1:
        `ahead = 1 + w / 2`, `inverse = 1 / (1 - w / 2)`, P, B, `correction` (Woodbury's identity), C.
        """
        channels, modes = parts[0].shape
        padded = -(-modes // 8) * 8
        table = np.zeros((channels, 2 * len(parts), padded), np.float32)
        for i, part in enumerate(parts):
            values = _array(part)
            table[:, 2 * i, :modes] = values.real
            table[:, 2 * i + 1, :modes] = values.imag
        made = self._register(channels)
        name = "ssm_diagonal" if len(parts) == 3 else "ssm_low_rank"
        self._add(name, made, x, channels, modes, self._table(table.reshape(channels, -1)))
        return made

    # sound

    def delay(self, x: Register, frames: int = 1, *, repeat: bool = False) -> Register:
        """What `x` was so many frames ago; before the first frame 0, or with `repeat` what it was in the first one."""
        if frames == 0:
            return x
        made = self._register(x.size)
        self._add("delay", made, x, x.size, frames, int(repeat))
        return made

    def pitch(self, f0_hz: Register, *, mute: bool, multiples: Sequence[float] = (1.0,)) -> Phases:
        """Work out the phases of the frame before this one, for what sounds at these multiples of the pitch."""
        f0, before, now, after = (self._register(1) for _ in range(4))
        made = Phases(f0, before, now, after, self._register(self.hop))
        registers = (made.f0_hz, made.pitch_before, made.pitch, made.pitch_after, made.gate)
        self._add("pitch", *registers, f0_hz, int(mute), len(multiples), self._table(np.asarray([multiples])))
        return made

    def distribution(self, x: Register, f0_hz: Register, *, ceiling: int, floor: float = 0.0) -> Register:
        """Raw gains, scaled, without harmonics over Nyquist or `ceiling` (or `floor` of them), summing to 1."""
        made = self._register(x.size)
        self._add("distribution", made, x, x.size, f0_hz, ceiling, _bits(floor))
        return made

    def harmonics(self, amplitudes: Register, gain: Register) -> Register:
        """The harmonics of the first phase, `[hop]`."""
        made = self._register(self.hop)
        self._add("harmonics", made, amplitudes, amplitudes.size, gain)
        return made

    def frequency_modulation(
        self,
        levels: tuple[Register, Register, Register],
        *,
        modulators: Sequence[Sequence[int]],
        carriers: Sequence[int],
        phases: Sequence[int],
        multiples: Sequence[int],
        order: Sequence[int],
        times: float,
    ) -> Register:
        """A graph of sine operators, `[hop]`; see `zoo_kernels.OperatorGraph`. Levels: before, now, after."""
        words: list[int] = []
        lists: list[int] = []
        for number in order:
            begin = 6 * len(order) + len(lists)
            words += [
                phases[number],
                multiples[number],
                int(number in carriers),
                len(modulators[number]),
                begin,
                number,
            ]
            lists += list(modulators[number])
        made = self._register(self.hop)
        self._add("fm", made, *levels, len(order), self._words([*words, *lists]), _bits(times))
        return made

    def wavetable(
        self, weights: Register, amplitude: Register, phases: Phases, harmonics: Array, *, ceiling: int, mute: bool
    ) -> Register:
        """A mixture of tables `[hop]`, from their complex harmonics `[tables, harmonics]`."""
        made = self._register(self.hop)
        values = _array(harmonics)
        tables = self._table(-values.imag), self._table(values.real)
        pitches = phases.f0_hz, phases.pitch_before, phases.pitch, phases.pitch_after
        self._add(
            "wavetable", made, weights, weights.size, *tables, values.shape[1], amplitude, *pitches, ceiling, int(mute)
        )
        return made

    def noise(self, magnitudes: Register, *, frames_late: int) -> Register:
        """White noise, filtered by its whole response and overlap-added, `[hop]`."""
        made, bands = self._register(self.hop), magnitudes.size
        taps = 2 * (bands - 1)
        impulse = np.fft.irfft(np.eye(bands), n=taps)[:, : bands - 1]  # of band, at tap 0 .. bands - 2
        window = 0.5 + 0.5 * np.cos(2 * np.pi * np.arange(bands - 1) / taps)
        design = self._matrix((impulse * window).T, exact=True)
        self._add("noise", made, magnitudes, bands, design, frames_late)
        return made

    def cropped_noise(self, magnitudes: Register) -> Register:
        """White noise, filtered as the thesis did: the first `hop` taps of the centred response, frame by frame."""
        made, bands = self._register(self.hop), magnitudes.size
        taps = 2 * (bands - 1)
        impulse = np.roll(np.fft.irfft(np.eye(bands), n=taps), taps // 2, -1)
        impulse *= 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(taps) / taps)
        cropped = np.zeros((bands, self.hop))
        cropped[:, : min(self.hop, taps)] = impulse[:, : self.hop]
        self._add("noise_cropped", made, magnitudes, bands, self._matrix(cropped.T, exact=True))
        return made

    def hold(self, x: Register) -> Register:
        """`x`; when no frame follows, what it was in the last one, as a clip's last frame is its own neighbour."""
        self._add("hold", x, x.size)
        return x

    def silence(self, audio: Register, frames: int) -> Register:
        """`audio`, but silent in the first frames."""
        self._add("silence", audio, audio.size, frames)
        return audio

    def reverb(self, audio: Register, impulse: Array) -> Register:
        """Convolution with an impulse response `[taps]`."""
        made = self._register(self.hop)
        self._add("reverb", made, audio, len(impulse), self._table(impulse))
        return made

    # the file

    def to_bytes(self, output: Register, *, latency_frames: int, about: Mapping[str, Any]) -> bytes:
        """The file.

        Args:
            output: The frame's audio, `[hop]`.
            latency_frames: How late it is.
            about: What the file says of itself, as JSON: name, range, card, hashes.
        """
        text = json.dumps({"inputs": list(self.inputs), **about}, sort_keys=True, ensure_ascii=False).encode()
        numbers = self.sample_rate, self.hop, latency_frames, len(self.inputs), self._registers, output.begin
        return file_of(numbers, text, self._tensors, self._operations)


def _array(values: Array) -> NDArray[Any]:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def _bits(value: float) -> int:
    word: int = struct.unpack("<I", struct.pack("<f", value))[0]
    return word
