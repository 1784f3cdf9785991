"""The package's page: its examples run, and its tables name what there is."""

import re
from pathlib import Path

import torch
import zoo_kernels
from zoo_kernels import _backends
from zoo_kernels.bench.problems import PROBLEMS

PAGE = (Path(__file__).parents[2] / "kernels" / "README.md").read_text()


def test_examples_on_the_page_run_and_give_the_shapes_that_they_show(capsys):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
        for name, shape in re.findall(r"^(\w+) = .*# \[([\d, ]+)\]", block, re.MULTILINE):
            assert list(names[name].shape) == [int(size) for size in shape.split(",")], name
    assert "torch.Size([1, 4]) torch.Size([1, 4, 16000])" in capsys.readouterr().out
    assert all(names[name].grad is not None for name in ("amplitudes", "v", "w", "levels"))
    assert torch.isfinite(names["gradients"]).all()


def test_page_names_every_public_function_and_every_backend():
    assert [name for name in zoo_kernels.__all__ if f"`{name}`" not in PAGE and f"zoo_kernels.{name}(" not in PAGE] == [
        "fast_fft_size"  # a detail, public because the package that uses this one needs it
    ]
    for kernel, table in _backends.TABLE.items():
        (row,) = [
            line for line in PAGE.splitlines() if line.startswith("|") and f"`{kernel}` |" in line and "CPU" in line
        ]
        for backend in table:
            assert backend in row.lower(), (kernel, backend)


def test_page_points_nowhere_that_it_cannot_reach_by_itself():
    # It is shown by package indexes, where relative links lead nowhere.
    assert re.findall(r"\]\((?!https?://)[^)]*\)", PAGE) == []


def test_every_kernel_with_backends_is_measured():
    assert {problem.kernel for problem in PROBLEMS} == set(_backends.TABLE)
