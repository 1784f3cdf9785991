"""Where is a teacher worth having? Students with and without one, by minutes of recordings, size and steps.

    python benchmarks/where_it_helps.py measure runs/minutes/* --phrases recordings
    python benchmarks/where_it_helps.py page

`measure` takes folders of `zoo compare`, and adds a line to docs/results/where-it-helps.jsonl for each run that has
none yet, known by the hash of its weights:

held out       all metrics of the run, on recordings that it was not trained with
phrases        phrases of other instruments are played (see `instruments.py`): median pitch error in cents, error of the
               A-weighted level in dB, and the multi-scale spectral distance to what the teacher makes of the same
               phrase, both dry
roughness      held notes in semitones from an octave under the teacher's range to one over it, without noise: how much
               the levels of the first eight harmonics jump from note to note (mean absolute second difference in dB).
               Only notes that the teacher's recordings hold at most in a hundredth of their frames count
curve          the distance to the validation recordings at each validation

`page` makes docs/results/where-it-helps.md and its pictures from the lines.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from function_matching import dry
from instrument_phrases import RANGE, Phrases
from instruments import EVERY, MIN_FRAMES
from thesis_grid import COMMANDS, Line, line_of, paragraph, read, refuse_twice
from zoo_experiments.comparison import PARTS

from zoo import metrics, resolve
from zoo.errors import ConfigError
from zoo.models.loading import load_folder
from zoo.models.model import Model
from zoo.storage import markdown_table
from zoo.storage.files import write_atomically
from zoo.storage.lineage import teacher_reference
from zoo.storage.results import SeedResults, metric, over_seeds, spread, summarize_seeds
from zoo.training import read_history

LINES, PAGE = Path("docs/results/where-it-helps.jsonl"), Path("docs/results/where-it-helps.md")
SIZES = {"XS": 0, "S": 1, "M": 2}

OWN = {
    "phrase_cents": "pitch error on phrases of other instruments (cents)",
    "phrase_level_db": "A-weighted level error on phrases of other instruments (dB)",
    "from_teacher": "distance to the teacher on phrases of other instruments, dry",
    "roughness_db": "roughness of pitches that no recording holds (dB)",
}
"""What is measured here, with its title."""

HELD_OUT = (
    "multi_scale_spectral",
    "log_spectral_distance",
    "log_mel_distance",
    "frechet_log_mel",
    "onset_flux_distance",
    "level_error_db",
)
SHOWN = (*HELD_OUT, *OWN)
"""What the tables have, in this order."""

HARMONICS, NOTE_SECONDS = 8, 0.5


@torch.no_grad()
def harmonic_levels(model: Model, midi: Sequence[float], loudness_db: float) -> torch.Tensor:
    """The levels of a held note's harmonics in dB, `[notes, HARMONICS]`; NaN over 0.45 of the sample rate."""
    frames = round(NOTE_SECONDS * model.sample_rate / model.hop)
    f0_hz = 440.0 * 2.0 ** ((torch.tensor(midi) - 69) / 12)
    asked = f0_hz[:, None].expand(-1, frames), torch.full((len(midi), frames), loudness_db)
    audio = model(*asked, torch.zeros(len(midi), frames * model.hop)).dry[:, frames * model.hop // 2 :].double()
    time = torch.arange(audio.shape[1], dtype=torch.float64) / model.sample_rate
    window = torch.hann_window(audio.shape[1], dtype=torch.float64)
    partials = f0_hz.double()[:, None] * torch.arange(1, HARMONICS + 1)
    waves = torch.exp(-2j * math.pi * partials[:, :, None] * time)
    amplitudes = 2 * (waves * (audio * window)[:, None]).sum(-1).abs() / window.sum()
    levels = 20 * torch.log10(amplitudes.clamp(min=1e-4))  # under -80 dB nobody hears a difference
    return levels.masked_fill(partials > 0.45 * model.sample_rate, math.nan)


def roughness_db(model: Model, teacher: Model) -> float:
    """How much the timbre jumps between neighbouring notes that the teacher's recordings do not hold."""
    if teacher.config.range is None:
        raise ConfigError(f"{teacher.name} has no range.")
    pitch, loudness = teacher.config.range.f0_hz, teacher.config.range.loudness_db
    lowest, highest = (12 * math.log2(pitch.at(part) / 440) + 69 for part in RANGE)
    midi = [float(note) for note in range(math.floor(lowest) - 12, math.ceil(highest) + 13)]
    found = []
    for part in (0.05, 0.5, 0.95):
        levels = harmonic_levels(model, midi, loudness.at(part))
        jumps = (levels[2:] - 2 * levels[1:-1] + levels[:-2]).abs()
        outside = torch.tensor([not lowest <= note <= highest for note in midi[1:-1]])
        found.append(float(jumps[outside].nanmean()))
    return statistics.mean(found)


def play(model: Model, teacher: Model, phrases: Phrases) -> dict[str, float]:
    """Play phrases of other instruments, as the teacher's range moves them."""
    cents, level_db, away = [], [], []
    for asked in phrases.for_model(teacher, None):
        following = metrics.tracking_error(
            model.render(asked.features, level="normalised"),
            asked.features.f0_hz,
            asked.features.loudness_db,
            sample_rate=model.sample_rate,
            hop=model.hop,
            settings=teacher.feature_settings(),
            recording=asked.features.audio,
            every=EVERY,
            min_frames=MIN_FRAMES,
        )
        cents.append(following.pitch_cents)
        level_db.append(following.level_error_db)
        away.append(float(metrics.multi_scale_spectral_distance(dry(model, asked), dry(teacher, asked))[0]))
    own = {"phrase_cents": cents, "phrase_level_db": level_db, "from_teacher": away}
    return {name: statistics.mean(v for v in values if not math.isnan(v)) for name, values in own.items()}


def lines_of(comparison: Path, phrases: Phrases, known: set[str]) -> Iterator[Line]:
    """A line for each run of a comparison that has none, and for the teacher."""
    runs = sorted(folder for part in PARTS for folder in comparison.glob(f"{part}-seed*"))
    distilled = next((folder for folder in runs if folder.name.startswith(PARTS[0])), None)
    if distilled is None:
        raise ConfigError(f"{comparison} is no folder of zoo compare: nothing in it was distilled.")
    reference = teacher_reference(load_folder(distilled).config)
    if reference is None:
        raise ConfigError(f"{distilled} was not distilled: it has no teacher to be compared with.")
    teacher_folder = resolve.find(reference).folder
    teacher = load_folder(teacher_folder)
    for folder in (teacher_folder, *runs):
        line = line_of(folder)
        if line is None or line["weights"] in known:
            continue
        known.add(line["weights"])
        model = load_folder(folder)
        history = read_history(folder / "history.csv")
        line["curve"] = [[row["step"], row["reconstruction"]] for row in history if row.get("reconstruction")]
        line["own"] = {**play(model, teacher, phrases), "roughness_db": roughness_db(model, teacher)}
        line["taught_by"] = teacher.config.weights_sha256
        print(f"{folder}: {line['metrics']['multi_scale_spectral'][0]:.3f}; {line['own']}", flush=True)
        yield line


def minutes_of(line: Line) -> float:
    """How many minutes of recordings a run learned from."""
    return float(line["minutes"])


Group = tuple[str, str, float, int, bool]
"""Instrument, architecture, minutes, steps, and whether all seeds saw the same recordings: runs that differ in their
seed and in whether they had a teacher."""


def groups(lines: Iterable[Line]) -> dict[Group, dict[str, SeedResults]]:
    """What systems reached, by metric, over seeds.

    Raises:
        ConfigError: Two runs of a group have the same seed, as those of two teachers have.
    """
    lines = list(lines)
    seeds: dict[tuple[Group, str], list[int]] = defaultdict(list)
    teachers = {line["weights"]: line for line in lines}
    values: dict[Group, Any] = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    for line in lines:
        if line["taught_by"] == line["weights"]:
            continue
        system = "baseline" if line["teacher"] is None else "student"
        for group in groups_of(line, lines):
            seeds[group, system].append(line["seed"])
        for group, name in itertools.product(groups_of(line, lines), SHOWN):
            for who, one in ((system, line), ("teacher", teachers.get(line["taught_by"]))):
                value = None if one is None else one["own"].get(name, one["metrics"].get(name, [None])[0])
                if value is not None:
                    values[group][name][who][line["seed"]] = value
    for (group, system), own in seeds.items():
        refuse_twice(own, f"{system} runs of {group[1]} on {group[0]}, {group[2]:g} minutes and {group[3]:,} steps")
    found = {group: summarize_seeds(by_metric) for group, by_metric in values.items()}
    return dict(sorted(found.items(), key=lambda item: (item[0][0], SIZES[item[0][1].split("-")[1]], item[0][2])))


def groups_of(line: Line, lines: Iterable[Line]) -> list[Group]:
    """Where a run belongs: with those of other recordings, and with those of the same, where there are any."""
    own = _kind(line)
    fixed = {(_kind(one), one["minutes_seed"]) for one in lines if one.get("minutes_seed") is not None}
    drawn_by = line.get("minutes_seed")
    found = [(*own, False)] if drawn_by is None else []
    return found + ([(*own, True)] if (own, line["seed"] if drawn_by is None else drawn_by) in fixed else [])


def _kind(line: Line) -> tuple[str, str, float, int]:
    return line["instrument"], line["architecture"], _rounded(minutes_of(line)), line["steps"]


def _rounded(minutes: float) -> float:
    """To quarters: segments are drawn whole, so runs that were asked for as much have a little more or less."""
    return round(4 * minutes) / 4


def row_of(group: Group, found: SeedResults, name: str) -> list[str]:
    """A line of a table."""
    instrument, architecture, minutes, steps, same = group
    systems = found.systems
    shown = [spread(systems.get(system), name) or "not run" for system in ("baseline", "student", "teacher")]
    times = "-"
    if {"baseline", "student", "teacher"} <= systems.keys():
        noise = max(systems[system]["std"] for system in ("baseline", "student"))
        gap = systems["baseline"]["mean"] - systems["teacher"]["mean"]
        times = f"{gap / noise:.1f}" if gap > 0 and noise > 0 else "-"
    seen = f"{minutes:g}{', the same' if same else ''}"
    return [instrument, architecture, seen, f"{steps:,}", *shown, times, found.gap_closed or "-"]


def page(lines: Sequence[Line], pictures: Sequence[str]) -> str:
    """The page, as Markdown."""
    found = groups(lines)
    steps = sorted({group[3] for group in found})
    taught = sorted({(one["architecture"], one["instrument"]) for one in lines if one["taught_by"] == one["weights"]})
    teachers = " and ".join(f"`{architecture}` of {instrument}" for architecture, instrument in taught)
    parts = [
        "# Where a teacher is worth having",
        paragraph(
            f"""Each student was trained twice: with its teacher (`distilled`) and without (`baseline`), from the same
            recordings, with the same seeds, for {" or ".join(f"{n:,}" for n in steps)} steps. Both begin with the
            teacher's reverb and keep it as it is, so that the room is no part of what is gained. `Minutes` are those of
            the recordings that both students saw. They are drawn by the seed or, where it says so, the same for all
            seeds; the teacher ({teachers}) has learned from all recordings. Means over seeds ± their standard
            deviation; lower is better. `Gap / spread` is the distance between baseline and teacher over the larger
            spread of both students. `Gap closed` is how much of that distance the teacher takes away, ± over seeds."""
        ),
        *(f"![Curves: {name}]({name})" for name in pictures),
    ]
    head = [
        "instrument",
        "student",
        "minutes",
        "steps",
        "baseline",
        "distilled",
        "teacher",
        "gap / spread",
        "gap closed",
    ]
    for name in SHOWN:
        if rows := [row_of(group, by_metric[name], name) for group, by_metric in found.items() if name in by_metric]:
            title = OWN.get(name) or metric(name).title
            parts += [f"## {title[0].upper()}{title[1:]}", markdown_table([head, *rows])]
    parts += ["## How", _HOW]
    return "\n\n".join(parts) + "\n"


_HOW = f"""```
{COMMANDS}--set run.minutes=0.25 --seeds 3 --out runs/minutes/flute-gru-S-0.25
python benchmarks/where_it_helps.py measure runs/minutes/* --phrases recordings
python benchmarks/where_it_helps.py page
```

and so on; `run.minutes` is left out for all recordings, and `run.minutes_seed=0` lets all seeds see the same. One line
per run: [where-it-helps.jsonl](where-it-helps.jsonl)."""


COLOURS = {"baseline": "#b3541e", "student": "#1f6f8b", "teacher": "#555555"}
WORDS = {"baseline": "baseline", "student": "distilled", "teacher": "teacher"}


def draw(lines: Sequence[Line], folder: Path) -> list[str]:
    """Draw the curves; gives the pictures' names."""
    from matplotlib.figure import Figure

    by_minutes, by_size = defaultdict[str, Any](dict), defaultdict[str, Any](dict)
    for (instrument, architecture, minutes, steps, same), results in groups(lines).items():
        if not same:
            by_minutes[f"{architecture}, {instrument}"][minutes] = (f"{minutes:g}", results)
            size = architecture.split("-")[1]
            by_size[f"{instrument}, {minutes:g} min"][SIZES[size]] = (f"{size}\n{steps:,} steps", results)
    names: list[str] = []
    for name, rows, least, shown in (
        ("minutes", by_minutes, 3, ("multi_scale_spectral", "from_teacher", "roughness_db")),
        ("sizes", by_size, 2, ("multi_scale_spectral", "log_mel_distance", "level_error_db")),
    ):
        if panels := [(title, row, one) for title, row in rows.items() if len(row) >= least for one in shown]:
            figure = Figure(figsize=(12, 3.4 * len(panels) / len(shown)), layout="constrained")
            for place, (title, row, one) in enumerate(panels, start=1):
                axes = figure.add_subplot(len(panels) // len(shown), len(shown), place)
                if name == "minutes":
                    axes.set_xscale("log")
                    axes.set_xlabel("minutes of recordings")
                else:
                    axes.margins(x=0.2)
                _compare(axes, {at: (tick, results[one].systems) for at, (tick, results) in sorted(row.items())})
                axes.set_xticks([], minor=True)
                axes.set_title(f"{title}: {OWN.get(one) or metric(one).title}", fontsize=8, wrap=True)
                if place == 1:
                    axes.legend()
            names.append(_save(figure, folder / f"where-it-helps-{name}.png"))
    if curved := _curves(lines):
        figure = Figure(figsize=(12, 3.4 * -(-len(curved) // 3)), layout="constrained")
        for place, (group, by_system) in enumerate(curved.items(), start=1):
            axes = figure.add_subplot(-(-len(curved) // 3), 3, place)
            for system, by_step in by_system.items():
                steps = sorted(by_step)
                over = [over_seeds(by_step[step]) for step in steps]
                axes.errorbar(
                    steps,
                    [each["mean"] for each in over],
                    yerr=[each["std"] for each in over],
                    color=COLOURS[system],
                    label=WORDS[system],
                    capsize=2,
                )
            axes.set_title(f"{group[1]}, {group[0]}, {group[2]:g} min{', the same' if group[4] else ''}", fontsize=9)
            axes.set_xlabel("steps")
            axes.set_ylabel("validation distance")
            if place == 1:
                axes.legend()
        names.append(_save(figure, folder / "where-it-helps-steps.png"))
    return names


def _compare(axes: Any, points: Mapping[float, tuple[str, Mapping[str, Any]]]) -> None:  # noqa: ANN401 - matplotlib's own
    for system, colour in COLOURS.items():
        available = {at: systems[system] for at, (_, systems) in points.items() if system in systems}
        axes.errorbar(
            list(available),
            [value["mean"] for value in available.values()],
            yerr=[value["std"] for value in available.values()],
            color=colour,
            label=WORDS[system],
            marker="o",
            linestyle="--" if system == "teacher" else "-",
            capsize=3,
        )
    axes.set_xticks(list(points), [tick for tick, _ in points.values()], minor=False)


def _curves(lines: Sequence[Line]) -> dict[Group, dict[str, dict[int, list[float]]]]:
    curves: dict[Group, Any] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for line in lines:
        if line["taught_by"] != line["weights"]:
            for group, (step, value) in itertools.product(groups_of(line, lines), line["curve"]):
                if step:  # before the first step there is nothing to compare
                    curves[group]["baseline" if line["teacher"] is None else "student"][int(step)].append(value)
    return dict(sorted(curves.items()))


def _save(figure: Any, path: Path) -> str:  # noqa: ANN401 - matplotlib's own
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return path.name


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure", help="add lines for the runs of comparisons")
    measuring.add_argument("comparisons", nargs="+", type=Path, help="folders of zoo compare")
    measuring.add_argument("--phrases", type=Path, required=True, help="recordings of phrases, by instrument")
    measuring.add_argument("--count", type=int, default=1, help="phrases of each other instrument (default 1)")
    measuring.add_argument("--seconds", type=float, default=6.0, help="of a phrase, from its beginning (default 6)")
    paging = commands.add_parser("page", help="write the page and its pictures")
    paging.add_argument("--out", type=Path, default=PAGE, help=f"the page (default {PAGE})")
    for command in (measuring, paging):
        command.add_argument("--lines", type=Path, default=LINES, help=f"one line per run (default {LINES})")
    options = parser.parse_args(argv)
    lines = read(options.lines)
    if options.command == "page":
        write_atomically(options.out, page(lines, draw(lines, options.out.parent)))
        print(options.out)
        return
    phrases = Phrases(options.phrases, count=options.count, seconds=options.seconds, least=2 * MIN_FRAMES, every=EVERY)
    for comparison in options.comparisons:
        for line in lines_of(comparison, phrases, {line["weights"] for line in lines}):
            lines.append(line)
            write_atomically(options.lines, "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))


if __name__ == "__main__":
    main()
