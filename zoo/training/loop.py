"""Train a model on recordings, or distil it from a teacher: the two main functions that gin files set arguments of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ConfigError
from zoo.training.arguments import check_arguments
from zoo.training.settings import Settings

if TYPE_CHECKING:
    from zoo.losses.distillation import Loss
    from zoo.training.plan import Finished


def train(
    *,
    model: str,
    dataset: str | Path,
    out: str | Path | None = None,
    instrument: str | None = None,
    model_options: Mapping[str, Any] | None = None,
    losses: Sequence[Loss] | None = None,
    start_from: str | None = None,
    steps: int = 120_000,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    synth_learning_rate: float | None = None,
    lr_decay: float = 0.98,
    lr_decay_steps: int = 10_000,
    gradient_clip: float | None = 3.0,
    early_stopping: int | None = 100,
    validate_every: int | None = None,
    seed: int = 0,
    accelerator: str = "auto",
    precision: str = "32-true",
    num_workers: int = 0,
    devices: int = 1,
    num_nodes: int = 1,
    cuda_graphs: bool = False,
    evaluate: bool = True,
    resume: bool = False,
    name: str | None = None,
    force: bool = False,
    progress: bool | None = None,
    records: Mapping[str, str] | None = None,
) -> Finished:
    """Train a model alone, on recordings of one instrument, and write its run.

    Example:
        >>> train(model="gru-S", dataset="data/flute", steps=1000)  # doctest: +SKIP

    Args:
        model: An architecture, e.g. "gru-S".
        dataset: A folder made by `python -m zoo.prepare`, or "tones".
        out: The run's folder; `runs/<model>-<instrument>` by default, made unique.
        instrument: What the model is named after; what the dataset says by default.
        model_options: Options of the model in place of the preset's.
        losses: What is minimised; `Reconstruction()` by default.
        start_from: A trained model whose network training begins with in place of a random one, of the same
            architecture: a name, a run's folder, or a Hub id. It may play another instrument; the synth begins anew.
        steps: Of the optimizer, at most.
        batch_size: Segments a step; a smaller dataset is taken whole.
        learning_rate: Of AdamW at the start.
        synth_learning_rate: The same, of the synth's own parameters: its reverb, for one. A wide network wants a small
            rate, at which two numbers that say how long and how loud the reverb is hardly move. `learning_rate` where
            None.
        lr_decay: Factor on it,
        lr_decay_steps: every so many steps.
        gradient_clip: Largest norm of the gradient; None for no clipping.
        early_stopping: Epochs without a lower validation loss (and at least ten validations) after which training ends;
            None for never.
        validate_every: Steps; None for once an epoch, but at most 50 times a run and every ten steps.
        seed: Of everything that is drawn: weights, order, noise, dropout.
        accelerator: "auto", "cpu", "gpu", "cuda" or "mps".
        precision: "32-true", "16-mixed", "bf16-mixed", or "auto": bfloat16 for networks of over 200,000 parameters on
            GPUs that have it and on processors with AMX or AVX-512 BF16, else float32. Phases, reverbs, spectra and
            logarithms are float32 in any case.
        num_workers: Processes that load segments; 0 is fastest while the data is in memory.
        devices: Devices of this machine to train on, each by a process of its own with its share of every batch; on the
            CPU as many processes. The batch as a whole stays of `batch_size`.
        num_nodes: Machines that train together, started by a launcher such as torchrun.
        cuda_graphs: On a GPU, record the network's work once and replay it.
        evaluate: Whether to measure on held-out segments at the end.
        resume: Go on with the run in `out`, exactly where it was.
        name: Enter the finished run into the local store under this name.
        force: Replace a model of that name there.
        progress: None for a bar on a terminal and lines elsewhere, False for neither.
        records: Texts to keep in the run's folder, by file name: config.gin and operative.gin.

    Returns:
        The run's folder and what it reached.

    Raises:
        ConfigError: An argument does not fit; nothing is written then.
        DatasetError: The dataset cannot be used.
        TrainingError: A loss became NaN; the best weights until then are in the run's folder.
        KeyboardInterrupt: Ctrl-C (or SIGTERM); the run is whole, and can be resumed.
    """
    check_arguments(locals())
    from zoo.training.chain import run_plan
    from zoo.training.plan import Plan

    settings = Settings(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        synth_learning_rate=synth_learning_rate,
        lr_decay=lr_decay,
        lr_decay_steps=lr_decay_steps,
        gradient_clip=gradient_clip,
        early_stopping=early_stopping,
        validate_every=validate_every,
        seed=seed,
        accelerator=accelerator,
        precision=precision,
        num_workers=num_workers,
        devices=devices,
        num_nodes=num_nodes,
        cuda_graphs=cuda_graphs,
    )
    return run_plan(
        Plan(
            student=model,
            student_options=dict(model_options or {}),
            teacher=None,
            dataset=dataset,
            instrument=instrument,
            losses=losses,
            start_from=start_from,
            settings=settings,
            out=out,
            evaluate=evaluate,
            resume=resume,
            name=name,
            force=force,
            progress=progress,
            records=dict(records or {}),
        )
    )


def distill(
    *,
    teacher: str,
    student: str,
    dataset: str | Path,
    out: str | Path | None = None,
    instrument: str | None = None,
    student_options: Mapping[str, Any] | None = None,
    losses: Sequence[Loss] | None = None,
    start_from: str | None = None,
    teacher_reverb: bool = False,
    allow_other_instrument: bool = False,
    teacher_cache: bool = True,
    teacher_draws: int = 4,
    via: Sequence[str] = (),
    steps: int = 120_000,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    synth_learning_rate: float | None = None,
    lr_decay: float = 0.98,
    lr_decay_steps: int = 10_000,
    gradient_clip: float | None = 3.0,
    early_stopping: int | None = 100,
    validate_every: int | None = None,
    seed: int = 0,
    accelerator: str = "auto",
    precision: str = "32-true",
    num_workers: int = 0,
    devices: int = 1,
    num_nodes: int = 1,
    cuda_graphs: bool = False,
    evaluate: bool = True,
    resume: bool = False,
    name: str | None = None,
    force: bool = False,
    progress: bool | None = None,
    records: Mapping[str, str] | None = None,
) -> Finished:
    """Train a student to sound like a teacher, and write its run.

    Example:
        >>> distill(teacher="gru-L-{instrument}", student="gru-S", dataset="data/flute")  # doctest: +SKIP

    Args:
        teacher: A trained model: a name, a run's folder, or a Hub id; `{instrument}` in it is filled in.
        student: An architecture, e.g. "gru-S"; `{instrument}` in it is filled in.
        dataset: See `train`, as for all that is not here.
        out: See `train`.
        instrument: See `train`.
        student_options: Options of the student in place of the preset's.
        losses: What is minimised; `Reconstruction(weight=0.5)` and `OutputAudio(weight=0.5)` by default.
        start_from: See `train`. Links of a chain begin with random weights.
        teacher_reverb: Whether the student begins with the teacher's reverb, as far as its own reaches: the room of the
            recordings is the same for both, and need not be learned twice. It is trained on from there.
        allow_other_instrument: Whether the teacher may play another instrument than the data's.
        teacher_cache: Whether what the teacher makes of the data is kept on disk, for this run and for others. It
            changes nothing but time.
        teacher_draws: Draws of the teacher's noise, taken in turns.
        via: Architectures between teacher and student, e.g. ["gru-M"]: the first learns from the teacher, the next from
            that one, and the student from the last. Each is a run of its own, in the folder `via` of the student's.
        steps: See `train`.
        batch_size: See `train`.
        learning_rate: See `train`.
        synth_learning_rate: See `train`.
        lr_decay: See `train`.
        lr_decay_steps: See `train`.
        gradient_clip: See `train`.
        early_stopping: See `train`.
        validate_every: See `train`.
        seed: See `train`.
        accelerator: See `train`.
        precision: See `train`.
        num_workers: See `train`.
        devices: See `train`.
        num_nodes: See `train`.
        cuda_graphs: See `train`.
        evaluate: See `train`.
        resume: See `train`.
        name: See `train`.
        force: See `train`.
        progress: See `train`.
        records: See `train`.

    Returns:
        The run's folder and what it reached.

    Raises:
        ModelNotFoundError: There is no such teacher, or it has no trained weights.
        ConfigError: An argument does not fit, or the teacher does not fit the data; nothing is written then.
        DatasetError: The dataset cannot be used.
        TrainingError: A loss became NaN; the best weights until then are in the run's folder.
        KeyboardInterrupt: Ctrl-C (or SIGTERM); the run is whole, and can be resumed.
    """
    check_arguments(locals())
    from zoo.training.chain import run_plan
    from zoo.training.plan import Plan

    links = _checked_links(via)
    if not isinstance(teacher, (str, Path)):
        raise ConfigError(
            f"teacher must be a name or a folder, found {teacher!r}. Type: --set \"TEACHER='gru-L-flute'\""
        )
    settings = Settings(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        synth_learning_rate=synth_learning_rate,
        lr_decay=lr_decay,
        lr_decay_steps=lr_decay_steps,
        gradient_clip=gradient_clip,
        early_stopping=early_stopping,
        validate_every=validate_every,
        seed=seed,
        accelerator=accelerator,
        precision=precision,
        num_workers=num_workers,
        devices=devices,
        num_nodes=num_nodes,
        cuda_graphs=cuda_graphs,
    )
    return run_plan(
        Plan(
            student=student,
            student_options=dict(student_options or {}),
            teacher=str(teacher),
            allow_other_instrument=allow_other_instrument,
            teacher_cache=teacher_cache,
            teacher_draws=teacher_draws,
            via=links,
            dataset=dataset,
            instrument=instrument,
            losses=losses,
            start_from=start_from,
            teacher_reverb=teacher_reverb,
            settings=settings,
            out=out,
            evaluate=evaluate,
            resume=resume,
            name=name,
            force=force,
            progress=progress,
            records=dict(records or {}),
        )
    )


def _checked_links(via: Sequence[str]) -> tuple[str, ...]:
    if isinstance(via, str) or not all(isinstance(name, str) for name in via):
        raise ConfigError(f"via must be a list of architectures, found {via!r}. Type: --set \"distill.via=['gru-M']\"")
    return tuple(via)
