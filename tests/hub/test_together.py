"""Several processes at once: the last one wins, and what stands there is always one of theirs, whole."""

import subprocess
import sys

import pytest
from hub_runs import make_run

import zoo
from zoo.registry import paths
from zoo.storage.config import read_config
from zoo.storage.run_files import published_files

FETCH = """
import sys, zoo
for _ in range(4):
    zoo.fetch(sys.argv[1], name="gru-S-flute", force=True, endpoint=sys.argv[2], cache_dir=sys.argv[3])
"""
SAVE = """
import sys, torch, zoo
torch.manual_seed(int(sys.argv[2]))
models = [zoo.create("gru-S", hidden_size=8, reverb_length=100) for _ in range(2)]
for number in range(20):
    zoo.save(models[number % 2], sys.argv[1])
"""


def together(*commands):
    processes = [
        subprocess.Popen([sys.executable, "-c", *map(str, words)], stderr=subprocess.PIPE, text=True)
        for words in commands
    ]
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said


def test_processes_that_fetch_one_name_leave_one_whole_model(hub, tmp_path, empty_cache):
    hashes = set()
    for number in range(2):
        run = make_run(tmp_path / f"run{number}", seed=number)
        hashes.add(read_config(run).weights_sha256)
        hub.create(f"org/flute{number}", {name: path.read_bytes() for name, path in published_files(run).items()})
    together(*((FETCH, f"org/flute{number}", hub.endpoint, empty_cache) for number in (0, 1, 0, 1)))
    model = zoo.load("gru-S-flute")
    assert model.config.weights_sha256 in hashes
    assert zoo.list_models(pretrained=True).count("gru-S-flute") == 1
    assert sorted(path.name for path in paths.store_folder().iterdir()) == ["gru-S-flute"]


def test_processes_that_save_into_one_folder_leave_one_whole_model(tmp_path):
    processes = [
        subprocess.Popen([sys.executable, "-c", SAVE, str(tmp_path / "model"), str(seed)]) for seed in range(2)
    ]
    loaded = 0
    while any(process.poll() is None for process in processes):
        if (tmp_path / "model" / "config.json").is_file():
            assert zoo.load(tmp_path / "model").num_parameters > 0  # while they write
            loaded += 1
    assert [process.returncode for process in processes] == [0, 0]
    assert loaded > 0
    assert zoo.load(tmp_path / "model").num_parameters > 0


@pytest.mark.parametrize("write", ["zoo.save", "zoo.fetch"])
def test_nothing_is_left_beside_the_model(tmp_path, write):
    run = make_run(tmp_path / "run")
    if write == "zoo.save":
        zoo.save(zoo.load(run), tmp_path / "out" / "model")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["model"]
    else:
        folder = zoo.fetch(run, name="gru-S-flute")
        assert [path.name for path in folder.parent.iterdir()] == ["gru-S-flute"]
