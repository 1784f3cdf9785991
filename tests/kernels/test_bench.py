"""The command `python -m zoo_kernels.bench`, and what it measures memory with."""

import csv
import os
import subprocess
import sys

import pytest
import torch
import zoo_kernels
from zoo_kernels.bench import memory, tables
from zoo_kernels.bench.__main__ import main
from zoo_kernels.bench.measuring import Row

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
MEASURES = ("forward_ms", "backward_ms", "total_ratio", "forward_ratio", "error", "gradient_error")


def bench(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "zoo_kernels.bench", *arguments], capture_output=True, text=True, timeout=300
    )


def test_bench_measures_every_kernel_and_every_backend_that_works(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Figures\n\n{tables.BEGIN}\nold\n{tables.END}\n\nWords.\n")
    done = bench("--quick", "--repeats", "1", "--csv", str(tmp_path / "out.csv"), "--markdown", str(page))
    assert done.returncode == 0, done.stderr
    assert "\r" not in done.stdout + done.stderr  # nobody looks: no progress line
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    states = zoo_kernels.backends()
    for kernel, found in states.items():
        expected = {name for name, state in found.items() if state.startswith("ok")}
        measured = [row for row in rows if row["kernel"] == kernel and not row["note"]]
        assert {row["backend"] for row in measured} == {"textbook", *expected}
        missing = {row["backend"]: row["note"] for row in rows if row["kernel"] == kernel and row["note"]}
        assert missing == {name: state for name, state in found.items() if not state.startswith("ok")}
        for row in measured:
            assert all(float(row[name]) >= 0 for name in MEASURES), row
            assert float(row["peak_mb"] or 0) < 50, row
            if row["backend"] != "textbook":
                assert float(row["error"]) < 1e-6, row
                assert float(row["gradient_error"]) < (5e-3 if kernel == "spectral_distances" else 1e-6), row
            if row["backend"] != "textbook" and kernel == "harmonic_oscillators":
                assert min(float(row["db_4s"]), float(row["db_10min"])) >= 88, row
    assert all(f"torch {torch.__version__.split('+')[0]}" in row["machine"] for row in rows)
    for kernel in states:
        assert kernel in done.stdout
        assert f"### {kernel}" in page.read_text()
    assert page.read_text().startswith(f"# Figures\n\n{tables.BEGIN}\n\nMachine: ")
    assert page.read_text().endswith(f"{tables.END}\n\nWords.\n")
    assert "old" not in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kernels", "fourier"], "invalid choice: 'fourier'"),
        (["--threads", "0"], "'0' is no whole number from 1 on"),
        (["--repeats", "many"], "'many' is no whole number from 1 on"),
        (["--csv", "no/such/folder/out.csv"], "the folder of no/such/folder/out.csv does not exist"),
        (["--markdown", "."], "is a folder"),
        pytest.param(
            ["--devices", "cuda"],
            "there is no CUDA device here",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)
def test_bench_refuses_bad_arguments_before_it_measures(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_bench_refuses_a_page_without_markers_before_it_measures(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("# My own words\n")
    with pytest.raises(SystemExit):
        main(["--markdown", str(page)])
    assert tables.BEGIN in capsys.readouterr().err
    assert page.read_text() == "# My own words\n"


def test_table_shows_what_is_known_and_why_the_rest_is_missing():
    rows = [
        Row(
            "cauchy", "small", "textbook", "cpu", 2, forward_ms=1234.5, backward_ms=10.0, total_ratio=1.0, peak_mb=0.04
        ),
        Row("cauchy", "small", "numba", "cpu", 2, forward_ms=0.0123, backward_ms=0.0, total_ratio=123.4),
        Row("cauchy", "", "keops", "", 2, note="no compiler"),
    ]
    text = tables.as_text(rows)
    lines = text.splitlines()
    assert lines[0] == "cauchy"
    assert lines[2].split() == [
        "case",
        "backend",
        "device",
        "threads",
        *["forward", "ms", "backward", "ms", "faster", "peak", "MB"],
    ]
    assert lines[3].split() == ["small", "textbook", "cpu", "2", "1234", "10", "1", "x", "0.0"]
    assert lines[4].split() == ["small", "numba", "cpu", "2", "0.0123", "0", "123", "x"]
    assert len({line.index("cpu") for line in lines[3:5]}) == 1
    assert lines[-1] == "  cauchy, keops: no compiler"


KNOWN = """
import numba, numpy, torch
from zoo_kernels.bench.memory import added_peak_mb

@numba.njit
def compiled(size):
    room = numpy.empty(size)
    for i in range(size):
        room[i] = i
    return room.sum()

def in_turns():
    numpy.ones(12_500_000)  # 100 MB, and freed
    return torch.ones(7_500_000)  # 30 MB, kept

compiled(10)
kept = [numpy.ones(10_000_000)]  # there before: not counted
for call in (in_turns, in_turns, lambda: compiled(5_000_000), lambda: torch.empty(25_000_000), lambda: None):
    print(added_peak_mb(call))
"""


@linux
def test_peak_memory_is_what_a_known_call_takes():
    done = subprocess.run(
        [sys.executable, "-c", KNOWN],
        capture_output=True,
        text=True,
        env={**os.environ, **memory._RETURN_AT_ONCE, "OMP_NUM_THREADS": "1"},
    )
    found = [float(line) for line in done.stdout.split()]
    # numpy's and torch's alike; the second call the same as the first; numba's too; untouched memory is none.
    assert found == pytest.approx([100, 100, 40, 0, 0], abs=1.5), done.stderr


@linux
def test_oscillators_take_under_a_tenth_of_the_sine_banks_memory():
    versions = [("harmonic_oscillators", backend, "all 100") for backend in ("numba", "torch")]
    found = memory.cpu_peaks_mb(versions, threads=1, quick=False)
    one_tensor = 16 * 64000 * 100 * 4 / 1e6  # of the sine bank, which has five at its peak
    assert all(0 < peak < 0.1 * one_tensor for peak in found.values()), found


@linux
def test_a_version_that_cannot_be_measured_does_not_keep_the_others_from_it():
    versions = [("harmonic_oscillators", backend, "active") for backend in ("fortran", "torch")]
    found = memory.cpu_peaks_mb(versions, threads=1, quick=True)
    assert found[versions[0]] is None
    assert found[versions[1]] is not None
