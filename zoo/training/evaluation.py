"""Measuring a model on held-out segments, beside its teacher and its own noise floor."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo import metrics, registry, resolve
from zoo.checks.options import output_file_fault, refuse, seed_fault, shown, type_fault, whole_fault, writable_fault
from zoo.errors import CheckpointError, ConfigError, ZooError
from zoo.metrics.measures import Found, Measures, statistics
from zoo.models.loading import load_folder
from zoo.models.model import Model
from zoo.storage.checkpoint import weights_hash
from zoo.storage.lineage import teacher_reference, weights_before_rounding
from zoo.storage.locks import hold, refuse_if_held
from zoo.storage.results import PITCH, SPEED, MeasuredResults, read_metrics, rows_of, text_table, write_metrics
from zoo.training.batches import Batch, fixed_noise, in_order
from zoo.training.teacher import Teacher, check_fits_data

if TYPE_CHECKING:
    from zoo.datasets import Dataset

_log = logging.getLogger(__name__)

Summary = dict[str, dict[str, dict[str, float]]]
"""`{system: {metric: {mean, std, n}}}`, as in metrics.json."""

_BATCH = 8


@dataclass(frozen=True)
class HeldOut:
    """What a model is measured on.

    Attributes:
        whole: A split.
        split: Its name.
        positions: Which of its segments.
    """

    whole: torch.utils.data.Dataset[Batch]
    split: str
    positions: Sequence[int]

    @property
    def segments(self) -> torch.utils.data.Dataset[Batch]:
        """These segments alone."""
        return torch.utils.data.Subset(self.whole, list(self.positions))


def held_out(dataset: Dataset, split: str = "test", *, max_segments: int | None = None) -> HeldOut:
    """The segments to measure on; the validation split where the test split is empty.

    Raises:
        DatasetError: There is no such split, or nothing is held out.
    """
    if max_segments is not None and max_segments < 1:
        raise ConfigError(f"--max-segments must be at least 1, found {max_segments}.")
    if split == "test" and not dataset.info["splits"].get("test") and dataset.info["splits"].get("validation"):
        _log.warning("%s has no test segments: measured on its validation segments.", dataset.path)
        split = "validation"
    segments = dataset.split(split)
    if max_segments is not None and max_segments < len(segments):
        # evenly spread, since neighbours come from the same recording
        return HeldOut(segments, split, [i * len(segments) // max_segments for i in range(max_segments)])
    return HeldOut(segments, split, range(len(segments)))


@torch.no_grad()
def measure(
    systems: Mapping[str, Model | Teacher],
    segments: torch.utils.data.Dataset[Batch],
    *,
    seed: int = 0,
    pitch: str = PITCH,
    pitch_options: Mapping[str, Any] | None = None,
    also: Mapping[str, Mapping[str, Any]] | None = None,
    tick: Callable[[int], None] | None = None,
) -> Summary:
    """Measure models on segments, row by row, without the padding.

    Args:
        systems: Models by system, a teacher also as one with a cache; the "student" also gives the noise floor: the
            distance between two renderings of it that differ in their noise alone.
        segments: What they play and are compared with.
        seed: Of the noise.
        pitch: Tracker of the f0 error.
        pitch_options: Its options.
        also: Further metrics by registered name, with their options.
        tick: Called with the number of segments that are done.

    Returns:
        Mean, standard deviation and count over segments, by system and metric; and the student's speed.
        A metric over the whole set has its value as mean, and its standard error as standard deviation.

    Raises:
        ConfigError: There is no such metric, tracker or option.
        PluginError: What one of them needs is not installed.
    """
    found = {system: Found() for system in (*systems, "noise_floor")}
    rates = _model_of(next(iter(systems.values())))  # those of the segments too: see `check_fits_data`
    measures = Measures(also, sample_rate=rates.sample_rate, hop=rates.hop)
    for batch in in_order(segments, batch_size=_BATCH):
        for system, player in systems.items():
            model = _model_of(player)
            made = play(player, batch, seed)
            valid = batch["valid_frames"] * model.hop
            measures.compare(made, batch["audio"], valid, found[system])
            for name, rows in _pitch_error(model, made, batch, pitch, pitch_options or {}).items():
                found[system].add_rows(name, rows)
            if system == "student":
                measures.compare(made, play(player, batch, seed + 1), valid, found["noise_floor"])
        if tick is not None:
            tick(len(batch["index"]))
    summary = {system: each.summary() for system, each in found.items() if each.rows}
    if "student" in systems and "student" in summary:
        factors = torch.tensor(real_time_factors(_model_of(systems["student"])))
        summary["student"][SPEED] = statistics(factors)
    return summary


def _model_of(player: Model | Teacher) -> Model:
    return player.model if isinstance(player, Teacher) else player


@torch.no_grad()
def play(model: Model | Teacher, batch: Batch, seed: int) -> Tensor:
    """What a model makes of a batch, with the noise of a seed; a teacher reads it, where its cache holds that.

    Returns:
        `[batch, samples]`, float32 on the CPU.
    """
    if isinstance(model, Teacher):
        if seed == 0:
            return model.give(batch, {"audio"}).audio.float().cpu()
        model = model.model
    device = next(model.parameters()).device
    noise = fixed_noise(batch, hop=model.hop, seed=seed)
    made = model(batch["f0_hz"].to(device), batch["loudness_db"].to(device), noise.to(device), **model.further(batch))
    audio: Tensor = made.audio.float().cpu()
    return audio


def _pitch_error(
    model: Model, audio: Tensor, batch: Batch, pitch: str, options: Mapping[str, Any]
) -> dict[str, Tensor]:
    errors = metrics.f0_error_cents(
        audio,
        batch["f0_hz"],
        sample_rate=model.sample_rate,
        hop=model.hop,
        tracker=pitch,
        valid_samples=batch["valid_frames"] * model.hop,
        **options,
    )
    return {"f0_error_cents": errors.median_cents, "f0_over_50_cents": errors.fraction_over_50}


@torch.no_grad()
def real_time_factors(model: Model, *, seconds: float = 4.0, repeats: int = 7) -> list[float]:
    """Time that rendering takes on one thread, over the duration of what is rendered: whole clips, one at a time.

    Args:
        model: On the device where it is to play.
        seconds: Of a clip.
        repeats: Clips that are timed, after one that is not.

    Returns:
        A factor for each clip; under 1 is faster than real time.
    """
    frames = max(1, round(seconds * model.sample_rate / model.hop))
    device = next(model.parameters()).device
    f0_hz = torch.full((1, frames), 440.0, device=device)
    loudness_db = torch.full((1, frames), -25.0, device=device)
    further = model.further(defaultdict(lambda: torch.zeros_like(f0_hz)))
    found = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the compiled loops keep to it too
    try:
        for _ in range(repeats + 1):
            begin = time.perf_counter()
            float(model(f0_hz, loudness_db, **further).audio[0, 0])  # waits for a device that works by itself
            found.append((time.perf_counter() - begin) / (frames * model.hop / model.sample_rate))
    finally:
        torch.set_num_threads(threads)
    return found[1:]


def find_teacher_of(model: Model, dataset: Dataset) -> Model | None:
    """The teacher that a student's lineage names, when it is here, the same one, and fits the data; says why not."""
    reference = teacher_reference(model.config)
    if reference is None:
        return None
    try:
        teacher = load_folder(resolve.find(reference).folder)
    except ZooError as error:
        _log.warning("The teacher is left out, since it is not here: %s", error)
        return None
    if model.config.lineage["teacher"].get("weights") not in (
        weights_hash(teacher),
        weights_before_rounding(teacher.config),
    ):
        _log.warning("The teacher is left out: %s has other weights now than it had then.", reference)
        return None
    try:
        check_fits_data(teacher, dataset, what="The teacher")
    except ConfigError as error:
        _log.warning("The teacher is left out. %s", error)
        return None
    return teacher


def evaluate(
    model: str,
    *,
    data: str,
    split: str = "test",
    max_segments: int | None = None,
    pitch: str = PITCH,
    pitch_options: Mapping[str, Any] | None = None,
    also: Mapping[str, Mapping[str, Any]] | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    tick: Callable[[int], None] | None = None,
) -> MeasuredResults:
    """Measure a run or a named model, and its teacher, on a prepared dataset.

    Example:
        >>> evaluate("runs/gru-S-flute", data="data/flute")["student"]  # doctest: +SKIP

    Args:
        model: A run's folder, or a name.
        data: A prepared dataset's folder, or "tones".
        split: "train", "validation" or "test".
        max_segments: Measure on at most so many, evenly spread.
        pitch: Tracker of the f0 error.
        pitch_options: Its options, e.g. `{"model": "tiny"}` for torchcrepe.
        also: Further metrics by registered name, with their options, e.g.
            `{"frechet_audio_distance": {"weights": "vggish.safetensors"}}`.
        out: Where to write the numbers; a run's own `metrics.json` (and its card) by default. Those of the training
            split never replace a run's held-out ones there.
        seed: Of the noise.
        tick: Called with the number of segments that are done.

    Returns:
        `{system: {metric: {mean, std, n}}}` of the systems teacher (where it is here), student and noise_floor.

    Raises:
        ModelNotFoundError: There is no such model.
        DatasetError: There is no such data, or none of it is held out.
        ConfigError: The data's rates, inputs or loudness are not the model's; there is no such metric or option.
        InUseError: The numbers belong into a run that another process is training.
    """
    from zoo.cards import write_card
    from zoo.datasets import open_dataset

    refuse(
        (
            type_fault("model", model, (str, Path), "a name or a folder"),
            type_fault("data", data, (str, Path), "a dataset's folder or name"),
            None if max_segments is None else whole_fault("--max-segments", max_segments, least=1),
            seed_fault("seed", seed),
            type_fault(
                "pitch_options", pitch_options, (Mapping, type(None)), "options by name, e.g. {'model': 'full'}"
            ),
            _also_fault(also),
            None if out is None else output_file_fault(out, "--out"),
        )
    )
    registry.pitch.entry(pitch)
    for metric in also or {}:
        registry.metrics.entry(metric)
    found = resolve.find(model)
    elsewhere = "give another file for the numbers (out, --out FILE)"
    if out is None and found.source == "folder":
        refuse_if_held(found.folder, advice=elsewhere)
        refuse((writable_fault(found.folder, "The run", fix=f"To measure it, {elsewhere}."),))
    student = load_folder(found.folder)
    dataset = open_dataset(data)
    check_fits_data(student, dataset)
    teacher = find_teacher_of(student, dataset)
    chosen = held_out(dataset, split, max_segments=max_segments)
    systems = {"teacher": teacher, "student": student} if teacher is not None else {"student": student}
    pitch_options = {**pitch_range(dataset), **(pitch_options or {})}
    summary = measure(
        systems, chosen.segments, seed=seed, pitch=pitch, pitch_options=pitch_options, also=also, tick=tick
    )
    results = MeasuredResults(summary, split=chosen.split, pitch=pitch)
    if out is not None:
        write_metrics(results, Path(out))
    elif found.source == "folder":
        with hold(found.folder, doing="writing measures", advice=elsewhere):
            path = found.folder / "metrics.json"
            if not results.held_out and _has_held_out(path):
                _log.warning(
                    "%s keeps its held-out numbers: those of the training split are not written there. Give a file "
                    "for them (out, --out FILE).",
                    path,
                )
            else:
                write_metrics(results, path)
                write_card(found.folder)
    return results


def _also_fault(also: object) -> str | None:
    good = isinstance(also, Mapping) and all(isinstance(options, Mapping) for options in also.values())
    if also is None or good:
        return None
    return (
        f"also must hold metrics with their options, e.g. {{'clip_log_spectral_distance': {{}}}}, found {shown(also)}."
    )


def _has_held_out(path: Path) -> bool:
    try:
        known = read_metrics(path)
    except CheckpointError:  # damaged: there is nothing to keep
        return False
    return bool(known) and known.held_out


def pitch_range(dataset: Dataset) -> dict[str, float]:
    """The range that a dataset's pitch was searched in, as options of a tracker: what was asked for lies in it."""
    return {"fmin": dataset.features.fmin, "fmax": dataset.features.fmax}


def table(results: MeasuredResults) -> str:
    """The numbers as lines of text, a metric per line, lower is better; and a line that says what was measured."""
    over = f"{results.split} split, {results.segments} segment{'' if results.segments == 1 else 's'}"
    seen = "" if results.held_out else ": the model was trained on this split"
    return f"{text_table(rows_of(results))}\n({over}{seen}){f' {results.tracked}' if results.tracked else ''}"
