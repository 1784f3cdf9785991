"""Children of zoo's commands end when those are killed, and the next start goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from zoo_experiments.runs import Run, run_all

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds children in Linux's /proc")
ENDINGS = [signal.SIGTERM, signal.SIGKILL]


def children_of(pid):
    """Every process below one, as its id and when it began: ids are used again."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (found := facts(int(entry.name))) is not None:
            parents[int(entry.name)] = found
    below, new = {}, {pid}
    while new:
        new = {child for child, (parent, _) in parents.items() if parent in new and child not in below}
        below |= {child: parents[child][1] for child in new}
    return below


def facts(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else (int(fields[1]), fields[19])


def alive(processes):
    return [pid for pid, began in processes.items() if (found := facts(pid)) is not None and found[1] == began]


def wait_until(what, seconds):
    end = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(8):
        t = np.arange(15 * 16000) / 16000
        tone = sum(np.sin(2 * np.pi * k * (200 + 30 * number) * t) / k for k in range(1, 5)) * 0.2
        soundfile.write(folder / f"{number}.wav", tone, 16000)
    return folder


def end_when(begun, command, number):
    """Start `prepare`, send it a signal once it has workers and has begun, and see that these end with it."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # a resource tracker and two workers
    assert wait_until(lambda: (len(children_of(process.pid)) >= 3 and begun()) or process.poll() is not None, 300)
    assert process.poll() is None
    children = children_of(process.pid)
    process.send_signal(number)
    process.wait()
    wait_until(lambda: not alive(children), 5)
    assert alive(children) == []


@pytest.mark.parametrize("number", ENDINGS)
def test_workers_of_prepare_end_with_it_and_the_next_start_goes_on(recordings, tmp_path, number):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "zoo.prepare", str(recordings), str(out), "--pitch", "yin"]
    end_when(lambda: True, [*command, "--jobs", "2"], number)  # as soon as there are workers
    end_when(lambda: any(out.glob(".work/*.safetensors")), [*command, "--jobs", "2"], number)
    done = subprocess.run([*command, "--jobs", "1"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "/8 done before" in done.stderr
    assert "8 recordings" in done.stdout


CHILD = "import sys, time; from zoo.commands import cli; cli.run(lambda _: {body}, [])"
PARENT = """
import sys
from pathlib import Path
from zoo.executors import ExecutorConfig
from zoo_experiments.runs import Run, run_all
folder = Path(sys.argv[1])
runs = [Run(name, folder / name, ("-c", sys.argv[2]), folder / "logs" / name, 1) for name in ("a", "b")]
run_all(runs, ExecutorConfig(jobs=2))
"""


@pytest.mark.parametrize("body", ["time.sleep(60)", "[sum(range(99)) for _ in iter(int, 1)]"])
def test_runs_of_a_grid_end_when_it_is_killed(tmp_path, body):
    child = CHILD.format(body=body)
    process = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), child], stderr=subprocess.DEVNULL)
    assert wait_until(lambda: len(children_of(process.pid)) == 2, 60)
    time.sleep(0.5)
    children = children_of(process.pid)
    process.kill()
    process.wait()
    wait_until(lambda: not alive(children), 5)
    assert alive(children) == []


def test_run_that_will_not_stop_ends_all_the_same(tmp_path):
    body = "[__import__('signal').signal(15, lambda *_: None), time.sleep(60), time.sleep(60)]"
    process = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), CHILD.format(body=body)])
    assert wait_until(lambda: len(children_of(process.pid)) == 2, 60)
    time.sleep(1.0)
    children = children_of(process.pid)
    process.kill()
    process.wait()
    wait_until(lambda: not alive(children), 5)
    assert alive(children) == []


def test_runs_in_the_middle_of_nothing_keep_running_while_their_parent_lives(tmp_path):
    child = CHILD.format(body="time.sleep(2)")
    (status,) = run_all([Run("a", tmp_path / "a", ("-c", child), tmp_path / "logs" / "log", 1)])
    assert (status.state, status.tries) == ("done", 1)


def test_what_a_run_starts_in_turn_does_not_wait_for_its_input(tmp_path):
    body = "sys.exit('ZOO_ENDS_WITH_STDIN' in __import__('os').environ)"
    (status,) = run_all([Run("a", tmp_path / "a", ("-c", CHILD.format(body=body)), tmp_path / "logs" / "log", 1)])
    assert status.state == "done"


def test_command_that_a_user_starts_with_a_closed_input_runs(tmp_path):
    assert "ZOO_ENDS_WITH_STDIN" not in os.environ
    done = subprocess.run([sys.executable, "-m", "zoo", "--version"], check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0
