import importlib.util
import os
import subprocess
import sys

import pytest
import torch
import zoo_kernels
from zoo_kernels import _backends


def run(program, **environment):
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )


def test_every_backend_is_ok_or_says_why_not_in_one_line():
    states = zoo_kernels.backends()
    assert set(states) == {
        "harmonic_oscillators",
        "cauchy",
        "vandermonde",
        "gated_recurrence",
        "frequency_modulation",
        "spectral_distances",
    }
    for kernel, found in states.items():
        assert found["torch"] == "ok", kernel
        assert found["numba"] == "ok", kernel  # a plain dependency
        for name, state in found.items():
            assert state.strip() == state != "", (kernel, name)
            assert state.isprintable(), (kernel, name)  # no line breaks, no colours of a compiler


def test_backend_for_gpus_says_that_there_is_none():
    program = "from zoo_kernels import _backends; print(_backends.state('harmonic_oscillators', 'triton', 'cuda'))"
    done = run(program, CUDA_VISIBLE_DEVICES="")
    if importlib.util.find_spec("triton") is None:
        assert done.stdout.strip() == "ModuleNotFoundError: No module named 'triton'", done.stderr
    else:
        assert done.stdout.strip() == "it needs a CUDA device, and torch sees none here", done.stderr


def test_zoo_kernels_import_brings_no_backends_package_and_no_zoo():
    modules = "zoo_kernels.bench.problems, zoo_kernels.bench.tables"  # they import all of the package's public modules
    program = f"import {modules}, sys; print([m for m in ('numba', 'triton', 'pykeops', 'zoo') if m in sys.modules])"
    done = run(program)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_cpu_call_imports_no_package_for_gpus():
    done = run(
        "import sys, torch, zoo_kernels;"
        "zoo_kernels.harmonic_oscillators(torch.ones(1, 8), torch.ones(1, 2, 3), hop=4);"
        "print([m for m in ('numba', 'triton', 'pykeops') if m in sys.modules])"
    )
    assert done.stdout.strip() == "['numba']", done.stderr


BROKEN = """
import sys, warnings
sys.modules["numba"] = sys.modules["triton"] = None
import torch, zoo_kernels
arguments = (torch.ones(1, 8), torch.ones(1, 2, 3))
"""


def test_auto_falls_back_to_torch_with_a_warning_that_names_the_reason():
    done = run(BROKEN + "print(zoo_kernels.harmonic_oscillators(*arguments, hop=4).shape)")
    assert "torch.Size([1, 8])" in done.stdout
    assert "numba does not work here" in done.stderr
    assert done.stderr.count("falls back") == 1


def test_a_named_backend_that_is_missing_is_an_error_that_names_its_package():
    done = run(
        BROKEN
        + """
try:
    zoo_kernels.harmonic_oscillators(*arguments, hop=4, backend="numba")
except RuntimeError as error:
    print(error)
print(zoo_kernels.backends()["harmonic_oscillators"])
"""
    )
    assert "pip install numba" in done.stdout
    assert "'torch': 'ok'" in done.stdout
    assert "'numba': 'ModuleNotFoundError: " in done.stdout
    assert "'triton': \"ModuleNotFoundError: " in done.stdout or "'triton': 'ModuleNotFoundError: " in done.stdout


def test_compiling_works_where_nothing_can_be_cached(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")  # a file where a folder would have to be
    done = run(
        "from zoo_kernels import _backends; print(_backends.state('harmonic_oscillators', 'numba', 'cpu'))",
        NUMBA_CACHE_DIR=str(blocked / "cache"),
        HOME=str(blocked),
        XDG_CACHE_HOME=str(blocked / "cache"),
    )
    assert done.stdout.strip() == "ok", done.stderr


@pytest.mark.parametrize(
    ("kernel", "backend", "device", "message"),
    [
        ("harmonic_oscillators", "numba", "meta", r"'numba' of harmonic_oscillators works on cpu.*on meta.*'auto'"),
        ("harmonic_oscillators", "triton", "cpu", r"'triton' of harmonic_oscillators works on cuda.*on cpu.*'auto'"),
        ("cauchy", "keops", "meta", r"'keops' of cauchy works on cpu and cuda, and the inputs are on meta"),
        ("vandermonde", "triton", "cpu", r"vandermonde has no backend 'triton'. It has: auto, numba, keops, torch"),
    ],
)
def test_a_backend_that_is_not_there_or_not_for_the_device_is_refused(kernel, backend, device, message):
    with pytest.raises(ValueError, match=message):
        _backends.choose(kernel, backend, torch.device(device))


def test_a_second_process_compiles_nothing():
    """The first is the one that runs the tests."""
    zoo_kernels.backends()
    program = """
import zoo_kernels
from zoo_kernels import _backends
zoo_kernels.backends()
for kernel, table in _backends.TABLE.items():
    for function in vars(_backends.module(kernel, "numba")).values():
        if hasattr(function, "stats"):  # compiled by numba
            print(sum(function.stats.cache_hits.values()), sum(function.stats.cache_misses.values()))
"""
    done = run(program)
    loaded, compiled = zip(*(map(int, line.split()) for line in done.stdout.splitlines()), strict=True)
    assert sum(loaded) >= 10, done.stderr
    assert set(compiled) == {0}
