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
from collections.abc import Sequence
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


def run(arguments: list[str], home: Path, *, kill_after: float | None = None) -> int:
    """Run a command, and kill it after some seconds; its exit code."""
    environment = {**os.environ, "ZOO_HOME": str(home)}
    with subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            _, said = process.communicate(timeout=kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return -9
    if process.returncode:
        sys.stderr.write(said)
    return process.returncode


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
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args(argv)
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        whole, parts = home / "whole", home / "parts"
        began = time.monotonic()
        if run(command(options.student, options.steps, whole, resume=False), home):
            return 1
        lasted = time.monotonic() - began
        shutil.rmtree(home / "cache", ignore_errors=True)  # the teacher's cache is killed while it is made, too
        print(f"undisturbed: {options.steps} steps, {lasted:.0f} s")
        reached = []
        code = -9
        for number in range(options.kills + 1000):
            resume = (parts / "checkpoints" / "last.ckpt").is_file()
            if not resume:
                shutil.rmtree(parts, ignore_errors=True)
            last = number >= options.kills
            # on average after half of what a start and a share of the steps take, so that it gets on
            moment = None if last else moments.uniform(0, 0.6) * lasted
            code = run(command(options.student, options.steps, parts, resume=resume), home, kill_after=moment)
            if not last:
                history = parts / "history.csv"
                reached.append(history.read_text().splitlines()[-1].split(",")[0] if history.is_file() else "-")
            if last or code not in (0, -9):
                break
        print(f"killed {options.kills} times; steps at the last validation before each: {', '.join(reached)}")
        if code:
            return 1
        found = differences(whole, parts)
        print(f"differs in: {', '.join(found)}" if found else "the same, bit for bit")
        return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
