"""Kill commands that work in several processes, at many moments: do children end with them, and does a restart go on?

    python benchmarks/kill_parents.py                            # prepare, grid, compare: 20 moments each
    python benchmarks/kill_parents.py --commands grid --moments 4

Each command runs once undisturbed, which gives its duration and its result. Then it is started anew for each moment,
these spread evenly over that duration, and its own process alone gets SIGTERM or SIGKILL, in turn. Every process below
it has a mark in its environment: those that carry it are looked up in /proc until none is alive. Then the same command
is given again. A trial fails where

- a process is alive 5 s after the signal;
- the second start ends with another exit code than 0;
- it does again what was done: a recording that was analysed, a run that had come to its end;
- its result is not that of the undisturbed command: every file of a dataset, byte by byte; the weights of every run,
  bit for bit, and every row of the table.

On the CPU, on synthetic phrases. Linux only. Progress goes to stderr, the table to stdout; exits with 1 on a failure.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import soundfile
import torch

from zoo.datasets import Preparation, open_dataset, prepare_dataset
from zoo.datasets.data_range import range_of
from zoo.datasets.index import WORK_NAME
from zoo.datasets.preparation.analysis import read_analysis
from zoo.datasets.tones import tones
from zoo.features import FeatureSettings
from zoo.models.creating import create
from zoo.storage import checkpoint
from zoo.storage.locks import IN_USE
from zoo.training.run_folder import is_done

MARK = "ZOO_TRIAL"
PATIENCE_SECONDS = 5.0
RECORDINGS, RECORDING_SECONDS = 8, 90.0
_SIGNALS = (signal.SIGTERM, signal.SIGKILL)
_MOST_SECONDS = 600.0
# Columns of a table that no two runs have in common.
_TIMES = re.compile(r"seconds|.*real_time_factor.*")


@dataclass(frozen=True)
class Workload:
    """A command, and what its trials look at.

    Attributes:
        name: What the table calls it.
        command: Its arguments, with the folder to make.
        done: What in that folder need not be done again, by name, with what tells it from one that was made anew.
        repeated: What of that the second start did again: by what was done before, the folder, and what it said.
        result: The whole result, by name.
    """

    name: str
    command: Callable[[Path], list[str]]
    done: Callable[[Path], dict[str, int]]
    repeated: Callable[[dict[str, int], Path, str], list[str]]
    result: Callable[[Path], dict[str, str]]


@dataclass
class Trial:
    """What came of one signal.

    Attributes:
        workload: The command.
        number: The signal.
        moment: When it was sent, in seconds after the start.
        sent: Whether the command was still running then.
        children: Processes that were alive then, beside the command's own.
        seconds: From the signal until the last of them had ended.
        done: How much was done by then.
        problems: What should not have been; empty when all is well.
    """

    workload: str
    number: signal.Signals
    moment: float
    sent: bool = False
    children: int = 0
    seconds: float = 0.0
    done: int = 0
    problems: list[str] = field(default_factory=list)


def marked(mark: str) -> set[int]:
    """Ids of living processes that were started with a mark in their environment."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it ended meanwhile, or is another user's
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                if state not in "ZX" and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
    return found


def start(command: Sequence[str], home: Path, mark: str) -> subprocess.Popen[str]:
    """Start a command in a session of its own; what it says is kept in `home`."""
    environment = {**os.environ, "ZOO_HOME": str(home / "zoo"), "OMP_NUM_THREADS": "1", MARK: mark}
    with (home / "said").open("w") as said:
        return subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            text=True,
            start_new_session=True,
        )


def finish(command: Sequence[str], home: Path) -> tuple[int, str]:
    """Run a command to its end: its exit code, and what it said."""
    process = start(command, home, uuid.uuid4().hex)
    try:
        code = process.wait(_MOST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    return code, (home / "said").read_text()


def try_once(workload: Workload, number: signal.Signals, moment: float, expected: dict[str, str], home: Path) -> Trial:
    """Start a command, send its process a signal at a moment, see what lives on, and start it again."""
    trial, mark, out = Trial(workload.name, number, moment), uuid.uuid4().hex, home / "out"
    process = start(workload.command(out), home, mark)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        trial.sent = True
        trial.children = len(marked(mark) - {process.pid})
        process.send_signal(number)
    sent = time.monotonic()
    # A mark is inherited, so once no process has it none can come to have it.
    while process.poll() is None or marked(mark):
        if time.monotonic() - sent > PATIENCE_SECONDS:
            break
        time.sleep(0.05)
    trial.seconds = time.monotonic() - sent
    if alive := marked(mark):
        own = process.pid in alive
        trial.problems.append(f"{len(alive) - own} children{' and the command' if own else ''} alive after 5 s")
        for pid in alive:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
    before = workload.done(out)
    trial.done = len(before)
    code, said = finish(workload.command(out), home)
    if code:
        last = said.strip().splitlines()[-1:] or ["nothing said"]
        trial.problems.append(f"the next start ended with {code}: {last[0]}")
        return trial
    if again := workload.repeated(before, out, said):
        trial.problems.append(f"done again: {', '.join(again)}")
    found = workload.result(out)
    if other := sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)):
        trial.problems.append(f"another result: {', '.join(other[:5])}")
    return trial


def make_material(folder: Path) -> None:
    """What the commands work on: recordings, a small dataset, a teacher with random weights, three recipes."""
    (folder / "recordings").mkdir()
    for number, each in enumerate(tones(phrases=RECORDINGS, seconds=RECORDING_SECONDS)):
        soundfile.write(folder / "recordings" / f"{number:02}.wav", each.load(16000).numpy(), 16000)
    preparation = Preparation(segment_seconds=0.512, min_seconds=0.256, features=FeatureSettings(tracker="yin"))
    prepare_dataset(tones(phrases=10, seconds=1.5), folder / "tones", preparation, dataset="tones", name="tones")
    dataset = open_dataset(folder / "tones")
    torch.manual_seed(0)
    options = {"input_size": 8, "channels": 8, "output_size": 8, "blocks": 2, "reverb_length": 400}
    teacher = create("tcn-S", instrument="tones", features=dataset.features.to_dict(), **options)
    teacher.set_range(range_of(dataset.split("train"), frame_rate=dataset.sample_rate / dataset.hop))
    checkpoint.save(teacher, folder / "teacher")
    for name in "abc":
        recipe = f"include 'distill/gru-L-to-gru-S.gin'\nTEACHER = {str(folder / 'teacher')!r}\n"
        (folder / f"{name}.gin").write_text(recipe)


def workloads(folder: Path, steps: int) -> list[Workload]:
    """The commands, on the material in a folder."""
    settings = {
        "STEPS": steps,
        "BATCH_SIZE": 4,
        "VALIDATE_EVERY": 5,
        "DATASET": repr(str(folder / "tones")),
        "distill.student_options": {"hidden_size": 8, "reverb_length": 200},
        "trainer.accelerator": "'cpu'",
    }
    sets = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    a, b, c = (str(folder / f"{name}.gin") for name in "abc")

    def prepare(out: Path) -> list[str]:
        return ["-m", "zoo", "prepare", str(folder / "recordings"), str(out), "--jobs", "2", "--pitch", "yin"]

    def grid(out: Path) -> list[str]:
        return ["-m", "zoo", "grid", a, b, c, "--out", str(out), "--jobs", "2", *sets]

    def compare(out: Path) -> list[str]:
        return ["-m", "zoo", "compare", "--gin", a, "--out", str(out), "--seeds", "1", *sets]

    return [
        Workload("prepare", prepare, _analysed, _analysed_again, _dataset_files),
        Workload("grid", grid, _runs_done, _trained_again, lambda out: _runs_and_table(out, "results.csv")),
        Workload("compare", compare, _runs_done, _trained_again, lambda out: _runs_and_table(out, "compare.csv")),
    ]


def _analysed(out: Path) -> dict[str, int]:
    if (index := out / "dataset.json").is_file():
        return {"dataset.json": index.stat().st_mtime_ns}
    files = (out / WORK_NAME).glob("*.safetensors")
    return {file.name: file.stat().st_mtime_ns for file in files if read_analysis(file) is not None}


def _analysed_again(before: dict[str, int], out: Path, said: str) -> list[str]:
    if "dataset.json" in before:
        return [] if before == _analysed(out) and "already prepared" in said else ["the dataset"]
    # the work files are gone by now: the command says how many recordings it analyses
    announced = re.search(r"^Analysing (\d+) recording", said, re.MULTILINE)
    again = (int(announced[1]) if announced else 0) - (RECORDINGS - len(before))
    return [f"{again} recordings"] if again else []


def _dataset_files(out: Path) -> dict[str, str]:
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name != IN_USE]
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _runs_done(out: Path) -> dict[str, int]:
    folders = [weights.parent for weights in out.glob("*/model.safetensors") if is_done(weights.parent)]
    names = ("model.safetensors", "history.csv", "checkpoints/done.json")
    return {f"{folder.name}/{name}": (folder / name).stat().st_mtime_ns for folder in folders for name in names}


def _trained_again(before: dict[str, int], out: Path, _: str) -> list[str]:
    after = _runs_done(out)
    return sorted({name.partition("/")[0] for name, made in before.items() if after.get(name) != made})


def _runs_and_table(out: Path, table: str) -> dict[str, str]:
    found = {
        f"{weights.parent.name}'s weights": hashlib.sha256(weights.read_bytes()).hexdigest()
        for weights in sorted(out.glob("*/model.safetensors"))
    }
    with (out / table).open() as file:
        for number, row in enumerate(csv.DictReader(file), 1):
            kept = {name: value for name, value in row.items() if not _TIMES.fullmatch(name)}
            found[f"row {number} of {table}"] = repr(kept)
    return found


def run_trials(workload: Workload, moments: int, home: Path) -> tuple[float, list[Trial]]:
    """Run a command undisturbed, then kill it at moments that are spread over its duration."""
    # the first time fills caches of compiled code, and the second one is measured
    for whole in (home / f"{workload.name}-first", home / f"{workload.name}-second"):
        whole.mkdir()
        began = time.monotonic()
        code, said = finish(workload.command(whole / "out"), whole)
        seconds = time.monotonic() - began
        if code:
            raise SystemExit(f"{workload.name} ended with {code} undisturbed:\n{said}")
    expected = workload.result(whole / "out")
    sys.stderr.write(f"{workload.name}: {seconds:.1f} s undisturbed\n")
    trials = []
    for k in range(moments):
        place = home / "trial"
        place.mkdir()
        moment = seconds * (k + 0.5) / moments
        trial = try_once(workload, _SIGNALS[k % 2], moment, expected, place)
        shutil.rmtree(place)
        trials.append(trial)
        what = f"{trial.number.name} at {moment:.1f} s" if trial.sent else f"had ended before {moment:.1f} s"
        sys.stderr.write(
            f"{workload.name} {k + 1}/{moments}: {what}, {trial.children} children, {trial.done} done, "
            f"gone after {trial.seconds:.1f} s: {'; '.join(trial.problems) or 'well'}\n"
        )
        sys.stderr.flush()
    return seconds, trials


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trials and print a table."""
    names = ("prepare", "grid", "compare")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", choices=names, default=names, help="which (default all)")
    parser.add_argument("--moments", type=int, default=20, help="trials of each command (default 20)")
    parser.add_argument("--steps", type=int, default=20, help="of a run of grid and compare (default 20)")
    options = parser.parse_args(argv)
    failed = 0
    print("| command | undisturbed | signal | trials | with children | with work done | longest to end | failed |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_material(folder)
        for workload in workloads(folder, options.steps):
            if workload.name not in options.commands:
                continue
            seconds, trials = run_trials(workload, options.moments, folder)
            failed += sum(bool(trial.problems) for trial in trials)
            for number in _SIGNALS:
                own = [trial for trial in trials if trial.number is number and (trial.sent or trial.problems)]
                if own:
                    children, done = sum(t.children > 0 for t in own), sum(t.done > 0 for t in own)
                    bad, longest = sum(bool(t.problems) for t in own), max(t.seconds for t in own)
                    cells = [f"{seconds:.1f} s", number.name, len(own), children, done, f"{longest:.1f} s", bad]
                    print(f"| {workload.name} | {' | '.join(map(str, cells))} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
