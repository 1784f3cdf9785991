"""What of a run can be heard and seen: samples and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.features.audio import write_wav
from zoo.models.model import Model
from zoo.registry.requirements import library
from zoo.storage.files import beside
from zoo.training.batches import Batch
from zoo.training.evaluation import play
from zoo.training.history import Row
from zoo.training.teacher import Teacher

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAMPLES = 3
"""Held-out segments that are rendered to listen to."""

_FLOOR_DB = -80.0


def play_segments(
    models: Mapping[str, Model | Teacher], segments: torch.utils.data.Dataset[Batch], *, hop: int
) -> list[dict[str, Tensor]]:
    """Render a few held-out segments with each model, without padding.

    Args:
        models: By what they are called: teacher, student.
        segments: A split; those at `sample_positions` are taken.
        hop: Samples a frame.

    Returns:
        For each segment the audio `[samples]` of the recording and of each model, by name, at one common level that
        leaves no peak over full scale.
    """
    count = len(segments)  # type: ignore[arg-type]  # torch's Dataset declares no length; ours has one
    played = []
    for position in sample_positions(count):
        batch = torch.utils.data.default_collate([segments[position]])
        samples = int(batch["valid_frames"][0]) * hop
        audio = {"recording": batch["audio"][0, :samples]}
        for name, model in models.items():
            audio[name] = play(model, batch, 0)[0, :samples]
        peak = max(1.0, *(float(a.abs().max()) for a in audio.values()))
        played.append({name: a / peak for name, a in audio.items()})
    return played


def sample_positions(count: int) -> list[int]:
    """Which of so many segments are rendered to listen to: up to `SAMPLES`, evenly spread."""
    return [number * count // min(SAMPLES, count) for number in range(min(SAMPLES, count))]


def write_samples(played: Sequence[Mapping[str, Tensor]], folder: Path, *, sample_rate: int) -> None:
    """Write `phrase1_recording.wav`, `phrase1_teacher.wav`, `phrase1_student.wav` and so on."""
    for number, audio in enumerate(played, start=1):
        for name, samples in audio.items():
            write_wav(folder / f"phrase{number}_{name}.wav", samples, sample_rate=sample_rate)


def plot_losses(rows: Sequence[Row], labels: Sequence[str], path: Path) -> None:
    """Plot a run's losses over its steps.

    Args:
        rows: Of history.csv.
        labels: Columns of the losses.
        path: The picture to write.
    """
    figure = _figure(7.0, 4.0)
    axes = figure.add_subplot()

    def line(column: str, title: str, **style: Any) -> None:  # noqa: ANN401 - matplotlib's own
        points = [(row["step"] or 0.0, value) for row in rows if (value := row.get(column)) is not None]
        if points:
            axes.plot([step for step, _ in points], [value for _, value in points], label=title, **style)

    line("train_loss", "training (weighted sum)", color="C0", alpha=0.6)
    line("val_loss", "validation (weighted sum)", color="C1", linewidth=2)
    if len(labels) > 1:
        for number, label in enumerate(labels):
            line(label, f"validation: {label}", color=f"C{number + 2}", linestyle="--")
    best = min(rows, key=lambda row: row["val_loss"] or 0.0)
    axes.plot([best["step"] or 0.0], [best["val_loss"] or 0.0], "o", color="C1", label=f"best: {best['val_loss']:.3g}")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    _save(figure, path)


def plot_spectrograms(audio: Mapping[str, Tensor], path: Path, *, sample_rate: int) -> None:
    """Plot log spectrograms side by side, on one colour scale.

    Args:
        audio: `[samples]` each, by title.
        path: The picture to write.
        sample_rate: In Hz.
    """
    size, step = 1024, 128
    window = torch.hann_window(size)
    levels = {}
    for title, samples in audio.items():
        if samples.numel() < size:
            samples = torch.nn.functional.pad(samples, (0, size - samples.numel()))
        magnitude = torch.stft(samples, size, step, window=window, return_complex=True).abs()
        levels[title] = 20 * torch.log10(magnitude.clamp(min=1e-7))
    top = max(float(level.max()) for level in levels.values())
    figure = _figure(4.0 * len(levels) + 1.0, 4.0)
    panels = figure.subplots(1, len(levels), sharey=True, squeeze=False)[0]
    for axes, (title, level) in zip(panels, levels.items(), strict=True):
        image = axes.imshow(
            (level - top).numpy(),
            origin="lower",
            aspect="auto",
            extent=(0, audio[title].numel() / sample_rate, 0, sample_rate / 2),
            vmin=_FLOOR_DB,
            vmax=0,
            cmap="magma",
        )
        axes.set_title(title)
        axes.set_xlabel("time (s)")
    panels[0].set_ylabel("frequency (Hz)")
    figure.colorbar(image, ax=list(panels), label="level (dB under the loudest)")
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    # A figure without pyplot: no window system is asked for, and nothing global is left behind.
    canvas = library("matplotlib.backends.backend_agg", purpose="A plot")
    figures = library("matplotlib.figure", purpose="A plot")
    figure: Figure = figures.Figure(figsize=(width, height), dpi=110, layout="constrained")
    canvas.FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    with beside(path) as temporary:
        figure.savefig(temporary, format="png")
