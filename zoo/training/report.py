"""What a run leaves when it ends: measures, samples, plots, the card."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from zoo.cards import write_card
from zoo.errors import ConfigError, PluginError
from zoo.features.audio import write_wav
from zoo.models import html
from zoo.models.loading import load_folder
from zoo.models.model import Model
from zoo.registry.requirements import library
from zoo.storage import store
from zoo.storage.files import beside
from zoo.storage.golden import write_golden
from zoo.storage.results import MeasuredResults, read_metrics, rows_of, write_metrics
from zoo.training import evaluation
from zoo.training.batches import Batch
from zoo.training.checkpoints import Row, read_history
from zoo.training.evaluation import play
from zoo.training.teacher import Teacher

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.datasets import Dataset
    from zoo.training.setup import Destination, Setup

_log = logging.getLogger(__name__)

MOST_MEASURED = 50
"""Held-out segments that are measured at the end of a run, at most; `zoo evaluate` measures all."""

SAMPLES = 3
"""Held-out segments that are rendered to listen to."""

_FLOOR_DB = -80.0


def play_segments(
    models: Mapping[str, Model | Teacher],
    segments: torch.utils.data.Dataset[Batch],
    *,
    hop: int,
    device: torch.device | None = None,
) -> list[dict[str, Tensor]]:
    """Render a few held-out segments with each model, without padding.

    Args:
        models: By what they are called: teacher, student.
        segments: A split; those at `sample_positions` are taken.
        hop: Samples per frame.
        device: Where the models are; the CPU by default.

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
        there = batch if device is None else {name: value.to(device) for name, value in batch.items()}
        for name, model in models.items():
            audio[name] = play(model, there, 0)[0, :samples]
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
    _save(_spectrograms(audio, sample_rate), path)


def spectrogram_pixels(audio: Mapping[str, Tensor], *, sample_rate: int) -> np.ndarray:
    """The picture of `plot_spectrograms`, as uint8 `[height, width, 3]`."""
    figure = _spectrograms(audio, sample_rate)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]  # of the canvas that _figure gives it
    return pixels[..., :3].copy()


def _spectrograms(audio: Mapping[str, Tensor], sample_rate: int) -> Figure:
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
    return figure


def run_html(folder: Path, reached: Mapping[str, float]) -> str:
    """A run as notebooks show it: what it reached, its measures, its losses, and its first samples.

    Args:
        folder: The run's.
        reached: Numbers by what they are called.
    """
    rows = [("run", str(folder)), *((name, f"{value:.4g}") for name, value in reached.items())]
    parts = [html.table(rows)]
    if metrics := read_metrics(folder / "metrics.json"):
        parts.append(html.table(rows_of(metrics)))
    if (folder / "plots" / "loss.png").is_file():
        parts.append(html.picture((folder / "plots" / "loss.png").read_bytes(), "losses"))
    for path in sorted((folder / "samples").glob("phrase1_*.wav")):
        samples, rate = soundfile.read(path, dtype="float32")
        parts.append(f"<p>{html.text(path.stem)} {html.player(torch.from_numpy(samples), sample_rate=rate)}</p>")
    return "".join(parts)


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


def finish(setup: Setup, to: Destination, labels: Sequence[str]) -> MeasuredResults:
    """Measure the best weights, let them be heard and seen, and write the card.

    Args:
        setup: What the run worked with.
        to: Where it goes.
        labels: Of the losses.

    Returns:
        What is in metrics.json; empty where it is not to be measured.
    """
    folder, dataset, teacher = setup.folder, setup.dataset, setup.teacher
    best = load_folder(folder)
    write_golden(best, folder)
    systems: dict[str, Model | Teacher] = (
        {"student": best} if teacher is None else {"teacher": teacher, "student": best}
    )
    if teacher is not None:
        teacher.model.cpu()
    chosen = held_out(dataset)
    played = play_segments(systems, chosen.segments, hop=best.hop)
    write_samples(played, folder / "samples", sample_rate=best.sample_rate)
    _plot_losses(folder, labels)
    with _even_without("plots/spectrograms.png"):
        plot_spectrograms(played[0], folder / "plots" / "spectrograms.png", sample_rate=best.sample_rate)
    results = MeasuredResults()
    if setup.config.evaluate:
        _log.info("Measuring on %d %s segments ...", len(chosen.positions), chosen.split)
        searched = evaluation.pitch_range(dataset)
        summary = evaluation.measure(systems, chosen.segments, pitch_options=searched)
        results = MeasuredResults(summary, split=chosen.split)
        write_metrics(results, folder / "metrics.json")
        _log.info("%s", evaluation.table(results))
    _write_card(folder)
    if to.name is not None:
        _log.info("Stored as %s (%s).", to.name, _enter(to.name, folder, force=to.force))
    _log.info(
        "The run is in %s. Next:\n  listen to %s\n  zoo evaluate %s --data %s\n  zoo synth %s voice.wav out.wav",
        folder,
        folder / "samples",
        quote(str(folder)),
        quote(str(setup.config.dataset)),
        to.name or quote(str(folder)),
    )
    return results


def _enter(name: str, folder: Path, *, force: bool) -> Path:
    try:
        return store.enter(name, folder, force=force)
    except ConfigError as error:
        raise ConfigError(
            f"The run is whole, in {folder}, but not in the store: {error} Enter it so: zoo fetch {folder} "
            f"--name {name} --force"
        ) from error


def held_out(dataset: Dataset) -> evaluation.HeldOut:
    """What a run is measured on at its end, and heard."""
    there = any(dataset.info["splits"].get(name) for name in ("test", "validation"))
    return evaluation.held_out(dataset, "test" if there else "train", max_segments=MOST_MEASURED)


def finish_quickly(folder: Path, labels: Sequence[str]) -> None:
    """Leave a run that ended early with a plot and a card."""
    _plot_losses(folder, labels)
    _write_card(folder)


def _plot_losses(folder: Path, labels: Sequence[str]) -> None:
    with _even_without("plots/loss.png"):
        plot_losses(read_history(folder / "history.csv"), labels, folder / "plots" / "loss.png")


def _write_card(folder: Path) -> None:
    with _even_without("the card", f"Then type: zoo card {folder}"):
        write_card(folder)


@contextmanager
def _even_without(what: str, then: str = "") -> Iterator[None]:
    # A trained model is worth more than its pictures: what only they need must not end its run.
    try:
        yield
    except PluginError as error:
        _log.warning("The model is saved, but %s could not be made. %s%s", what, error, f" {then}" if then else "")
