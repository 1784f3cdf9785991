"""Models and renderings as HTML, as notebooks show them: whole in itself, small, and with foreign text escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import soundfile
import torch
from torch import Tensor

from zoo.checks.plain_text import one_line
from zoo.features.loudness import a_weighted_level_db
from zoo.registry.requirements import library

if TYPE_CHECKING:
    from zoo.models.model import Model
    from zoo.models.rendering import Rendering

MOST_SECONDS = 10.0
"""Of audio that is shown."""

_TINY = 1e-10
_WINDOW = 512


def text(value: object) -> str:
    """A value as text within HTML."""
    return escape(one_line(str(value)))


def table(rows: Iterable[Sequence[object]]) -> str:
    """Rows of cells, the first of each its head."""
    lines = (
        f"<tr><th style='text-align:left'>{text(head)}</th>{''.join(f'<td>{text(cell)}</td>' for cell in cells)}</tr>"
        for head, *cells in rows
    )
    return f"<table>{''.join(lines)}</table>"


def picture(content: bytes, title: str, *, kind: str = "png") -> str:
    """A picture out of a file's content."""
    return f"<img alt='{text(title)}' src='data:image/{kind};base64,{base64.b64encode(content).decode()}'>"


def player(samples: Tensor, *, sample_rate: int) -> str:
    """A player for the first `MOST_SECONDS` of audio.

    Args:
        samples: `[samples]`; what is louder than full scale is turned down.
        sample_rate: In Hz.
    """
    shown = samples[: round(MOST_SECONDS * sample_rate)]
    file = io.BytesIO()
    soundfile.write(file, (shown / shown.abs().max().clamp(min=1)).numpy(), sample_rate, format="FLAC")
    return f"<audio controls src='data:audio/flac;base64,{base64.b64encode(file.getvalue()).decode()}'></audio>"


def spectrogram(samples: Tensor, *, sample_rate: int) -> str:
    """A picture of the first `MOST_SECONDS` of audio, see `player`."""
    canvas = library("matplotlib.backends.backend_agg", purpose="A spectrogram")
    figure = library("matplotlib.figure", purpose="A spectrogram").Figure(
        figsize=(7, 2.2), dpi=72, layout="constrained"
    )
    canvas.FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shown = samples[: round(MOST_SECONDS * sample_rate)]
    window = torch.hann_window(_WINDOW)
    padded = torch.nn.functional.pad(shown, (0, max(0, _WINDOW - len(shown))))
    power = torch.stft(padded, _WINDOW, _WINDOW // 4, window=window, return_complex=True).abs().square()
    level_db = 10 * torch.log10(power / window.square().sum() + _TINY)
    ends = (0, len(shown) / sample_rate, 0, sample_rate / 2)
    axes.imshow(level_db.numpy(), origin="lower", aspect="auto", extent=ends, vmin=-90, vmax=10, cmap="magma")
    axes.set(xlabel="time (s)", ylabel="frequency (Hz)")
    file = io.BytesIO()
    figure.savefig(file, format="jpg", pil_kwargs={"quality": 80})  # a fifth of a PNG
    return picture(file.getvalue(), "spectrogram", kind="jpeg")


def model_html(model: Model) -> str:
    """What a model is."""
    config = model.config
    parts = [
        (part, " ".join([made_of.name, *(f"{name}={value}" for name, value in sorted(made_of.args.items()))]))
        for part, made_of in (("decoder", config.decoder), ("synth", config.synth))
    ]
    rows: list[Sequence[object]] = [
        ("model", model.name),
        *parts,
        ("parameters", f"{model.num_parameters:,}"),
        ("audio", f"{model.sample_rate} Hz, {model.hop} samples per frame"),
        ("range", "unknown" if config.range is None else config.range.in_words()),
    ]
    if isinstance(teacher := config.lineage.get("teacher"), dict):
        rows.append(("teacher", teacher.get("name", "")))
    return table(rows)


def rendering_html(rendering: Rendering) -> str:
    """How a rendering sounds, looks and measures: its first row."""
    audio = rendering.audio.detach().float().cpu().nan_to_num()
    rows: list[Sequence[object]] = [("audio", f"{list(audio.shape)} [batch, samples]")]
    rate = rendering.sample_rate
    if rate is None or audio.numel() == 0:
        return table(rows)
    first = audio[0]
    level = a_weighted_level_db(first[None], sample_rate=rate, hop=max(1, rate // 100))
    rows += [
        ("duration", f"{len(first) / rate:.2f} s at {rate} Hz"),
        ("peak", f"{_db(first.abs().max()):.1f} dB of full scale"),
        ("A-weighted level", f"{float(level.max()) if level.numel() else -80:.1f} dB at most"),
    ]
    if rendering.harmonic is not None and rendering.noise is not None:
        apart = [_db(part[0].detach().float().square().mean().sqrt()) for part in (rendering.noise, rendering.harmonic)]
        rows.append(("noise over harmonics", f"{apart[0] - apart[1]:.1f} dB"))
    note = "" if len(audio) == 1 else f"<p>The first of {len(audio)}:</p>"
    return f"{table(rows)}{note}{player(first, sample_rate=rate)}<br>{spectrogram(first, sample_rate=rate)}"


def _db(amplitude: Tensor) -> float:
    return 20 * float(torch.log10(amplitude.clamp(min=_TINY)))
