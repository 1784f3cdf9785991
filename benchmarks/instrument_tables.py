"""The page that `instruments.py` writes: a table for training, one for speed, one for the checks."""

from __future__ import annotations

import argparse
import math
import shlex
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_kernels.bench.tables import machine

from zoo.commands import bench
from zoo.metrics.transfer import QUIET_DB, SILENT_DB, dbfs
from zoo.storage import MAIN_METRIC, SYSTEMS, markdown_table, metric, spread, teachers_of
from zoo.training.progress import duration

if TYPE_CHECKING:
    from instruments import Instrument, Resynthesis

_SHOWN = 20
"""Failures that the page lists for a model; the command prints all."""


def page(found: Sequence[Instrument], options: argparse.Namespace, limits: Mapping[str, float]) -> str:
    """The whole page.

    Args:
        found: What was found, a model each.
        options: The command's.
        limits: What the checks ask for: `cents`, `frames`, `loudness_db` and `ratio`.
    """
    parts = [
        "# The trained models: measurements, speed, checks",
        _paragraph(
            f"`{command(options)}` wrote this page."
            + " What it did not measure is from earlier runs, with the machine and the data of then." * options.update
        ),
        _paragraph(f"Machine: {machine()}."),
        "## Training and measurements",
        _about_training(),
        training_table(found),
        "## Speed",
        _about_speed(),
        speed_table(found),
        "## Checks",
        _about_transfer(options, limits),
        _about_resynthesis(options, limits),
        checks_table(found),
        remarks(found),
    ]
    return "\n\n".join(parts) + "\n"


def updated(before: str, now: str, found: Sequence[Instrument]) -> str:
    """A page with what was measured now, and of all else what the page before says.

    A row that is in both tables has the cells of now where there are any: where a model's data is not there, its
    resynthesis of before stays. The text is of now, the machine of before: the speed of all models is of one machine.

    Args:
        before: The page that is there.
        now: The page of some models.
        found: What was found of those.
    """
    measured = {each.name: each.resynthesis for each in found}
    tables = {part.splitlines()[0]: part for part in before.split("\n\n") if part.startswith("|")}
    remarks_before = [
        line
        for line in before.splitlines()
        if line.startswith("- ") and (_name_in(line) not in measured or _stays(line, measured[_name_in(line)]))
    ]
    parts = []
    for part in now.rstrip("\n").split("\n\n"):
        if part.startswith("|"):
            part = _merged(tables.get(part.splitlines()[0], ""), part)
        elif part.startswith(("- ", "All checks passed")):
            lines = [*remarks_before, *(line for line in part.splitlines() if line.startswith("- "))]
            part = "\n".join(sorted(lines, key=lambda line: _order(_name_in(line)))) or part
        elif part.startswith("Machine:"):
            part = next((one for one in before.split("\n\n") if one.startswith("Machine:")), part)
        parts.append(part)
    return "\n\n".join(parts) + "\n"


def _stays(remark: str, again: Resynthesis | None) -> bool:
    return again is None and "resynthesised" in remark


def _merged(before: str, now: str) -> str:
    head, rule, *rows = now.splitlines()
    old = {_name_in(row): row for row in before.splitlines()[2:]}
    for row in rows:
        cells, kept = row.split("|"), old.get(_name_in(row), row).split("|")
        old[_name_in(row)] = "|".join(cell if cell.strip() else other for cell, other in zip(cells, kept, strict=True))
    return "\n".join([head, rule, *(old[name] for name in sorted(old, key=_order))])


def _name_in(line: str) -> str:
    return line.strip("|- ").split()[0].rstrip(":")


def _order(name: str) -> tuple[int, str]:
    """As in the zoo's lists: by kind."""
    kinds = ("gru-wavetable", "gru", "tcn", "s4", "ddx7")
    kind = next((each for each in kinds if name.startswith(f"{each}-")), "")
    return (("gru", "tcn", "s4", "gru-wavetable", "ddx7", "").index(kind), name)


def command(options: argparse.Namespace) -> str:
    """The command, without where on this machine things are."""
    words = ["python", "benchmarks/instruments.py"]
    if options.models != ["*"]:
        words += [Path(model).name for model in options.models]
    words += ["--phrases", "PHRASES", "--data", "DATA"]
    words += ["--update"] * options.update + ["--no-speed"] * (not options.speed)
    for name, usual in (("count", 5), ("seconds", 6.0), ("segments", 16), ("pitch_model", "tiny")):
        value = getattr(options, name)
        if value != usual:
            words += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)


def _about_training() -> str:
    return _paragraph(f"""
        The values are from each model's own files. Steps are the trained ones, with the best one in brackets. Time is
        that of training only, on the machine that trained the model. Of a model that went on with its own former
        weights (`start` in its lineage), both are those of the last stage alone. `zoo evaluate` measured the
        {metric(MAIN_METRIC).title} of each system, and this model's errors of pitch and loudness, on held-out segments
        of the data. The noise floor is the distance between two renderings that differ only in their noise. Lower is
        better.
    """)


def _about_speed() -> str:
    return _paragraph("""
        `zoo bench MODELS --no-training` measured these values on one thread: the median time to render clips of 4 s,
        divided by their duration, and the median time of a block of 1 and of 8 frames, also as a part of the block's
        duration.
    """)


def _about_transfer(options: argparse.Namespace, limits: Mapping[str, float]) -> str:
    with_yin = " and YIN" if options.pitch_model == "tiny" else ""
    return _paragraph(f"""
        Transfer: the model plays {options.count} phrases of each other instrument, of at most {options.seconds:g} s, at
        full scale. They are moved into the model's range as `synthesize` does by default, and played at the model's own
        level, while no socket can be opened. A result passes if its RMS level is over {SILENT_DB:.0f} dBFS and its peak
        under full scale; if its [pitch](../instruments.md#pitch-and-loudness-accuracy), tracked by torchcrepe's
        `{options.pitch_model}` model{with_yin}, is under {limits["cents"]:.0f} cents off, as a median over at least
        {limits["frames"]:.0f} frames that are voiced in phrase and result; and if its loudness is under
        {limits["loudness_db"]:.0f} dB off, on average over the frames within {QUIET_DB:.0f} dB of the phrase's loudest.
        The table has the median over the phrases and the worst of them. "Voiced too" is the fraction of frames with a
        pitch in the phrase that have one in the result. "Level" is the median of how much too loud the results are, and
        "shape" the error of loudness without each phrase's level. These three are not checked.
    """)


def _about_resynthesis(options: argparse.Namespace, limits: Mapping[str, float]) -> str:
    return _paragraph(f"""
        Resynthesis: at most {options.segments} held-out segments of the model's own instrument. "Ratio" is the
        {metric(MAIN_METRIC).title} to them over that of the same model before any training (seed 0), and must be at
        most {limits["ratio"]:g}.
    """)


def _paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def training_table(found: Sequence[Instrument]) -> str:
    """Sizes, training and measures, a model a line."""
    systems = [name for name in SYSTEMS if name in ("teacher", "student", "noise_floor")]
    lines: list[Sequence[str]] = [
        ("model", "parameters", "weights, MB", "data", "teacher", "steps", "time",
         *({**SYSTEMS, "student": "this model"}[name] for name in systems), "pitch, cents", "loudness, dB")
    ]  # fmt: skip
    for each in found:
        run, known = each.trained, each.known
        teachers = teachers_of(known.config)
        best = run.training.get("best_step") if run else None
        lines.append(
            (
                each.name,
                f"{known.parameters:,}" if known.parameters is not None else "",
                f"{known.size_bytes / 1e6:.3g}" if known.size_bytes is not None else "",
                each.data_name,
                str(teachers[0].get("name", "")) if teachers else "",
                f"{run.steps:,} ({best:,})" if run and best is not None else "",
                duration(run.seconds) if run and run.seconds is not None else "",
                *(spread(known.metrics.get(name, {}).get(MAIN_METRIC)) for name in systems),
                _number(known.metrics.get("student", {}).get("f0_error_cents", {}).get("mean")),
                _number(known.metrics.get("student", {}).get("loudness_error_db", {}).get("mean")),
            )
        )
    return markdown_table(lines)


def speed_table(found: Sequence[Instrument]) -> str:
    """What models cost to play, a model a line; the last column of `zoo bench`, the training step, is left out."""
    return markdown_table(
        [bench.TITLES[:-1], *(bench.cells(each.cost)[:-1] for each in found if each.cost is not None)]
    )


def checks_table(found: Sequence[Instrument]) -> str:
    """What the checks found, a model a line."""
    lines: list[Sequence[str]] = [
        ("model", "phrases", "pitch, cents", "worst", "voiced too", "loudness, dB", "worst", "level, dB", "shape, dB",
         "peak, dBFS", "distance", "untrained", "ratio", "checks")
    ]  # fmt: skip
    for each in found:
        played = [one.following for one in each.played]
        again = each.resynthesis
        asked = sum(one.expected_frames for one in played)
        failures = len(each.failures())
        lines.append(
            (
                each.name,
                str(len(played)),
                *_median_and_worst([one.pitch_cents for one in played]),
                f"{100 * sum(one.pitch_frames for one in played) / asked:.0f} %" if asked else "",
                *_median_and_worst([one.loudness_error_db for one in played]),
                _number(_median([one.loudness_offset_db for one in played]), sign=True),
                _number(_median([one.loudness_shape_db for one in played])),
                f"{dbfs(max(one.peak for one in played)):.1f}" if played else "",
                *((f"{again.distance:.3f}", f"{again.untrained:.3f}", f"{again.ratio:.2f}") if again else ("",) * 3),
                f"{failures} failed" if failures else "passed",
            )
        )
    return markdown_table(lines)


def remarks(found: Sequence[Instrument]) -> str:
    """What failed, a line each, and what is to be said of the data."""
    lines = []
    for each in found:
        said = each.failures()
        lines += [f"- {each.name} fails: {line}" for line in said[:_SHOWN]]
        if len(said) > _SHOWN:
            lines.append(f"- {each.name} fails {len(said) - _SHOWN} checks more.")
        if each.resynthesis and each.resynthesis.note:
            lines.append(f"- {each.name} was resynthesised from {each.resynthesis.note}.")
        if each.resynthesis and each.resynthesis.split != "test":
            lines.append(f"- {each.name}: no test split, so its {each.resynthesis.split} split was resynthesised.")
    return "\n".join(lines) or "All checks passed."


def worst(values: Sequence[float]) -> float:
    """The largest; NaN where one is not known, since that is worse."""
    return math.nan if any(math.isnan(value) for value in values) else max(values, default=math.nan)


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def _median_and_worst(values: Sequence[float]) -> tuple[str, str]:
    return _number(_median(values)), _number(worst(values), unknown="none" if values else "")


def _number(value: float | None, *, sign: bool = False, unknown: str = "") -> str:
    if value is None or math.isnan(value):
        return unknown
    return f"{value:+.1f}" if sign else f"{value:.1f}"
