"""How long `zoo.load` of a fetched model takes, against what no loader can do without.

    python benchmarks/loading.py                # gru-L
    python benchmarks/loading.py --model tcn-L

The yardstick is reading the model's tensors with safetensors plus building its module. Both are measured in turns, in
one process, with the files in the system's cache. `zoo.load` also resolves the id, reads and checks config and header,
hashes the whole file, looks for NaN, and copies the weights into the module.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ["HF_HUB_DISABLE_XET"] = "1"  # the stand-in speaks LFS
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "hub"))

from hub_server import HubServer
from safetensors.torch import load_file

import zoo
from zoo.storage.config import read_config


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gru-L", help="an architecture (default gru-L)")
    parser.add_argument("--repeats", type=int, default=25, help="of each (default 25)")
    options = parser.parse_args()
    with HubServer() as hub, tempfile.TemporaryDirectory() as cache:
        pushed = zoo.create(options.model).push_to_hub("org/model", token=hub.token, endpoint=hub.endpoint)
        place = {"endpoint": hub.endpoint, "cache_dir": cache}
        zoo.load(pushed.reference, **place)
        folder = zoo.fetch(pushed.reference, **place)
        (weights,) = folder.glob("model.safetensors")
        config = read_config(folder)
        times: dict[str, list[float]] = {"read": [], "build": [], "load": [], "load by branch": []}
        actions = {
            "read": lambda: load_file(weights),
            "build": lambda: zoo.Model(config),
            "load": lambda: zoo.load(pushed.reference, **place),
            "load by branch": lambda: zoo.load("org/model@main", **place),
        }
        for _ in range(options.repeats):
            for name, action in actions.items():
                begin = time.perf_counter()
                action()
                times[name].append(time.perf_counter() - begin)
    middle = {name: statistics.median(values) * 1e3 for name, values in times.items()}
    yardstick = middle["read"] + middle["build"]
    print("| what | median ms | against reading + building |")
    print("| --- | --- | --- |")
    print(f"| reading the tensors of {options.model} | {middle['read']:.1f} | |")
    print(f"| building the module | {middle['build']:.1f} | |")
    print(f"| zoo.load of a commit in the cache | {middle['load']:.1f} | {middle['load'] / yardstick:.2f} |")
    branch = middle["load by branch"]
    print(f"| zoo.load of a branch (asks the Hub) | {branch:.1f} | {branch / yardstick:.2f} |")


if __name__ == "__main__":
    main()
