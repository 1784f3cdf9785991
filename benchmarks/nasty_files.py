"""Read the files of a run and of a dataset with nasty values in them: python benchmarks/nasty_files.py.

Whatever a file holds, reading it gives a result or one of zoo's own errors, within seconds and within a gigabyte.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import csv
import io
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from zoo_experiments.run_table import result_of
from zoo_report import make_report

import zoo
from zoo.cards import card_text, hub_reference
from zoo.commands.gin_program import main_functions
from zoo.datasets import open_dataset
from zoo.datasets.attribution import AttributionIndex
from zoo.errors import ZooError
from zoo.gin_config.configure import configure
from zoo.hub.source import read_source
from zoo.storage.lineage import attributions, teacher_reference, teachers_of
from zoo.training.checkpoints import load_state, read_history
from zoo.training.run_folder import is_done

MOST_SECONDS = 5.0  # of the processor: others may be busy
MOST_BYTES = 2**30


class Verbatim(str):
    """Text that stands in a JSON file as it is."""

    __slots__ = ()


NASTY: list[Any] = [
    None,
    True,
    -1,
    *(0, 1.5, 5000),
    2**63,
    3 * 10**9,
    1e308,
    "",
    "x" * 200_000,
    "../../victim",
    "\u202eevil\u0000",
    [],
    {},
    [[1]],
    {"a": {"b": None}},
    [None] * 10_000,
    Verbatim("1" * 400),
    Verbatim("NaN"),
    Verbatim("1e999"),
    Verbatim('{"a": 1, "a": 2}'),
    Verbatim("[" * 200 + "]" * 200),
    Verbatim("[" * 50_000 + "]" * 50_000),
]
"""In place of each value of a JSON file."""

NASTY_CELLS = ["", "x", "9" * 200_000, "nan", "-1", "1e999", "1e308", "-1e308", '"', "1,2", "\x00", "\n", "=1+1"]
"""In place of a cell of a table."""

NASTY_CARDS = [
    "---\n" + "a: " + "[" * 5000 + "]" * 5000 + "\n---\n",
    "---\n" + "- " * 5000 + "1\n---\n",
    "---\n" + "".join(f"{' ' * i}a:\n" for i in range(500)) + "---\n",
    "---\na: &a [1]\n" + "".join(f"b{i}: &b{i} [{'*a, ' * 9}*a]\n" for i in range(20)) + "---\n",
    "---\n- 1\n---\n",
    "---\nlicense: [1]\nmodel-index: 5\n---\n",
    "---\nmodel-index:\n- name: x\n  results: 7\n---\n",
    "---\nddsp_zoo: {hub: [1]}\n---\n",
    "---\na: 1\na: 2\n---\n",
    "---\n!!python/object/apply:os.system ['true']\n---\n",
    "---\na: " + "1" * 100_000 + "\n---\n",
    "---\n? [" + "a, " * 20_000 + "]\n: 1\n---\n",
    "---\na: 2026-99-99\n---\n",
    "---\n",
]

NASTY_RECIPES = [
    "".join(f"A{i} = [%A{i + 1}, %A{i + 1}]\n" for i in range(60)) + "A60 = 1\ntrain.steps = %A0\n",
    "A = %B\nB = %A\ntrain.steps = %A\n",
    "train.losses = [@reconstruction()]\nreconstruction.weight = @cosine()\ncosine.start = @reconstruction()\n",
    "".join(f"A{i} = %A{i + 1}\n" for i in range(3000)) + "A3000 = 1\ntrain.steps = %A0\n",
    "train.steps = " + "[" * 5000 + "]" * 5000 + "\n",
    "train.steps = " + "-" * 100_000 + "1\n",
    "".join(f"A{i} = 1\n" for i in range(200_000)),
    "train.steps = " + "9" * 5000 + "\n",
    "train.steps = 1e300\n",
    "train.model_options = {'hidden_size': 10**9}\n",
    "include '/etc/passwd'\n",
    "include '/etc/hostname.gin'\n",
    "include '../../../../etc/passwd.gin'\n",
    "import os\n",
    "train.steps = '" + "x" * 300_000 + "'\n",
    "train.steps = \x00\n",
    "train.losses = @train()\n",
    "= 3\n",
    "a/b/c/train.steps = 3\n",
]


def nasty_bytes(content: bytes) -> Iterator[bytes | None]:
    """A whole file altered; None stands for a folder in its place."""
    yield from (b"", None, b"\xef\xbb\xbf" + content, content.decode("utf-8", "replace").encode("utf-16"))
    yield from (content[: len(content) // 2], b"\x00" * 1000, b"\xff\xfe\xfd" * 100, content + content)
    yield b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5\n"


@dataclass(frozen=True)
class Trial:
    """One altered file, and what became of reading it.

    Attributes:
        what: Which file, where, and with what.
        outcome: "read", the error's class, or what went wrong.
        seconds: How long it took.
        wrong: Whether that is not as it should be.
    """

    what: str
    outcome: str
    seconds: float
    wrong: bool


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - plain JSON
    """Paths to all values within a JSON value; of a list the first item's alone."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def altered(value: Any, path: tuple[Any, ...], new: Any) -> str:  # noqa: ANN401 - plain JSON
    """The JSON text with another value in one place."""
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = "@NASTY@" if isinstance(new, Verbatim) else new
    text = json.dumps(changed)
    return text.replace('"@NASTY@"', new) if isinstance(new, Verbatim) else text


def renamed(value: Any, path: tuple[Any, ...], key: str) -> str:  # noqa: ANN401 - plain JSON
    """The JSON text with another key in one place."""
    changed = copy.deepcopy(value)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[key] = inner.pop(path[-1])
    return json.dumps(changed)


def made_run(folder: Path) -> Path:
    """A small run with all files."""
    model = zoo.create("gru-S", instrument="flute", hidden_size=8, reverb_length=16)
    lineage = {
        "dataset": {"name": "flute", "hash": "0" * 64, "attribution": ["somebody"], "made": "by rule"},
        "training": {"best_step": 10, "validation_loss": 1.5, "seed": 0, "batch_size": 4},
        "compacted": {"weights": "0" * 64, "difference_db": -60.0},
        "start": {"id": "gru-L-flute", "name": "gru-L-flute", "weights": "1" * 64},
        "teacher": {
            "id": "org/gru-L-flute",
            "commit": "a" * 40,
            "name": "gru-L-flute",
            "weights": "1" * 64,
            "lineage": {"dataset": {"name": "flute", "hash": "0" * 64, "attribution": ["somebody else"]}},
        },
    }
    model.config = model.config.with_changes(lineage=lineage)
    zoo.save(model, folder)
    measures = {"multi_scale_spectral": {"mean": 1.0, "std": 0.1, "n": 3}}
    (folder / "metrics.json").write_text(json.dumps({"student": measures, "teacher": measures}))
    rows = "\n".join(f"{step},{step},1.5,1.25,0.001,{step},1.0" for step in range(1, 20))
    header = "step,epoch,train_loss,val_loss,lr,seconds,reconstruction"
    (folder / "history.csv").write_text(f"{header}\n0,0,,1.5,0.001,0,1.0\n{rows}\n")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "done.json").write_text('{"asked": 10, "steps": 10}')
    (folder / "hub.json").write_text(json.dumps({"repo_id": "o/m", "commit": "a" * 40, "weights_sha256": "0" * 64}))
    (folder / "README.md").write_text(card_text(folder, licence="cc-by-4.0"))
    (folder / "config.gin").write_text("STEPS = 3\ntrain.steps = %STEPS\ntrain.losses = [@reconstruction()]\n")
    return folder


def made_dataset(folder: Path) -> Path:
    """A dataset of two segments."""
    from zoo.datasets.segments import ShardWriter

    folder.mkdir()
    writer = ShardWriter(folder, "train", frames_per_shard=100)
    for index in range(2):
        tensors = {"audio": torch.zeros(640), **{key: torch.zeros(10) for key in ("f0_hz", "loudness_db")}}
        writer.add({"index": index, "source": "a", "start": 0, "valid_frames": 10, "periodicity": 0.5}, tensors)
    writer.close()
    info = {
        "format": "ddsp-zoo dataset",
        "version": 1,
        "name": "made",
        "instrument": "flute",
        "sample_rate": 16000,
        "hop": 64,
        "segment_frames": 12,
        "features": {"tracker": "yin", "fmin": 50.0, "n_fft": 2048, "center": True, "tracker_options": {}},
        "splits": {"train": writer.entries, "validation": [], "test": []},
        "shards": writer.shards,
        "sources": [{"id": "a", "attribution": {"author": "A"}, "made": "by rule", "made_from": [{"attribution": {}}]}],
        "skipped": [{"source": "b", "seconds": 1.0, "reason": "silent"}],
        "notes": ["a note"],
        "request": {"features": {}, "recordings": {}},
    }
    (folder / "dataset.json").write_text(json.dumps(info))
    return folder


def _read_run(run: Path) -> None:
    known = zoo.info(run)
    teachers_of(known.config)
    teacher_reference(known.config)
    attributions(known.config)
    card_text(run)
    result_of(run, name="run")
    zoo.load(run)


def _read_report(run: Path) -> None:
    make_report([str(run)], out=run.parent / "report", force=True)


def _read_dataset(folder: Path) -> None:
    from zoo.datasets.preparation.outcome import outcome_of
    from zoo.training.setup import lineage_of

    data = open_dataset(folder)
    outcome_of(folder, data.info, fresh=False)
    lineage_of(data)
    part = data.split("train")
    for position in range(min(2, len(part))):
        part[position]


def _read_recipe(run: Path) -> None:
    configure([str(run / "config.gin")], functions=main_functions(), outside=True).arguments("train")


def _read_small(run: Path) -> None:
    is_done(run)
    read_source(run)
    hub_reference(run)
    AttributionIndex(run).look_up(run / "a.wav")


def _read_checkpoint(run: Path) -> None:
    load_state(run)


READERS: dict[str, list[Callable[[Path], None]]] = {
    "config.json": [_read_run, _read_report],
    "metrics.json": [_read_run, _read_report],
    "history.csv": [lambda run: void(read_history(run / "history.csv")), _read_report],
    "README.md": [lambda run: void(card_text(run)), _read_small],
    "checkpoints/done.json": [_read_small],
    "hub.json": [_read_small],
    "INDEX.tsv": [_read_small],
    "config.gin": [_read_recipe],
    "model.safetensors": [lambda run: void(zoo.load(run)), lambda run: void(zoo.info(run))],
    "checkpoints/last.ckpt": [_read_checkpoint],
    "dataset.json": [_read_dataset],
}


def void(_: object) -> None:
    """Nothing: what a reader gives is not looked at."""


def all_cases(run: Path, data: Path) -> Iterator[tuple[str, str, bytes | None]]:
    """Every altered file: its name, what was done to it, and its content."""
    for name in READERS:
        folder = data if name == "dataset.json" else run
        content = (folder / name).read_bytes() if (folder / name).is_file() else b"path\tauthor\na.wav\tA\n"
        for number, whole in enumerate(nasty_bytes(content)):
            yield name, f"altered as a whole, way {number}", whole
        if name.endswith(".json"):
            value = json.loads(content)
            for path in places(value):
                for new in ("x" * 100_000, "", "__class__", "\u202e"):
                    if isinstance(path[-1], str):
                        yield name, f"{path} is called {new[:20]!r}", renamed(value, path, new).encode()
                for new in NASTY:
                    where = ".".join(map(str, path))
                    yield name, f"{where} = {str(new)[:30]}", altered(value, path, new).encode("utf-8", "replace")
        elif name.endswith((".csv", ".tsv")):
            delimiter = "," if name.endswith(".csv") else "\t"
            table = list(csv.reader(io.StringIO(content.decode()), delimiter=delimiter))
            for line in range(2):
                for cell in range(len(table[0])):
                    for new in NASTY_CELLS:
                        rows = copy.deepcopy(table)
                        rows[line][cell] = new
                        text = "\n".join(delimiter.join(row) for row in rows)
                        yield name, f"line {line}, cell {cell} = {new[:20]!r}", text.encode()
        for card in NASTY_CARDS if name == "README.md" else ():
            yield name, card[:40].replace("\n", " "), card.encode()
        for recipe in NASTY_RECIPES if name == "config.gin" else ():
            yield name, recipe[:40].replace("\n", " "), recipe.encode()


def try_all(folder: Path, *, count: int | None = None, seed: int = 0) -> list[Trial]:
    """Read altered files.

    Args:
        folder: For the files; it must exist.
        count: So many of all, drawn by the seed; all by default.
        seed: See there.
    """
    run, data = made_run(folder / "run"), made_dataset(folder / "data")
    for readers in READERS.values():  # what is imported late is not to be measured
        for read in readers:
            with contextlib.suppress(ZooError):
                read(data if read is _read_dataset else run)
    cases = list(all_cases(run, data))
    if count is not None:
        cases = random.Random(seed).sample(cases, count)
    return [trial for name, what, content in cases for trial in _try(run, data, name, what, content)]


def _try(run: Path, data: Path, name: str, what: str, content: bytes | None) -> Iterator[Trial]:
    path = (data if name == "dataset.json" else run) / name
    kept = path.read_bytes() if path.is_file() else None
    path.unlink(missing_ok=True)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    for read in READERS[name]:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.process_time()
        try:
            read(path.parent if name == "dataset.json" else run)
            outcome, wrong = "read", False
        except ZooError as error:
            outcome, wrong = f"{type(error).__name__}: {error}", not _is_clear(str(error))
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            outcome, wrong = f"{type(error).__name__} is none of zoo's: {error}", True
        seconds = time.process_time() - began
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
        if seconds > MOST_SECONDS or grown > MOST_BYTES:
            outcome, wrong = f"{outcome} (after {seconds:.1f} s and {grown / 2**20:.0f} MiB)", True
        yield Trial(f"{name}: {what}", outcome, seconds, wrong)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if kept is not None:
        path.write_bytes(kept)


def _is_clear(message: str) -> bool:
    return 10 < len(message) < 3000


def main() -> int:
    """Try all, and say what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, help="so many, drawn by the seed (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trials = try_all(Path(folder), count=options.count, seed=options.seed)
    wrong = [trial for trial in trials if trial.wrong]
    for trial in wrong:
        sys.stdout.write(f"{trial.what}\n    {trial.outcome[:600]}\n")
    slowest = max(trials, key=lambda trial: trial.seconds)
    told = sum(trial.outcome != "read" for trial in trials)
    sys.stdout.write(f"{len(trials)} readings: {told} refused, {len(wrong)} wrong; ")
    sys.stdout.write(f"the slowest took {slowest.seconds:.1f} s ({slowest.what})\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
