"""How long `zoo.list_models()` takes with many plugins installed, and that it imports none of them.

    python benchmarks/listing.py                   # 50 plugins
    python benchmarks/listing.py --plugins 200 --repeats 31

The plugins are made here: each is a wheel with a decoder, a synth, a loss, two metrics, two architectures, a gin file
and a trained model, and pip installs all of them into a folder of their own. New processes list the models, in turns
without and with that folder on the path, beside whatever is installed here anyway. Each says how long importing zoo,
the first call and the second one took by its own clock, and which of the plugins' modules it has imported; the clock of
the whole process, which includes Python's own start, is this program's.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import zoo

COMPONENTS = {
    "decoders": ["decoder"],
    "synths": ["synth"],
    "losses": ["loss"],
    "metrics": ["metric_one", "metric_two"],
    "models": ["small", "large"],
}
"""What each plugin brings, kind to attributes of its module."""

LIST = """
import json, sys, time
began = time.perf_counter()
import zoo
imported = time.perf_counter()
names = zoo.list_models()
listed = time.perf_counter()
zoo.list_models()
again = time.perf_counter()
own = [name for name in sys.modules if name.startswith("bench_plugin_")]
print(json.dumps({
    "import zoo": imported - began, "first call": listed - imported, "second call": again - listed,
    "names": names, "imported": own, "torch": "torch" in sys.modules,
}))
"""

PARTS = ("import zoo", "first call", "second call", "process")


def make_wheel(folder: Path, number: int, model: dict[str, bytes]) -> Path:
    """A plugin as a wheel.

    Args:
        folder: Where it is put.
        number: Of the plugin; it is in all its names.
        model: The files of the trained model that it ships.
    """
    package, distribution = f"bench_plugin_{number}", f"bench-plugin-{number}"
    groups = [
        f"[zoo_{kind}]\n" + "".join(f"{_name(number, attribute)} = {package}:{attribute}\n" for attribute in attributes)
        for kind, attributes in COMPONENTS.items()
    ]
    info = f"{package}-1.0.dist-info"
    source = "import torch\n" + "".join(f"def {name}(): ...\n" for names in COMPONENTS.values() for name in names)
    files: dict[str, str | bytes] = {
        f"{package}/__init__.py": source,
        f"{package}/gin/train/{distribution}.gin": "include 'train/default.gin'\n",
        **{f"{package}/model_cards/gru-S-bench{number}/{name}": content for name, content in model.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        "Requires-Dist: ddsp-zoo>=0.1\nRequires-Dist: torch\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: benchmark\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "\n".join([*groups, f"[zoo_resources]\n{package} = {package}\n"]),
    }
    record = [f"{name},," for name in [*files, f"{info}/RECORD"]]
    wheel = folder / f"{package}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in {**files, f"{info}/RECORD": "\n".join(record) + "\n"}.items():
            archive.writestr(name, content)
    return wheel


def _name(number: int, attribute: str) -> str:
    return f"bench{number}-{attribute}"


def models_of(number: int) -> set[str]:
    """The models that a plugin brings: architectures, and a trained one."""
    return {*(_name(number, attribute) for attribute in COMPONENTS["models"]), f"gru-S-bench{number}"}


def install(plugins: int, folder: Path) -> None:
    """Make so many plugins, and let pip install them into a folder."""
    with tempfile.TemporaryDirectory() as place:
        zoo.save(zoo.create("gru-S", hidden_size=4), Path(place) / "model")
        model = {path.name: path.read_bytes() for path in (Path(place) / "model").iterdir() if path.is_file()}
        wheels = [str(make_wheel(Path(place), number, model)) for number in range(plugins)]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--no-index", "--target", str(folder), *wheels], check=True)


def run(code: str, path: Path | None) -> dict[str, Any]:
    """What a new process says of itself as JSON, and how long all of it took.

    Args:
        code: What it does.
        path: A folder that its packages are looked up in too.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ZOO_NO_PLUGINS")}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - began
    return {**(json.loads(done.stdout) if done.stdout else {}), "process": seconds}


def problems_of(found: dict[str, Any], plugins: int) -> list[str]:
    """What a process that listed the models should not have said."""
    wanted = {name for number in range(plugins) for name in models_of(number)}
    missing = sorted(wanted - set(found["names"]))
    problems = [f"not listed: {', '.join(missing)}"] if missing else []
    if found["imported"]:
        problems.append(f"imported: {', '.join(found['imported'])}")
    if found["torch"]:
        problems.append("torch was imported")
    return problems


def measure(plugins: int, folder: Path, repeats: int) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Median milliseconds of each part, without and with the plugins, and whatever went wrong."""
    columns: dict[str, list[dict[str, Any]]] = {"nothing": [], "without": [], "with": []}
    for _ in range(repeats):
        columns["nothing"].append(run("", None))
        columns["without"].append(run(LIST, None))
        columns["with"].append(run(LIST, folder))
    medians = {
        column: {part: statistics.median(r[part] for r in runs) * 1e3 for part in PARTS if part in runs[0]}
        for column, runs in columns.items()
    }
    problems = [problem for found in columns["with"] for problem in problems_of(found, plugins)]
    problems += [problem for found in columns["without"] for problem in problems_of(found, 0)]
    return medians, sorted(set(problems))


def table(medians: dict[str, dict[str, float]], plugins: int) -> str:
    """The measured medians in Markdown."""
    said = io.StringIO()
    said.write(f"| | no plugin, ms | {plugins} plugins, ms |\n|---|---|---|\n")
    nothing = medians["nothing"]["process"]
    said.write(f"| Python's own start | {nothing:.0f} | {nothing:.0f} |\n")
    for part, what in (
        ("import zoo", "`import zoo`"),
        ("first call", "`zoo.list_models()`, the first call"),
        ("second call", "`zoo.list_models()` again"),
        ("process", "the whole process"),
    ):
        digits = 1 if part == "second call" else 0
        cells = [f"{medians[column][part]:.{digits}f}" for column in ("without", "with")]
        said.write(f"| {what} | {' | '.join(cells)} |\n")
    return said.getvalue()


def main() -> int:
    """Install the plugins, measure, and print a table; 1 if a plugin was imported or not listed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugins", type=int, default=50, help="how many to install (default 50)")
    parser.add_argument("--repeats", type=int, default=15, help="processes of each kind (default 15)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "site"
        install(options.plugins, folder)
        run(LIST, folder)  # compiles, and fills the system's cache
        medians, problems = measure(options.plugins, folder, options.repeats)
    print(table(medians, options.plugins), end="")
    for problem in problems:
        print(f"problem: {problem}")
    if not problems:
        print(
            f"\nEvery process listed the models of all {options.plugins} plugins, and imported none of their modules."
        )
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
