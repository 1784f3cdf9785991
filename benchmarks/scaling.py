"""How cost grows: workers of a grid, recordings to prepare, segments to train on, models to list.

    python benchmarks/scaling.py                        # everything; half an hour on two cores
    python benchmarks/scaling.py --parts train list
    python benchmarks/scaling.py --parts train --segments 100 75000   # the second has 20 GB

- grid: 8 trainings of a few steps each (`zoo grid --sweep SEED=...`) by 1, 2 and 4 workers of one thread.
- prepare: 10, 100 and 1,000 recordings of 5 s, pitch by yin, by one and by two workers.
- train: 40 steps of `gru-S` on datasets of 100 to 10,000 segments of 4 s. Their shards are one shard under many
  names (hard links), so that they take no room on the disk; what is read is mapped anew for each. One segment in 50
  is validated on. With `--copies` they are copies, as those of a real dataset.
- list: 10 to 10,000 trained models in a local store, `zoo list` in a new process.

Every command is a process of its own; its seconds and the most memory that it or a process of its own had are measured
from outside. Progress goes to stderr, tables to stdout.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import soundfile

import zoo
from zoo.datasets import Preparation, prepare_dataset
from zoo.datasets.index import INDEX_NAME
from zoo.datasets.tones import tones
from zoo.features import FeatureSettings

PARTS = ("grid", "prepare", "train", "list")
_MIB = 1024
_PHRASES = 100

MEASURED = """
import resource, subprocess, sys, time
began = time.monotonic()
code = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL).returncode
print(time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def measure(*words: object, home: Path, threads: int = 1) -> tuple[float, float]:
    """Run a command of zoo: its seconds, and the most MiB that one of its processes had."""
    environment = {
        **os.environ,
        "ZOO_HOME": str(home),
        "OMP_NUM_THREADS": str(threads),
        "NUMBA_NUM_THREADS": str(threads),
    }
    command = [sys.executable, "-c", MEASURED, sys.executable, "-m", "zoo", *map(str, words)]
    sys.stderr.write(f"zoo {' '.join(map(str, words))[:100]}\n")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"It ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    seconds, memory = done.stderr.strip().splitlines()[-1].split()
    return float(seconds), float(memory) / _MIB


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table in Markdown."""
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def grid(folder: Path, home: Path, workers: Sequence[int], steps: int) -> None:
    """8 runs by more and more workers."""
    data = folder / "tones"
    heard = FeatureSettings(tracker="yin", normalize="peak", loudness="mean_db")  # as the recipe's teacher hears
    preparation = Preparation(segment_seconds=2.0, features=heard)
    prepare_dataset(tones(phrases=20, seconds=4.0), data, preparation, dataset="tones", name="tones")
    measure("list", home=home)  # warm
    rows, alone = [], 0.0
    for jobs in workers:
        seconds, memory = measure(
            *(
                "grid",
                "quickstart.gin",
                "--out",
                folder / f"grid-{jobs}",
                "--jobs",
                jobs,
                "--sweep",
                "SEED=1,2,3,4,5,6,7,8",
            ),
            *("--set", f"DATASET='{data}'", "--set", f"STEPS={steps}", "--set", "BATCH_SIZE=8"),
            *("--set", "distill.evaluate=False"),
            home=home,
        )
        alone = alone or seconds
        rows.append((jobs, f"{seconds:.0f} s", f"{alone / seconds:.2f}", f"{memory:.0f} MiB"))
    cores = len(os.sched_getaffinity(0))
    table(f"A grid of 8 runs of {steps} steps, {cores} cores.", ("workers", "time", "speed", "largest process"), rows)


def prepare(folder: Path, home: Path, counts: Sequence[int]) -> None:
    """More and more recordings."""
    (phrase,) = tones(phrases=1, seconds=5.0)
    sound = phrase.load(16000).numpy()
    rows = []
    for count in counts:
        recordings = folder / f"recordings-{count}"
        recordings.mkdir()
        for number in range(count):
            sound[0] = number / 2**15  # equal recordings would be analysed once
            soundfile.write(recordings / f"{number:05}.wav", sound, 16000)
        for jobs in (1, 2):
            out = folder / f"prepared-{count}-{jobs}"
            seconds, memory = measure("prepare", recordings, out, "--pitch", "yin", "--jobs", jobs, home=home)
            index = (out / INDEX_NAME).stat().st_size
            per = f"{1000 * seconds / count:.0f} ms"
            rows.append((count, jobs, f"{seconds:.0f} s", per, f"{memory:.0f} MiB", f"{index / 1024:.0f} kB"))
            shutil.rmtree(out)
    table(
        "Preparing recordings of 5 s, pitch by yin.",
        ("recordings", "workers", "time", "per recording", "largest process", "dataset.json"),
        rows,
    )


def many_segments(folder: Path, shard: Path, facts: dict[str, object], count: int, *, copies: bool) -> Path:
    """A dataset of `count` segments out of one shard of 100."""
    out = folder / f"segments-{count}"
    out.mkdir()
    info = json.loads((shard.parent / INDEX_NAME).read_text())
    entries = [entry for entry in info["splits"]["train"] if entry["shard"] == shard.name]
    info["shards"], info["sources"], info["splits"] = {}, [], {"train": [], "validation": [], "test": []}
    for number in range(-(-count // len(entries))):
        name = f"train-{number:05d}-{shard.stem.rsplit('-', 1)[1]}.safetensors"
        (shutil.copy if copies else os.link)(shard, out / name)
        info["shards"][name] = facts
        for entry in entries[: count - len(info["splits"]["train"])]:
            own = {**entry, "shard": name, "index": len(info["splits"]["train"])}
            info["splits"]["train"].append(own)
    info["splits"]["validation"] = [
        {**one, "index": count + i} for i, one in enumerate(info["splits"]["train"][: max(16, count // 50)])
    ]
    (out / INDEX_NAME).write_text(json.dumps(info))
    return out


def train(folder: Path, home: Path, counts: Sequence[int], *, copies: bool) -> None:
    """A few steps on more and more segments."""
    source = folder / "phrases"
    preparation = Preparation(segment_seconds=4.0, features=FeatureSettings(tracker="yin"))
    prepare_dataset(tones(phrases=_PHRASES, seconds=4.0), source, preparation, dataset="tones", name="phrases")
    info = json.loads((source / INDEX_NAME).read_text())
    name, facts = next((name, facts) for name, facts in info["shards"].items() if name.startswith("train"))
    rows = []
    for count in counts:
        data = many_segments(folder, source / name, facts, count, copies=copies)
        size = sum(file.stat().st_size for file in data.glob("*.safetensors"))
        words = ("--gin", "train/gru-S.gin", "--set", f"DATASET='{data}'", "--set", "BATCH_SIZE=8", "--no-progress")
        run = folder / "run"
        words += ("--set", "STEPS=40", "--set", "VALIDATE_EVERY=20", "--set", "train.evaluate=False", "--out", run)
        seconds, memory = measure("train", *words, home=home)
        with (run / "history.csv").open() as file:
            clock = {int(row["step"]): float(row["seconds"]) for row in csv.DictReader(file)}
        shutil.rmtree(run)
        per = f"{1000 * (clock[40] - clock[20]) / 20:.0f} ms"
        rows.append((count, f"{size / 1e9:.2f} GB", per, f"{seconds - clock[40]:.0f} s", f"{memory:.0f} MiB"))
        shutil.rmtree(data)
    table(
        "Training `gru-S`, 8 segments per step.",
        ("segments", "dataset", "per step (21 to 40)", "all but the steps", "most memory"),
        rows,
    )


def listing(folder: Path, home: Path, counts: Sequence[int]) -> None:
    """More and more trained models in the store."""
    model = zoo.create("gru-S", instrument="flute", hidden_size=8, reverb_length=0)
    zoo.save(model, folder / "model")
    rows, made = [], 0
    (home / "models").mkdir(parents=True, exist_ok=True)
    for count in counts:
        for number in range(made, count):
            shutil.copytree(folder / "model", home / "models" / f"gru-S-flute{number}", copy_function=os.link)
        made = max(made, count)
        timed = [measure("list", "--pretrained", home=home) for _ in range(3)]
        rows.append((count, f"{statistics.median(t for t, _ in timed):.2f} s", f"{timed[0][1]:.0f} MiB"))
    table("`zoo list --pretrained`.", ("models in the store", "median of three", "most memory"), rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="which (default all)")
    parser.add_argument("--steps", type=int, default=40, help="of a run of the grid (default 40)")
    parser.add_argument("--recordings", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--segments", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--models", type=int, nargs="+", default=[10, 100, 1000, 10000])
    parser.add_argument("--copies", action="store_true", help="copy shards where they would be linked")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder, home = Path(temporary), Path(temporary) / "home"
        began = time.monotonic()
        if "grid" in options.parts:
            grid(folder, home, (1, 2, 4), options.steps)
        if "prepare" in options.parts:
            prepare(folder, home, options.recordings)
        if "train" in options.parts:
            train(folder, home, options.segments, copies=options.copies)
        if "list" in options.parts:
            listing(folder, home, options.models)
        sys.stderr.write(f"{time.monotonic() - began:.0f} s in all\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
