"""Kill a distillation outright at random moments, resume it each time, and compare its end with an undisturbed one's.

    python benchmarks/kill_resume.py
    python benchmarks/kill_resume.py --kills 50 --student s4-S

On the CPU, on phrases that zoo makes by rule, as the command that people type. What is compared: the best weights and
the last ones, bit for bit, and the history but for its times. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

OPTIONS = {
    "gru-S": {"hidden_size": 16},
    "tcn-S": {"channels": 8},
    "s4-S": {"model_size": 4},
    "s4d-S": {"model_size": 4},
}


def command(student: str, steps: int, out: Path, *, resume: bool) -> list[str]:
    """The command of a run."""
    settings = {
        "STEPS": steps,
        "BATCH_SIZE": 4,
        "VALIDATE_EVERY": 5,
        "distill.student": repr(student),
        "distill.student_options": {**OPTIONS[student], "reverb_length": 400},
        "distill.evaluate": False,
        "distill.accelerator": "'cpu'",
    }
    sets = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    start = [sys.executable, "-m", "zoo.distill", "--gin", "quickstart.gin", *sets, "--out", str(out)]
    return [*start, "--resume"] if resume else start


def run(arguments: list[str], home: Path, *, kill: Callable[[float], bool] = lambda _: False) -> int:
    """Run a command, and kill it once `kill`, which is told how long it has run, says so; its exit code."""
    environment = {**os.environ, "ZOO_HOME": str(home)}
    began = time.monotonic()
    with (home / "said").open("wb") as said, subprocess.Popen(arguments, env=environment, stderr=said) as process:
        while process.poll() is None:
            if kill(time.monotonic() - began):
                process.kill()
            time.sleep(0.005)
    if process.returncode not in (0, -9):
        sys.stderr.write((home / "said").read_text())
    return process.returncode


def random_moment(moments: random.Random, start_seconds: float, checkpoint: Path) -> Callable[[float], bool]:
    """When to kill: in one case of four while it starts, else a little after it has got on."""
    if moments.random() < 0.25:
        moment = moments.uniform(0, start_seconds)
        return lambda seconds: seconds > moment
    before = checkpoint.stat().st_mtime_ns if checkpoint.is_file() else 0
    left = moments.uniform(0, 1.5)
    due: list[float] = []

    def kill(seconds: float) -> bool:
        if not due and checkpoint.is_file() and checkpoint.stat().st_mtime_ns != before:
            due.append(seconds + left)
        return bool(due) and seconds > due[0]

    return kill


def differences(first: Path, second: Path) -> list[str]:
    """In what two runs differ."""
    found = []
    if (first / "model.safetensors").read_bytes() != (second / "model.safetensors").read_bytes():
        found.append("the best weights")
    states = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (first, second)]
    for part in ("model", "losses"):
        if not all(torch.equal(value, states[1][part][name]) for name, value in states[0][part].items()):
            found.append(f"the last state of the {part}")
    rows = [[{**row, "seconds": 0} for row in state["history"]] for state in states]
    if rows[0] != rows[1]:
        found.append("the history")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Kill and resume, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--student", choices=sorted(OPTIONS), default="tcn-S", help="tcn-S, which has dropout")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--steps", type=int, default=500)
    options = parser.parse_args(argv)
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        whole, parts = home / "whole", home / "parts"
        began = time.monotonic()
        started: list[float] = []

        def watch(seconds: float) -> bool:
            if not started and (whole / "history.csv").is_file():
                started.append(seconds)
            return False

        if run(command(options.student, options.steps, whole, resume=False), home, kill=watch):
            return 1
        print(f"undisturbed: {options.steps} steps, {time.monotonic() - began:.0f} s", flush=True)
        shutil.rmtree(home / "cache", ignore_errors=True)  # the teacher's cache is killed while it is made, too
        reached = []
        checkpoint = parts / "checkpoints" / "last.ckpt"
        for _ in range(options.kills):
            if not checkpoint.is_file():
                shutil.rmtree(parts, ignore_errors=True)
            arguments = command(options.student, options.steps, parts, resume=checkpoint.is_file())
            code = run(arguments, home, kill=random_moment(moments, started[0], checkpoint))
            if code != -9:
                print(f"it ended with {code} before it could be killed: give more --steps")
                return 1
            history = parts / "history.csv"
            reached.append(history.read_text().splitlines()[-1].split(",")[0] if history.is_file() else "-")
        code = run(command(options.student, options.steps, parts, resume=checkpoint.is_file()), home)
        print(f"killed {options.kills} times; step at the last validation before each: {', '.join(reached)}")
        if code:
            return 1
        found = differences(whole, parts)
        print(f"differs in: {', '.join(found)}" if found else "the same, bit for bit")
        return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
