"""A picture of a dataset: which pitches and levels are in it, and how noisy its recordings are."""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from torch import Tensor

from zoo.datasets.index import INDEX_NAME
from zoo.datasets.preparation.splits import SPLITS
from zoo.storage.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


PICTURE_NAME = "dataset.png"
_COLOURS = {"train": "#3b6ea5", "validation": "#e09f3e", "test": "#9e2a2b"}
_NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
# With more recordings than this their ratios are counted, not drawn one by one.
_MOST_BARS = 28
_NAME_WIDTH = 34


def draw_dataset(path: Path) -> str:
    """Draw a prepared dataset's picture, `dataset.png` in its folder.

    Args:
        path: The dataset's folder.

    Returns:
        Why there is no picture, in one line; empty where there is one. An older one is removed in either case.
    """
    picture = path / PICTURE_NAME
    picture.unlink(missing_ok=True)
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except Exception as error:  # noqa: BLE001 - a broken package raises anything, and the dataset is whole without it
        return f"No picture was drawn, since matplotlib cannot be used ({type(error).__name__}: {error})".split("\n")[0]
    with warnings.catch_warnings(), rc_context({"text.parse_math": False}):  # a $ in a name is no formula
        warnings.simplefilter("ignore")  # of names in letters that the font lacks, which are drawn as boxes
        figure = Figure(figsize=(11.0, 8.0), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        _draw(figure, path)
        buffer = io.BytesIO()
        # Without matplotlib's version in it, the same dataset has the same bytes.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomically(picture, buffer.getvalue())
    return ""


def _draw(figure: Figure, path: Path) -> None:
    info = json.loads((path / INDEX_NAME).read_bytes())
    splits = info["splits"]
    features = {name: read_features(path, splits[name]) for name in SPLITS if splits[name]}
    grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1.0))
    seconds = info["hop"] / info["sample_rate"]
    _draw_pitch(figure.add_subplot(grid[0, 0]), {name: f0[f0 > 0] for name, (f0, _) in features.items()}, seconds)
    _draw_loudness(figure.add_subplot(grid[1, 0]), {name: db for name, (_, db) in features.items()}, seconds)
    _draw_noise(figure.add_subplot(grid[:, 1]), info["sources"])
    minutes = sum(len(f0) for f0, _ in features.values()) * seconds / 60
    figure.suptitle(f"{info['name']}: {_count(len(info['sources']), 'recording')}, {minutes:.1f} min")


def note_name(midi: int) -> str:
    """Name a note by its MIDI number: 69 is A4."""
    return f"{_NOTES[midi % 12]}{midi // 12 - 1}"


def _draw_pitch(axes: Axes, f0_hz: Mapping[str, Tensor], seconds: float) -> None:
    axes.set_title("Pitch", loc="left")
    axes.set_xlabel("note and Hz (frames that have a pitch, by the semitone)")
    axes.set_ylabel("seconds")
    midi = {name: 12.0 * torch.log2(values / 440.0) + 69.0 for name, values in f0_hz.items()}
    every = torch.cat(list(midi.values()))
    if len(every) == 0:
        axes.text(0.5, 0.5, "no frame has a pitch", ha="center", va="center", transform=axes.transAxes)
        return
    low, high = math.floor(float(every.min())), math.ceil(float(every.max()))
    low, high = low - 1, max(high, low + 12) + 1
    edges = [k - 0.5 for k in range(low, high + 2)]
    _stack(axes, midi, edges, seconds)
    axes.set_xlim(edges[0], edges[-1])
    # The axis is logarithmic in Hz: it counts semitones.
    step = next(step for step in (1, 2, 3, 4, 6, 12, 24) if (high - low) / step <= 13 or step == 24)
    ticks = [k for k in range(low, high + 1) if k % step == 0]
    axes.set_xticks(ticks, [f"{note_name(k)}\n{440.0 * 2.0 ** ((k - 69) / 12):.0f}" for k in ticks], fontsize=8)
    axes.legend(frameon=False, fontsize=8)


def _draw_loudness(axes: Axes, loudness_db: Mapping[str, Tensor], seconds: float) -> None:
    axes.set_title("Loudness", loc="left")
    axes.set_xlabel("dB, as the features measure it (all frames)")
    axes.set_ylabel("seconds")
    every = torch.cat(list(loudness_db.values()))
    low, high = math.floor(float(every.min())) - 1, math.ceil(float(every.max())) + 1
    _stack(axes, loudness_db, [float(k) for k in range(low, high + 1)], seconds)
    axes.set_xlim(low, high)


def _stack(axes: Axes, values: Mapping[str, Tensor], edges: Sequence[float], seconds: float) -> None:
    bounds = torch.tensor(edges, dtype=torch.float32)
    bottom = torch.zeros(len(edges) - 1)
    for name, some in values.items():
        at = torch.bucketize(some.clamp(bounds[0], bounds[-1]), bounds[1:-1])
        height = torch.bincount(at, minlength=len(bottom)).float() * seconds
        centres = ((bounds[1:] + bounds[:-1]) / 2).tolist()
        width = 0.92 * float(bounds[1] - bounds[0])
        axes.bar(centres, height.tolist(), width, bottom.tolist(), color=_COLOURS.get(name), label=name)
        bottom += height
    axes.set_ylim(0.0, 1.08 * max(float(bottom.max()), seconds))
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def _draw_noise(axes: Axes, sources: Sequence[Mapping[str, Any]]) -> None:
    from matplotlib.patches import Patch

    known = [source for source in sources if source["snr_db"] is not None]
    unknown = len(sources) - len(known)
    axes.set_title("Signal-to-noise ratio", loc="left")
    axes.set_xlabel("dB" + (f" (cannot be told of {_count(unknown, 'recording')})" if unknown else ""))
    colours = {"pauses": "#4f772d", "bands": "#a3b18a"}
    labels = {"pauses": "measured in pauses", "bands": "between partials: at least this"}
    if not known:
        axes.text(0.5, 0.5, "cannot be told of any recording", ha="center", va="center", transform=axes.transAxes)
        return
    if len(known) <= _MOST_BARS:
        known = sorted(known, key=lambda source: (-source["snr_db"], source["id"]))
        for row, source in enumerate(known):
            axes.barh(row, source["snr_db"], color=colours[source["noise_measured_in"]])
        axes.set_yticks(range(len(known)), [_short(source["id"]) for source in known], fontsize=7)
    else:
        values = {
            where: [source["snr_db"] for source in known if source["noise_measured_in"] == where] for where in colours
        }
        every = [source["snr_db"] for source in known]
        low = 3 * math.floor(min(every) / 3)
        edges = list(range(low, max(low + 6, 3 * math.ceil(max(every) / 3) + 3) + 1, 3))
        axes.hist(list(values.values()), bins=edges, stacked=True, color=list(colours.values()), rwidth=0.92)
        axes.set_ylabel("recordings")
    there = [where for where in colours if any(source["noise_measured_in"] == where for source in known)]
    patches = [Patch(color=colours[where], label=labels[where]) for where in there]
    axes.legend(handles=patches, frameon=False, fontsize=8, loc="upper right")
    axes.grid(axis="x" if len(known) <= _MOST_BARS else "y", alpha=0.3)
    axes.set_axisbelow(True)


def _short(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else f"...{name[3 - _NAME_WIDTH :]}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


def describe_splits(folder: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Describe each split by quantiles.

    Args:
        folder: The dataset, whose shards are there.
        splits: For each split its segments, as in dataset.json.

    Returns:
        `{"quantiles": [...], split: {"f0_hz": [...], "loudness_db": [...], "voiced": fraction}}`: values at these
        quantiles over the frames that have a pitch, and over all frames; empty lists where there are none.
    """
    found: dict[str, Any] = {"quantiles": list(QUANTILES)}
    for name, entries in splits.items():
        f0_hz, loudness_db = read_features(folder, entries)
        voiced = f0_hz[f0_hz > 0]
        found[name] = {
            "f0_hz": _quantiles(voiced),
            "loudness_db": _quantiles(loudness_db),
            "voiced": round(len(voiced) / max(1, len(f0_hz)), 4),
        }
    return found


def read_features(folder: Path, entries: Sequence[Mapping[str, Any]]) -> tuple[Tensor, Tensor]:
    """Read pitch and loudness of all frames of some segments, without padding.

    Args:
        folder: The dataset.
        entries: Segments, as in dataset.json.

    Returns:
        `f0_hz` and `loudness_db`, `[frames]` each.
    """
    pieces: tuple[list[Tensor], list[Tensor]] = ([torch.zeros(0)], [torch.zeros(0)])
    for shard in dict.fromkeys(entry["shard"] for entry in entries):
        with safe_open(folder / shard, framework="pt") as file:
            # A shard holds the segments of one split, end to end.
            pieces[0].append(file.get_tensor("f0_hz"))
            pieces[1].append(file.get_tensor("loudness_db"))
    return torch.cat(pieces[0]), torch.cat(pieces[1])


def _quantiles(values: Tensor) -> list[float]:
    # Each is a value that is there, rounded: dataset.json does not depend on the last bit of an interpolation. Sorted,
    # since torch's own quantiles refuse more than 16 million values.
    if len(values) == 0:
        return []
    ordered = values.sort().values
    return [round(float(ordered[round(q * (len(ordered) - 1))]), 2) for q in QUANTILES]
