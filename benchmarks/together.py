"""Several processes at once on the same folders: what is lost, what is mixed, and what the second one is told.

    python benchmarks/together.py                  # all of it, some ten minutes on two cores
    python benchmarks/together.py --only loads

- loads: processes load a model while another one saves two others in turns into the same folder, and then while it is
  replaced in the store. Every model that is loaded must be wholly one of the two.
- prepares, trains: two processes begin the same at the same moment. One must do it whole; the other must be told, or
  find it done.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

LOADERS = 4


def main() -> int:
    """Run the command and give its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("loads", "prepares", "trains"))
    parser.add_argument("--loads", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=20)
    options = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as place:
        os.environ["ZOO_HOME"] = f"{place}/home"
        if options.only in (None, "loads"):
            for name in ("gru-S", "gru-M", "gru-L"):
                for how in (_save_in_turns, _enter_in_turns):
                    failures += _loads(Path(place) / f"{name}{how.__name__}", name, how, options.loads)
        if options.only in (None, "prepares", "trains"):
            data = _data(Path(place))
            if options.only != "trains":
                failures += _pairs("prepare", _prepare, data, options.pairs)
            if options.only != "prepares":
                failures += _pairs("train", _train, data, options.pairs)
    print("nothing lost" if not failures else f"{failures} faults")
    return int(bool(failures))


def _loads(place: Path, name: str, writer: Callable[..., None], count: int) -> int:
    import zoo
    from zoo.storage.checkpoint import weights_hash

    folders, hashes = [], set()
    for number in range(2):
        model = zoo.create(name, instrument="flute", **({"hidden_size": 24} if number and name == "gru-S" else {}))
        folders.append(zoo.save(model, place / str(number)))
        hashes.add(weights_hash(model))
    target = place / "target"
    zoo.save(zoo.load(folders[0]), target)
    stop = multiprocessing.get_context("spawn").Event()
    context = multiprocessing.get_context("spawn")
    results: Queue[Any] = context.Queue()
    saving = context.Process(target=writer, args=(folders, target, stop, results))
    saving.start()
    loaders = [context.Process(target=_load, args=(target, count // LOADERS, results)) for _ in range(LOADERS)]
    for loader in loaders:
        loader.start()
    found = [results.get() for _ in range(count // LOADERS * LOADERS)]
    stop.set()
    saves = results.get()
    for process in (saving, *loaders):
        process.join()
    wrong = [one for one in found if one not in hashes]
    print(f"{name}, {writer.__name__[1:]}: {len(found)} loads against {saves} saves: {len(wrong)} faults", flush=True)
    for one, times in Counter(wrong).most_common(3):
        print(f"    {times} x {one}")
    return len(wrong)


def _load(target: Path, count: int, results: Queue[Any]) -> None:
    import torch

    import zoo
    from zoo.storage.checkpoint import weights_hash

    torch.set_num_threads(1)
    for _ in range(count):
        try:
            zoo.info(target)
            results.put(weights_hash(zoo.load(target)))
        except Exception as error:  # noqa: BLE001 - whatever it is counts
            results.put(f"{type(error).__name__}: {error}"[:300])


def _save_in_turns(folders: list[Path], target: Path, stop: Event, results: Queue[Any]) -> None:
    import zoo

    models, saves = [zoo.load(folder) for folder in folders], 0
    while not stop.is_set():
        zoo.save(models[saves % 2], target)
        saves += 1
    results.put(saves)


def _enter_in_turns(folders: list[Path], target: Path, stop: Event, results: Queue[Any]) -> None:
    import shutil

    from zoo.storage.files import new_folder

    saves = 0
    while not stop.is_set():
        with new_folder(target) as folder:
            shutil.copytree(folders[saves % 2], folder, dirs_exist_ok=True)
        saves += 1
    results.put(saves)


def _data(place: Path) -> Path:
    import numpy as np
    import soundfile

    folder = place / "recordings"
    folder.mkdir()
    for number in range(6):
        time_axis = np.arange(16000 * 6) / 16000
        f0_hz = 300 + 40 * number + 60 * np.floor(2 * time_axis) % 180
        phase = 2 * np.pi * np.cumsum(f0_hz) / 16000
        sound = sum(np.sin(i * phase) / i for i in range(1, 9)) * 0.15
        soundfile.write(folder / f"g{number}.wav", sound, 16000)
    return folder


def _pairs(what: str, work: Callable[..., dict[str, Any]], data: Path, pairs: int) -> int:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_work, args=(work, data, pairs, barrier, results, n)) for n in range(2)]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    found: dict[int, list[dict[str, Any]]] = {}
    for _ in range(2 * pairs):
        result = results.get()
        found.setdefault(result["pair"], []).append(result)
    for worker in workers:
        worker.join()
    whole = sum(any(r["whole"] for r in pair) and all(r["whole"] or r["told"] for r in pair) for pair in found.values())
    told = Counter(r["said"] for pair in found.values() for r in pair if r["told"])
    mixed = [r["said"] for pair in found.values() for r in pair if not (r["whole"] or r["told"])]
    print(
        f"{what}: {pairs} pairs in {time.monotonic() - began:.0f} s: {whole} whole, {sum(told.values())} told",
        flush=True,
    )
    for said in [*list(told)[:2], *mixed[:3]]:
        print(f"    {said}")
    return pairs - whole


def _work(
    work: Callable[..., dict[str, Any]], data: Path, pairs: int, barrier: Barrier, results: Queue[Any], number: int
) -> None:
    import torch

    from zoo.errors import ZooError

    torch.set_num_threads(1)
    for pair in range(pairs):
        barrier.wait()
        result: dict[str, Any] = {"pair": pair, "told": False, "whole": False, "said": ""}
        try:
            result |= work(data, data.parent / f"{work.__name__}-{pair}", number)
        except ZooError as error:
            result |= {"told": type(error).__name__ == "InUseError", "said": f"{type(error).__name__}: {error}"}
        except Exception as error:  # noqa: BLE001 - whatever it is counts
            result["said"] = f"{type(error).__name__}: {error}"
        results.put(result)


def _prepare(data: Path, out: Path, number: int) -> dict[str, Any]:
    from zoo.datasets import PrepareConfig, prepare

    (outcome,) = prepare(PrepareConfig.from_flat(recordings=data, out=out, pitch="yin", instrument="flute"))
    info = json.loads((out / "dataset.json").read_text())
    whole = outcome.recordings == len(info["sources"]) == 6 and not (out / ".work").exists()
    return {"whole": whole, "said": f"{outcome.recordings} recordings"}


def _train(data: Path, out: Path, number: int) -> dict[str, Any]:
    from zoo.datasets import PrepareConfig, prepare
    from zoo.storage.config import read_config
    from zoo.training import TrainConfig, train

    prepared = data.parent / "prepared"
    if not (prepared / "dataset.json").is_file() and number == 0:
        prepare(PrepareConfig.from_flat(recordings=data, out=prepared, pitch="yin", instrument="flute"))
    while not (prepared / "dataset.json").is_file():
        time.sleep(0.05)
    config = TrainConfig(model="gru-S", dataset=prepared, steps=3, batch_size=2, seed=number, evaluate=False)
    train(config, out=out, progress=False)
    training = read_config(out).lineage["training"]
    return {"whole": training["seed"] == number, "said": f"seed {training['seed']}, and asked for {number}"}


if __name__ == "__main__":
    sys.exit(main())
