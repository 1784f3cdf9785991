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


def test_backends_all_work_where_the_tests_run():
    for kernel, states in zoo_kernels.backends().items():
        assert states["torch"] == "ok", kernel
        assert set(states.values()) == {"ok"}, kernel


def test_zoo_kernels_import_brings_neither_numba_nor_zoo():
    done = run("import sys, zoo_kernels; print([m for m in ('numba', 'zoo') if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


BROKEN = """
import sys, warnings
sys.modules["numba"] = None
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


def test_compiling_works_where_nothing_can_be_cached(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")  # a file where a folder would have to be
    done = run(
        "import zoo_kernels; print(zoo_kernels.backends()['harmonic_oscillators']['numba'])",
        NUMBA_CACHE_DIR=str(blocked / "cache"),
        HOME=str(blocked),
        XDG_CACHE_HOME=str(blocked / "cache"),
    )
    assert done.stdout.strip() == "ok", done.stderr


def test_a_backend_that_does_not_serve_the_device_is_refused():
    with pytest.raises(ValueError, match=r"'numba' of harmonic_oscillators works on cpu.*on meta"):
        _backends.choose("harmonic_oscillators", "numba", torch.device("meta"))


def test_a_second_process_compiles_nothing(tmp_path):
    program = """
import zoo_kernels
zoo_kernels.backends()
from zoo_kernels import _numba_oscillators as o, _numba_spectral as s
for kernel in (o._forward, o._backward, s._frame, s._magnitude, s._compare, s._overlap_add):
    print(sum(kernel.stats.cache_misses.values()), end=" ")
"""
    first, second = (run(program, NUMBA_CACHE_DIR=str(tmp_path)).stdout.split() for _ in range(2))
    assert first == ["1"] * 6
    assert second == ["0"] * 6
