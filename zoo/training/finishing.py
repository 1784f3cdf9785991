"""What a run leaves when it ends: measures, samples, plots, the card."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.cards import write_card
from zoo.errors import ConfigError, PluginError
from zoo.models.loading import load_folder
from zoo.models.model import Model
from zoo.storage import store
from zoo.storage.results import write_metrics
from zoo.training import evaluation, report
from zoo.training.history import read_history
from zoo.training.plan import Finished, Plan
from zoo.training.progress import duration
from zoo.training.setup import Setup
from zoo.training.teacher import Teacher

if TYPE_CHECKING:
    from zoo.datasets import Dataset
    from zoo.training.fitting import Keeper

_log = logging.getLogger(__name__)

MOST_MEASURED = 50
"""Held-out segments that are measured at the end of a run, at most; `zoo.evaluate` measures all."""


def finish(plan: Plan, setup: Setup, labels: Sequence[str], keeper: Keeper, steps: int) -> Finished:
    """Measure the best weights, let them be heard and seen, and write the card.

    Args:
        plan: What was asked for.
        setup: What the run worked with.
        labels: Of the losses.
        keeper: Who kept the books.
        steps: Done in all.
    """
    folder, dataset, teacher = setup.folder, setup.dataset, setup.teacher
    rows = read_history(folder / "history.csv")
    done = max(1, steps - keeper.stream.start)
    _log.info(
        "Trained %d steps in %s (%.2f s a step)%s. Validation loss %.4g at step %d, from %.4g at step 0.",
        steps,
        duration(keeper.seconds),
        (keeper.seconds - (keeper.resumed.seconds if keeper.resumed else 0.0)) / done,
        ", stopped early" if keeper.stopped_early else "",
        keeper.best_loss,
        keeper.best_step,
        rows[0]["val_loss"] or 0.0,
    )
    best = load_folder(folder)
    arms: dict[str, Model | Teacher] = (
        {"teacher": teacher, "student": best} if teacher is not None else {"student": best}
    )
    if teacher is not None:
        teacher.model.cpu()
    chosen = held_out(dataset)
    played = report.play_segments(arms, chosen.segments, hop=best.hop)
    report.write_samples(played, folder / "samples", sample_rate=best.sample_rate)
    _plot_losses(folder, labels)
    with _even_without("plots/spectrograms.png"):
        report.plot_spectrograms(played[0], folder / "plots" / "spectrograms.png", sample_rate=best.sample_rate)
    summary: evaluation.Summary = {}
    if plan.evaluate:
        _log.info("Measuring on %d %s segments ...", len(chosen.positions), chosen.split)
        summary = evaluation.measure(arms, chosen.segments)
        write_metrics(summary, folder / "metrics.json")
        _log.info("%s", evaluation.table(summary))
    _write_card(folder)
    if plan.name is not None:
        _log.info("Stored as %s (%s).", plan.name, _enter(plan.name, folder, force=plan.force))
    handle = plan.name or folder
    _log.info(
        "The run is in %s. Next:\n  listen to %s\n  python -m zoo.evaluate %s --data %s\n"
        "  python -m zoo synth %s voice.wav out.wav",
        folder,
        folder / "samples",
        folder,
        plan.dataset,
        handle,
    )
    return Finished(folder, steps, keeper.best_step, keeper.best_loss, summary)


def _enter(name: str, folder: Path, *, force: bool) -> Path:
    try:
        return store.enter(name, folder, force=force)
    except ConfigError as error:
        raise ConfigError(
            f"The run is whole, in {folder}, but not in the store: {error} Enter it so: python -m zoo fetch {folder} "
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
        report.plot_losses(read_history(folder / "history.csv"), labels, folder / "plots" / "loss.png")


def _write_card(folder: Path) -> None:
    with _even_without("the card", f"Then type: python -m zoo card {folder}"):
        write_card(folder)


@contextmanager
def _even_without(what: str, then: str = "") -> Iterator[None]:
    # A trained model is worth more than its pictures: what only they need must not end its run.
    try:
        yield
    except PluginError as error:
        _log.warning("The model is saved, but %s could not be made. %s%s", what, error, f" {then}" if then else "")
