"""Fetches during which something goes wrong: `benchmarks/faults.py`, a few of them."""

import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

COUNT = 20


@pytest.fixture(scope="module")
def faults():
    path = Path(__file__).parent.parent.parent / "benchmarks" / "faults.py"
    spec = importlib.util.spec_from_file_location("faults", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["faults"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def test_no_accident_leaves_half_a_model_and_the_next_try_works(faults, tmp_path):
    files = faults.make_model(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda number: faults.try_once(number, files, seed=1, patience=10.0), range(COUNT)))
    assert {outcome.kind for outcome in outcomes} == set(faults.KINDS)
    assert [outcome for outcome in outcomes if outcome.problems] == []
    assert {outcome.first for outcome in outcomes} == {"worked", "told", "killed"}


def test_check_for_half_models_can_fail(faults, tmp_path):
    files = faults.make_model(tmp_path / "model")
    half = tmp_path / "home" / "models" / faults.NAME
    half.mkdir(parents=True)
    (half / "config.json").write_bytes(files["config.json"])
    snapshot = tmp_path / "cache" / "models--org--x" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes(files["config.json"])
    (snapshot / "model.safetensors").write_bytes(files["model.safetensors"][:-1])
    found = faults._half_models(tmp_path / "cache", tmp_path / "home", files)
    assert len(found) == 2
    assert "half model in the store" in " ".join(found)
