import multiprocessing
import os
import shutil
import threading

import pytest
import torch

from zoo.errors import CheckpointError
from zoo.listing import info
from zoo.models.creating import create
from zoo.models.loading import load_folder
from zoo.storage.checkpoint import save, weights_hash
from zoo.storage.files import new_folder
from zoo.storage.golden import read_golden
from zoo.storage.initialisation import OwnNumbers
from zoo.storage.reading import copy_run, read_whole

SIZES = ({"hidden_size": 8, "reverb_length": 200}, {"hidden_size": 24, "reverb_length": 900})


def save_in_turns(sources, target, started, stop):
    torch.set_num_threads(1)
    models = [load_folder(source) for source in sources]
    started.set()
    while not stop.is_set():
        for model in models:
            save(model, target)


def replace_in_turns(sources, target, started, stop):
    started.set()
    while not stop.is_set():
        for source in sources:
            with new_folder(target) as folder:
                shutil.copytree(source, folder, dirs_exist_ok=True)


@pytest.mark.parametrize("write", [save_in_turns, replace_in_turns])
def test_model_that_is_being_replaced_is_read_wholly_old_or_wholly_new(tmp_path, write):
    models = [create("gru-S", instrument="flute", **options) for options in SIZES]
    sources = [save(model, tmp_path / str(number)) for number, model in enumerate(models)]
    wholes = {weights_hash(model): model.num_parameters for model in models}
    target = save(models[0], tmp_path / "target")
    context = multiprocessing.get_context("spawn")
    started, stop = context.Event(), context.Event()
    writing = context.Process(target=write, args=(sources, target, started, stop))
    writing.start()
    try:
        assert started.wait(120)
        seen = set()
        for number in range(600):  # the other process may get little time
            seen.add(weights_hash(load_folder(target)))
            if number % 5 == 0:
                known = info(target)
                assert known.config.decoder.args["hidden_size"] in (8, 24)
                copy = tmp_path / f"copy{number}"
                copy.mkdir()
                copy_run(target, copy)
                assert weights_hash(load_folder(copy)) in wholes
                read_golden(copy)  # of these weights, or none
            if len(seen) == 2 and number >= 10:
                break
    finally:
        stop.set()
        writing.join()
    assert seen == set(wholes)  # both were met, and nothing between them


def test_a_file_written_anew_with_the_time_of_the_one_before_is_seen(tmp_path):
    target = save(create("gru-S", **SIZES[0]), tmp_path / "target")
    weights = target / "model.safetensors"
    read = []

    def half_then_whole(files):
        read.append(files)
        if len(read) == 1:
            found = weights.stat()
            weights.write_bytes(weights.read_bytes())
            os.utime(weights, ns=(found.st_atime_ns, found.st_mtime_ns))
            raise CheckpointError("half of each")
        return "whole"

    assert read_whole(target, half_then_whole) == "whole"


def test_files_that_never_fitted_are_still_told_as_such(tmp_path):
    first, second = (save(create("gru-S", **options), tmp_path / str(k)) for k, options in enumerate(SIZES))
    shutil.copy(first / "model.safetensors", second / "model.safetensors")
    with pytest.raises(CheckpointError):
        load_folder(second)
    with pytest.raises(CheckpointError, match="is no model"):
        load_folder(tmp_path)


def test_loading_in_threads_leaves_the_random_numbers_alone(tmp_path):
    folder = save(create("gru-S", **SIZES[0]), tmp_path / "model")
    torch.manual_seed(3)
    expected = [torch.rand(1).item() for _ in range(3000)]
    stop, loads = threading.Event(), []

    def load():
        while not stop.is_set():
            load_folder(folder)
            loads.append(1)

    threads = [threading.Thread(target=load) for _ in range(3)]
    torch.manual_seed(3)
    for thread in threads:
        thread.start()
    drawn = []
    for _ in range(3000):
        drawn.append(torch.rand(1).item())
        if len(drawn) % 300 == 0:
            before = len(loads)
            while len(loads) == before:
                pass
    stop.set()
    for thread in threads:
        thread.join()
    assert drawn == expected


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(2),
        lambda: torch.randn(2),
        lambda: torch.randint(2, 9, (4,)),
        lambda: torch.randperm(5),
        lambda: torch.randn_like(torch.zeros(3)),
        lambda: torch.zeros(3).uniform_(),
        lambda: torch.bernoulli(torch.full((8,), 0.5)),
        lambda: torch.nn.Linear(2, 3).weight.detach(),
        lambda: torch.nn.init.orthogonal_(torch.zeros(3, 3)),
    ],
)
def test_own_numbers_are_drawn_beside_torchs(draw):
    before = torch.random.get_rng_state()
    with OwnNumbers():
        first = draw()
    with OwnNumbers():
        assert torch.equal(first, draw())
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.unique().numel() > 1
