"""A run that is killed outright, wherever it is, and goes on."""

import multiprocessing
import os
import random
import signal
import time

import pytest
import torch
from flat_calls import distill

ROWS = (1, 5, 9)  # of the history: a little after each of them a run is killed


def run(home, out, teacher, data, resume):
    os.environ["ZOO_HOME"] = home
    torch.set_num_threads(1)
    distill(
        teacher=teacher,
        student="tcn-S",  # with dropout
        student_options={"channels": 8, "blocks": 2, "reverb_length": 200},
        dataset=data,
        steps=100,
        batch_size=8,
        validate_every=4,
        evaluate=False,
        progress=False,
        accelerator="cpu",
        out=out,
        resume=resume,
    )


@pytest.fixture
def start(small_tones, teacher_folder, tmp_path):
    # its server imports everything once, so that each process begins at once
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lightning_fabric", "zoo.training.setup", "zoo.training.fit"])

    def begin(out):
        resume = (out / "checkpoints" / "last.ckpt").is_file()
        if not resume and out.exists():  # killed before there was anything to resume
            out = out.with_name(out.name + "-again")
        arguments = (str(tmp_path / f"{out.name}-home"), str(out), str(teacher_folder), str(small_tones.path), resume)
        process = context.Process(target=run, args=arguments)
        process.start()
        return process, out

    return begin


def wait_for_rows(history, rows, process):
    while process.is_alive() and (not history.is_file() or len(history.read_text().splitlines()) <= rows):
        time.sleep(0.01)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_run_that_is_killed_again_and_again_ends_like_one_that_is_not(start, tmp_path):
    process, whole = start(tmp_path / "whole")
    process.join()
    assert process.exitcode == 0
    moments = random.Random(0)
    out = tmp_path / "parts"
    for rows in ROWS:
        process, out = start(out)
        wait_for_rows(out / "history.csv", rows, process)
        time.sleep(moments.uniform(0, 0.3))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    process, out = start(out)
    process.join()
    assert process.exitcode == 0
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    states = [torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (whole, out)]
    for part in ("model", "losses"):
        assert all(torch.equal(states[0][part][name], states[1][part][name]) for name in states[0][part])
    rows = [[{**row, "seconds": 0} for row in state["history"]] for state in states]
    assert rows[0] == rows[1]
