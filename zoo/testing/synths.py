"""The check of a synth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from zoo import registry
from zoo.errors import listing
from zoo.storage.model_range import PROBABILITIES, ModelRange, Quantiles
from zoo.synths import Synth, Synthesis
from zoo.testing.contract import Subject, check_gradients, instance_of, reloaded, trial
from zoo.testing.streams import check_stream_form

_BATCH, _FRAMES = 2, 40


def check_synth(
    synth: str | type[Synth],
    *,
    options: Mapping[str, Any] | None = None,
    sample_rate: int = 16000,
    hop: int = 64,
) -> None:
    """Make sure that a synth does what zoo, its trainer and its players rely on.

    Checked: its rates and control sizes, which are the handshake with a decoder; shapes, dtype and finite audio,
    unvoiced frames, controls of any size and clips of one frame included; that with noise given it is deterministic,
    and rows do not see each other; that a finite gradient reaches every control and every parameter; that weights can
    be saved and loaded; where `latency`, `stream_state` and `stream` are offered, that streaming gives what `forward`
    does, in blocks of any size, and that graphs can be made of it; that `restrict` changes nothing inside the range,
    and streaming stays what `forward` gives outside it.

    Example:
        >>> check_synth("harmonic_noise", options={"harmonics": 20, "reverb_length": 400})

    Args:
        synth: A registered name, or the class.
        options: The synth's own options.
        sample_rate: In Hz.
        hop: Samples per frame.

    Raises:
        AssertionError: It breaks a promise, which the message tells beside what was found.
        ConfigError: There is no synth of that name.
    """
    subject = Subject(registry.synths, synth)
    arguments = {**(options or {}), "sample_rate": sample_rate, "hop": hop}
    build = instance_of(
        subject, Synth, arguments, f"It is built with sample_rate=, hop= and its own options as keywords: {arguments}."
    )
    with trial():
        built: Synth = build().eval()
        _check_handshake(subject, built, sample_rate, hop)
        _check_outputs(subject, built)
        _check_rows(subject, built)
        _check_stream(subject, built)
        _check_graph(subject, built)
        _check_range(subject, built)
        _check_gradients(subject, built)
        _check_reload(subject, built, build)


def _inputs(synth: Synth, batch: int = _BATCH, frames: int = _FRAMES) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    f0_hz = 110 + 400 * torch.rand(batch, 1) + torch.rand(batch, frames)
    f0_hz[:, frames // 3 : frames // 2] = 0  # unvoiced
    controls = {name: torch.randn(batch, frames, size) for name, size in synth.control_sizes.items()}
    return f0_hz, controls, torch.rand(batch, frames * synth.hop) * 2 - 1


def _check_handshake(subject: Subject, synth: Synth, sample_rate: int, hop: int) -> None:
    subject.require(
        (synth.sample_rate, synth.hop) == (sample_rate, hop),
        f"Its sample_rate and hop are those that it was given, {(sample_rate, hop)}.",
        (synth.sample_rate, synth.hop),
    )
    sizes = synth.control_sizes
    subject.require(
        bool(sizes) and all(isinstance(name, str) and isinstance(n, int) and n > 0 for name, n in sizes.items()),
        "control_sizes says the name and the size of each control that drives it.",
        sizes,
    )


def _render(
    subject: Subject, synth: Synth, f0_hz: Tensor, controls: Mapping[str, Tensor], noise: Tensor | None
) -> Synthesis:
    promise = (
        "forward takes f0_hz [batch, frames], controls [batch, frames, size] and noise [batch, frames * hop], and "
        "returns a zoo.synths.Synthesis of audio and dry."
    )
    with subject.promises(promise), torch.no_grad():
        made: Synthesis = synth(f0_hz, controls, noise)
    require_synthesis(subject, made)
    return made


def require_synthesis(subject: Subject, made: object) -> None:
    """Go on if a synth's forward returned what it must."""
    promise = "forward must return a zoo.synths.Synthesis: Synthesis(audio=..., dry=...)."
    subject.require(isinstance(made, Synthesis), promise, type(made).__name__)


def _check_outputs(subject: Subject, synth: Synth) -> None:
    f0_hz, controls, noise = _inputs(synth)
    clips = {
        "a clip": (f0_hz, controls, noise),
        "a clip without noise given": (f0_hz, controls, None),
        "one frame of one row": (
            f0_hz[:1, :1],
            {name: value[:1, :1] for name, value in controls.items()},
            noise[:1, : synth.hop],
        ),
        "an unvoiced clip": (torch.zeros_like(f0_hz), controls, noise),
        "controls of 30": (f0_hz, {name: torch.full_like(value, 30.0) for name, value in controls.items()}, noise),
        "controls of -30": (f0_hz, {name: torch.full_like(value, -30.0) for name, value in controls.items()}, noise),
    }
    for clip, (f0, values, given) in clips.items():
        made = _render(subject, synth, f0, values, given)
        shape = (f0.shape[0], f0.shape[1] * synth.hop)
        for part in ("audio", "dry", "harmonic", "noise"):
            value = getattr(made, part)
            if value is not None or part in ("audio", "dry"):
                what = f"Synthesis.{part} of {clip} ([batch, frames * hop])"
                subject.require_tensor(value, shape, what, torch.float32)


def _check_rows(subject: Subject, synth: Synth) -> None:
    f0_hz, controls, noise = _inputs(synth)
    first = _render(subject, synth, f0_hz, controls, noise).audio
    again = _render(subject, synth, f0_hz, controls, noise).audio
    promise = "With noise given, its audio is a function of its inputs alone: the same twice."
    subject.require_close(again, first, promise, atol=0)
    alone = _render(subject, synth, f0_hz[1:], {name: v[1:] for name, v in controls.items()}, noise[1:]).audio
    promise = "Rows of a batch do not see each other: the audio of a row is what it is alone."
    subject.require_close(alone, first[1:], promise)
    quiet = _render(subject, synth, f0_hz, controls, torch.zeros_like(noise)).audio
    loud = _render(subject, synth, f0_hz, controls, None).audio
    drawn = _render(subject, synth, f0_hz, controls, None).audio
    promise = "Whatever chance it plays with is the noise that it is given: a synth that ignores noise draws none."
    ignores = torch.equal(quiet, first)
    subject.require(not ignores or torch.equal(loud, drawn), promise, "audio that differs without noise given")


def _streams(subject: Subject, synth: Synth) -> bool:
    cls, names = type(synth), ("latency", "stream_state", "stream")
    offered = [name for name in names if getattr(cls, name) is not getattr(Synth, name)]
    promise = "A streaming interface is all of latency, stream_state and stream, or none of them."
    subject.require(len(offered) in (0, len(names)), promise, f"only {listing(offered)}")
    return bool(offered)


def _check_stream(subject: Subject, synth: Synth) -> None:
    if not _streams(subject, synth):
        return
    f0_hz, controls, noise = _inputs(synth)
    for clip, frames in (("a clip", _FRAMES), ("a clip shorter than a long latency", 2)):
        sizes = {name: value[:, :frames] for name, value in controls.items()}
        given = f0_hz[:, :frames], sizes, noise[:, : frames * synth.hop]
        whole = _render(subject, synth, *given).audio
        with subject.promises("stream_state(batch), then stream(inputs, state, constants) -> (Synthesis, state)."):
            blocks = stream_through(synth, *given)
            pieces = stream_through(synth, *given, pieces=(1, 3, 7))
        late = synth.latency * synth.hop
        shape = (len(f0_hz), frames * synth.hop + late)
        subject.require_tensor(
            blocks, shape, f"All blocks of {clip} in a row ([batch, (frames + latency) * hop])", torch.float32
        )
        subject.require(not blocks[:, :late].any(), "The first `latency` blocks are silence.", "sound")
        promise = f"Without those, the blocks are what forward gives for {clip}."
        subject.require_close(blocks[:, late:], whole, promise)
        subject.require_close(
            pieces, blocks, f"stream takes any number of frames: {clip} in pieces of 1, 3 and 7 frames."
        )


def _check_graph(subject: Subject, synth: Synth) -> None:
    if _streams(subject, synth):
        f0_hz, controls, noise = _inputs(synth, frames=3)
        inputs = {"f0_hz": f0_hz, "noise": noise, **controls}
        check_stream_form(subject, synth, inputs, results=lambda made: {"audio": made.audio})


def _check_range(subject: Subject, synth: Synth) -> None:
    """Every pitch of `_inputs` is inside the first range, and under the second."""
    f0_hz, controls, noise = _inputs(synth)
    # a rest has no pitch that could be inside: a synth that holds its phase there may be silenced
    f0_hz = torch.where(f0_hz > 0, f0_hz, f0_hz.amax(dim=1, keepdim=True))
    whole = _render(subject, synth, f0_hz, controls, noise).audio
    with subject.promises("restrict takes a ModelRange, or None."):
        synth.restrict(_range_from(100.0))
    inside = _render(subject, synth, f0_hz, controls, noise).audio
    subject.require_close(inside, whole, "restrict changes nothing that is played inside the range.", atol=0)
    with subject.promises("restrict takes a ModelRange, or None."):
        synth.restrict(_range_from(1500.0))
    _check_stream(subject, synth)
    with subject.promises("restrict takes a ModelRange, or None."):
        synth.restrict(None)
    again = _render(subject, synth, f0_hz, controls, noise).audio
    subject.require_close(again, whole, "restrict(None) lets everything sound again.", atol=0)


def _range_from(lowest_f0_hz: float) -> ModelRange:
    count = len(PROBABILITIES)
    pitches = Quantiles(tuple(lowest_f0_hz * (1 + step) for step in range(count)))
    return ModelRange(pitches, Quantiles((-30.0,) * count), lowest_f0_hz)


@torch.no_grad()
def stream_through(
    synth: Synth, f0_hz: Tensor, controls: Mapping[str, Tensor], noise: Tensor, *, pieces: Sequence[int] = (1,)
) -> Tensor:
    """Play a clip piece by piece, to its end.

    Args:
        synth: With a streaming interface.
        f0_hz: As `forward` takes it.
        controls: As `forward` takes them.
        noise: As `forward` takes it.
        pieces: Lengths of the pieces in frames, taken in turns.

    Returns:
        What comes out, `[batch, (frames + latency) * hop]`.
    """
    late = synth.latency
    curves = {"f0_hz": f0_hz, **controls}  # the end is heard while the last frame stays, and without noise
    curves = {name: torch.cat([value, *[value[:, -1:]] * late], 1) for name, value in curves.items()}
    noise = torch.cat([noise, noise.new_zeros(len(noise), late * synth.hop)], 1)
    state, constants, blocks, begin = synth.stream_state(len(f0_hz)), synth.stream_constants(), [], 0
    for frames in cycle(pieces):
        end = begin + frames
        now = {name: value[:, begin:end] for name, value in curves.items()}
        now["noise"] = noise[:, begin * synth.hop : end * synth.hop]
        made, state = synth.stream(now, state, constants)
        blocks.append(made.audio)
        begin = end
        if begin >= f0_hz.shape[1] + late:
            return torch.cat(blocks, 1)
    raise ValueError("pieces needs at least one length.")


def _check_gradients(subject: Subject, synth: Synth) -> None:
    f0_hz, controls, noise = _inputs(synth)
    leaves = {name: value.requires_grad_() for name, value in controls.items()}
    synth.train()
    with subject.promises("Its audio can be differentiated in training mode."):
        audio = synth(f0_hz, leaves, noise).audio
        (audio * torch.rand_like(audio)).sum().backward()
    synth.eval()
    check_gradients(subject, synth, of="Its audio, in training mode,")
    for name, leaf in leaves.items():
        subject.require(leaf.grad is not None, f"Its audio has a gradient for the control {name!r}.", "none")
        if leaf.grad is not None:
            subject.require_tensor(leaf.grad, tuple(leaf.shape), f"The gradient of the control {name!r}", leaf.dtype)
            subject.require(bool(leaf.grad.any()), f"Its audio depends on the control {name!r}.", "a gradient of zeros")
    synth.zero_grad()


def _check_reload(subject: Subject, synth: Synth, build: Callable[[], Synth]) -> None:
    other = reloaded(subject, synth, build)
    f0_hz, controls, noise = _inputs(synth)
    expected = _render(subject, synth, f0_hz, controls, noise).audio
    found = _render(subject, other, f0_hz, controls, noise).audio
    promise = "What it is lies in its state_dict: loaded into another one, the audio is the same."
    subject.require_close(found, expected, promise, atol=1e-6)
